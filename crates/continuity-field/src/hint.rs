//! The scale hint: `(accepted + shed work) / healthy capacity of one replica`, slewed and explained.
//!
//! Every node says what it offered and what the work cost ([`NodeDemand`], integers, fit for a status); [`hint`] sums
//! them. Pure like the step: the operator hands in `now` and keeps the [`HintState`].

mod replica;

use std::fmt;

use replica::{Sum, USUAL, in_trouble, knee, learn, proven, queues, sum};

use crate::Nanos;
use crate::number::{to_u32, to_u64};

/// One node's figures of one set. All of them are moving means over about 5 s unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeDemand {
    /// New connections offered, refused ones included, or requests where connections are kept alive, thousandths a second.
    pub offered_milli_per_second: u64,
    /// Of those, refused by admission, thousandths a second.
    pub shed_milli_per_second: u64,
    /// Answered, thousandths a second.
    pub answered_milli_per_second: u64,
    /// Growth of the offered rate, thousandths a second per second, over 18 s; 0 for a step.
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
    /// The policy's objective; beyond it the hint asks for more than the load alone would.
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
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HintState {
    /// The last value.
    value: u32,
    /// When it was computed last, and first.
    last: Option<Nanos>,
    first: Option<Nanos>,
    /// Connections a second that one replica has carried calmly for a while.
    familiar: f64,
    /// Seconds of calm at that load.
    proof: f64,
    /// Where the queue of a replica grew.
    knee: Option<replica::Knee>,
    /// The offered sum at the last call, and when it moved: a trend of old reports is none.
    offered: f64,
    moved: Option<Nanos>,
    /// Load of one replica while calm, mean of a minute; and when it was calm last.
    usual: f64,
    calm_at: Option<Nanos>,
    /// Trouble came within seconds at the usual load: not the load's doing.
    sudden: bool,
    /// Since when less would do, and the largest wish since.
    lower: Option<(Nanos, u32)>,
}

impl HintState {
    /// The state after a restart of the operator: the last value it published, so that a lower wish has to hold anew.
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
    /// Slow or failing at a load that was carried calmly before: errors or a shared dependency limit the service, and
    /// more replicas would not help.
    DependencyLimited {
        /// Turnaround beside the calm level, thousandths.
        inflation_milli: u32,
        /// Failed requests, permille.
        error_permille: u32,
    },
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
            Self::DependencyLimited {
                inflation_milli,
                error_permille,
            } => write!(
                f,
                "answers take {}.{} × their calm time and {}.{} % fail at a load that was carried before: \
                 a shared dependency limits the service, more replicas would not help",
                inflation_milli / 1_000,
                inflation_milli % 1_000 / 100,
                error_permille / 10,
                error_permille % 10
            ),
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

/// Time before anything learned counts.
const YOUNG: Nanos = Nanos::from_secs(10);
/// A replica is trusted with this much more than it has shown.
const STRETCH: f64 = 1.25;
/// Part of the knee that counts as healthy.
const BELOW_KNEE: f64 = 0.85;
/// The forecast goes at most this far beyond the load.
const FORECAST: f64 = 1.5;
/// A ramp moves the reports more often than this.
const TREND_AGE: Nanos = Nanos::from_secs(8);
/// Most that is asked for beyond the replicas that carry, while no queue was seen to grow, and before its knee is sure:
/// an unproven load is a reason for care, not for many pods.
const CARE: f64 = 1.5;
/// Inflation from which a missed objective counts as the load's doing.
const STRAINED: f64 = 1.15;
const QUEUED: f64 = 2.0;

/// Sums the nodes and gives the wanted replicas.
///
/// `nodes` are the fresh reports, `ready` the present number of ready replicas, `now` any steady clock. Call it every
/// second or two. The method: what a replica has carried calmly for a while is *familiar* and counts as its capacity,
/// stretched by a quarter before more are asked for, and then for half again as many at most; once queues were seen to
/// grow, the knee is the capacity and the load alone decides; less than the familiar load is the only ground to ask for
/// fewer, and only after it held for `scale_down_hold`.
pub fn hint(
    nodes: &[NodeDemand],
    ready: u32,
    config: &HintConfig,
    state: &mut HintState,
    now: Nanos,
) -> Hint {
    let dt = state
        .last
        .map_or(0.0, |last| now.since(last).as_secs_f64().min(10.0));
    state.last = Some(now);
    if state.value == 0 {
        state.value = ready.max(1);
    }
    let sum = sum(nodes);
    if nodes.is_empty() || ready == 0 {
        return finish(state.value, HintReason::Silent, config, state);
    }
    if sum.offered <= 0.0 && state.familiar <= 0.0 {
        return finish(state.value, HintReason::NotLearned, config, state);
    }
    let first = *state.first.get_or_insert(now);
    if (sum.offered - state.offered).abs() > 1e-9 {
        state.moved = Some(now);
        state.offered = sum.offered;
    }
    let replicas = if sum.carrying > 0.0 {
        sum.carrying
    } else {
        f64::from(ready)
    };
    // Reports that still count other replicas than there are would make each look busier, or idler, than it is.
    if (sum.in_service - f64::from(ready)).abs() < 0.5 {
        learn(state, &sum, replicas, dt, now);
    }
    if now.since(first) < YOUNG || state.familiar <= 0.0 {
        return finish(state.value.max(ready), HintReason::NotLearned, config, state);
    }
    decide(&sum, replicas, ready, config, state, now)
}

fn decide(
    sum: &Sum,
    replicas: f64,
    ready: u32,
    config: &HintConfig,
    state: &mut HintState,
    now: Nanos,
) -> Hint {
    let each = sum.offered / replicas;
    let knee = knee(state).map(|knee| (BELOW_KNEE * knee).max(0.8 * state.familiar));
    let familiar = if proven(state) {
        STRETCH * state.familiar
    } else {
        f64::INFINITY
    };
    let mut stretched = knee.unwrap_or(familiar);
    // Poisson noise of a mean over 2 s; the trend comes without its own.
    let noise = libm::sqrt(sum.offered) / 2.0;
    let sure = (sum.offered - 2.0 * noise).max(0.0);
    let below = sure / replicas <= 0.95 * state.familiar;
    if in_trouble(sum) && (below || state.sudden && each <= USUAL * USUAL * state.usual) {
        state.lower = None;
        let reason = HintReason::DependencyLimited {
            inflation_milli: to_u32(1e3 * sum.inflation),
            error_permille: to_u32(1e3 * sum.error),
        };
        return finish(state.value, reason, config, state);
    }
    let objective = config
        .latency_p99
        .map_or(f64::INFINITY, |objective| objective.as_micros() as f64);
    // A tail alone may be a stall of a node or the service's own; where load makes it, the median rises too.
    if sum.p99 > objective && sum.inflation > STRAINED && each > 0.9 * state.familiar && proven(state) {
        stretched = stretched.min(0.8 * each);
    }
    let forecast = forecast(sum, sure, config, state, now);
    let headroom = 1.0 + f64::from(config.headroom_permille.min(10_000)) / 1e3;
    let away = (sum.in_service - replicas).max(0.0);
    let need = |load: f64, each: f64| load * headroom / each.max(1e-9) + away;
    let most = match knee {
        Some(_) => f64::INFINITY,
        None if queues(sum) => QUEUED * replicas + away,
        None => CARE * replicas + away,
    };
    let up = need(forecast, stretched).min(most);
    // Less is judged by the most that the load may be, and by what is proven without a stretch.
    let down = need((sum.offered + 2.0 * noise).max(forecast), proof(state, knee));
    let load = HintReason::Load {
        offered_milli_per_second: to_u64(1e3 * sum.offered),
        replica_milli_per_second: to_u64(1e3 * if stretched.is_finite() { stretched } else { each }),
    };
    let up = ceil(up);
    if up > state.value {
        state.lower = None;
        state.value = beyond_tolerance(up, ready, config);
        return finish(state.value, load, config, state);
    }
    lower(ceil(down).max(up), load, config, state, now)
}

/// Load of a replica that is proven to be carried calmly; 0 while nothing is.
fn proof(state: &HintState, knee: Option<f64>) -> f64 {
    if !proven(state) {
        return 0.0;
    }
    knee.map_or(state.familiar, |knee| knee.min(state.familiar))
}

/// The load one lead time ahead, as far as the trend is young enough to be believed.
fn forecast(sum: &Sum, sure: f64, config: &HintConfig, state: &HintState, now: Nanos) -> f64 {
    let fresh = state.moved.is_some_and(|at| now.since(at) < TREND_AGE);
    let growth = if fresh {
        sum.trend.max(0.0) * config.lead.as_secs_f64()
    } else {
        0.0
    };
    (sure + growth).min(FORECAST * sum.offered)
}

/// A wish that the HPA would ignore as too close to the present count is raised until it acts.
fn beyond_tolerance(wish: u32, ready: u32, config: &HintConfig) -> u32 {
    let edge = f64::from(ready) * (1.0 + f64::from(config.tolerance_permille.min(1_000)) / 1e3);
    if wish > ready {
        wish.max(to_u32(libm::floor(edge)) + 1)
    } else {
        wish
    }
}

/// Falls only when less has done for the whole hold, to the most that was wished meanwhile.
fn lower(wish: u32, load: HintReason, config: &HintConfig, state: &mut HintState, now: Nanos) -> Hint {
    let edge = f64::from(state.value) * (1.0 - f64::from(config.tolerance_permille.min(1_000)) / 1e3);
    if wish >= state.value {
        state.lower = None;
        return finish(state.value, load, config, state);
    }
    if f64::from(wish) >= edge {
        state.lower = None;
        return finish(state.value, HintReason::WithinTolerance { wish }, config, state);
    }
    let (since, most) = state.lower.unwrap_or((now, wish));
    let most = most.max(wish);
    let held = now.since(since);
    if held < config.scale_down_hold {
        state.lower = Some((since, most));
        let remaining = Nanos(config.scale_down_hold.0 - held.0);
        return finish(
            state.value,
            HintReason::HoldingDown {
                wish: most,
                remaining,
            },
            config,
            state,
        );
    }
    state.lower = None;
    state.value = most;
    finish(most, load, config, state)
}

fn ceil(value: f64) -> u32 {
    // A hair above an integer is that integer: 5.0000001 replicas are 5.
    to_u32(libm::ceil(value - 1e-6))
}

/// Clamps to the policy and says so when it bites.
fn finish(value: u32, reason: HintReason, config: &HintConfig, state: &HintState) -> Hint {
    let least = config.min_replicas.max(1);
    let most = config.max_replicas.max(least);
    let replica_milli_per_second = to_u64(1e3 * knee(state).unwrap_or(0.0).max(state.familiar));
    let (replicas, reason) = if value < least {
        (least, HintReason::AtLeast { wish: value })
    } else if value > most {
        (most, HintReason::AtMost { wish: value })
    } else {
        (value, reason)
    };
    Hint {
        replicas,
        reason,
        replica_milli_per_second,
    }
}

#[cfg(test)]
mod tests;
