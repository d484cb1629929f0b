//! Why: every change of the field carries at least one of these, with the numbers that decided.
//!
//! `Display` is the sentence for a person, without the backend's name: the caller knows it and puts it in front
//! ("10.244.2.7 answers in 512 ms, its peers in 21 ms: 24 × for 3 of 5 ticks"). There is no "unknown".

use std::fmt;

use crate::ttf::TimeToFailure;
use crate::{BackendId, Distress, Enforcement, Nanos, Regime};

/// What spoke against a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Its answers are late beside those of its peers.
    Latency {
        /// Its estimate.
        own: Nanos,
        /// Median of its peers.
        peers: Nanos,
        /// Ticks that looked so.
        hits: u32,
        /// Ticks looked back on.
        window: u32,
    },
    /// Requests to it wait for an answer longer than its peers ever take.
    Silence {
        /// Requests waiting that long.
        waiting: u32,
        /// Age of the oldest.
        oldest: Nanos,
        /// Age that almost no request of its peers reaches.
        bound: Nanos,
    },
    /// Failures in a row.
    Consecutive {
        /// How many, with no good answer between.
        failures: u32,
    },
    /// Its share of failed requests.
    ErrorRate {
        /// Moving mean, permille.
        permille: u32,
        /// The same of its peers, permille.
        peers_permille: u32,
    },
    /// Other nodes said so.
    Shared {
        /// Until when that counts.
        expires: Nanos,
    },
    /// Long jobs on it stopped giving signs of life.
    LeaseLost {
        /// How many, in one step.
        leases: u32,
    },
}

/// Why the field changed, or why it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The backend was taken out.
    Isolated {
        /// Which.
        backend: BackendId,
        /// On what evidence.
        evidence: Evidence,
    },
    /// It looks sick and stays in, since taking out more than a bounded number would hurt more.
    KeptInUse {
        /// Which.
        backend: BackendId,
        /// On what evidence it would have gone.
        evidence: Evidence,
        /// Isolated now.
        isolated: u32,
        /// Of how many in service.
        of: u32,
    },
    /// Most look sick at once: what they share is sick, not they.
    SharedTrouble {
        /// How many look sick.
        suspects: u32,
        /// Of how many in service.
        of: u32,
    },
    /// A test connection was answered well: the return starts.
    Released {
        /// Which.
        backend: BackendId,
        /// How long it was out.
        after: Nanos,
        /// The answer that decided.
        answered_in: Nanos,
    },
    /// Another node got good answers.
    ReleasedByOthers {
        /// Which.
        backend: BackendId,
        /// How long it was out.
        after: Nanos,
    },
    /// The test failed: the next one later.
    Relapsed {
        /// Which.
        backend: BackendId,
        /// How often by now.
        level: u32,
        /// Next try not before this long.
        hold: Nanos,
    },
    /// It has its full share again.
    Returned {
        /// Which.
        backend: BackendId,
        /// Since its release.
        after: Nanos,
    },
    /// A new backend joined and starts slowly.
    Joined {
        /// Which.
        backend: BackendId,
        /// Time to its full share.
        slow_start: Nanos,
    },
    /// A backend left the set, or is terminating.
    Left {
        /// Which.
        backend: BackendId,
    },
    /// Shares moved with what the backends can carry.
    Rebalanced {
        /// Slots that changed owner.
        slots: u32,
    },
    /// Isolated backends carry again at a fixed price, since the others drown.
    Spilled {
        /// Median of the others.
        median: Nanos,
        /// Calm level of the set.
        calm: Nanos,
    },
    /// The others carry it again.
    SpillEnded {
        /// Median of the others.
        median: Nanos,
    },
    /// The posture changed.
    RegimeChanged {
        /// Before.
        from: Regime,
        /// Now.
        to: Regime,
        /// Pressure of the set, thousandths.
        pressure_milli: u32,
        /// Failed requests of the set, permille.
        error_permille: u32,
    },
    /// Other nodes find it sick, and this node does not follow: it answers here, now, in time and without a failure.
    HearsayDoubted {
        /// Which.
        backend: BackendId,
        /// Good answers of about the last second, counted up to 8.
        answers: u32,
    },
    /// Its pod will run out of memory before anybody could act.
    FailureForetold {
        /// Which.
        backend: BackendId,
        /// When.
        told: TimeToFailure,
    },
    /// It will not, after all.
    FailureAverted {
        /// Which.
        backend: BackendId,
    },
    /// The node of a backend says something else of itself than before.
    HostDistress {
        /// Which.
        backend: BackendId,
        /// What it says.
        distress: Distress,
    },
    /// What the kernel enforces changed.
    EnforcementChanged {
        /// Before.
        from: Enforcement,
        /// Now.
        to: Enforcement,
        /// Work in flight, thousandths of what the set is known to carry.
        load_milli: u32,
    },
}

impl Reason {
    /// Name for events and metrics, CamelCase.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Isolated { .. } => "BackendIsolated",
            Self::KeptInUse { .. } => "BackendKeptInUse",
            Self::SharedTrouble { .. } => "SharedTrouble",
            Self::Released { .. } => "BackendReleased",
            Self::ReleasedByOthers { .. } => "BackendReleasedByOthers",
            Self::Relapsed { .. } => "BackendRelapsed",
            Self::Returned { .. } => "BackendReturned",
            Self::Joined { .. } => "BackendJoined",
            Self::Left { .. } => "BackendLeft",
            Self::Rebalanced { .. } => "Rebalanced",
            Self::Spilled { .. } => "Spilled",
            Self::SpillEnded { .. } => "SpillEnded",
            Self::RegimeChanged { .. } => "RegimeChanged",
            Self::HearsayDoubted { .. } => "HearsayDoubted",
            Self::FailureForetold { .. } => "BackendFailureForetold",
            Self::FailureAverted { .. } => "BackendFailureAverted",
            Self::HostDistress { .. } => "BackendHostDistress",
            Self::EnforcementChanged { .. } => "EnforcementChanged",
        }
    }

    /// The backend it is about, if it is about one.
    pub const fn backend(&self) -> Option<BackendId> {
        match *self {
            Self::Isolated { backend, .. }
            | Self::KeptInUse { backend, .. }
            | Self::Released { backend, .. }
            | Self::ReleasedByOthers { backend, .. }
            | Self::Relapsed { backend, .. }
            | Self::Returned { backend, .. }
            | Self::Joined { backend, .. }
            | Self::HearsayDoubted { backend, .. }
            | Self::FailureForetold { backend, .. }
            | Self::FailureAverted { backend }
            | Self::HostDistress { backend, .. }
            | Self::Left { backend } => Some(backend),
            Self::SharedTrouble { .. }
            | Self::Rebalanced { .. }
            | Self::Spilled { .. }
            | Self::SpillEnded { .. }
            | Self::RegimeChanged { .. }
            | Self::EnforcementChanged { .. } => None,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Latency {
                own,
                peers,
                hits,
                window,
            } => {
                let tenths = own.0.saturating_mul(10) / peers.0.max(1);
                write!(f, "answers in {own}, its peers in {peers}: ")?;
                if tenths < 100 {
                    write!(f, "{}.{} × ", tenths / 10, tenths % 10)?;
                } else {
                    write!(f, "{} × ", tenths / 10)?;
                }
                write!(f, "for {hits} of {window} ticks")
            }
            Self::Silence {
                waiting,
                oldest,
                bound,
            } => {
                write!(
                    f,
                    "leaves {waiting} requests without an answer, the oldest for {oldest}; its peers answer within {bound}"
                )
            }
            Self::Consecutive { failures: 1 } => {
                f.write_str("failed a connection while all others were well")
            }
            Self::Consecutive { failures } => write!(f, "failed {failures} connections in a row"),
            Self::ErrorRate {
                permille,
                peers_permille,
            } => write!(
                f,
                "fails {}.{} % of its requests, its peers {}.{} %",
                permille / 10,
                permille % 10,
                peers_permille / 10,
                peers_permille % 10
            ),
            Self::Shared { .. } => f.write_str("was found sick by other nodes"),
            Self::LeaseLost { leases: 1 } => {
                f.write_str("lost a long job: its lease has no more signs of life")
            }
            Self::LeaseLost { leases } => {
                write!(
                    f,
                    "lost {leases} long jobs: their leases have no more signs of life"
                )
            }
        }
    }
}

impl fmt::Display for Reason {
    #[allow(clippy::too_many_lines, reason = "a table: one sentence for each reason")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Isolated { evidence, .. } => write!(f, "{evidence}"),
            Self::KeptInUse {
                evidence,
                isolated,
                of,
                ..
            } => {
                write!(
                    f,
                    "{evidence}; stays in use, {isolated} of {of} are isolated already and no more may be"
                )
            }
            Self::SharedTrouble { suspects, of } => {
                write!(
                    f,
                    "{suspects} of {of} backends look sick at once: what they share is in trouble, none is isolated"
                )
            }
            Self::Released {
                after, answered_in, ..
            } => {
                write!(
                    f,
                    "answered a test connection in {answered_in} after {after} of isolation: its return starts"
                )
            }
            Self::ReleasedByOthers { after, .. } => {
                write!(
                    f,
                    "answers other nodes well after {after} of isolation: its return starts"
                )
            }
            Self::Relapsed { level, hold, .. } => {
                write!(
                    f,
                    "is still sick (test {level}): the next test comes after {hold}"
                )
            }
            Self::Returned { after, .. } => write!(f, "has its full share again, {after} after its release"),
            Self::Joined { slow_start, .. } => {
                write!(f, "joined; it reaches its full share within {slow_start}")
            }
            Self::Left { .. } => f.write_str("left the set"),
            Self::Rebalanced { slots } => {
                write!(f, "{slots} of 64 slots moved toward what the backends carry")
            }
            Self::Spilled { median, calm } => write!(
                f,
                "the backends in use answer in {median} (calm: {calm}): isolated ones carry again at a fixed price"
            ),
            Self::SpillEnded { median } => {
                write!(
                    f,
                    "the backends in use answer in {median} again: isolated ones rest again"
                )
            }
            Self::RegimeChanged {
                from,
                to,
                pressure_milli,
                error_permille,
            } => write!(
                f,
                "{from} → {to}: pressure {}.{:02}, {}.{} % failed",
                pressure_milli / 1_000,
                pressure_milli % 1_000 / 10,
                error_permille / 10,
                error_permille % 10
            ),
            Self::HearsayDoubted { answers, .. } => write!(
                f,
                "was found sick by other nodes, but gave this one {answers} or more good answers within about a second and no failure: it stays in use"
            ),
            Self::FailureForetold { told, .. } => write!(f, "memory {told}"),
            Self::FailureAverted { .. } => {
                f.write_str("memory will not be used up within the reaction window any more")
            }
            Self::HostDistress {
                distress: Distress::Well,
                ..
            } => f.write_str("runs on a node that is well again"),
            Self::HostDistress { distress, .. } => {
                write!(
                    f,
                    "runs on a node that says {distress}: it is judged sooner and gets less"
                )
            }
            Self::EnforcementChanged { from, to, load_milli } => {
                write!(
                    f,
                    "admission {from} → {to}: work in flight at {} % of what the set carries",
                    load_milli / 10
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_sentence_with_the_numbers_that_decided() {
        let evidence = Evidence::Latency {
            own: Nanos::from_millis(512),
            peers: Nanos::from_millis(21),
            hits: 3,
            window: 5,
        };
        let reason = Reason::Isolated {
            backend: BackendId(7),
            evidence,
        };
        assert_eq!(
            reason.to_string(),
            "answers in 512 ms, its peers in 21 ms: 24 × for 3 of 5 ticks"
        );
    }
}
