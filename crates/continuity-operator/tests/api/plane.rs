//! A control plane of one's own: etcd, kube-apiserver, certificates, and operators beside it.

use continuity_testkit::Proxy;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

/// Longest start of the API server on a busy machine.
const START: Duration = Duration::from_secs(240);

/// A process that ends with its handle.
pub(crate) struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
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

/// The control plane.
pub(crate) struct Plane {
    pub(crate) client: Client,
    pub(crate) directory: PathBuf,
    api_port: u16,
    etcd_port: u16,
    api: Option<Process>,
    _etcd: Process,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.api = None;
        self._etcd.kill();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        } else {
            eprintln!("logs are left in {}", self.directory.display());
        }
    }
}

impl Plane {
    /// Starts a control plane with our CRDs, namespace `shop` and the operator's own.
    pub(crate) async fn start(name: &str) -> Self {
        let directory = env::temp_dir().join(format!("continuity-api-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        certificates(&directory);
        let (etcd_port, peer_port, api_port) = (free_port(), free_port(), free_port());
        let etcd = etcd(&directory, etcd_port, peer_port);
        let api = api_server(&directory, etcd_port, api_port);
        fs::write(directory.join("kubeconfig"), kubeconfig(&directory, api_port)).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(&directory).await;
        let plane = Self {
            client,
            directory,
            api_port,
            etcd_port,
            api: Some(api),
            _etcd: etcd,
        };
        plane.ready().await;
        plane.install().await;
        plane
    }

    /// Kills the API server; etcd stays.
    pub(crate) fn stop_api(&mut self) {
        self.api = None;
    }

    /// Starts the API server again and waits until it answers.
    pub(crate) async fn start_api(&mut self) {
        self.api = Some(api_server(&self.directory, self.etcd_port, self.api_port));
        self.ready().await;
    }

    /// Starts an operator.
    pub(crate) fn operator(&self, name: &str, more: &[&str]) -> Process {
        self.operator_at("kubeconfig", name, more).0
    }

    /// A proxy before the API server that fails on demand.
    pub(crate) async fn proxy(&self) -> Proxy {
        Proxy::start(self.client.clone()).await.unwrap()
    }

    /// Starts an operator that reaches the API server through `proxy`; also gives the address of its metrics.
    pub(crate) fn operator_behind(&self, proxy: &Proxy, name: &str, more: &[&str]) -> (Process, String) {
        let file = format!("{name}.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{}\"}}}}]\nusers: [{{name: test, user: {{}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            proxy.url()
        );
        fs::write(self.directory.join(&file), text).unwrap();
        self.operator_at(&file, name, more)
    }

    pub(crate) fn operator_at(&self, kubeconfig: &str, name: &str, more: &[&str]) -> (Process, String) {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_continuity-operator"));
        command
            .args(["--kubeconfig", self.directory.join(kubeconfig).to_str().unwrap()])
            .args(["--pod-name", name, "--listen", &address, "--log-text"])
            .args(more);
        let process = Process::start(&mut command, &self.directory.join(format!("{name}.log")));
        (process, address)
    }

    /// Creates or changes what the YAML documents say.
    pub(crate) async fn apply(&self, yaml: &str) {
        for document in documents(yaml) {
            let api = self.of(&document).await;
            let parameters = PatchParams::apply("test").force();
            api.patch(&document.name_any(), &parameters, &Patch::Apply(&document))
                .await
                .unwrap();
        }
    }

    /// Creates one document without storing it.
    pub(crate) async fn dry_run(&self, yaml: &str) -> Result<(), kube::Error> {
        for document in documents(yaml) {
            // kubectl refuses unknown fields too, which only strict validation does on the server.
            let api = self.of(&document).await;
            let parameters = PatchParams {
                dry_run: true,
                ..PatchParams::apply("test")
            }
            .force()
            .validation_strict();
            api.patch(&document.name_any(), &parameters, &Patch::Apply(&document))
                .await?;
        }
        Ok(())
    }

    async fn of(&self, document: &DynamicObject) -> Api<DynamicObject> {
        let types = document.types.clone().unwrap();
        let kind = kube::core::GroupVersionKind::try_from(&types).unwrap();
        let (resource, capabilities) = kube::discovery::pinned_kind(&self.client, &kind).await.unwrap();
        match (capabilities.scope, document.namespace()) {
            (kube::discovery::Scope::Cluster, _) => Api::all_with(self.client.clone(), &resource),
            (_, Some(namespace)) => Api::namespaced_with(self.client.clone(), &namespace, &resource),
            (_, None) => Api::namespaced_with(self.client.clone(), "shop", &resource),
        }
    }

    async fn ready(&self) {
        let begun = Instant::now();
        loop {
            let request = axum::http::Request::get("/readyz").body(Vec::new()).unwrap();
            if self.client.request_text(request).await.is_ok() {
                return;
            }
            assert!(
                begun.elapsed() < START,
                "the API server does not start; see {}",
                self.directory.display()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn install(&self) {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for definition in continuity_api::schema::definitions() {
            api.create(&PostParams::default(), &definition).await.unwrap();
            let name = definition.name_any();
            let established = kube::runtime::conditions::is_crd_established();
            let waiting = kube::runtime::wait::await_condition(api.clone(), &name, established);
            tokio::time::timeout(START, waiting).await.unwrap().unwrap();
        }
        for name in ["shop", "continuity-system"] {
            self.apply(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"
            ))
            .await;
        }
    }
}

/// Waits until `look` gives something, and says how long it took.
pub(crate) async fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return (found, begun.elapsed());
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An address of this machine that is not the loopback: an EndpointSlice may not hold one of those.
pub(crate) fn outer_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent; connecting a datagram socket only asks for the route.
    socket
        .connect("203.0.113.1:9")
        .expect("this machine needs one address besides the loopback");
    socket.local_addr().unwrap().ip()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn documents(yaml: &str) -> Vec<DynamicObject> {
    use serde::Deserialize;
    serde_yaml_ng::Deserializer::from_str(yaml)
        .map(|document| DynamicObject::deserialize(document).unwrap())
        .collect()
}

async fn client(directory: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(directory.join("kubeconfig")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
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
