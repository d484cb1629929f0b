//! One fault, measured: the same figures for both systems, and what only Continuity can show.
//!
//! Pure: it takes the log of attempts and the times at which things happened, and computes. Windows are by due time:
//! `healthy` before the fault, `during` from its beginning to its end, `late` from 5 s after the beginning on (or from
//! the middle of a shorter fault), `whole` from the beginning to the end of the trial.

use serde::{Deserialize, Serialize};

use super::latency::Summary;
use super::log::{Backend, Log};
use super::share::Shares;

/// When the goals that speak of "from 5 s on" begin.
pub(super) const SETTLE_NS: u64 = 5_000_000_000;
/// Width of a bin in the pictures.
pub(super) const BIN_NS: u64 = 500_000_000;

/// When things happened, `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Times {
    /// The load had settled.
    pub(super) start_ns: u64,
    /// The fault began.
    pub(super) begin_ns: u64,
    /// The fault ended.
    pub(super) end_ns: u64,
    /// The load was stopped.
    pub(super) stop_ns: u64,
    /// `late` ends here where it does not end with the fault: starting an API server takes both cores of a small machine
    /// for seconds, which is no figure of any balancer's.
    pub(super) late_end_ns: Option<u64>,
    /// Length of a turn where the fault comes and goes, on first.
    #[serde(default)]
    pub(super) turn_ns: Option<u64>,
}

impl Times {
    /// Whether the fault is on.
    fn on(&self, at_ns: u64) -> bool {
        let turn = |turn: u64| (at_ns.saturating_sub(self.begin_ns) / turn.max(1)).is_multiple_of(2);
        (self.begin_ns..self.end_ns).contains(&at_ns) && self.turn_ns.is_none_or(turn)
    }

    /// Where `late` begins.
    pub(super) fn late_ns(&self) -> u64 {
        (self.begin_ns + SETTLE_NS).min(self.begin_ns.midpoint(self.end_ns))
    }
}

/// The streams of one system and its sick backends.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// New connections.
    pub(super) stream: u8,
    /// Kept connections.
    pub(super) kept: u8,
    /// The stream that ran beside, if one did.
    pub(super) beside: Option<u8>,
    /// Sick backends; empty where the fault is of another kind.
    pub(super) sick: Vec<Backend>,
    /// How many backends there are.
    pub(super) backends: usize,
}

/// Shares of the sick backends over time.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Sick {
    /// Their share when all is well.
    pub(super) fair: f64,
    /// Over `healthy`: a backend that had no share to lose proves nothing.
    pub(super) before: f64,
    /// Over `during`.
    pub(super) during: f64,
    /// Over `late`: those that it got while it was sick, of all.
    pub(super) late: f64,
    /// Connections behind `late`.
    pub(super) late_count: usize,
    /// From the beginning to the first half second below a quarter of fair, s.
    pub(super) detected_s: Option<f64>,
    /// From the end to the first two seconds with 80 % of fair, s.
    pub(super) returned_s: Option<f64>,
    /// Largest share over any two seconds of the fault.
    pub(super) peak: f64,
    /// Largest share that a fair draw would show there (4 σ).
    pub(super) peak_bound: f64,
}

/// One system under one fault.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Row {
    /// New connections before the fault.
    pub(super) healthy: Summary,
    /// New connections during the fault.
    pub(super) during: Summary,
    /// New connections from 5 s after its beginning to its end.
    pub(super) late: Summary,
    /// Of `late`, what other backends than the sick ones answered: what the machine gave a healthy backend meanwhile.
    pub(super) well_late: Summary,
    /// New connections from its beginning to the end of the trial.
    pub(super) whole: Summary,
    /// Kept connections during the fault.
    pub(super) kept: Summary,
    /// The sick backends, if there are any.
    pub(super) sick: Option<Sick>,
    /// The same of the stream beside.
    pub(super) beside: Option<Sick>,
    /// New connections of the stream beside, from the beginning to the end of the trial.
    pub(super) beside_whole: Option<Summary>,
    /// Share of connections accepted by the sick backends over `late`, counted by the servers.
    pub(super) server_saw: Option<f64>,
    /// Share per bin: seconds after the beginning, share.
    pub(super) shares: Vec<(f64, f64)>,
    /// 99th percentile per bin: seconds after the beginning, ms.
    pub p99s: Vec<(f64, f64)>,
}

/// Measures one system.
pub(super) fn row(log: &Log, side: &Side, times: &Times) -> Row {
    let of = |stream, from, to| Summary::of(&log.window(stream, from, to));
    let attempts = log.window(side.stream, times.start_ns, times.stop_ns);
    let fair = super::latency::fraction(side.sick.len()) / super::latency::fraction(side.backends.max(1));
    let shares = Shares::new(&attempts, &side.sick, fair);
    let known = !side.sick.is_empty();
    Row {
        healthy: of(side.stream, times.start_ns, times.begin_ns),
        during: of(side.stream, times.begin_ns, times.end_ns),
        late: of(
            side.stream,
            times.late_ns(),
            times.late_end_ns.unwrap_or(times.end_ns),
        ),
        well_late: {
            let to = times.late_end_ns.unwrap_or(times.end_ns);
            let mut late = log.window(side.stream, times.late_ns(), to);
            late.retain(|a| a.backend.is_some_and(|backend| !side.sick.contains(&backend)));
            Summary::of(&late)
        },
        whole: of(side.stream, times.begin_ns, times.stop_ns),
        kept: of(side.kept, times.begin_ns, times.end_ns),
        sick: known.then(|| sick(&shares, times, fair)),
        beside: side.beside.filter(|_| known).map(|stream| {
            let attempts = log.window(stream, times.start_ns, times.stop_ns);
            sick(&Shares::new(&attempts, &side.sick, fair), times, fair)
        }),
        beside_whole: side
            .beside
            .map(|stream| of(stream, times.begin_ns, times.stop_ns)),
        server_saw: None,
        shares: if known {
            after(&shares.series(times.start_ns, times.stop_ns, BIN_NS), times)
        } else {
            vec![]
        },
        p99s: after(&p99s(&attempts, times), times),
    }
}

fn sick(shares: &Shares, times: &Times, fair: f64) -> Sick {
    let (late_count, bad) = shares.count_where(times.late_ns(), times.end_ns, |at| times.on(at));
    let (peak, peak_bound) = shares.peak(times.begin_ns, times.end_ns);
    Sick {
        fair,
        before: shares.over(times.start_ns, times.begin_ns).unwrap_or(0.0),
        during: shares.over(times.begin_ns, times.end_ns).unwrap_or(0.0),
        late: super::latency::fraction(bad) / super::latency::fraction(late_count.max(1)),
        late_count,
        detected_s: shares.detected(times.begin_ns, times.end_ns),
        returned_s: shares.returned(times.end_ns, times.stop_ns),
        peak,
        peak_bound,
    }
}

fn p99s(attempts: &[super::log::Attempt], times: &Times) -> Vec<(u64, f64)> {
    let bins = std::iter::successors(Some(times.start_ns), |at| at.checked_add(BIN_NS));
    bins.take_while(|at| *at < times.stop_ns)
        .filter_map(|at| {
            let from = attempts.partition_point(|a| a.due_ns < at);
            let to = attempts.partition_point(|a| a.due_ns < at + BIN_NS);
            let bin = attempts.get(from..to).filter(|bin| !bin.is_empty())?;
            Some((at, Summary::of(bin).p99_ms))
        })
        .collect()
}

/// Times as seconds after the beginning of the fault, negative before it.
fn after(series: &[(u64, f64)], times: &Times) -> Vec<(f64, f64)> {
    let seconds = |at: u64| super::share::seconds(at) - super::share::seconds(times.begin_ns);
    series.iter().map(|(at, value)| (seconds(*at), *value)).collect()
}

/// What the agents and the kernel say about the loss of an agent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Agents {
    /// Age of the heartbeat when the kernel began to hold, s.
    pub(super) held_s: Option<f64>,
    /// Age of the heartbeat when the kernel fell back, s.
    pub(super) fell_back_s: Option<f64>,
    /// From the end of the fault to an agent that is ready again, s.
    pub(super) taken_over_s: Option<f64>,
    /// Connections counted, before and after, summed over the nodes.
    pub(super) counted: Option<(u64, u64)>,
    /// Links and maps found pinned, before and after, are the same ones.
    pub(super) same_pins: Option<bool>,
    /// Versions in the nodes' reports after the upgrade, and after the way back.
    #[serde(default)]
    pub(super) versions: Option<(Vec<String>, Vec<String>)>,
}

/// What the autoscaler did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Scaling {
    /// Wanted replicas over time: seconds after the beginning, replicas.
    pub(super) replicas: Vec<(f64, u32)>,
    /// The hint over time.
    pub(super) hints: Vec<(f64, u32)>,
    /// From the beginning to the first window whose p99 passed the objective, s.
    pub(super) breached_s: Option<f64>,
}

impl Scaling {
    /// Replicas when the surge began.
    fn at_begin(&self) -> Option<u32> {
        let before = self.replicas.iter().take_while(|(at, _)| *at <= 0.0).last();
        before.or(self.replicas.first()).map(|(_, n)| *n)
    }

    /// From the beginning to the first rise, s.
    pub(super) fn raised_s(&self) -> Option<f64> {
        let begin = self.at_begin()?;
        self.replicas
            .iter()
            .find(|(at, n)| *at > 0.0 && *n > begin)
            .map(|(at, _)| *at)
    }

    /// Replicas before the surge, if they changed while nothing had happened yet.
    pub(super) fn restless(&self) -> Option<(u32, u32)> {
        let (first, begin) = (self.replicas.first()?.1, self.at_begin()?);
        (first != begin).then_some((first, begin))
    }

    /// Changes of direction.
    pub(super) fn turns(&self) -> usize {
        let moves: Vec<bool> = self
            .replicas
            .windows(2)
            .filter(|w| w[0].1 != w[1].1)
            .map(|w| w[1].1 > w[0].1)
            .collect();
        moves.windows(2).filter(|w| w[0] != w[1]).count()
    }
}

/// One fault under both systems.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Trial {
    /// Name of the fault.
    pub(super) fault: String,
    /// What happened.
    pub(super) about: String,
    /// When.
    pub(super) times: Times,
    /// Names of the sick pods, ours first.
    pub(super) victims: Vec<String>,
    /// Under Continuity.
    pub(super) ours: Row,
    /// Under kube-proxy alone.
    pub(super) theirs: Row,
    /// The loss of agents.
    pub(super) agents: Option<Agents>,
    /// The surge.
    pub(super) scaling: Option<Scaling>,
    /// Largest share of its set that any node's maps give a sick backend at the worst moment.
    pub(super) maps_share: Option<f64>,
    /// From the return of the API server to a status that names the sick backend, s.
    pub(super) status_back_s: Option<f64>,
    /// `kubectl get equivalencesets` at the worst moment.
    pub(super) sets: Option<String>,
    /// `kubectl continuity explain` at the worst moment.
    pub(super) explained: Option<String>,
    /// Records that were overwritten before they were fetched; with any, nothing here can be trusted.
    pub(super) missed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::log::Attempt;
    use continuity_traffic::record::Outcome;

    const SECOND: u64 = 1_000_000_000;

    /// 100/s over five backends for 40 s; backend 0 is slow from 10 s to 30 s, and left alone from 11 s on.
    fn log() -> Log {
        let attempts = (0..4000_u64).map(|i| {
            let due_ns = i * SECOND / 100;
            let own = u16::try_from(i % 5).unwrap();
            let out = (11 * SECOND..30 * SECOND).contains(&due_ns);
            let backend = if out && own == 0 { 1 } else { own };
            let slow = backend == 0 && (10 * SECOND..30 * SECOND).contains(&due_ns);
            let total_us = if slow { 530_000 } else { 30_000 };
            let outcome = Outcome::Answered;
            Attempt {
                due_ns,
                connect_us: 60,
                total_us,
                backend: Some(backend),
                stream: 3,
                outcome,
            }
        });
        Log {
            attempts: attempts.collect(),
            ..Log::default()
        }
    }

    #[test]
    fn a_row_has_the_figures_of_its_windows() {
        let times = Times {
            start_ns: 2 * SECOND,
            begin_ns: 10 * SECOND,
            end_ns: 30 * SECOND,
            stop_ns: 38 * SECOND,
            ..Times::default()
        };
        let side = Side {
            stream: 3,
            sick: vec![0],
            backends: 5,
            ..Side::default()
        };
        let row = row(&log(), &side, &times);
        assert_eq!(
            (row.healthy.attempts, row.during.attempts, row.late.attempts),
            (800, 2000, 1500)
        );
        assert!((row.late.p99_ms - 30.0).abs() < 1e-9);
        assert_eq!(row.well_late.attempts, 1500);
        let sick = row.sick.unwrap();
        assert!((sick.during - 0.01).abs() < 1e-9 && sick.late.abs() < 1e-9);
        assert!(sick.detected_s.unwrap() <= 1.0 && sick.returned_s.unwrap() < 0.1);
        assert_eq!(row.shares.len(), row.p99s.len());
        assert!((row.shares[0].0 + 8.0).abs() < 1e-9);
    }

    #[test]
    fn turns_are_changes_of_direction_not_changes() {
        let scaling = |counts: &[u32]| Scaling {
            replicas: (0_u32..).map(f64::from).zip(counts.iter().copied()).collect(),
            ..Scaling::default()
        };
        assert_eq!(scaling(&[3, 4, 4, 7, 9]).turns(), 0);
        assert_eq!(scaling(&[3, 7, 5, 3]).turns(), 1);
        assert_eq!(scaling(&[3, 7, 5, 6, 3]).turns(), 3);
        assert_eq!(scaling(&[3, 3, 7]).raised_s(), Some(2.0));
        assert_eq!(scaling(&[7, 3]).raised_s(), None);
        let early = Scaling {
            replicas: vec![(-9.0, 3), (-4.0, 5), (6.0, 7)],
            ..Scaling::default()
        };
        assert_eq!((early.raised_s(), early.restless()), (Some(6.0), Some((3, 5))));
    }
}
