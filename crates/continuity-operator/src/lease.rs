//! Who leads, decided from what one Lease says and when we saw it change.
//!
//! Expiry is judged by our own clock from the moment a change was seen, never by comparing clocks, so skew does no harm.
//! The writer epoch is the Lease's `leaseTransitions`; it also passes the highest epoch found in any object of ours, so that it
//! never falls, not even when the Lease was deleted. A leader that could not renew stops writing before its Lease can run
//! out elsewhere.

mod keeper;

pub use keeper::Keeper;

use std::time::{Duration, Instant};

/// Time after which a silent holder has lost the Lease.
pub const DURATION: Duration = Duration::from_secs(8);
/// Time after which a holder that could not renew stops writing: 2 s before anybody else may start.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(6);
/// Time between renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Time between looks of a replica that waits. Fail-over after a kill: at most 8 + 1 + a request, under 15 s.
pub const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Fencing epoch of this leadership.
    pub epoch: i64,
    /// When the right ends unless renewed.
    pub until: Instant,
}

impl Claim {
    /// Whether the right still holds.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// A Lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// How often it changed hands.
    pub transitions: i64,
    /// Its version: every renewal changes it.
    pub version: String,
}

/// A Lease and when it was seen to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// What was read; none while there is no Lease.
    pub reading: Option<Reading>,
    /// When this version was first seen.
    pub since: Duration,
}

impl Sighting {
    /// The sighting after `reading` was read at `now`.
    #[must_use]
    pub fn after(self, reading: Option<Reading>, now: Duration) -> Self {
        if self.reading == reading {
            self
        } else {
            Self { reading, since: now }
        }
    }
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it, with this epoch.
    Create {
        /// The epoch.
        epoch: i64,
    },
    /// Take it over, with this epoch.
    Acquire {
        /// The epoch.
        epoch: i64,
        /// Version that is replaced: whoever came first wins.
        version: String,
    },
    /// Renew it; it is ours.
    Renew {
        /// The epoch.
        epoch: i64,
        /// Version that is replaced.
        version: String,
    },
    /// Leave it: somebody else leads.
    Wait,
}

/// What replica `me` should do. `highest` is the highest writer epoch found in any plan.
#[must_use]
pub fn decide(sighting: &Sighting, me: &str, highest: i64, now: Duration) -> Step {
    let Some(reading) = &sighting.reading else {
        return Step::Create {
            epoch: highest.saturating_add(1),
        };
    };
    let next = reading.transitions.max(highest).saturating_add(1);
    if reading.holder == me {
        // An epoch that some plan has passed is no longer ours: somebody led in between.
        return if highest > reading.transitions {
            Step::Acquire {
                epoch: next,
                version: reading.version.clone(),
            }
        } else {
            Step::Renew {
                epoch: reading.transitions,
                version: reading.version.clone(),
            }
        };
    }
    let expired = now.saturating_sub(sighting.since) >= DURATION;
    if reading.holder.is_empty() || expired {
        Step::Acquire {
            epoch: next,
            version: reading.version.clone(),
        }
    } else {
        Step::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "operator-a";

    fn held(holder: &str, since: u64) -> Sighting {
        let reading = Reading {
            holder: holder.into(),
            transitions: 4,
            version: "9".into(),
        };
        Sighting {
            reading: Some(reading),
            since: Duration::from_secs(since),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_replica_makes_the_lease() {
        assert_eq!(
            decide(&Sighting::default(), ME, 0, at(0)),
            Step::Create { epoch: 1 }
        );
    }

    #[test]
    fn a_lease_that_was_deleted_never_lowers_the_epoch() {
        assert_eq!(
            decide(&Sighting::default(), ME, 41, at(0)),
            Step::Create { epoch: 42 }
        );
    }

    #[test]
    fn the_holder_renews_and_keeps_its_epoch() {
        assert_eq!(
            decide(&held(ME, 0), ME, 4, at(100)),
            Step::Renew {
                epoch: 4,
                version: "9".into()
            }
        );
    }

    #[test]
    fn a_holder_that_finds_a_higher_epoch_takes_a_new_one() {
        assert_eq!(
            decide(&held(ME, 0), ME, 7, at(1)),
            Step::Acquire {
                epoch: 8,
                version: "9".into()
            }
        );
    }

    #[test]
    fn nobody_takes_a_lease_that_is_renewed() {
        assert_eq!(decide(&held("operator-b", 100), ME, 4, at(107)), Step::Wait);
    }

    #[test]
    fn a_silent_holder_loses_the_lease_after_its_duration() {
        let expected = Step::Acquire {
            epoch: 5,
            version: "9".into(),
        };
        assert_eq!(decide(&held("operator-b", 100), ME, 4, at(108)), expected);
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_once() {
        assert_eq!(
            decide(&held("", 100), ME, 4, at(100)),
            Step::Acquire {
                epoch: 5,
                version: "9".into()
            }
        );
    }

    #[test]
    fn a_renewal_seen_starts_the_clock_again() {
        let first = Sighting::default().after(held("b", 0).reading, at(1));
        assert_eq!(first.since, at(1));
        let same = first.clone().after(first.reading.clone(), at(5));
        assert_eq!(same.since, at(1));
        let renewed = Reading {
            version: "10".into(),
            ..first.reading.clone().unwrap()
        };
        assert_eq!(same.after(Some(renewed), at(6)).since, at(6));
    }

    #[test]
    fn a_leader_stops_before_another_can_start_and_fail_over_stays_under_fifteen_seconds() {
        assert!(RENEW_DEADLINE + RENEW_EVERY <= DURATION);
        assert!(DURATION + RETRY_EVERY + Duration::from_secs(5) < Duration::from_secs(15));
    }
}
