//! The faults, as data: what is broken, for how long, and what Continuity must show.
//!
//! One row a fault. The engine knows how to inject each kind and how to measure; it knows no fault by name.

use continuity_traffic::control::{Fault as Sickness, Port};

use super::goal::Goal;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Inject {
    /// So many backends of each Service do this on one port.
    Backends {
        /// What they do.
        sickness: Sickness,
        /// How many.
        count: usize,
        /// On which port.
        port: Port,
    },
    /// The agent of every node is killed at once; kubelet starts it again.
    AgentKilled,
    /// The agent of one node is killed, and its kubelet stopped for the fault's time so that nothing starts it again.
    AgentAway,
    /// The agents are rolled to another build, and back.
    Upgrade,
    /// API server and operator are stopped for the fault's time; one backend turns gray meanwhile.
    ControlAway,
    /// One backend turns gray, then both Deployments are rolled.
    RollingUpdate,
    /// The load rises beyond capacity; an autoscaler follows the hint.
    Surge(Surge),
}

impl Inject {
    /// Length of a turn of what comes and goes.
    pub(super) fn turn_ns(self) -> Option<u64> {
        match self {
            Self::Backends {
                sickness: Sickness::Alternate { period_ms, .. },
                ..
            } => Some(u64::from(period_ms) * 1_000_000),
            _ => None,
        }
    }
}

/// How the load rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surge {
    /// At once to 1.5 times capacity.
    Step,
    /// Doubling in 60 s, and on until beyond capacity.
    Ramp,
}

/// Streams that a fault runs beside the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// None.
    Nothing,
    /// The same Service over IPv6.
    Ipv6,
    /// The Service's other port.
    OtherPort,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Name on the command line.
    pub name: &'static str,
    /// What happens, for a person.
    pub about: &'static str,
    /// What is broken.
    pub inject: Inject,
    /// For how long, s.
    pub seconds: u64,
    /// What runs beside.
    pub beside: Beside,
    /// What must hold.
    pub goals: &'static [Goal],
}

const GRAY: Sickness = Sickness::Gray { delay_ms: 500 };

/// One sick backend on the first port.
const fn one(sickness: Sickness) -> Inject {
    Inject::Backends {
        sickness,
        count: 1,
        port: Port::Http,
    }
}

/// What most rows share: 20 s with nothing beside. Never run as it stands.
const PLAIN: Fault = Fault {
    name: "",
    about: "",
    inject: one(GRAY),
    seconds: 20,
    beside: Beside::Nothing,
    goals: STEERED,
};

/// What every slow-but-Ready backend must meet: by the clients' count, by the servers' and by the maps.
const STEERED: &[Goal] = &[
    Goal::Detected { seconds: 2.0 },
    Goal::ShareLate { percent: 0.2 },
    Goal::P99Late { ratio: 1.3 },
    Goal::NoneFailed,
    Goal::Returned { seconds: 30.0 },
    Goal::ServerSaw { percent: 0.2 },
    Goal::MapsSay { percent: 2.0 },
];

/// What a backend that fails at once must meet. A node that isolates later than others may still have slots for it; what
/// keeps connections away there is the choice's penalty, so the maps must only never give it more than its fair share.
const REPELLED: &[Goal] = &[
    Goal::Failed { percent: 0.5 },
    Goal::NeverGains,
    Goal::ServerSaw { percent: 0.2 },
    Goal::MapsSay { percent: 20.4 },
];

/// What the loss of an agent must meet.
const UNBROKEN: &[Goal] = &[Goal::NoneFailed, Goal::CountersSurvive, Goal::FieldSurvives];

/// Observe: a gray backend that nothing is done about, but which is seen and said.
pub const OBSERVED: Fault = Fault {
    name: "observe",
    about: "policy in Observe, +500 ms on one of five",
    inject: one(GRAY),
    seconds: 14,
    beside: Beside::Nothing,
    goals: &[Goal::Untouched, Goal::SaysWouldHave],
};

/// Every fault, in the order of a run. The victims differ from one to the next, because a backend that was isolated a
/// minute ago is held for longer the second time.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "gray",
        about: "+500 ms on one of five, readiness green",
        beside: Beside::Ipv6,
        goals: &[
            Goal::Detected { seconds: 2.0 },
            Goal::ShareLate { percent: 0.2 },
            Goal::P99Late { ratio: 1.3 },
            Goal::NoneFailed,
            Goal::Returned { seconds: 30.0 },
            Goal::BesideShareLate { percent: 0.2 },
            Goal::ServerSaw { percent: 0.2 },
            Goal::MapsSay { percent: 2.0 },
        ],
        ..PLAIN
    },
    Fault {
        name: "fast-fail",
        about: "one of five accepts and resets",
        inject: one(Sickness::FastFail),
        goals: REPELLED,
        ..PLAIN
    },
    Fault {
        name: "refused",
        about: "port closed on one of five, readiness on another port green",
        inject: one(Sickness::Refused),
        goals: REPELLED,
        ..PLAIN
    },
    Fault {
        name: "hang",
        about: "one of five accepts and never answers",
        inject: one(Sickness::Hang),
        goals: &[
            Goal::Failed { percent: 0.5 },
            Goal::Detected { seconds: 3.0 },
            Goal::ServerSaw { percent: 0.2 },
            Goal::MapsSay { percent: 20.4 },
        ],
        ..PLAIN
    },
    Fault {
        name: "agent-kill",
        about: "SIGKILL to the agent of every node, restarted by kubelet",
        inject: Inject::AgentKilled,
        seconds: 15,
        goals: UNBROKEN,
        ..PLAIN
    },
    Fault {
        name: "agent-away",
        about: "SIGKILL to one node's agent, kept away 20 s",
        inject: Inject::AgentAway,
        goals: &[
            Goal::NoneFailed,
            Goal::Held { seconds: 3.0 },
            Goal::FellBack { seconds: 15.0 },
            Goal::TakenOver,
            Goal::CountersSurvive,
            Goal::FieldSurvives,
        ],
        ..PLAIN
    },
    Fault {
        name: "upgrade",
        about: "agents rolled to another build and back, node by node",
        inject: Inject::Upgrade,
        seconds: 0,
        goals: &[
            Goal::NoneFailed,
            Goal::CountersSurvive,
            Goal::FieldSurvives,
            Goal::Upgraded,
        ],
        ..PLAIN
    },
    Fault {
        name: "control-away",
        about: "API server and operator stopped 30 s, +500 ms on one of five meanwhile",
        inject: Inject::ControlAway,
        seconds: 30,
        goals: &[
            Goal::Detected { seconds: 2.0 },
            Goal::ShareLate { percent: 0.2 },
            Goal::P99Late { ratio: 1.3 },
            Goal::NoneFailed,
            Goal::Returned { seconds: 30.0 },
            Goal::StatusCatchesUp { seconds: 10.0 },
        ],
        ..PLAIN
    },
    Fault {
        name: "two-gray",
        about: "+500 ms on two of five at once",
        inject: Inject::Backends {
            sickness: GRAY,
            count: 2,
            port: Port::Http,
        },
        goals: &[
            Goal::Detected { seconds: 2.0 },
            Goal::ShareLate { percent: 0.4 },
            Goal::P99Late { ratio: 1.3 },
            Goal::NoneFailed,
            Goal::Returned { seconds: 30.0 },
            Goal::ServerSaw { percent: 0.4 },
            Goal::MapsSay { percent: 2.0 },
        ],
        ..PLAIN
    },
    Fault {
        name: "alternate",
        about: "one of five is gray for 3 s, well for 3 s, and so on",
        inject: one(Sickness::Alternate {
            delay_ms: 500,
            period_ms: 3000,
        }),
        // Ends with a gray turn. What it gets in its well turns is no share of a sick backend, for clients' counts; servers
        // count both, so theirs is bounded by a quarter of fair.
        seconds: 27,
        goals: &[
            Goal::Detected { seconds: 2.0 },
            Goal::ShareLate { percent: 0.2 },
            Goal::P99Late { ratio: 1.3 },
            Goal::NoneFailed,
            Goal::Returned { seconds: 30.0 },
            Goal::ServerSaw { percent: 5.0 },
            // A node that tested it in a well turn is in the first steps of its return: 4 of 64 slots at most.
            Goal::MapsSay { percent: 6.3 },
        ],
        ..PLAIN
    },
    Fault {
        name: "rolling-update",
        about: "+500 ms on one of five while the Deployment is rolled",
        inject: Inject::RollingUpdate,
        seconds: 0,
        goals: &[
            Goal::Detected { seconds: 2.0 },
            Goal::ShareLate { percent: 0.2 },
            Goal::P99LateBeside { ratio: 1.3 },
            Goal::NoneFailed,
        ],
        ..PLAIN
    },
    Fault {
        name: "two-ports",
        about: "+500 ms on one port of one backend, its other port well",
        beside: Beside::OtherPort,
        goals: &[
            Goal::Detected { seconds: 2.0 },
            Goal::ShareLate { percent: 0.2 },
            Goal::P99Late { ratio: 1.3 },
            Goal::NoneFailed,
            Goal::Returned { seconds: 30.0 },
            Goal::ServerSaw { percent: 0.2 },
            Goal::MapsSay { percent: 2.0 },
            Goal::BesideKeeps,
        ],
        ..PLAIN
    },
    Fault {
        name: "surge-step",
        about: "load rises at once to 1.5 times capacity",
        inject: Inject::Surge(Surge::Step),
        seconds: 40,
        goals: &[
            Goal::ScaledWithin { seconds: 15.0 },
            Goal::Turns { most: 2 },
            Goal::HintFalls,
        ],
        ..PLAIN
    },
    Fault {
        name: "surge-ramp",
        about: "load doubles in 60 s and goes on beyond capacity",
        inject: Inject::Surge(Surge::Ramp),
        seconds: 84,
        goals: &[
            Goal::ScaledBeforeBreach { millis: 250.0 },
            Goal::Turns { most: 2 },
            Goal::HintFalls,
        ],
        ..PLAIN
    },
];

/// The fault of this name.
pub fn named(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_fault_has_a_goal() {
        for (at, fault) in FAULTS.iter().enumerate() {
            assert!(!fault.goals.is_empty(), "{}", fault.name);
            assert!(
                FAULTS.iter().skip(at + 1).all(|other| other.name != fault.name),
                "{}",
                fault.name
            );
        }
        assert_eq!(named("hang").map(|f| f.seconds), Some(20));
        assert!(named("nothing").is_none());
    }
}
