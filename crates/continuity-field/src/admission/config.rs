//! Constants of admission: default, admissible range, and the wind-tunnel scenario that fails first outside it.
//!
//! Source of the values: the sweep of one constant at a time over thirteen scenarios. The plateaus are wide; only θ is a
//! real trade (each +0.2 buys goodput on many nodes and costs 5 ms of p99 in a surge).

use crate::{Nanos, Response};

/// Constants of one set. Integers with the unit in the name; out-of-range values are clamped where they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    /// Whether it may refuse. Off: it learns and publishes open words.
    pub enabled: bool,
    /// θ: overload the limiter regulates to, thousandths of calm. 2 400 ..= 3 200; below 2 200 S9 with 60 nodes falls to
    /// 95 % goodput, from 4 000 the p99 of S9 exceeds 150 ms.
    pub target_milli: u32,
    /// γ: gain of the limiter per 200 ms, thousandths. 60 ..= 400; 30: S9 from low load loses 4 % goodput, 1 000: five classes mix.
    pub gain_milli: u32,
    /// Pull to the trusted share per 200 ms, thousandths. 10 ..= 80; 0: five classes mix, 100: S9 from low load.
    pub pull_milli: u32,
    /// y0: level at entry and goal of the pull, thousandths of the proven in-flight. 3 000 ..= 6 000; 2 000: refusals
    /// in a healthy heavy-tailed service, 8 000: p99 of S9.
    pub share_milli: u32,
    /// Latency ratio and in-flight ratio that enter soft, thousandths. 4 000 ..= 7 000; 3 500: a mild S22 trips every node.
    pub enter_milli: u32,
    /// Answers in a row that must show it. 2 ..= 15.
    pub evidence: u32,
    /// Latency ratio below which all is calm, thousandths. 1 300 ..= 2 200.
    pub calm_milli: u32,
    /// Shortest calm before soft is left; doubles on relapse. 2 s ..= 30 s.
    pub dwell: Nanos,
    /// Fuse, thousandths of the largest in-flight ever seen in calm. 1 250 ..= 2 000; 1 000: healthy bursts are refused.
    pub fuse_milli: u32,
    /// Gate: admitted demand against what completes, thousandths. 1 100 ..= 1 500; 1 000: S12, 2 000: five classes mix.
    pub slack_milli: u32,
    /// Part of a class's demand that survives in the worst case, permille; half of it, of all completions, is the other
    /// bound. 2 ..= 30; 50: the lowest class eats 2 % of the value kept.
    pub survival_permille: u32,
    /// Retries a caller may make before they count as excess, permille of its fresh connects. 0 ..= 1 000.
    pub retry_budget_permille: u32,
    /// Upper bound of the level for who knows the service's concurrency, requests of this node; `None`: learned.
    pub most_parallel: Option<u32>,
}

impl Config {
    /// The constants of a preset.
    pub const fn preset(response: Response) -> Self {
        let target_milli = match response {
            Response::Gentle => 3_200,
            Response::Balanced => 2_800,
            Response::Strict => 2_400,
        };
        Self {
            enabled: true,
            target_milli,
            gain_milli: 120,
            pull_milli: 40,
            share_milli: 5_000,
            enter_milli: 4_500,
            evidence: 6,
            calm_milli: 1_600,
            dwell: Nanos::from_secs(10),
            fuse_milli: 1_500,
            slack_milli: 1_200,
            survival_permille: 10,
            retry_budget_permille: 200,
            most_parallel: None,
        }
    }

    /// θ.
    pub(super) fn target(&self) -> f64 {
        milli(self.target_milli, 1_500, 8_000)
    }

    /// γ.
    pub(super) fn gain(&self) -> f64 {
        milli(self.gain_milli, 10, 1_000)
    }

    /// Leak of the level to the trusted share.
    pub(super) fn pull(&self) -> f64 {
        milli(self.pull_milli, 0, 500)
    }

    /// y0.
    pub(super) fn share(&self) -> f64 {
        milli(self.share_milli, 1_000, 16_000)
    }

    /// Ratio that enters soft.
    pub(super) fn enter(&self) -> f64 {
        milli(self.enter_milli, 2_000, 16_000)
    }

    /// Ratio below which all is calm.
    pub(super) fn calm(&self) -> f64 {
        milli(self.calm_milli, 1_100, 4_000)
    }

    /// Fuse against the calm peak.
    pub(super) fn fuse(&self) -> f64 {
        milli(self.fuse_milli, 1_000, 8_000)
    }

    /// Slack of the gate.
    pub(super) fn slack(&self) -> f64 {
        milli(self.slack_milli, 1_000, 4_000)
    }

    /// Share that survives.
    pub(super) fn survival(&self) -> f64 {
        milli(self.survival_permille, 1, 1_000)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::preset(Response::Balanced)
    }
}

fn milli(value: u32, least: u32, most: u32) -> f64 {
    f64::from(value.clamp(least, most)) / 1e3
}
