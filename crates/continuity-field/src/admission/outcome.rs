//! What a step of admission gives: words for the kernel, figures and reasons for people.

use super::level::LEVELS;
use super::reason::Reason;
use super::word::Words;
use crate::caller::CallerShare;
use crate::{Enforcement, InputError, Nanos, Regime};

/// Figures for status and metrics; 0 where nothing is known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Posture {
    /// Level L, requests, thousandths; in normal the fuse.
    pub level_milli: u32,
    /// Overload q′ beside calm, thousandths.
    pub overload_milli: u32,
    /// Turnaround beside calm, thousandths.
    pub latency_milli: u32,
    /// Connects of late, 1/s, thousandths; refused ones included, for the scale hint.
    pub offered_milli: u32,
    /// Of those, refused, permille.
    pub refused_permille: u32,
    /// Requests inside the service beyond what was proven harmless, thousandths.
    pub debt_milli: u32,
    /// Retries per answer, thousandths.
    pub retry_index_milli: u32,
    /// Typical turnaround in calm.
    pub typical: Nanos,
    /// Requests in flight in calm, thousandths.
    pub proven_milli: u32,
}

/// Outcome of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// For the kernel.
    pub words: Words,
    /// Whether more than the heartbeat changed.
    pub changed: bool,
    /// What is enforced.
    pub mode: Enforcement,
    /// Since when.
    pub mode_since: Nanos,
    /// Posture as the other layers know it: learning, scale-down and overlays only in laminar.
    pub regime: Regime,
    /// Callers and what they are held to, by identity.
    pub callers: Vec<CallerShare>,
    /// Requests older than this are to be counted as overdue in the next samples.
    pub park_after: Nanos,
    /// Part of each level's connects that may come, permille.
    pub gates_permille: [u32; LEVELS],
    /// Figures.
    pub posture: Posture,
    /// Why something changed.
    pub reasons: Vec<Reason>,
    /// What was wrong with the samples; everything else then repeats the last step.
    pub error: Option<InputError>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            words: Words::open(),
            changed: false,
            mode: Enforcement::Normal,
            mode_since: Nanos::ZERO,
            regime: Regime::Laminar,
            callers: Vec::new(),
            park_after: PARK_LEAST,
            gates_permille: [1_000; LEVELS],
            posture: Posture::default(),
            reasons: Vec::new(),
            error: None,
        }
    }
}

/// No request is parked that is younger.
pub(super) const PARK_LEAST: Nanos = Nanos::from_secs(8);
