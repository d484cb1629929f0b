//! Names of metrics. Base units; counters end in `_total`; labels come from closed sets, object names stand on per-set
//! gauges only.

pub mod catalogue;

/// Gauge: wanted replicas of a set. Labels namespace, service, port. Also the external metric's name.
pub const DESIRED_REPLICAS: &str = "continuity_desired_replicas";
/// Gauge: regime of a set as 0 laminar, 1 recovery, 2 transition, 3 crisis. Labels namespace, service, port.
pub const SET_REGIME: &str = "continuity_set_regime";
/// Gauge: isolated backends of a set. Labels namespace, service, port.
pub const SET_ISOLATED_BACKENDS: &str = "continuity_set_isolated_backends";
/// Gauge: offered rate of a set in connections per second. Labels namespace, service, port.
pub const SET_OFFERED_CONNECTIONS: &str = "continuity_set_offered_connections_per_second";
/// Gauge: pressure of a set, 1 is as usual. Labels namespace, service, port.
pub const SET_PRESSURE: &str = "continuity_set_pressure_ratio";

/// Counter: writes to the API by kind and outcome.
pub const OPERATOR_WRITES: &str = "continuity_operator_writes_total";
/// Counter: status updates that were merged into a later one.
pub const OPERATOR_COALESCED: &str = "continuity_operator_status_coalesced_total";
/// Gauge: objects waiting for a write.
pub const OPERATOR_QUEUE: &str = "continuity_operator_queue_objects";
/// Counter: updates refused because the queue was full.
pub const OPERATOR_DROPPED: &str = "continuity_operator_queue_dropped_total";
/// Gauge: mode by the API server's answers: 0 NORMAL, 1 DEGRADED, 2 READ_ONLY, 3 DRAINING.
pub const OPERATOR_MODE: &str = "continuity_operator_mode";
/// Gauge: nodes in quarantine, whose reports do not count.
pub const OPERATOR_DISTRUSTED: &str = "continuity_operator_distrusted_nodes";
/// Gauge: writes that are put apart because they fail by their own fault.
pub const OPERATOR_QUARANTINED: &str = "continuity_operator_queue_quarantined_objects";
/// Counter: passes of the decision loop.
pub const OPERATOR_PASSES: &str = "continuity_operator_passes_total";
/// Histogram: time of one pass in seconds.
pub const OPERATOR_PASS_SECONDS: &str = "continuity_operator_pass_duration_seconds";
/// Counter: errors by category.
pub const OPERATOR_ERRORS: &str = "continuity_operator_errors_total";
/// Gauge: 1 on the leader.
pub const OPERATOR_LEADER: &str = "continuity_operator_leader";
/// Gauge: writer epoch of the present leader as this replica knows it.
pub const OPERATOR_WRITER_EPOCH: &str = "continuity_operator_writer_epoch";
/// Counter: requests to the external metrics API by HTTP code.
pub const EXTERNAL_METRIC_REQUESTS: &str = "continuity_external_metric_requests_total";
/// Counter: requests of KEDA to the external scaler by method and gRPC code.
pub const SCALER_REQUESTS: &str = "continuity_scaler_requests_total";

/// Counter: decision ticks of an agent.
pub const AGENT_TICKS: &str = "continuity_agent_ticks_total";
/// Histogram: time of one tick in seconds.
pub const AGENT_TICK_SECONDS: &str = "continuity_agent_tick_duration_seconds";
/// Counter: fields published into the kernel.
pub const AGENT_PUBLISHES: &str = "continuity_agent_publishes_total";
/// Counter: reports written, by outcome.
pub const AGENT_REPORTS: &str = "continuity_agent_reports_total";
/// Counter: errors by category.
pub const AGENT_ERRORS: &str = "continuity_agent_errors_total";
/// Gauge: sets the agent carries, by mode.
pub const AGENT_SETS: &str = "continuity_agent_sets";
/// Histogram: seconds from a reading to the action that rests on it. Label action (field, report).
pub const AGENT_SENSOR_TO_ACTION: &str = "continuity_agent_sensor_to_action_seconds";
/// Counter: places of the maps that were not as they should be and were put right, by map.
pub const AGENT_DRIFT: &str = "continuity_agent_drift_repaired_total";
/// Gauge: seconds until a resource is used up at its present trend. Label resource; absent while nothing is foreseen.
pub const NODE_TIME_TO_FAILURE: &str = "continuity_node_time_to_failure_seconds";
/// Gauge: 1 for each capability that is met, 0 otherwise. Label name.
pub const AGENT_CAPABILITY: &str = "continuity_agent_capability_met";
/// Gauge: failsafe state as 0 normal, 1 hold, 2 fallback.
pub const AGENT_FAILSAFE: &str = "continuity_agent_failsafe_state";
/// Gauge: part of the time in which tasks of the node waited. Labels resource (cpu, memory, io) and kind (some, full).
pub const NODE_STALL: &str = "continuity_node_stall_ratio";
/// Gauge: how much of a resource of the node is in use, in the unit that its label names. Label resource.
pub const NODE_RESOURCE_USED: &str = "continuity_node_resource_used";
/// Gauge: bound of a resource of the node, in the same unit. Label resource.
pub const NODE_RESOURCE_LIMIT: &str = "continuity_node_resource_limit";
/// Gauge: 1 for a signal of the node that can be read, 0 for one that is missing. Label signal.
pub const NODE_SIGNAL: &str = "continuity_node_signal_present";
/// Gauge: pods behind sets on the node by what the sensors know of them. Label state (watched, missing, left_out).
pub const NODE_PODS: &str = "continuity_node_pods";
/// Gauge: memory in use of the watched pod that is nearest to its limit, as part of that limit.
pub const NODE_POD_MEMORY: &str = "continuity_node_pod_memory_worst_ratio";
/// Counter: connects that admission refused. Labels class, reason.
pub const AGENT_ADMISSION_REFUSALS: &str = "continuity_agent_admission_refusals_total";
/// Counter: new connections by set and result. Labels namespace, service, port, result.
pub const AGENT_CONNECTIONS: &str = "continuity_agent_connections_total";
