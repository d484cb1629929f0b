//! The memory of a backend's pod on this node: when it runs out, said in time to act.
//!
//! Feeds [`Floors`] at most once a second and says a foretold failure once, and once when it is averted. A warning
//! changes no share: shedding load does not stop a leak, and a restart that comes by itself is worth less than one that was
//! planned. A pod without a bound or without a reading has no watch.

use crate::track::Track;
use crate::ttf::{Floors, TimeToFailure};
use crate::{BackendSample, Nanos, Reason};

/// Samples come about as often; more of them tell no more.
const EVERY: Nanos = Nanos::from_millis(900);

/// What is known of one pod's memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Watch {
    floors: Floors,
    at: Option<Nanos>,
    told: Option<TimeToFailure>,
    said: bool,
}

crate::save::code::stored! {
    Watch { floors, at, told, said }
}

impl Watch {
    /// The warning that stands.
    pub(crate) fn told(&self) -> Option<TimeToFailure> {
        self.told
    }
}

/// One look at the memory of a backend's pod.
pub(crate) fn look(track: &mut Track, sample: &BackendSample, reasons: &mut Vec<Reason>, now: Nanos) {
    let Some(memory) = sample.memory.filter(|memory| memory.bound > 0) else {
        if track.watch.as_ref().is_some_and(|watch| watch.told.is_some()) {
            reasons.push(Reason::FailureAverted { backend: track.id });
        }
        track.watch = None;
        return;
    };
    let watch = track.watch.get_or_insert_with(Box::default);
    if watch.at.is_some_and(|at| now.since(at) < EVERY) {
        return;
    }
    watch.at = Some(now);
    let told = watch.floors.observe(memory.used, memory.bound, now);
    watch.told = told.filter(|told| told.near);
    match watch.told {
        Some(told) if !watch.said => {
            watch.said = true;
            reasons.push(Reason::FailureForetold {
                backend: track.id,
                told,
            });
        }
        None if watch.said => {
            watch.said = false;
            reasons.push(Reason::FailureAverted { backend: track.id });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::Phase;
    use crate::{BackendId, Gauge};

    const MIB: u64 = 1 << 20;

    /// A pod that leaks 2 MiB a second below a bound of 512 MiB until `until`, then stays; what was said and when.
    fn said(until: u64, seconds: u64) -> Vec<(u64, Reason)> {
        let mut track = Track::new(BackendId(1), Phase::Normal, Nanos::ZERO);
        let mut sample = BackendSample::new(BackendId(1));
        let (mut all, mut reasons) = (Vec::new(), Vec::new());
        for tenth in 0..10 * seconds {
            let used = (64 + 2 * (tenth / 10).min(until)) * MIB;
            sample.memory = Some(Gauge {
                used,
                bound: 512 * MIB,
            });
            look(
                &mut track,
                &sample,
                &mut reasons,
                Nanos::from_millis(1_000_000 + 100 * tenth),
            );
            all.extend(reasons.drain(..).map(|reason| (tenth / 10, reason)));
        }
        all
    }

    #[test]
    fn a_leaking_pod_is_told_of_once_at_least_45_seconds_before_it_dies() {
        // 448 MiB at 2 MiB a second: it dies at 224 s.
        let said = said(1_000, 220);
        let [(at, reason)] = said.as_slice() else {
            panic!("said once: {said:?}");
        };
        assert!(*at + 45 <= 224 && *at + 181 >= 224, "{at} s");
        assert!(
            reason.to_string().starts_with("memory will be used up in "),
            "{reason}"
        );
    }

    #[test]
    fn a_leak_that_ends_is_averted() {
        let said = said(150, 400);
        let names: Vec<&str> = said.iter().map(|(_, reason)| reason.name()).collect();
        assert_eq!(names, ["BackendFailureForetold", "BackendFailureAverted"]);
    }

    #[test]
    fn a_pod_without_a_bound_or_a_reading_is_not_watched() {
        let mut track = Track::new(BackendId(1), Phase::Normal, Nanos::ZERO);
        let mut sample = BackendSample::new(BackendId(1));
        let mut reasons = Vec::new();
        look(&mut track, &sample, &mut reasons, Nanos::from_secs(1));
        sample.memory = Some(Gauge { used: 5, bound: 0 });
        look(&mut track, &sample, &mut reasons, Nanos::from_secs(2));
        assert!(track.watch.is_none() && reasons.is_empty());
    }
}
