//! One watch as an endless stream of changes: errors become waits, never an end and never a hot loop.
//!
//! `kube`'s watcher re-lists by itself after 410 and resumes after a broken connection; without a wait in between it would
//! hammer the server. Every error goes through the watch's own [`Backoff`]. While it waits the records stay as they are.

use std::fmt::Debug;
use std::pin::Pin;

use futures::stream::{Stream, StreamExt, unfold};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::backoff::{Backoff, Refusal};

/// A watch call lasts at most this; a silently dropped connection is noticed by then at the latest.
const WATCH_SECONDS: u32 = 120;

/// Objects a page of the first list: bounds the memory of a list of 10,000 slices to some hundred objects at a time.
const PAGE: u32 = 200;

/// What happens on a watch.
#[derive(Debug)]
pub enum Happening<K> {
    /// An event of the watch.
    Event(Event<K>),
    /// The watch failed; it goes on by itself after the wait.
    Trouble(Refusal),
}

/// A stream of boxed happenings.
pub type Happenings<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Follows every object that `labels` selects.
pub fn follow<K>(api: Api<K>, labels: Option<&str>) -> impl Stream<Item = Happening<K>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut config = config();
    if let Some(labels) = labels {
        config = config.labels(labels);
    }
    patient(api, config)
}

/// Follows every object whose fields are these.
pub fn follow_fields<K>(api: Api<K>, fields: &str) -> impl Stream<Item = Happening<K>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    patient(api, config().fields(fields))
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

/// Events, with waits after errors.
fn patient<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Happening<K>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, config).boxed();
    unfold(
        (events, Backoff::default(), None),
        |(mut events, mut backoff, wait)| async move {
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            match events.next().await? {
                Ok(event) => {
                    // A list that began is no success yet: the next page may be refused.
                    if !matches!(event, Event::Init) {
                        backoff.succeeded();
                    }
                    Some((Happening::Event(event), (events, backoff, None)))
                }
                Err(error) => {
                    let (refusal, asked) = Refusal::of_watch(&error);
                    let wait = backoff.failed(refusal, asked);
                    tracing::warn!(
                        kind = std::any::type_name::<K>().rsplit("::").next(),
                        category = refusal.label(),
                        wait_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        %error,
                        "watch failed, last state kept",
                    );
                    Some((Happening::Trouble(refusal), (events, backoff, Some(wait))))
                }
            }
        },
    )
}
