//! Watches of the six kinds and of the agents' pods, into one bounded channel.
//!
//! An object that does not parse (a newer version of ours, say) is logged, counted and skipped; it must not end the watch
//! of all the others. A broken watch comes back by `Reconnect`, and its new list replaces the old one.

use crate::backoff::Reconnect;
use crate::error::{Category, Error};
use crate::telemetry::Metrics;
use crate::world::Change;
use continuity_api::labels;
use futures::StreamExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::utils::StreamBackoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Changes on their way: a whole page of a list fits twice. A full channel stops reading, which the API server buffers.
pub const CHANGES_MAX: usize = 1_024;
/// Label of the agents' pods, as `config/agent` sets it.
const AGENTS: &str = "app.kubernetes.io/name=continuity-agent";
/// Length of one watch call in seconds; a dead connection is noticed 5 s after it.
const WATCH_SECONDS: u32 = 55;

/// Starts the watches. They end when the receiver of `changes` goes away.
pub fn start(
    client: &Client,
    namespace: &str,
    changes: &mpsc::Sender<Change>,
    metrics: &Arc<Metrics>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let all = watcher::Config::default().timeout(WATCH_SECONDS);
    // Headless Services are refused anyway, and their slices can be many.
    let steerable = all.clone().labels(&format!("!{}", labels::HEADLESS));
    let spread = Spread {
        client: client.clone(),
        changes: changes.clone(),
        metrics: Arc::clone(metrics),
    };
    tasks.spawn(spread.clone().follow(1, all.clone(), Change::Service));
    tasks.spawn(spread.clone().follow(2, steerable, Change::Slice));
    tasks.spawn(spread.clone().follow(3, all.clone(), Change::Policy));
    tasks.spawn(spread.clone().follow(4, all.clone(), Change::Set));
    tasks.spawn(spread.clone().follow(5, all.clone(), Change::Plan));
    tasks.spawn(spread.clone().follow(6, all.clone(), Change::Node));
    let agents = all.labels(AGENTS);
    let pods = Api::namespaced(client.clone(), namespace);
    let agent = |event| Change::Agent(Box::new(event));
    tasks.spawn(spread.follow_in(pods, 7, agents, agent));
    tasks
}

#[derive(Clone)]
struct Spread {
    client: Client,
    changes: mpsc::Sender<Change>,
    metrics: Arc<Metrics>,
}

impl Spread {
    async fn follow<K>(self, seed: u64, config: watcher::Config, wrap: fn(Event<K>) -> Change)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api = Api::all(self.client.clone());
        self.follow_in(api, seed, config, wrap).await;
    }

    async fn follow_in<K>(
        self,
        api: Api<DeserializeGuard<K>>,
        seed: u64,
        config: watcher::Config,
        wrap: fn(Event<K>) -> Change,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let mut stream = Box::pin(StreamBackoff::new(watcher(api, config), Reconnect::new(seed)));
        let mut broken = false;
        while let Some(next) = stream.next().await {
            match next {
                Ok(event) => {
                    if std::mem::take(&mut broken) {
                        tracing::info!(kind = %K::kind(&()), "a watch is back");
                    }
                    let Some(event) = parsed(event, &self.metrics) else {
                        continue;
                    };
                    if self.changes.send(wrap(event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let category = category(&error);
                    self.metrics.error(category);
                    // Told once: a person needs the start and the end of an outage, not every second of it.
                    if !std::mem::replace(&mut broken, true) {
                        tracing::warn!(kind = %K::kind(&()), category = category.as_str(), %error, remedy = category.remedy(), "a watch broke");
                    }
                }
            }
        }
    }
}

fn parsed<K: Resource<DynamicType = ()>>(
    event: Event<DeserializeGuard<K>>,
    metrics: &Metrics,
) -> Option<Event<K>> {
    let open = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            metrics.error(Category::Invalid);
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(kind = %K::kind(&()), name, error = %invalid.error, "an object does not parse and is skipped");
            None
        }
    };
    match event {
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
        Event::Apply(guard) => open(guard).map(Event::Apply),
        Event::InitApply(guard) => open(guard).map(Event::InitApply),
        Event::Delete(guard) => open(guard).map(Event::Delete),
    }
}

fn category(error: &watcher::Error) -> Category {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => of_client(source),
        watcher::Error::WatchError(status) => Category::of_code(status.code),
        _ => Category::Internal,
    }
}

fn of_client(error: &kube::Error) -> Category {
    match error {
        kube::Error::Api(status) => Category::of_code(status.code),
        kube::Error::Auth(_) => Category::Unauthorized,
        _ => Category::Unavailable,
    }
}

impl From<&watcher::Error> for Category {
    fn from(error: &watcher::Error) -> Self {
        category(error)
    }
}

/// A client for the cluster that the arguments name.
///
/// # Errors
/// If there is no cluster to talk to, or its configuration can not be used.
pub async fn client(args: &crate::Args) -> Result<Client, Error> {
    use kube::config::{Config, KubeConfigOptions, Kubeconfig};
    let mut config = match &args.kubeconfig {
        Some(path) => {
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default())
                .await?
        }
        None => Config::infer().await.map_err(Error::NoCluster)?,
    };
    // An API server that is away must be found away, and back, within seconds.
    config.connect_timeout = Some(std::time::Duration::from_secs(3));
    // Retries are ours: per object, by kind of failure, never while a slot waits.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
