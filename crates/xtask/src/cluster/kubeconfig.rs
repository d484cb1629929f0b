//! Kubeconfigs, one for each identity that talks to the API server. JSON, which every client reads as YAML.

use std::fs;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use super::layout;
use crate::Error;

/// Writes the kubeconfig of `identity` (the file name of its certificate) to `path`.
///
/// Certificates are embedded: nodes see the file under another path than the machine does.
pub(super) fn write(identity: &str, path: &Path) -> Result<(), Error> {
    let read = |file: String| {
        let path = layout::pki().join(file);
        fs::read(&path).map_err(Error::file("read", &path))
    };
    let ca = BASE64_STANDARD.encode(read("ca.crt".to_owned())?);
    let certificate = BASE64_STANDARD.encode(read(format!("{identity}.crt"))?);
    let key = BASE64_STANDARD.encode(read(format!("{identity}.key"))?);
    let text = render(&ca, &certificate, &key).to_string();
    fs::write(path, text).map_err(Error::file("write", path))
}

/// Where the kubeconfig of a part of the control plane is.
pub(super) fn path(identity: &str) -> PathBuf {
    layout::pki().join(format!("{identity}.kubeconfig"))
}

fn render(ca: &str, certificate: &str, key: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "continuity",
        "clusters": [{
            "name": "continuity",
            "cluster": {
                "server": format!("https://{}", layout::api_server()),
                "certificate-authority-data": ca,
            },
        }],
        "users": [{"name": "user", "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": "continuity", "context": {"cluster": "continuity", "user": "user"}}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_the_address_on_the_fabric() {
        let config = render("ca", "certificate", "key");
        assert_eq!(
            config["clusters"][0]["cluster"]["server"],
            "https://172.30.0.1:6443"
        );
    }
}
