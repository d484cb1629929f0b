//! What a backend's node writes into a segment: the pod's figures, or what the scenario makes of them.

use std::collections::VecDeque;

use crate::choice::{Pod, Report, kms, lg};
use crate::scenario::Gossip;
use crate::span::{MILLI, micros, nanos};

/// Past reports kept for a lag: 60 s at a change each 5 ms.
const HISTORY: usize = 12_000;

/// The writer of one backend.
#[derive(Debug, Default)]
pub(super) struct Herald {
    silent: bool,
    lie: Option<Report>,
    lag: u64,
    renew: u64,
    cached: Option<(u64, Report)>,
    history: VecDeque<(u64, Report)>,
}

impl Herald {
    pub(super) fn new(gossip: &Gossip, backend: u32, count: u32) -> Self {
        let loud = count - (count * gossip.silent_permille + 500) / 1_000;
        let lie = gossip
            .lie
            .as_ref()
            .filter(|lie| lie.target.hits(backend, count, 0))
            .map(|lie| {
                let level = (lg(micros(nanos(lie.turnaround_millis / 1e3))) + 16) >> 5;
                let rif = u16::try_from(lie.in_flight * 16).unwrap_or(u16::MAX);
                Report {
                    l: u8::try_from(level).unwrap_or(u8::MAX),
                    rif,
                    q: rif,
                    ..Report::default()
                }
            });
        Self {
            silent: backend >= loud,
            lie,
            lag: gossip.lag_millis * MILLI,
            renew: gossip.renew_millis * MILLI,
            ..Self::default()
        }
    }

    /// The report of this moment.
    pub(super) fn write(&mut self, pod: &Pod, now: u64) -> Option<Report> {
        if self.silent {
            return None;
        }
        if self.lie.is_some() {
            return self.lie;
        }
        let report = pod.report(kms(now));
        if self.lag == 0 && self.renew == 0 {
            return report;
        }
        let report = report?;
        if self.lag > 0 {
            return self.late(report, now);
        }
        match self.cached {
            Some((at, cached)) if now - at < self.renew => Some(cached),
            _ => {
                self.cached = Some((now, report));
                Some(report)
            }
        }
    }

    fn late(&mut self, report: Report, now: u64) -> Option<Report> {
        self.history.push_back((now, report));
        while self.history.len() > HISTORY || self.history.get(1).is_some_and(|(at, _)| at + self.lag <= now)
        {
            self.history.pop_front();
        }
        self.history
            .front()
            .filter(|(at, _)| at + self.lag <= now)
            .map(|(_, report)| *report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Lie, Target};

    fn pod(rif: u32) -> Pod {
        Pod {
            good: 1,
            el: 20_000,
            rif,
            lastc: 1_000_000,
            ..Pod::default()
        }
    }

    fn said(herald: &mut Herald, rif: u32, millis: u64) -> Option<u16> {
        herald
            .write(&pod(rif), millis * MILLI)
            .map(|report| report.rif / 16)
    }

    #[test]
    fn a_cache_says_the_same_until_it_is_renewed() {
        let mut herald = Herald::new(
            &Gossip {
                renew_millis: 100,
                ..Gossip::default()
            },
            0,
            1,
        );
        let heard = [(1, 0), (2, 50), (3, 99), (4, 100)].map(|(rif, at)| said(&mut herald, rif, at));
        assert_eq!(heard, [Some(1), Some(1), Some(1), Some(4)]);
    }

    #[test]
    fn a_lag_says_what_was_true_then() {
        let mut herald = Herald::new(
            &Gossip {
                lag_millis: 100,
                ..Gossip::default()
            },
            0,
            1,
        );
        let heard = [(1, 0), (2, 50), (3, 120), (4, 151)].map(|(rif, at)| said(&mut herald, rif, at));
        assert_eq!(heard, [None, None, Some(1), Some(2)]);
    }

    #[test]
    fn the_silent_say_nothing_and_liars_always_the_same() {
        let lie = Lie {
            target: Target::First { count: 1 },
            turnaround_millis: 1.0,
            in_flight: 100,
        };
        let gossip = Gossip {
            silent_permille: 500,
            lie: Some(lie),
            ..Gossip::default()
        };
        let heard = [0, 1, 2, 3].map(|which| said(&mut Herald::new(&gossip, which, 4), 7, 10));
        assert_eq!(heard, [Some(100), Some(7), None, None]);
    }
}
