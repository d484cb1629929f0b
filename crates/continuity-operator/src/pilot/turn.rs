//! One turn of the main loop and what it owns.

use crate::decide::{self, Intent, Memory};
use crate::error::{Category, Error};
use crate::external::Hints;
use crate::lease::Claim;
use crate::moment::Moment;
use crate::queue::Queue;
use crate::serve::Health;
use crate::telemetry::Metrics;
use crate::timeline;
use crate::world::{Change, World};
use crate::writer::Writer;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Least time between two passes: what arrives together is decided together.
const PASS_SPACING: Duration = Duration::from_millis(100);
/// Time between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest sleep, so that health means something.
const TURN_EVERY: Duration = Duration::from_secs(1);
/// Writes on their way at once. At 10 ms each they make 800 a second, four times what 10,000 nodes in a storm ask for.
const FLIGHTS_MAX: usize = 8;
/// Changes taken in one turn, so that writes and probes get theirs during a long list.
const BATCH: usize = 512;

/// What connects the loop to the rest.
pub(super) struct Wiring {
    pub(super) claimed: watch::Receiver<Option<Claim>>,
    pub(super) epochs: watch::Sender<Option<i64>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) hints: Arc<Hints>,
    pub(super) timelines: timeline::Keeper,
}

type Landing = (Intent, Result<Option<Change>, Error>);

/// The main loop.
pub(super) struct Pilot {
    writer: Writer,
    wiring: Wiring,
    incoming: mpsc::Receiver<Change>,
    world: World,
    memory: Memory,
    queue: Queue,
    flights: JoinSet<Landing>,
    epoch: Option<i64>,
    started: Instant,
    passed: Duration,
    looked: Duration,
    /// When the highest epoch was last looked up.
    surveyed: Option<Duration>,
}

impl Pilot {
    pub(super) fn new(writer: Writer, wiring: Wiring, incoming: mpsc::Receiver<Change>) -> Self {
        Self {
            writer,
            wiring,
            incoming,
            world: World::default(),
            memory: Memory::default(),
            queue: Queue::default(),
            flights: JoinSet::new(),
            epoch: None,
            started: Instant::now(),
            passed: Duration::ZERO,
            looked: Duration::ZERO,
            surveyed: None,
        }
    }

    /// Turns until the watches are gone.
    pub(super) async fn run(&mut self) {
        loop {
            let wake = self.wake();
            tokio::select! {
                change = self.incoming.recv() => match change {
                    Some(change) => self.take_in(change),
                    None => return,
                },
                Some(landed) = self.flights.join_next(), if !self.flights.is_empty() => {
                    if let Ok(landing) = landed {
                        self.land(landing);
                    }
                }
                _ = self.wiring.claimed.changed() => {}
                () = tokio::time::sleep(wake) => {}
            }
            self.turn();
        }
    }

    /// Lets what waits be written, for `patience` at most, and decides nothing more.
    pub(super) async fn drain(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.queue.is_idle() && Instant::now() < end && self.claim().is_some() {
            self.launch();
            let pause = Duration::from_millis(50);
            if let Ok(Some(Ok(landing))) = tokio::time::timeout(pause, self.flights.join_next()).await {
                self.land(landing);
            } else {
                tokio::time::sleep(pause).await;
            }
        }
        let left = self.queue.len();
        if left > 0 {
            tracing::warn!(left, "writes are left; the next leader decides them anew");
        }
    }

    fn turn(&mut self) {
        let now = self.now();
        self.lead();
        if now.mono.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now.mono;
            self.world.mark_everything();
            self.memory.retain(&self.world);
            self.queue.sweep(now.mono);
            self.publish();
        }
        if self.world.synced() && self.world.marked() && now.mono.saturating_sub(self.passed) >= PASS_SPACING
        {
            self.pass(now);
            self.passed = self.now().mono;
        }
        self.launch();
        self.wiring
            .metrics
            .queue
            .set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
        self.wiring.health.beat(self.world.synced());
    }

    /// Follows the claim: a new leadership looks at everything, a lost one drops what waits.
    fn lead(&mut self) {
        let due = |at: Duration| self.started.elapsed().saturating_sub(at) >= TURN_EVERY;
        if self.world.synced() && self.surveyed.is_none_or(due) {
            self.surveyed = Some(self.started.elapsed());
            let highest = self.world.highest_epoch();
            self.wiring
                .epochs
                .send_if_modified(|before| before.replace(highest) != Some(highest));
        }
        let epoch = self.claim().map(|claim| claim.epoch);
        if epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        self.queue.clear();
        self.memory = Memory::default();
        self.world.mark_everything();
        self.wiring.metrics.leader.set(i64::from(epoch.is_some()));
        self.wiring.metrics.epoch.set(epoch.unwrap_or(0));
    }

    fn pass(&mut self, now: Moment) {
        let begun = Instant::now();
        let marks = self.world.take_marks();
        // The stored picture is what every replica publishes, so all of them say the same.
        self.publish();
        if self.epoch.is_none() {
            return;
        }
        let Self {
            world,
            memory,
            queue,
            wiring,
            ..
        } = self;
        for key in &marks.services {
            for intent in decide::service(world, key, memory, now) {
                wiring.metrics.offer(queue.offer(intent, now.mono));
            }
        }
        for key in &marks.policies {
            if let Some(intent) = decide::policy(world, key, now) {
                wiring.metrics.offer(queue.offer(intent, now.mono));
            }
        }
        wiring.metrics.passes.inc();
        wiring.metrics.pass_seconds.observe(begun.elapsed().as_secs_f64());
    }

    fn publish(&self) {
        let sets = || self.world.sets.iter().map(|(_, set)| set.as_ref());
        self.wiring.hints.replace(sets());
        self.wiring.metrics.sets(sets());
    }

    fn launch(&mut self) {
        let Some(claim) = self.claim() else { return };
        while self.flights.len() < FLIGHTS_MAX {
            let Some(intent) = self.queue.take(self.started.elapsed()) else {
                return;
            };
            let writer = self.writer.clone();
            self.flights.spawn(async move {
                let outcome = writer.write(&intent, &claim).await;
                (intent, outcome)
            });
        }
    }

    fn land(&mut self, (intent, outcome): Landing) {
        let now = self.now();
        let aspect = intent.slot.aspect.as_str();
        let result = match outcome {
            Ok(change) => {
                self.wiring
                    .metrics
                    .writes
                    .with_label_values(&[aspect, "written"])
                    .inc();
                if let Some(change) = change {
                    if let Change::Set(Event::Apply(set)) = &change {
                        self.wiring.timelines.saw(set);
                    }
                    self.world.absorb(change, now);
                }
                Ok(())
            }
            Err(error) => {
                let category = error.category();
                self.wiring
                    .metrics
                    .writes
                    .with_label_values(&[aspect, category.as_str()])
                    .inc();
                self.wiring.metrics.error(category);
                // Gone is everyday: the object was deleted between decision and write.
                if category != Category::Gone {
                    tracing::warn!(object = %intent.slot.key, aspect, category = category.as_str(), %error, "not written");
                }
                Err(category)
            }
        };
        self.queue.finish(intent, result, now.mono);
    }

    fn take_in(&mut self, first: Change) {
        let now = self.now();
        self.world.absorb(first, now);
        for _ in 1..BATCH {
            match self.incoming.try_recv() {
                Ok(change) => self.world.absorb(change, now),
                Err(_) => return,
            }
        }
    }

    fn claim(&self) -> Option<Claim> {
        let claim: Option<Claim> = *self.wiring.claimed.borrow();
        claim.filter(|claim| claim.holds(Instant::now()))
    }

    fn now(&self) -> Moment {
        Moment::new(self.started.elapsed(), Timestamp::now())
    }

    fn wake(&self) -> Duration {
        let now = self.started.elapsed();
        let pass = self.world.marked().then(|| self.passed + PASS_SPACING);
        let write = self
            .queue
            .next_due()
            .filter(|_| self.flights.len() < FLIGHTS_MAX && self.epoch.is_some());
        let next = [pass, write]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + TURN_EVERY);
        next.saturating_sub(now)
            .clamp(Duration::from_millis(1), TURN_EVERY)
    }
}
