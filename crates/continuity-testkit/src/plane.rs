//! A control plane of one's own: etcd and kube-apiserver on free ports of the loopback, with certificates of their own.
//!
//! Both are one binary, which `e2e/cluster` builds. Everything lives in one directory that the caller names and removes;
//! both processes end with the handle.

mod certificate;

use crate::error::Error;
use crate::process::Process;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running etcd and kube-apiserver.
#[derive(Debug)]
pub struct Plane {
    binary: PathBuf,
    directory: PathBuf,
    api_port: u16,
    etcd_port: u16,
    more: Vec<String>,
    api: Option<Process>,
    etcd: Process,
}

impl Plane {
    /// Starts both with the binary of the cluster parts, everything of theirs in `directory`; `more` are flags of the API
    /// server. They are ready a few seconds later.
    ///
    /// # Errors
    /// If the binary is missing, a file can not be written, or a program does not start.
    pub fn start(binary: &Path, directory: &Path, more: &[&str]) -> Result<Self, Error> {
        if !binary.is_file() {
            return Err(Error::Missing(binary.to_owned()));
        }
        fs::create_dir_all(directory).map_err(|source| Error::File {
            path: directory.to_owned(),
            source,
        })?;
        certificate::make(directory)?;
        let (etcd_port, peer_port, api_port) = (free_port()?, free_port()?, free_port()?);
        let mut plane = Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            api_port,
            etcd_port,
            more: more.iter().map(|flag| (*flag).to_owned()).collect(),
            api: None,
            etcd: etcd(binary, directory, etcd_port, peer_port)?,
        };
        plane.start_api()?;
        Ok(plane)
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills the API server; etcd stays.
    pub fn stop_api(&mut self) {
        self.api = None;
    }

    /// Starts the API server again.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_api(&mut self) -> Result<(), Error> {
        self.api = Some(self.api_server()?);
        Ok(())
    }

    /// Whether both run.
    pub fn whole(&mut self) -> bool {
        self.etcd.runs() && self.api.as_mut().is_some_and(Process::runs)
    }

    /// Process id of etcd.
    #[must_use]
    pub fn etcd_id(&self) -> u32 {
        self.etcd.id()
    }

    /// Process id of the API server, while it runs.
    #[must_use]
    pub fn api_id(&self) -> Option<u32> {
        self.api.as_ref().map(Process::id)
    }

    /// Where etcd answers its clients.
    #[must_use]
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }

    /// Text of a kubeconfig for its administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_of(&format!(
            "{{client-certificate: {}, client-key: {}}}",
            self.file("admin.crt"),
            self.file("admin.key")
        ))
    }

    /// Text of a kubeconfig for a user, given as a kubeconfig names one.
    #[must_use]
    pub fn kubeconfig_of(&self, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"https://127.0.0.1:{}\", certificate-authority: {}}}}}]\n\
             users: [{{name: test, user: {user}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.api_port,
            self.file("ca.crt"),
        )
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn api_server(&self) -> Result<Process, Error> {
        let file = |name: &str| self.file(name);
        let mut command = Command::new(&self.binary);
        command
            .arg("kube-apiserver")
            .arg(format!("--etcd-servers={}", self.etcd_url()))
            .arg(format!("--secure-port={}", self.api_port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg(format!("--client-ca-file={}", file("ca.crt")))
            .arg(format!("--tls-cert-file={}", file("api.crt")))
            .arg(format!("--tls-private-key-file={}", file("api.key")))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--service-account-key-file={}", file("accounts.pub")))
            .arg(format!(
                "--service-account-signing-key-file={}",
                file("accounts.key")
            ))
            .args([
                "--service-cluster-ip-range=10.97.0.0/16",
                "--authorization-mode=RBAC",
            ])
            .args([
                "--enable-aggregator-routing=true",
                "--endpoint-reconciler-type=none",
                "--profiling=false",
            ])
            .arg(format!("--requestheader-client-ca-file={}", file("front-ca.crt")))
            .arg("--requestheader-allowed-names=front-proxy-client")
            .arg("--requestheader-extra-headers-prefix=X-Remote-Extra-")
            .args([
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
            ])
            .arg(format!("--proxy-client-cert-file={}", file("front.crt")))
            .arg(format!("--proxy-client-key-file={}", file("front.key")))
            .args(&self.more);
        Process::start(&mut command, &self.directory.join("api.log"))
    }
}

fn etcd(binary: &Path, directory: &Path, port: u16, peer_port: u16) -> Result<Process, Error> {
    let (here, peer) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer_port}"),
    );
    let mut command = Command::new(binary);
    command
        .arg("etcd")
        .arg(format!("--data-dir={}", directory.join("etcd").display()))
        .arg(format!("--listen-client-urls={here}"))
        .arg(format!("--advertise-client-urls={here}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        // A bench writes more between two compactions than the 2 GiB that are the default.
        .args([
            "--unsafe-no-fsync=true",
            "--log-level=warn",
            "--quota-backend-bytes=8589934592",
        ]);
    Process::start(&mut command, &directory.join("etcd.log"))
}

/// A port that was free a moment ago.
///
/// # Errors
/// If the loopback has none.
pub fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
