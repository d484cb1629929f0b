//! etcd and kube-apiserver, and a few of them that wait for the next test.
//!
//! Starting a control plane takes longer than most tests. One that a test leaves whole goes back to the pool, and what the
//! test made is deleted before the next one takes it. The pool lives as long as any test holds a control plane, so nothing
//! outlives the run.

use super::{START, free_port};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{env, fs};

/// A process that ends with its handle.
pub(crate) struct Process(Child);

impl Process {
    pub(super) fn start(command: &mut Command, log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self(child)
    }

    /// Sends a signal by name: KILL, STOP, CONT, TERM.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.0.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// Ends the process at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if self.0.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process takes SIGKILL too.
        self.kill();
    }
}

/// One control plane.
pub(super) struct Server {
    pub(super) directory: PathBuf,
    api_port: u16,
    etcd_port: u16,
    api: Option<Process>,
    etcd: Process,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.api = None;
        self.etcd.kill();
        if std::thread::panicking() {
            eprintln!(
                "logs of the control plane are left in {}",
                self.directory.display()
            );
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

impl Server {
    pub(super) fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let index = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("continuity-api-{}-{index}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        certificates(&directory);
        let (etcd_port, peer_port, api_port) = (free_port(), free_port(), free_port());
        let etcd = etcd(&directory, etcd_port, peer_port);
        let api = api_server(&directory, etcd_port, api_port);
        Self {
            directory,
            api_port,
            etcd_port,
            api: Some(api),
            etcd,
        }
    }

    /// Kills the API server; etcd stays.
    pub(super) fn stop_api(&mut self) {
        self.api = None;
    }

    /// Starts the API server again.
    pub(super) fn start_api(&mut self) {
        self.api = Some(api_server(&self.directory, self.etcd_port, self.api_port));
    }

    /// Text of a kubeconfig for its administrator.
    pub(super) fn kubeconfig(&self) -> String {
        kubeconfig(&self.directory, self.api_port)
    }

    fn whole(&self) -> bool {
        self.api.is_some()
    }
}

/// Control planes that wait for the next test.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Server>>);

static POOL: Mutex<Weak<Pool>> = Mutex::new(Weak::new());

impl Pool {
    /// The pool of this run.
    pub(super) fn of_run() -> Arc<Self> {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pool.upgrade() {
            return pool;
        }
        let fresh = Arc::new(Self::default());
        *pool = Arc::downgrade(&fresh);
        fresh
    }

    /// One that waits, or a new one; and whether it is new.
    pub(super) fn take(&self) -> (Server, bool) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match waiting {
            Some(server) => (server, false),
            None => (Server::start(), true),
        }
    }

    /// Takes one back that its test left whole.
    pub(super) fn give(&self, server: Server) {
        if server.whole() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(server);
        }
    }
}

/// Kinds that tests and operators make, as group, kind and plural.
const MADE: [(&str, &str, &str); 11] = [
    ("continuity.nity.io", "ContinuityPolicy", "continuitypolicies"),
    ("continuity.nity.io", "EquivalenceSet", "equivalencesets"),
    ("continuity.nity.io", "EquivalencePlan", "equivalenceplans"),
    (
        "continuity.nity.io",
        "EquivalenceTimeline",
        "equivalencetimelines",
    ),
    ("continuity.nity.io", "ContinuityNode", "continuitynodes"),
    ("", "Service", "services"),
    ("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    ("coordination.k8s.io", "Lease", "leases"),
    ("events.k8s.io", "Event", "events"),
    ("", "Secret", "secrets"),
    ("", "ConfigMap", "configmaps"),
];
/// Namespaces that tests use.
const NAMESPACES: [&str; 2] = ["shop", "continuity-system"];

/// Deletes what an earlier test and its operators left.
pub(super) async fn clean(client: &Client) {
    for (group, kind, plural) in MADE {
        let version = if group == "continuity.nity.io" {
            "v1alpha1"
        } else {
            "v1"
        };
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        if plural == "continuitynodes" {
            remove(Api::all_with(client.clone(), &resource)).await;
            continue;
        }
        for namespace in NAMESPACES {
            remove(Api::namespaced_with(client.clone(), namespace, &resource)).await;
        }
    }
}

async fn remove(api: Api<DynamicObject>) {
    let all = ListParams::default();
    api.delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
    let begun = Instant::now();
    while !api.list(&all).await.unwrap().items.is_empty() {
        assert!(begun.elapsed() < START, "what an earlier test made does not go");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn kubernetes() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cluster/bin/kubernetes");
    let binary = env::var_os("CONTINUITY_KUBERNETES").map_or(built, PathBuf::from);
    assert!(
        binary.is_file(),
        "{} is missing: build the cluster parts, or set CONTINUITY_KUBERNETES",
        binary.display()
    );
    binary
}

fn etcd(directory: &Path, port: u16, peer_port: u16) -> Process {
    let (here, peer) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer_port}"),
    );
    let mut command = Command::new(kubernetes());
    command
        .arg("etcd")
        .arg(format!("--data-dir={}", directory.join("etcd").display()))
        .arg(format!("--listen-client-urls={here}"))
        .arg(format!("--advertise-client-urls={here}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .args(["--unsafe-no-fsync=true", "--log-level=warn"]);
    Process::start(&mut command, &directory.join("etcd.log"))
}

fn api_server(directory: &Path, etcd_port: u16, port: u16) -> Process {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut command = Command::new(kubernetes());
    command
        .arg("kube-apiserver")
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
        .arg(format!("--secure-port={port}"))
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
            "--service-cluster-ip-range=10.97.0.0/24",
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
        .arg(format!("--proxy-client-key-file={}", file("front.key")));
    Process::start(&mut command, &directory.join("api.log"))
}

fn kubeconfig(directory: &Path, port: u16) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: {}}}}}]\n\
         users: [{{name: test, user: {{client-certificate: {}, client-key: {}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
        file("ca.crt"),
        file("admin.crt"),
        file("admin.key"),
    )
}

fn certificates(directory: &Path) {
    let (ca, front) = (
        Authority::make(directory, "ca"),
        Authority::make(directory, "front-ca"),
    );
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let person = ExtendedKeyUsagePurpose::ClientAuth;
    ca.sign(
        directory,
        "api",
        "kube-apiserver",
        None,
        &["localhost", "127.0.0.1"],
        server,
    );
    ca.sign(
        directory,
        "admin",
        "admin",
        Some("system:masters"),
        &[],
        person.clone(),
    );
    front.sign(directory, "front", "front-proxy-client", None, &[], person);
    let accounts = KeyPair::generate().unwrap();
    fs::write(directory.join("accounts.key"), accounts.serialize_pem()).unwrap();
    fs::write(directory.join("accounts.pub"), accounts.public_key_pem()).unwrap();
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn make(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        fs::write(
            directory.join(format!("{name}.crt")),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        Self { params, key }
    }

    fn sign(
        &self,
        directory: &Path,
        file: &str,
        name: &str,
        group: Option<&str>,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params
            .signed_by(&key, &Issuer::from_params(&self.params, &self.key))
            .unwrap();
        fs::write(directory.join(format!("{file}.crt")), certificate.pem()).unwrap();
        fs::write(directory.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}
