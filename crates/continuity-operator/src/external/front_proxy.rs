//! Who the front proxy is, and what it says about a caller.
//!
//! The API server's aggregation layer authenticates the caller and passes the name on in headers. Anybody could send such
//! headers; they count only behind a client certificate of the request-header authority, with an allowed name.

use crate::error::Error;
use axum::http::HeaderMap;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Headers of one kind that are read: an API server sends one or two.
const HEADERS_MAX: usize = 8;
/// Groups of a caller that are passed on.
const GROUPS_MAX: usize = 64;

/// What the cluster says about its front proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontProxy {
    /// Authority of its client certificates, in PEM.
    pub authority: String,
    /// Names its certificate may have; empty means any.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name.
    pub user_headers: Vec<String>,
    /// Headers with groups.
    pub group_headers: Vec<String>,
    /// Prefixes of headers with extra facts.
    pub extra_prefixes: Vec<String>,
}

/// A caller as the front proxy names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Name.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Extra facts, such as the credential's id.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Reads it from the cluster.
pub(super) async fn read(client: &Client) -> Result<FrontProxy, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let map = maps.get("extension-apiserver-authentication").await?;
    FrontProxy::of(&map.data.unwrap_or_default()).ok_or(Error::NoFrontProxy)
}

impl FrontProxy {
    /// What the ConfigMap's data say; none where the aggregation layer is off.
    #[must_use]
    pub fn of(data: &BTreeMap<String, String>) -> Option<Self> {
        // Lists are JSON arrays of strings; an absent one takes the API server's own default.
        let list = |key: &str, default: &str| -> Vec<String> {
            let found = data.get(key).and_then(|text| serde_json::from_str(text).ok());
            let list: Vec<String> = found.unwrap_or_else(|| vec![default.to_owned()]);
            list.into_iter()
                .filter(|entry| !entry.is_empty())
                .take(HEADERS_MAX)
                .collect()
        };
        let authority = data
            .get("requestheader-client-ca-file")
            .filter(|pem| !pem.trim().is_empty())?;
        Some(Self {
            authority: authority.clone(),
            allowed_names: list("requestheader-allowed-names", ""),
            user_headers: list("requestheader-username-headers", "X-Remote-User"),
            group_headers: list("requestheader-group-headers", "X-Remote-Group"),
            extra_prefixes: list("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        })
    }

    /// Whether a verified client certificate is the front proxy's: by its common name, where names are listed.
    #[must_use]
    pub fn is_behind(&self, certificate: &[u8]) -> bool {
        if self.allowed_names.is_empty() {
            return true;
        }
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let mut names = certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok());
        names.any(|name| self.allowed_names.iter().any(|allowed| allowed == name))
    }

    /// The caller that the headers name.
    #[must_use]
    pub fn identity(&self, headers: &HeaderMap) -> Option<Identity> {
        let values = |name: &String| -> Vec<String> {
            headers
                .get_all(name.as_str())
                .iter()
                .filter_map(|value| value.to_str().ok())
                .map(str::to_owned)
                .collect()
        };
        let user = self
            .user_headers
            .iter()
            .flat_map(values)
            .find(|user| !user.is_empty())?;
        let groups = self
            .group_headers
            .iter()
            .flat_map(values)
            .take(GROUPS_MAX)
            .collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in headers.keys().take(GROUPS_MAX) {
            let key = self
                .extra_prefixes
                .iter()
                .find_map(|prefix| name.as_str().strip_prefix(&prefix.to_lowercase()));
            if let Some(key) = key {
                extra.insert(key.replace("%2f", "/"), values(&name.as_str().to_owned()));
            }
        }
        Some(Identity { user, groups, extra })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> FrontProxy {
        let data = BTreeMap::from([
            ("requestheader-client-ca-file".to_owned(), "PEM".to_owned()),
            (
                "requestheader-allowed-names".to_owned(),
                "[\"front-proxy-client\"]".to_owned(),
            ),
            (
                "requestheader-username-headers".to_owned(),
                "[\"X-Remote-User\"]".to_owned(),
            ),
            (
                "requestheader-group-headers".to_owned(),
                "[\"X-Remote-Group\"]".to_owned(),
            ),
            (
                "requestheader-extra-headers-prefix".to_owned(),
                "[\"X-Remote-Extra-\"]".to_owned(),
            ),
        ]);
        FrontProxy::of(&data).unwrap()
    }

    fn certificate(name: &str) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_cluster_without_aggregation_has_no_front_proxy() {
        assert_eq!(FrontProxy::of(&BTreeMap::new()), None);
    }

    #[test]
    fn only_an_allowed_name_is_the_front_proxy() {
        assert!(cluster().is_behind(&certificate("front-proxy-client")));
        assert!(!cluster().is_behind(&certificate("somebody")));
        assert!(!cluster().is_behind(b"no certificate"));
        let any = FrontProxy {
            allowed_names: Vec::new(),
            ..cluster()
        };
        assert!(any.is_behind(&certificate("somebody")));
    }

    #[test]
    fn the_headers_name_the_caller() {
        let mut headers = HeaderMap::new();
        headers.append("x-remote-user", "hpa".parse().unwrap());
        headers.append("x-remote-group", "system:serviceaccounts".parse().unwrap());
        headers.append("x-remote-group", "system:authenticated".parse().unwrap());
        headers.append("x-remote-extra-example.org%2fid", "7".parse().unwrap());
        let identity = cluster().identity(&headers).unwrap();
        assert_eq!(identity.user, "hpa");
        assert_eq!(identity.groups.len(), 2);
        assert_eq!(identity.extra.get("example.org/id"), Some(&vec!["7".to_owned()]));
        assert_eq!(cluster().identity(&HeaderMap::new()), None);
    }
}
