//! One backend: a queue, workers, and what is wrong with it at the moment.

use std::collections::VecDeque;

use super::herald::Herald;
use super::probe::Sensor;
use crate::choice::Pod;
use crate::scenario::{Fault, Kind};
use crate::span::{MILLI, nanos};

/// How a backend treats what reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// It works.
    #[default]
    Serve,
    /// Accepts, resets after so many ns.
    Reset(u64),
    /// Refuses at once.
    Refuse,
    /// Accepts and stays silent.
    Hang,
    /// Nothing comes back.
    Vanish,
}

/// What is wrong at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Condition {
    /// Treatment.
    pub(super) mode: Mode,
    /// Multiple of its own speed.
    pub(super) speed: f64,
    /// Answers this much later, ns.
    pub(super) delay: u64,
    /// Share of requests that are reset at once, permille.
    pub(super) errors: u32,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            mode: Mode::Serve,
            speed: 1.0,
            delay: 0,
            errors: 0,
        }
    }
}

impl Condition {
    /// What `faults` do to `backend` of `count` at `now`. Speeds multiply, delays add, the last mode counts.
    pub(super) fn at(faults: &[Fault], backend: u32, count: u32, now: u64) -> Self {
        let mut condition = Self::default();
        for fault in faults {
            let Some(since) = fault.active(now) else { continue };
            if !fault.target.hits(backend, count, since) {
                continue;
            }
            match fault.what {
                Kind::Delay { add_millis } => condition.delay += nanos(add_millis / 1e3),
                Kind::Slow { speed } => condition.speed *= speed,
                Kind::Ramp { speed } => {
                    let length = (fault.to_millis - fault.from_millis) * MILLI;
                    condition.speed *= 1.0 + (speed - 1.0) * since as f64 / length as f64;
                }
                Kind::Reset { after_millis } => condition.mode = Mode::Reset(nanos(after_millis / 1e3)),
                Kind::Refuse => condition.mode = Mode::Refuse,
                Kind::Hang => condition.mode = Mode::Hang,
                Kind::Vanish => condition.mode = Mode::Vanish,
                Kind::Errors { permille } => condition.errors = permille,
            }
        }
        condition
    }
}

/// One backend.
#[derive(Debug)]
pub(super) struct Backend {
    /// Its own speed.
    pub(super) speed: f64,
    /// What is wrong.
    pub(super) condition: Condition,
    /// The pod has gone, its replacement is not there yet.
    pub(super) gone: bool,
    /// Multiple of its speed while cold.
    pub(super) warmth: f64,
    /// When its pod started, ns.
    pub(super) born: u64,
    /// Its node said that its memory will run out.
    pub(super) warned: bool,
    /// Requests that wait for a worker.
    pub(super) queue: VecDeque<u32>,
    /// Busy workers.
    pub(super) busy: u32,
    /// What its node measures.
    pub(super) pod: Pod,
    /// What its node says in segments.
    pub(super) herald: Herald,
    /// What a probe finds.
    pub(super) sensor: Sensor,
}

impl Backend {
    pub(super) fn new(speed: f64, herald: Herald) -> Self {
        Self {
            speed,
            condition: Condition::default(),
            gone: false,
            warmth: 1.0,
            born: 0,
            warned: false,
            queue: VecDeque::new(),
            busy: 0,
            pod: Pod::default(),
            herald,
            sensor: Sensor::default(),
        }
    }

    /// Time that `work` (ns at speed 1) takes now.
    pub(super) fn service(&self, work: u64) -> u64 {
        nanos(work as f64 / 1e9 / (self.speed * self.condition.speed * self.warmth))
    }
}
