//! A control plane of one's own: etcd, kube-apiserver, certificates, and operators beside it.

mod server;

pub(crate) use server::Process;

use continuity_testkit::Proxy;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use serde_json::Value;
use server::{Pool, Server};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Longest start of the API server on a busy machine.
const START: Duration = Duration::from_secs(240);

/// A control plane that one test has for itself.
pub(crate) struct Plane {
    pub(crate) client: Client,
    /// What is the test's own: kubeconfigs, and the logs of its operators.
    pub(crate) directory: PathBuf,
    server: Option<Server>,
    /// Where the server goes afterwards; none where the test changes what cleaning does not undo.
    pool: Option<Arc<Pool>>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs are left in {}", self.directory.display());
            return;
        }
        let _ = fs::remove_dir_all(&self.directory);
        if let (Some(pool), Some(server)) = (&self.pool, self.server.take()) {
            pool.give(server);
        }
    }
}

impl Plane {
    /// A control plane with our CRDs, namespace `shop` and the operator's own, and nothing else of ours.
    pub(crate) async fn start(name: &str) -> Self {
        let pool = Pool::of_run();
        let (server, fresh) = pool.take();
        Self::on(name, server, fresh, Some(pool)).await
    }

    /// The same, for a test that changes what is not in a namespace; it is used once.
    pub(crate) async fn alone(name: &str) -> Self {
        Self::on(name, Server::start(), true, None).await
    }

    async fn on(name: &str, server: Server, fresh: bool, pool: Option<Arc<Pool>>) -> Self {
        let directory = env::temp_dir().join(format!("continuity-api-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("kubeconfig"), server.kubeconfig()).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plane = Self {
            client: client(&directory).await,
            directory,
            server: Some(server),
            pool,
        };
        plane.ready().await;
        if fresh {
            plane.install().await;
        } else {
            server::clean(&plane.client).await;
        }
        plane
    }

    /// The API server's audit log: writes to our kinds, in the order in which they were answered.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let file = self.server.as_ref().unwrap().directory.join("audit.log");
        let text = fs::read_to_string(file).unwrap_or_default();
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Kills the API server; etcd stays.
    pub(crate) fn stop_api(&mut self) {
        self.server.as_mut().unwrap().stop_api();
    }

    /// Starts the API server again and waits until it answers.
    pub(crate) async fn start_api(&mut self) {
        self.server.as_mut().unwrap().start_api();
        self.ready().await;
    }

    /// Where etcd answers its clients.
    pub(crate) fn etcd_url(&self) -> String {
        self.server.as_ref().unwrap().etcd_url()
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
