//! The certificates of one control plane: a CA, one for the front proxy, and what they sign.

use crate::error::Error;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::Path;

/// Makes everything that the API server and its administrator need.
pub(super) fn make(directory: &Path) -> Result<(), Error> {
    let (ca, front) = (
        Authority::make(directory, "ca")?,
        Authority::make(directory, "front-ca")?,
    );
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    ca.sign(directory, "api", "kube-apiserver", None, &names)?;
    ca.sign(directory, "admin", "admin", Some("system:masters"), &[])?;
    front.sign(directory, "front", "front-proxy-client", None, &[])?;
    let accounts = KeyPair::generate()?;
    write(&directory.join("accounts.key"), &accounts.serialize_pem())?;
    write(&directory.join("accounts.pub"), &accounts.public_key_pem())
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn make(directory: &Path, name: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        write(
            &directory.join(format!("{name}.crt")),
            &params.self_signed(&key)?.pem(),
        )?;
        Ok(Self { params, key })
    }

    /// Signs for a server if it has names, else for a client.
    fn sign(
        &self,
        directory: &Path,
        file: &str,
        name: &str,
        group: Option<&str>,
        names: &[String],
    ) -> Result<(), Error> {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![if names.is_empty() {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key))?;
        write(&directory.join(format!("{file}.crt")), &certificate.pem())?;
        write(&directory.join(format!("{file}.key")), &key.serialize_pem())
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}
