//! Keeps the Lease: reads, asks `decide`, writes with the version it read. Thin on purpose.
//!
//! It has its own client with short deadlines, so that a queue of slow writes never costs the leadership.

use super::{Claim, DURATION, RENEW_DEADLINE, RENEW_EVERY, RETRY_EVERY, Reading, Sighting, Step, decide};
use crate::error::{Category, Error};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Name of the Lease.
pub(super) const NAME: &str = "continuity-operator";
/// Longest wait for one request: two fit into the renew deadline.
const DEADLINE: Duration = Duration::from_secs(2);

/// Keeps the Lease of one replica.
pub struct Keeper {
    api: Api<Lease>,
    me: String,
    namespace: String,
    started: Instant,
    sighting: Sighting,
    transitions: i64,
    unreached: bool,
}

impl Keeper {
    /// A keeper for the replica called `me`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, me: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            me: me.to_owned(),
            namespace: namespace.to_owned(),
            started: Instant::now(),
            sighting: Sighting::default(),
            transitions: 0,
            unreached: false,
        }
    }

    /// Runs until `stop`, then gives the Lease back. `highest` is the highest epoch seen in plans, none before they are
    /// known: without it nobody may start to lead.
    pub async fn run(
        mut self,
        claims: watch::Sender<Option<Claim>>,
        highest: watch::Receiver<Option<i64>>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let known = *highest.borrow();
            let pause = match known {
                Some(highest) => self.turn(&claims, highest).await,
                None => RETRY_EVERY,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        let led = claims.borrow().is_some();
        claims.send_replace(None);
        if led {
            self.give_back().await;
        }
    }

    async fn turn(&mut self, claims: &watch::Sender<Option<Claim>>, highest: i64) -> Duration {
        match self.attempt(highest).await {
            Ok(Some(claim)) => {
                self.unreached = false;
                let gained = claims.borrow().is_none_or(|before| before.epoch != claim.epoch);
                if gained {
                    tracing::info!(epoch = claim.epoch, "this replica leads");
                }
                claims.send_if_modified(|before| {
                    let changed = gained;
                    *before = Some(claim);
                    changed
                });
                RENEW_EVERY
            }
            Ok(None) => {
                self.unreached = false;
                Self::step_down(claims, "another replica leads");
                RETRY_EVERY
            }
            Err(error) => {
                let expired = claims.borrow().is_some_and(|claim| !claim.holds(Instant::now()));
                if expired {
                    Self::step_down(claims, "the Lease could not be renewed in time");
                }
                if !std::mem::replace(&mut self.unreached, true) {
                    tracing::warn!(category = error.category().as_str(), %error, "the Lease was not reached");
                }
                if error.category() == Category::Forbidden {
                    DURATION
                } else {
                    RETRY_EVERY
                }
            }
        }
    }

    fn step_down(claims: &watch::Sender<Option<Claim>>, why: &str) {
        if claims.borrow().is_some() {
            tracing::warn!(why, "this replica no longer leads");
            claims.send_replace(None);
        }
    }

    /// One look and, if called for, one write.
    async fn attempt(&mut self, highest: i64) -> Result<Option<Claim>, Error> {
        let asked = Instant::now();
        let stored = in_time(self.api.get_opt(NAME)).await?;
        let now = self.started.elapsed();
        self.sighting = std::mem::take(&mut self.sighting).after(stored.as_ref().map(reading), now);
        let (epoch, lease) = match decide(&self.sighting, &self.me, highest, now) {
            Step::Wait => return Ok(None),
            Step::Create { epoch } => (
                epoch,
                in_time(
                    self.api
                        .create(&PostParams::default(), &self.lease(epoch, None, None)),
                )
                .await,
            ),
            Step::Acquire { epoch, version } => {
                let lease = self.lease(epoch, Some(version), None);
                (
                    epoch,
                    in_time(self.api.replace(NAME, &PostParams::default(), &lease)).await,
                )
            }
            Step::Renew { epoch, version } => {
                let acquired = stored
                    .and_then(|lease| lease.spec)
                    .and_then(|spec| spec.acquire_time);
                let lease = self.lease(epoch, Some(version), acquired);
                (
                    epoch,
                    in_time(self.api.replace(NAME, &PostParams::default(), &lease)).await,
                )
            }
        };
        match lease {
            Ok(lease) => {
                self.transitions = epoch;
                self.sighting = Sighting {
                    reading: Some(reading(&lease)),
                    since: self.started.elapsed(),
                };
                // Counted from before the request: that is the latest start anybody else can count from.
                Ok(Some(Claim {
                    epoch,
                    until: asked + RENEW_DEADLINE,
                }))
            }
            Err(error) if error.category() == Category::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self) {
        let Some(reading) = &self.sighting.reading else {
            return;
        };
        let mut lease = self.lease(self.transitions, Some(reading.version.clone()), None);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        match in_time(self.api.replace(NAME, &PostParams::default(), &lease)).await {
            Ok(_) => tracing::info!("the Lease was given back"),
            Err(error) => tracing::warn!(%error, "the Lease was not given back; it runs out by itself"),
        }
    }

    fn lease(&self, epoch: i64, version: Option<String>, acquired: Option<MicroTime>) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                resource_version: version,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                lease_transitions: i32::try_from(epoch).ok(),
                acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn reading(lease: &Lease) -> Reading {
    let spec = lease.spec.as_ref();
    Reading {
        holder: spec
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default(),
        transitions: spec
            .and_then(|spec| spec.lease_transitions)
            .map(i64::from)
            .unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    let answer = tokio::time::timeout(DEADLINE, request).await;
    Ok(answer.map_err(|_| Error::Slow(DEADLINE.as_secs()))??)
}
