//! etcd and kube-apiserver, and a few of them that wait for the next test.
//!
//! Starting a control plane takes longer than most tests. One that a test leaves whole goes back to the pool, and what the
//! test made is deleted before the next one takes it. The pool lives as long as any test holds a control plane, so nothing
//! outlives the run.

use super::START;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{env, fs};

/// Writes to our kinds, with what was asked for.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Request
  verbs: [create, update, patch, delete]
  resources: [{group: continuity.nity.io}]
- level: None
";

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
    whole: bool,
    plane: Option<continuity_testkit::Plane>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.plane = None;
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
        let file = |name: &str| directory.join(name).display().to_string();
        fs::write(file("audit.yaml"), AUDIT).unwrap();
        let more = [
            format!("--audit-policy-file={}", file("audit.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
        ];
        let plane = continuity_testkit::Plane::start(&kubernetes(), &directory, &[&more[0], &more[1]]);
        Self {
            plane: Some(plane.unwrap_or_else(|error| panic!("{error}"))),
            whole: true,
            directory,
        }
    }

    /// Kills the API server; etcd stays.
    pub(super) fn stop_api(&mut self) {
        self.whole = false;
        self.plane.as_mut().unwrap().stop_api();
    }

    /// Starts the API server again.
    pub(super) fn start_api(&mut self) {
        self.plane.as_mut().unwrap().start_api().unwrap();
        self.whole = true;
    }

    /// Text of a kubeconfig for its administrator.
    pub(super) fn kubeconfig(&self) -> String {
        self.plane.as_ref().unwrap().kubeconfig()
    }

    /// Where etcd answers.
    pub(super) fn etcd_url(&self) -> String {
        self.plane.as_ref().unwrap().etcd_url()
    }

    fn whole(&self) -> bool {
        self.whole
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
    env::var_os("CONTINUITY_KUBERNETES").map_or(built, PathBuf::from)
}
