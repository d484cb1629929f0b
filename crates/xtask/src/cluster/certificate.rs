//! The cluster's keys and certificates: one CA, one certificate per identity, one key for service accounts.
//!
//! All of it is made anew by each `up` and is worthless outside the cluster's own network namespaces. The
//! front proxy has a CA of its own: the API server refuses to share it with clients.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use super::layout::{API_SERVICE, CONTROL_V4, CONTROL_V6, Node, nodes};
use crate::Error;

/// Who a certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// File name without suffix.
    pub file: String,
    /// Common name: the user, for Kubernetes.
    pub user: String,
    /// Organisation: the group, for Kubernetes.
    pub group: Option<&'static str>,
    /// Names it serves under.
    pub names: Vec<String>,
    /// Addresses it serves under.
    pub addresses: Vec<IpAddr>,
}

impl Identity {
    fn client(file: &str, user: &str, group: Option<&'static str>) -> Self {
        let (file, user) = (file.to_owned(), user.to_owned());
        Self {
            file,
            user,
            group,
            names: Vec::new(),
            addresses: Vec::new(),
        }
    }

    fn api_server() -> Self {
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ];
        let mut names: Vec<String> = names.map(str::to_owned).into();
        names.push("kubernetes.default.svc.cluster.local".to_owned());
        let addresses = vec![
            CONTROL_V4.into(),
            CONTROL_V6.into(),
            API_SERVICE.into(),
            IpAddr::from([127, 0, 0, 1]),
        ];
        Self {
            names,
            addresses,
            ..Self::client("apiserver", "kube-apiserver", None)
        }
    }

    /// One certificate for both directions: kubelet to API server and API server to kubelet.
    fn kubelet(node: Node) -> Self {
        let user = format!("system:node:{}", node.name());
        let base = Self::client(&node.name(), &user, Some("system:nodes"));
        Self {
            names: vec![node.name()],
            addresses: vec![node.v4().into(), node.v6().into()],
            ..base
        }
    }
}

/// Every identity that the cluster's CA signs.
pub fn identities() -> Vec<Identity> {
    let masters = Some("system:masters");
    let mut all = vec![
        Identity::api_server(),
        Identity::client("admin", "continuity-admin", masters),
        Identity::client("apiserver-kubelet", "kube-apiserver-kubelet-client", masters),
        Identity::client("controller-manager", "system:kube-controller-manager", None),
        Identity::client("scheduler", "system:kube-scheduler", None),
        Identity::client("proxy", "system:kube-proxy", None),
        Identity::client("coredns", "system:coredns", None),
    ];
    all.extend(nodes().map(Identity::kubelet));
    all
}

/// Writes everything into `dir`.
pub fn write(dir: &Path) -> Result<(), Error> {
    let ca = authority("continuity-cluster")?;
    put(dir.join("ca.crt"), &ca.pem(), 0o644)?;
    for identity in identities() {
        issue(dir, &ca, &identity)?;
    }
    let front = authority("continuity-front-proxy")?;
    put(dir.join("front-proxy-ca.crt"), &front.pem(), 0o644)?;
    issue(
        dir,
        &front,
        &Identity::client("front-proxy", "front-proxy-client", None),
    )?;
    let accounts = KeyPair::generate().map_err(failed("service accounts"))?;
    put(dir.join("service-accounts.key"), &accounts.serialize_pem(), 0o600)?;
    put(
        dir.join("service-accounts.pub"),
        &accounts.public_key_pem(),
        0o644,
    )
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = distinguished(name, None);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(failed(name))?;
    CertifiedIssuer::self_signed(params, key).map_err(failed(name))
}

fn issue(dir: &Path, ca: &CertifiedIssuer<'static, KeyPair>, identity: &Identity) -> Result<(), Error> {
    let subject = &identity.file;
    let params = params(identity).map_err(failed(subject))?;
    let key = KeyPair::generate().map_err(failed(subject))?;
    let certificate = params.signed_by(&key, ca).map_err(failed(subject))?;
    put(dir.join(format!("{subject}.crt")), &certificate.pem(), 0o644)?;
    put(dir.join(format!("{subject}.key")), &key.serialize_pem(), 0o600)
}

fn params(identity: &Identity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(&identity.user, identity.group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for name in &identity.names {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.as_str().try_into()?));
    }
    params
        .subject_alt_names
        .extend(identity.addresses.iter().copied().map(SanType::IpAddress));
    if !params.subject_alt_names.is_empty() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    Ok(params)
}

fn distinguished(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}

fn put(path: PathBuf, text: &str, mode: u32) -> Result<(), Error> {
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(Error::file("protect", &path))
}

fn failed(subject: &str) -> impl FnOnce(rcgen::Error) -> Error {
    let subject = subject.to_owned();
    move |source| Error::Certificate { subject, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_is_known_by_every_name_its_clients_use() {
        let params = params(&Identity::api_server()).unwrap();
        let names = &params.subject_alt_names;
        assert!(names.contains(&SanType::IpAddress(API_SERVICE.into())));
        assert!(names.contains(&SanType::IpAddress(CONTROL_V4.into())));
        assert!(names.contains(&SanType::DnsName("kubernetes.default.svc".try_into().unwrap())));
    }

    #[test]
    fn a_kubelet_is_the_user_that_node_authorisation_expects() {
        let node = nodes().next().unwrap();
        let kubelet = Identity::kubelet(node);
        assert_eq!(
            (kubelet.user.as_str(), kubelet.group),
            ("system:node:node-1", Some("system:nodes"))
        );
        assert!(kubelet.addresses.contains(&node.v4().into()));
    }

    #[test]
    fn a_client_cannot_serve() {
        let params = params(&Identity::client("proxy", "system:kube-proxy", None)).unwrap();
        assert!(
            !params
                .extended_key_usages
                .contains(&ExtendedKeyUsagePurpose::ServerAuth)
        );
    }

    #[test]
    fn no_two_identities_share_a_file() {
        let mut files: Vec<String> = identities().into_iter().map(|identity| identity.file).collect();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), identities().len());
    }
}
