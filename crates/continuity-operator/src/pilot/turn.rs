//! One turn of the main loop and what it owns.

use crate::decide::{self, Intent, Memory};
use crate::error::{Category, Error};
use crate::lease::Claim;
use crate::mode::{Machine, Mode};
use crate::moment::Moment;
use crate::published::Hints;
use crate::scheduler::{Scheduler, Snapshot};
use crate::serve::Health;
use crate::telemetry::Metrics;
use crate::timeline::{self, Backlog, Subject, Topic};
use crate::trust;
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
/// Time between two parts of the look at everything.
const PART_EVERY: Duration = Duration::from_secs(1);
/// Parts of it: everything is looked at every 5 s.
const PARTS: u64 = 5;
/// Longest sleep, so that health means something.
const TURN_EVERY: Duration = Duration::from_secs(1);
/// Least time between two renewals of what is published: 5,000 sets take some 10 ms, which every pass would pay.
const PUBLISH_SPACING: Duration = Duration::from_millis(500);
/// Changes taken in one turn, so that writes and probes get theirs during a long list.
const BATCH: usize = 512;

/// What connects the loop to the rest.
pub(super) struct Wiring {
    pub(super) claimed: watch::Receiver<Option<Claim>>,
    pub(super) epochs: watch::Sender<Option<i64>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) hints: Arc<Hints>,
    /// What `/debug/scheduler` shows, renewed once a second.
    pub(super) board: watch::Sender<Option<Arc<Snapshot>>>,
    pub(super) timelines: timeline::Keeper,
}

/// What comes back from the API server.
enum Landing {
    Write(Box<(Intent, Result<Option<Change>, Error>)>, Duration),
    Probe(Result<(), Error>, Duration),
}

/// The main loop.
pub(super) struct Pilot {
    writer: Writer,
    wiring: Wiring,
    incoming: mpsc::Receiver<Change>,
    world: World,
    memory: Memory,
    scheduler: Scheduler,
    mode: Machine,
    flights: JoinSet<Landing>,
    backlog: Backlog,
    epoch: Option<i64>,
    started: Instant,
    passed: Duration,
    looked: Duration,
    /// Part of everything that was looked at last.
    part: u64,
    /// When the highest epoch was last looked up.
    surveyed: Option<Duration>,
    /// When hints and gauges were last renewed.
    published: Option<Duration>,
    /// When people were last shown the scheduler.
    shown: Option<Duration>,
    /// Refusals that have been said.
    refused: u64,
}

impl Pilot {
    pub(super) fn new(writer: Writer, wiring: Wiring, incoming: mpsc::Receiver<Change>) -> Self {
        Self {
            writer,
            wiring,
            incoming,
            world: World::default(),
            memory: Memory::default(),
            scheduler: Scheduler::default(),
            mode: Machine::default(),
            flights: JoinSet::new(),
            backlog: Backlog::default(),
            epoch: None,
            started: Instant::now(),
            passed: Duration::ZERO,
            looked: Duration::ZERO,
            part: 0,
            surveyed: None,
            published: None,
            shown: None,
            refused: 0,
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
        self.mode.drain(self.started.elapsed());
        while !self.scheduler.is_idle() && Instant::now() < end && self.claim().is_some() {
            self.launch();
            let pause = Duration::from_millis(50);
            if let Ok(Some(Ok(landing))) = tokio::time::timeout(pause, self.flights.join_next()).await {
                self.land(landing);
            } else {
                tokio::time::sleep(pause).await;
            }
        }
        let left = self.scheduler.len();
        if left > 0 {
            tracing::warn!(left, "writes are left; the next leader decides them anew");
        }
    }

    fn turn(&mut self) {
        let now = self.now();
        self.lead();
        if now.mono.saturating_sub(self.looked) >= PART_EVERY {
            self.looked = now.mono;
            self.look(now);
        }
        if self.world.synced() && self.world.marked() && now.mono.saturating_sub(self.passed) >= PASS_SPACING
        {
            self.pass(now);
            self.passed = self.now().mono;
        }
        self.publish(now.mono);
        self.doubt();
        self.narrate(now);
        let changed = self.mode.pass(now.mono);
        self.turned(changed);
        self.launch();
        self.show(now.mono);
        self.wiring.health.beat(self.world.synced());
    }

    /// Looks at the next part of everything, and after the last one at what is kept of it.
    fn look(&mut self, now: Moment) {
        self.part = (self.part + 1) % PARTS;
        self.world.mark_share(self.part, PARTS);
        for set in self.memory.waiting() {
            self.world.mark_set(set);
        }
        if self.part == 0 {
            self.world.review(now);
            self.memory.retain(&self.world);
            self.scheduler.sweep(now.mono);
            self.admit_refusals();
        }
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
        self.scheduler.clear();
        self.memory = Memory::default();
        self.world.mark_everything();
        let policies = self
            .world
            .policies
            .iter()
            .map(|(key, _)| Topic::Policy(key.clone()));
        let nodes = self.world.nodes.iter().map(|(name, _)| Topic::Node(name.clone()));
        self.backlog.begin(policies.chain(nodes));
        self.wiring.metrics.leader.set(i64::from(epoch.is_some()));
        self.wiring.metrics.epoch.set(epoch.unwrap_or(0));
    }

    fn pass(&mut self, now: Moment) {
        let begun = Instant::now();
        let marks = self.world.take_marks();
        if self.epoch.is_none() {
            return;
        }
        let Self {
            world,
            memory,
            scheduler,
            wiring,
            ..
        } = self;
        for key in &marks.services {
            for intent in decide::service(world, key, memory, now) {
                wiring.metrics.offer(scheduler.offer(intent, now.mono));
            }
        }
        for key in &marks.policies {
            if let Some(intent) = decide::policy(world, key, now) {
                wiring.metrics.offer(scheduler.offer(intent, now.mono));
            }
        }
        for intent in decide::trust(world) {
            wiring.metrics.offer(scheduler.offer(intent, now.mono));
        }
        wiring.metrics.passes.inc();
        wiring.metrics.pass_seconds.observe(begun.elapsed().as_secs_f64());
    }

    /// Publishes the stored picture, which is the same on every replica, soon after a set has changed.
    fn publish(&mut self, now: Duration) {
        let rests = self
            .published
            .is_some_and(|at| now.saturating_sub(at) < PUBLISH_SPACING);
        if rests || !self.world.synced() {
            return;
        }
        let news = self.world.take_news();
        // Also that there is nothing is worth knowing.
        if !news && self.published.is_some() {
            return;
        }
        self.published = Some(now);
        let sets = || self.world.sets.iter().map(|(_, set)| set.as_ref());
        self.wiring.hints.replace(sets());
        self.wiring.metrics.sets(sets());
    }

    fn launch(&mut self) {
        let Some(claim) = self.claim() else { return };
        loop {
            let now = self.started.elapsed();
            let Some(intent) = self.scheduler.take(self.mode.gate(now), now) else {
                break;
            };
            self.mode.sent(now);
            let writer = self.writer.clone();
            self.flights.spawn(async move {
                let sent = Instant::now();
                let outcome = writer.write(&intent, &claim).await;
                Landing::Write(Box::new((intent, outcome)), sent.elapsed())
            });
        }
        let now = self.started.elapsed();
        if self.flights.is_empty() && self.mode.wants_probe(now) {
            self.mode.sent(now);
            let writer = self.writer.clone();
            self.flights.spawn(async move {
                let sent = Instant::now();
                let outcome = writer.probe().await;
                Landing::Probe(outcome, sent.elapsed())
            });
        }
    }

    /// Says what did not fit since the last look; the present look offers it again.
    fn admit_refusals(&mut self) {
        let refused = self.scheduler.counters().refused;
        let fresh = refused.saturating_sub(self.refused);
        if fresh > 0 {
            let waiting = self.scheduler.len();
            tracing::warn!(
                refused = fresh,
                waiting,
                "the queue is full; what was refused comes again"
            );
        }
        self.refused = refused;
    }

    /// Says whose reports stop counting, and whose count again.
    fn doubt(&mut self) {
        for (node, change) in self.world.take_doubts() {
            match change {
                trust::Change::Quarantined => {
                    let standing = self.world.trust.standing(&node);
                    let complaint = standing.map(|standing| standing.doubt.complaint());
                    tracing::warn!(
                        node,
                        complaint = complaint.unwrap_or_default(),
                        "its reports stop counting"
                    );
                }
                trust::Change::Released => tracing::info!(node, "its reports count again"),
            }
        }
    }

    /// Hands over whose past may have something to tell; the timelines are the leader's.
    fn narrate(&mut self, now: Moment) {
        let stirred = self.world.take_stirred();
        if self.epoch.is_none() {
            return;
        }
        for node in stirred {
            self.backlog.stir(Topic::Node(node));
        }
        while let Some(topic) = self.backlog.next(now.mono) {
            let subject = match &topic {
                Topic::Policy(key) => {
                    let policy = self.world.policies.get(key);
                    // One without a status has not been looked at, and has no past.
                    let policy = policy.filter(|policy| policy.status.is_some());
                    policy.map(Arc::clone).map(Subject::Policy)
                }
                Topic::Node(node) => {
                    let portrait = self.world.portrait(node, now);
                    portrait.map(|portrait| Subject::Node(Arc::new(portrait)))
                }
            };
            let Some(subject) = subject else { continue };
            if !self.wiring.timelines.saw(subject) {
                self.backlog.stir(topic);
                return;
            }
        }
    }

    /// Says a new mode, and lets what waited for the API server go once it answers again.
    fn turned(&mut self, changed: Option<Mode>) {
        let Some(mode) = changed else { return };
        let waiting = self.scheduler.len();
        match mode {
            Mode::Normal => tracing::info!(mode = mode.as_str(), waiting, "the API server is well"),
            _ => tracing::warn!(mode = mode.as_str(), waiting, "the API server is in trouble"),
        }
        if mode == Mode::Degraded {
            self.scheduler.relieve(self.started.elapsed());
        }
        self.wiring.metrics.mode(mode);
    }

    /// Renews what people look at, once a second.
    fn show(&mut self, now: Duration) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.wiring.metrics.queue.set(count(self.scheduler.len()));
        if self.shown.is_some_and(|at| now.saturating_sub(at) < TURN_EVERY) {
            return;
        }
        self.shown = Some(now);
        let distrusted = self.world.trust.quarantined().count();
        self.wiring.metrics.distrusted.set(count(distrusted));
        let snapshot = self.scheduler.snapshot(self.mode.mode(), now);
        self.wiring.metrics.quarantined.set(count(snapshot.quarantined));
        self.wiring.board.send_replace(Some(Arc::new(snapshot)));
    }

    fn land(&mut self, landing: Landing) {
        let now = self.now().mono;
        let (outcome, took) = match &landing {
            Landing::Write(landed, took) => (landed.1.as_ref().map(|_| ()), *took),
            Landing::Probe(outcome, took) => (outcome.as_ref().copied(), *took),
        };
        let changed = self.mode.hear(outcome.map_err(Error::category), took, now);
        if let Landing::Write(landed, _) = landing {
            let (intent, outcome) = *landed;
            self.written(intent, outcome);
        }
        self.turned(changed);
    }

    fn written(&mut self, intent: Intent, outcome: Result<Option<Change>, Error>) {
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
                    if let Some(subject) = seen(&change) {
                        self.wiring.timelines.saw(subject);
                    }
                    // What a node reports comes by its watch alone: an answer of ours may be older than that.
                    if !matches!(change, Change::Node(_)) {
                        self.world.absorb(change, now);
                    }
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
                    tracing::warn!(object = %intent.slot.key, aspect, category = category.as_str(), %error, remedy = category.remedy(), "not written");
                }
                Err(category)
            }
        };
        self.scheduler.finish(intent, result, now.mono);
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
        let leads = self.epoch.is_some();
        let write = self
            .scheduler
            .next_due(self.mode.gate(now), now)
            .filter(|_| leads);
        // While something is on its way, its landing decides.
        let probe = self.mode.next_due().filter(|_| leads && self.flights.is_empty());
        let next = [pass, write, probe]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + TURN_EVERY);
        next.saturating_sub(now)
            .clamp(Duration::from_millis(1), TURN_EVERY)
    }
}

/// Of what was written, that which has a timeline told from it.
fn seen(change: &Change) -> Option<Subject> {
    match change {
        Change::Set(Event::Apply(set)) => Some(Subject::Set(Arc::new(set.clone()))),
        Change::Policy(Event::Apply(policy)) => Some(Subject::Policy(Arc::new(policy.clone()))),
        _ => None,
    }
}
