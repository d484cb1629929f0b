//! A small deterministic plant: nodes that choose as the kernel does (no in-band reports), backends with queues.
//!
//! It models what the law is fed with and nothing else: time in µs, Poisson arrivals, service times from a truncated
//! normal, a client time-out of 2 s, one connection a request.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use continuity_field::histogram::{age_bucket, bucket, lg};
use continuity_field::{
    Advice, BackendId, BackendSample, Nanos, Outcome, Reason, Samples, SetConfig, SetState, Verdict, step,
};

pub(crate) const MILLI: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;
const TIME_OUT: u64 = 2 * SECOND;
const HALF_TRIP: u64 = 150;

/// What a backend does to a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Healthy,
    /// Answers that much later.
    Late(u64),
    /// Takes that many times longer, with the worker held.
    Slow(f64),
    /// Accepts and resets.
    Reset,
    /// Refuses.
    Refused,
    /// Accepts and never answers.
    Hang,
    /// Fails that part of its requests.
    Partly(f64),
}

/// A small, well-known generator (xorshift64*), so that the plant needs no crate and never changes.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-12), self.uniform());
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        (-libm::log(self.uniform().max(1e-12)) * mean) as u64
    }
}

pub(crate) struct Backend {
    pub(crate) id: BackendId,
    pub(crate) fault: Fault,
    pub(crate) workers: usize,
    pub(crate) in_service: bool,
    /// Nothing is served before this instant (a pause of the process).
    pub(crate) paused_until: u64,
    busy: usize,
    queue: VecDeque<usize>,
}

/// What the kernel keeps of a backend on one node.
#[derive(Debug, Clone, Default)]
struct Record {
    in_flight: i64,
    penalty: i64,
    penalty_at: u64,
    level: Option<i64>,
    level_at: u64,
    sample: Option<BackendSample>,
    waiting: BTreeMap<usize, u64>,
}

pub(crate) struct Node {
    pub(crate) state: SetState,
    pub(crate) config: SetConfig,
    records: BTreeMap<BackendId, Record>,
    cursor: u32,
    armed: Option<(BackendId, u64)>,
    last_armed: Option<(BackendId, u64)>,
    last_tick: u64,
    pub(crate) log: Vec<(u64, Reason)>,
    pub(crate) alive: bool,
    /// Long jobs on backends: sent at, on whom; they never answer in the run.
    pub(crate) jobs: Vec<(u64, BackendId)>,
    /// Its clock runs that much ahead, µs.
    pub(crate) ahead: u64,
}

struct Request {
    node: usize,
    backend: BackendId,
    sent: u64,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Tick(usize),
    Served(usize),
    Answer(usize),
    Fail(usize, bool),
    TimeOut(usize),
    Resume(BackendId),
}

/// One finished or failed request, as the client saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) at: u64,
    pub(crate) backend: BackendId,
    pub(crate) took: u64,
    pub(crate) failed: bool,
}

pub(crate) struct Plant {
    pub(crate) now: u64,
    pub(crate) rate: f64,
    pub(crate) tick: u64,
    pub(crate) mean: f64,
    pub(crate) spread: f64,
    pub(crate) backends: Vec<Backend>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) verdicts: Vec<Verdict>,
    requests: Vec<Request>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    chance: Chance,
}

impl Plant {
    /// `nodes` nodes, `backends` backends of 8 workers, 500 connections a second, ticks of 100 ms, 25 ± 15 ms of service.
    pub(crate) fn new(nodes: usize, backends: usize, seed: u64) -> Self {
        let mut plant = Self {
            now: 0,
            rate: 500.0,
            tick: 100 * MILLI,
            mean: 25_000.0,
            spread: 15_000.0,
            backends: Vec::new(),
            nodes: Vec::new(),
            seen: Vec::new(),
            verdicts: Vec::new(),
            requests: Vec::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            chance: Chance::new(seed),
        };
        for index in 0..backends {
            plant.join(index as u64);
        }
        for index in 0..nodes {
            plant.nodes.push(Node {
                state: SetState::default(),
                config: SetConfig {
                    seed: 77 * index as u64 + seed,
                    ..SetConfig::default()
                },
                records: BTreeMap::new(),
                cursor: index as u32 * 977,
                armed: None,
                last_armed: None,
                last_tick: 0,
                log: Vec::new(),
                alive: true,
                jobs: Vec::new(),
                ahead: 0,
            });
            plant.schedule(1 + index as u64 * 31 * MILLI, Event::Tick(index));
            plant.schedule(SECOND / 5, Event::Arrive(index));
        }
        plant
    }

    pub(crate) fn join(&mut self, id: u64) {
        self.backends.push(Backend {
            id: BackendId(id),
            fault: Fault::Healthy,
            workers: 8,
            in_service: true,
            paused_until: 0,
            busy: 0,
            queue: VecDeque::new(),
        });
    }

    pub(crate) fn pause(&mut self, backend: usize, long: u64) {
        let until = self.now + long;
        self.backends[backend].paused_until = until;
        let id = self.backends[backend].id;
        self.schedule(until, Event::Resume(id));
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some(&Reverse((at, _, event))) = self.events.peek() {
            if at > end {
                break;
            }
            self.events.pop();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive(node) => {
                let gap = self.chance.exponential(1e6 * self.nodes.len() as f64 / self.rate);
                self.schedule(self.now + gap, Event::Arrive(node));
                self.connect(node);
            }
            Event::Tick(node) => {
                self.schedule(self.now + self.tick, Event::Tick(node));
                if self.nodes[node].alive {
                    self.step(node);
                }
            }
            Event::Served(request) => self.served(request),
            Event::Answer(request) => self.answer(request),
            Event::Fail(request, refused) => self.fail(request, refused),
            Event::TimeOut(request) => self.time_out(request),
            Event::Resume(id) => self.feed(id),
        }
    }

    fn connect(&mut self, node: usize) {
        let Some(id) = self.nodes[node].pick(self.now) else {
            return;
        };
        let request = self.requests.len();
        self.requests.push(Request {
            node,
            backend: id,
            sent: self.now,
            ended: false,
        });
        let now = self.now + self.nodes[node].ahead;
        let record = self.nodes[node].record(id);
        record.in_flight += 1;
        record.sample(id).attempts += 1;
        record.waiting.insert(request, now);
        self.schedule(self.now + TIME_OUT, Event::TimeOut(request));
        let lottery = self.chance.uniform();
        let arrive = self.now + HALF_TRIP;
        let Some(backend) = self.backends.iter_mut().find(|backend| backend.id == id) else {
            self.schedule(arrive + HALF_TRIP, Event::Fail(request, true));
            return;
        };
        match backend.fault {
            Fault::Refused => self.schedule(arrive + HALF_TRIP, Event::Fail(request, true)),
            Fault::Reset => self.schedule(arrive + HALF_TRIP, Event::Fail(request, false)),
            Fault::Partly(part) if lottery < part => {
                self.schedule(arrive + HALF_TRIP, Event::Fail(request, false))
            }
            Fault::Hang => {}
            _ => {
                backend.queue.push_back(request);
                self.feed(id);
            }
        }
    }

    fn feed(&mut self, id: BackendId) {
        let now = self.now;
        let (mean, spread) = (self.mean, self.spread);
        loop {
            let Some(backend) = self.backends.iter_mut().find(|backend| backend.id == id) else {
                return;
            };
            if backend.busy >= backend.workers || now < backend.paused_until {
                return;
            }
            let Some(request) = backend.queue.pop_front() else {
                return;
            };
            backend.busy += 1;
            let factor = if let Fault::Slow(factor) = backend.fault {
                factor
            } else {
                1.0
            };
            let service = (mean + spread * self.chance.normal()).max(500.0) * factor;
            self.schedule(now + service as u64, Event::Served(request));
        }
    }

    fn served(&mut self, request: usize) {
        let id = self.requests[request].backend;
        let now = self.now;
        let mut extra = 0;
        if let Some(backend) = self.backends.iter_mut().find(|backend| backend.id == id) {
            if now < backend.paused_until {
                let until = backend.paused_until;
                self.schedule(until, Event::Served(request));
                return;
            }
            backend.busy -= 1;
            if let Fault::Late(late) = backend.fault {
                extra = late;
            }
        }
        self.schedule(now + HALF_TRIP + extra, Event::Answer(request));
        self.feed(id);
    }

    fn answer(&mut self, request: usize) {
        let Request {
            node,
            backend,
            sent,
            ended,
        } = self.requests[request];
        if ended {
            return;
        }
        let took = self.now - sent;
        let now = self.now;
        let record = self.nodes[node].record(backend);
        record.in_flight -= 1;
        record.penalty = record.decayed(now) / 2;
        record.penalty_at = now;
        let level = i64::from(lg(took));
        let silence = now.saturating_sub(record.level_at) >> 10;
        record.level = Some(match record.level {
            None => level,
            Some(old) if level > old => old + ((level - old) >> 1),
            Some(old) => {
                old - ((old - level)
                    >> if silence > 4_096 {
                        1
                    } else if silence > 1_024 {
                        2
                    } else {
                        3
                    })
            }
        });
        record.level_at = now;
        let sample = record.sample(backend);
        sample.answered += 1;
        sample.established += 1;
        sample.turnaround[bucket(took)] += 1;
        self.end(request, false);
    }

    fn fail(&mut self, request: usize, refused: bool) {
        let Request {
            node, backend, ended, ..
        } = self.requests[request];
        if ended {
            return;
        }
        let now = self.now;
        let record = self.nodes[node].record(backend);
        record.in_flight -= 1;
        record.penalty = (record.decayed(now) + 1_024).min(2_560);
        record.penalty_at = now;
        let sample = record.sample(backend);
        if refused {
            sample.refused += 1;
        } else {
            sample.established += 1;
            sample.reset_before_data += 1;
        }
        self.end(request, true);
    }

    fn time_out(&mut self, request: usize) {
        let Request {
            node, backend, ended, ..
        } = self.requests[request];
        if ended {
            return;
        }
        let record = self.nodes[node].record(backend);
        record.in_flight -= 1;
        record.sample(backend).abandoned += 1;
        self.end(request, true);
    }

    fn end(&mut self, request: usize, failed: bool) {
        let Request {
            node, backend, sent, ..
        } = self.requests[request];
        self.requests[request].ended = true;
        self.nodes[node].record(backend).waiting.remove(&request);
        self.seen.push(Seen {
            at: sent,
            backend,
            took: self.now - sent,
            failed,
        });
    }

    fn step(&mut self, node: usize) {
        let now = Nanos((self.now + self.nodes[node].ahead) * 1_000);
        let nodes = self.nodes.len() as u32;
        let rate = (self.rate * 1_000.0) as u64;
        let list: Vec<(BackendId, bool)> = self
            .backends
            .iter()
            .map(|backend| (backend.id, backend.in_service))
            .collect();
        let verdicts = self.verdicts.clone();
        self.nodes[node].step(
            &list,
            now,
            self.now,
            Advice {
                active_nodes: nodes,
                offered_milli_per_second: rate,
                verdicts: &verdicts,
            },
        );
    }
}

impl Record {
    fn decayed(&self, now: u64) -> i64 {
        (self.penalty - ((now.saturating_sub(self.penalty_at) >> 10) as i64 >> 2)).max(0)
    }

    fn sample(&mut self, id: BackendId) -> &mut BackendSample {
        self.sample.get_or_insert_with(|| BackendSample::new(id))
    }
}

impl Node {
    fn record(&mut self, id: BackendId) -> &mut Record {
        self.records.entry(id).or_default()
    }

    pub(crate) fn outcome(&self) -> &Outcome {
        self.state.outcome()
    }

    /// The choice of law-balancing §2.4 without reports.
    fn pick(&mut self, now: u64) -> Option<BackendId> {
        if let Some((id, due)) = self.armed
            && now >= due
        {
            self.armed = None;
            return Some(id);
        }
        self.cursor = self.cursor.wrapping_add(1);
        let i = (self.cursor.wrapping_mul(3_242_174_889) >> 26) as usize;
        let j = (self.cursor.wrapping_mul(2_447_445_414) >> 26) as usize;
        let outcome = self.state.outcome();
        let a = outcome.slots[i];
        let mut b = outcome.slots[j];
        if a == b {
            b = outcome.slots[(j + 32) & 63];
        }
        let a_id = outcome.backends.get(usize::from(a))?.id;
        let b_id = outcome.backends.get(usize::from(b)).map_or(a_id, |view| view.id);
        if a_id == b_id || self.score(usize::from(b), now) >= self.score(usize::from(a), now) {
            Some(a_id)
        } else {
            Some(b_id)
        }
    }

    fn score(&self, index: usize, now: u64) -> i64 {
        let outcome = self.state.outcome();
        let view = &outcome.backends[index];
        if let Some(fixed) = view.choice.fixed {
            return i64::from(fixed - outcome.words.lm);
        }
        let empty = Record::default();
        let record = self.records.get(&view.id).unwrap_or(&empty);
        let own = i64::from(lg(16 * record.in_flight.max(0) as u64 + 16))
            - i64::from(outcome.words.ownm)
            - i64::from(view.choice.shl);
        let level = record.level.map_or(0, |level| {
            let age = now.saturating_sub(record.level_at) >> 10;
            let fade = libm::exp(-((age >> 9) as f64) / 16.0);
            ((level - i64::from(outcome.words.lm)) as f64 * fade) as i64
        });
        level + own + record.decayed(now)
    }

    fn step(&mut self, list: &[(BackendId, bool)], now: Nanos, micros: u64, advice: Advice<'_>) {
        let interval = Nanos((micros - self.last_tick).max(1) * 1_000);
        self.last_tick = micros;
        let mut samples = Vec::new();
        for &(id, in_service) in list {
            let record = self.record(id);
            let mut sample = record.sample.take().unwrap_or_else(|| BackendSample::new(id));
            sample.in_service = in_service;
            sample.in_flight = record.in_flight.max(0) as u32;
            sample.level = record.level.map(|level| level as i32);
            sample.penalty = record.decayed(micros) as u32;
            for &sent in record.waiting.values() {
                sample.unanswered[age_bucket(Nanos(sent * 1_000), now)] += 1;
            }
            for &(sent, _) in self.jobs.iter().filter(|(_, on)| *on == id) {
                sample.in_flight += 1;
                sample.unanswered[age_bucket(Nanos(sent * 1_000), now)] += 1;
            }
            samples.push(sample);
        }
        let samples = Samples {
            interval,
            backends: &samples,
            advice,
            regression: Default::default(),
        };
        let outcome = step(&mut self.state, &samples, &self.config, now);
        assert_eq!(outcome.problem, None);
        let log = outcome
            .reasons
            .iter()
            .filter(|reason| !matches!(reason, Reason::Rebalanced { .. }));
        self.log.extend(log.map(|reason| (micros, *reason)));
        let word = outcome
            .drip
            .map(|drip| (outcome.backends[usize::from(drip.backend)].id, drip.due.0 / 1_000));
        if word != self.last_armed {
            self.armed = word;
            self.last_armed = word;
        }
    }
}

/// Figures over the requests that were sent in a window.
pub(crate) struct Figures {
    pub(crate) attempts: usize,
    pub(crate) failed: usize,
    pub p50: u64,
    pub p99: u64,
    pub(crate) share: f64,
}

pub(crate) fn figures(seen: &[Seen], from: u64, to: u64, on: &[u64]) -> Figures {
    let inside: Vec<&Seen> = seen.iter().filter(|seen| (from..to).contains(&seen.at)).collect();
    let mut took: Vec<u64> = inside
        .iter()
        .map(|seen| if seen.failed { TIME_OUT } else { seen.took })
        .collect();
    took.sort_unstable();
    let at = |part: f64| {
        took.get(((took.len() as f64 * part) as usize).min(took.len().max(1) - 1))
            .copied()
            .unwrap_or(0)
    };
    Figures {
        attempts: inside.len(),
        failed: inside.iter().filter(|seen| seen.failed).count(),
        p50: at(0.5),
        p99: at(0.99),
        share: inside.iter().filter(|seen| on.contains(&seen.backend.0)).count() as f64
            / inside.len().max(1) as f64,
    }
}
