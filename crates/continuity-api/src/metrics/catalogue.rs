//! The catalogue of metrics: what each is, its labels, how many series it may have, and a question it answers.
//!
//! `operator-docs/metrics.md` is written from this table, and tests hold the code and the alert rules to it. Every label
//! is closed or bounded: the bound of a metric is stated beside it, in series of one target.

use super::*;

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, from 0 at a restart.
    Counter,
    /// Counters by upper bound, with sum and count.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Who serves a metric, and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The operator, about sets; every replica says the same.
    Sets,
    /// The operator, about itself.
    Operator,
    /// An agent.
    Agent,
}

/// Bound on the series of a metric at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// This many, whatever the cluster's size.
    Fixed(usize),
    /// This many for each set, up to the bound on sets with series of their own.
    PerSet(usize),
}

impl Series {
    /// Series with this many sets.
    #[must_use]
    pub const fn bound(self, sets: usize) -> usize {
        match self {
            Self::Fixed(number) => number,
            Self::PerSet(number) => number.saturating_mul(sets),
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// Who serves it.
    pub source: Source,
    /// Its labels, in the order they are written.
    pub labels: &'static [&'static str],
    /// How many series it may have.
    pub series: Series,
    /// One sentence.
    pub meaning: &'static str,
    /// A question that it answers, in PromQL.
    pub query: &'static str,
}

const SET: &[&str] = &["namespace", "service", "port"];

const fn entry(
    source: Source,
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    series: Series,
    meaning: &'static str,
    query: &'static str,
) -> Entry {
    Entry {
        name,
        kind,
        source,
        labels,
        series,
        meaning,
        query,
    }
}

use Kind::{Counter, Gauge, Histogram};
use Series::{Fixed, PerSet};
use Source::{Agent, Operator, Sets};

/// Every metric, in the order of the page.
#[rustfmt::skip]
pub const CATALOGUE: &[Entry] = &[
    entry(Sets, Gauge, DESIRED_REPLICAS, SET, PerSet(1),
        "wanted replicas; the same value as `status.scaleHint.desiredReplicas`, and the name of the external metric",
        "max by (namespace, service, port) (continuity_desired_replicas)"),
    entry(Sets, Gauge, SET_REGIME, SET, PerSet(1),
        "0 laminar, 1 recovery, 2 transition, 3 crisis",
        "topk(10, max by (namespace, service, port) (continuity_set_regime)) > 0"),
    entry(Sets, Gauge, SET_ISOLATED_BACKENDS, SET, PerSet(1),
        "backends out of rotation",
        "sum(max by (namespace, service, port) (continuity_set_isolated_backends))"),
    entry(Sets, Gauge, SET_OFFERED_CONNECTIONS, SET, PerSet(1),
        "new connections that clients begin",
        "topk(10, max by (namespace, service, port) (continuity_set_offered_connections_per_second))"),
    entry(Sets, Gauge, SET_PRESSURE, SET, PerSet(1),
        "pressure against the baseline; 1 is as usual",
        "max by (namespace, service, port) (continuity_set_pressure_ratio) > 1.5"),

    // 4 aspects and what later versions add, each with `written` and the categories of errors.
    entry(Operator, Counter, OPERATOR_WRITES, &["aspect", "outcome"], Fixed(88),
        "writes to the API; aspect is `set`, `set_status`, `plan`, `policy_status`, `node_trust` or `timeline`, outcome is `written` or a category of errors",
        "sum by (aspect) (rate(continuity_operator_writes_total{outcome=\"written\"}[5m]))"),
    entry(Operator, Counter, OPERATOR_COALESCED, &[], Fixed(1),
        "status updates that were merged into a later one",
        "rate(continuity_operator_status_coalesced_total[5m])"),
    entry(Operator, Gauge, OPERATOR_QUEUE, &[], Fixed(1),
        "objects that wait for a write",
        "max_over_time(continuity_operator_queue_objects[10m])"),
    entry(Operator, Counter, OPERATOR_DROPPED, &[], Fixed(1),
        "updates refused because the queue was full; the next pass makes them again",
        "increase(continuity_operator_queue_dropped_total[1h])"),
    entry(Operator, Gauge, OPERATOR_MODE, &[], Fixed(1),
        "mode by the API server's answers: 0 NORMAL, 1 DEGRADED, 2 READ_ONLY, 3 DRAINING",
        "max_over_time(continuity_operator_mode[10m])"),
    entry(Operator, Gauge, OPERATOR_DISTRUSTED, &[], Fixed(1),
        "nodes whose reports do not count, because they do not fit what others see or ignore plans",
        "max(continuity_operator_distrusted_nodes)"),
    entry(Operator, Gauge, OPERATOR_QUARANTINED, &[], Fixed(1),
        "writes put apart because they fail by their own fault; see /debug/scheduler",
        "max(continuity_operator_queue_quarantined_objects)"),
    entry(Operator, Counter, OPERATOR_PASSES, &[], Fixed(1),
        "passes of the decision loop",
        "rate(continuity_operator_passes_total[5m])"),
    // 10 bounds, +Inf, sum and count.
    entry(Operator, Histogram, OPERATOR_PASS_SECONDS, &[], Fixed(13),
        "time of one pass",
        "histogram_quantile(0.99, sum by (le) (rate(continuity_operator_pass_duration_seconds_bucket[5m])))"),
    entry(Operator, Counter, OPERATOR_ERRORS, &["category"], Fixed(16),
        "errors",
        "sum by (category) (increase(continuity_operator_errors_total[1h]))"),
    entry(Operator, Gauge, OPERATOR_LEADER, &[], Fixed(1),
        "1 on the leader",
        "sum(continuity_operator_leader)"),
    entry(Operator, Gauge, OPERATOR_WRITER_EPOCH, &[], Fixed(1),
        "writer epoch of the present leader, as this replica knows it",
        "changes(max(continuity_operator_writer_epoch)[1d:1m])"),
    entry(Operator, Counter, EXTERNAL_METRIC_REQUESTS, &["code"], Fixed(16),
        "requests to the external metrics API, by HTTP status",
        "sum by (code) (rate(continuity_external_metric_requests_total[5m]))"),
    // 5 methods, 6 codes.
    entry(Operator, Counter, SCALER_REQUESTS, &["method", "code"], Fixed(30),
        "requests of KEDA to the external scaler, by method and gRPC code",
        "sum by (code) (rate(continuity_scaler_requests_total[5m]))"),

    entry(Agent, Counter, AGENT_TICKS, &[], Fixed(1),
        "ticks of the node loop",
        "rate(continuity_agent_ticks_total[1m]) < 4"),
    // 8 bounds, +Inf, sum and count.
    entry(Agent, Histogram, AGENT_TICK_SECONDS, &[], Fixed(11),
        "time of one tick",
        "histogram_quantile(0.99, sum by (le) (rate(continuity_agent_tick_duration_seconds_bucket[5m])))"),
    entry(Agent, Counter, AGENT_PUBLISHES, &[], Fixed(1),
        "fields published into the kernel",
        "sum(rate(continuity_agent_publishes_total[5m]))"),
    entry(Agent, Counter, AGENT_REPORTS, &["outcome"], Fixed(16),
        "writes of the ContinuityNode; outcome is `written` or why not",
        "sum by (outcome) (rate(continuity_agent_reports_total[5m]))"),
    entry(Agent, Counter, AGENT_ERRORS, &["category"], Fixed(16),
        "errors",
        "sum by (category) (increase(continuity_agent_errors_total[1h]))"),
    // 2 actions × (10 bounds, +Inf, sum and count).
    entry(Agent, Histogram, AGENT_SENSOR_TO_ACTION, &["action"], Fixed(26),
        "time from a reading to the action that rests on it: `field`, from the read of the kernel's counters to the field in force; `report`, from the first sample that made a warning to its report",
        "histogram_quantile(0.99, sum by (le, action) (rate(continuity_agent_sensor_to_action_seconds_bucket[5m])))"),
    entry(Agent, Counter, AGENT_DRIFT, &["map"], Fixed(4),
        "places of the maps that were not as they should be and were put right; anything above 0 means that somebody else writes there",
        "increase(continuity_agent_drift_repaired_total[1h]) > 0"),
    entry(Agent, Gauge, NODE_TIME_TO_FAILURE, &["resource"], Fixed(5),
        "seconds until it is used up at its present trend: `pod-memory` (of the pod that fails first), `memory`, `descriptors`, `conntrack`, `threads`; absent while nothing is foreseen",
        "min by (resource) (continuity_node_time_to_failure_seconds) < 180"),
    entry(Agent, Gauge, AGENT_SETS, &["mode"], Fixed(3),
        "sets that the agent carries; mode is `enforce`, `observe` or `idle`",
        "sum by (mode) (continuity_agent_sets)"),
    entry(Agent, Gauge, AGENT_CAPABILITY, &["name"], Fixed(32),
        "1 for a capability that is met, 0 otherwise",
        "count by (name) (continuity_agent_capability_met == 0)"),
    entry(Agent, Gauge, AGENT_FAILSAFE, &[], Fixed(1),
        "0 normal, 1 hold, 2 fallback",
        "count(continuity_agent_failsafe_state > 0)"),
    entry(Agent, Gauge, NODE_STALL, &["resource", "kind"], Fixed(6),
        "part of the last second in which some or all tasks of the node waited for `cpu`, `memory` or `io`; absent where it cannot be read",
        "max by (resource) (continuity_node_stall_ratio{kind=\"some\"})"),
    entry(Agent, Gauge, NODE_RESOURCE_USED, &["resource"], Fixed(4),
        "in use: `memory_bytes`, `descriptors`, `conntrack_entries`, `threads`",
        "continuity_node_resource_used / continuity_node_resource_limit > 0.9"),
    entry(Agent, Gauge, NODE_RESOURCE_LIMIT, &["resource"], Fixed(4),
        "the node's bound of the same",
        "continuity_node_resource_limit - continuity_node_resource_used"),
    entry(Agent, Gauge, NODE_SIGNAL, &["signal"], Fixed(6),
        "1 for a signal of the node that can be read, 0 for one that is missing",
        "count by (signal) (continuity_node_signal_present == 0)"),
    entry(Agent, Gauge, NODE_PODS, &["state"], Fixed(3),
        "pods behind sets on the node: `watched` by the sensors, `missing` a cgroup, or `left_out` beyond 64",
        "sum by (state) (continuity_node_pods)"),
    entry(Agent, Gauge, NODE_POD_MEMORY, &[], Fixed(1),
        "memory in use of the watched pod that is nearest to its limit, as part of it; absent where none has a limit",
        "continuity_node_pod_memory_worst_ratio > 0.9"),
    // Six levels, two reasons.
    entry(Agent, Counter, AGENT_ADMISSION_REFUSALS, &["class", "reason"], Fixed(12),
        "connects that admission refused, over all sets, by class of the caller (`Excess`: above its share) and reason: `full` no slot was free, `thinned` the part of the class that may come was there",
        "sum by (class, reason) (rate(continuity_agent_admission_refusals_total[1m]))"),
    // 256 sets at most have series of their own on a node.
    entry(Agent, Counter, AGENT_CONNECTIONS, &["namespace", "service", "port", "result"], PerSet(5),
        "new connections: `offered` by clients of this node, `steered`, `refused` by us and `failed` of these, and `accepted` by backends on this node from anywhere",
        "sum by (namespace, service, result) (rate(continuity_agent_connections_total{result=~\"refused|failed\"}[5m]))"),
];
