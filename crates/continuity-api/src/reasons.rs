//! Reasons of conditions and of the scale hint. Each says which condition and status it pairs with.

/// Accepted=True.
pub const ACCEPTED: &str = "Accepted";
/// Accepted=False: another policy has the target; the message names it.
pub const CONFLICTED: &str = "Conflicted";
/// Accepted=False: the target can not be steered (headless, ExternalName, no selector reach); traffic stays as it was.
pub const INVALID: &str = "Invalid";
/// Accepted=False: no such Service.
pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
/// Accepted=False: the Service has no port of that name.
pub const PORT_NOT_FOUND: &str = "PortNotFound";
/// Accepted=False: the selector matches no Service.
pub const NOTHING_SELECTED: &str = "NothingSelected";

/// Programmed=True, Ready=True of a policy.
pub const PROGRAMMED: &str = "Programmed";
/// Programmed=False, Ready=False: some nodes do not yet run this generation.
pub const RECONCILING: &str = "Reconciling";
/// Programmed=False, Ready=False: a changed policy runs on some nodes only, and is watched there.
pub const ROLLING_OUT: &str = "RollingOut";
/// Programmed=False, Ready=False: a changed policy was taken back; the message says why. The one before stays in force.
pub const ROLLOUT_HALTED: &str = "RolloutHalted";
/// Programmed=False, Ready=False: every target belongs to another policy.
pub const OVERRIDDEN: &str = "Overridden";
/// Programmed=Unknown, Ready=Unknown: no node has an agent that reports.
pub const NO_NODES: &str = "NoNodes";
/// Programmed=False: a node refuses the plan; the message says why.
pub const REFUSED: &str = "Refused";

/// NotYetEnforced=True: the message names the fields.
pub const FIELDS_NOT_YET_ENFORCED: &str = "FieldsNotYetEnforced";

/// Ready=True of a set: resolved, with backends, and reported.
pub const RESOLVED: &str = "Resolved";
/// Ready=False of a set: no backend serves; connects get ECONNREFUSED, as kube-proxy gives.
pub const NO_BACKENDS: &str = "NoBackends";
/// Ready=Unknown of a set: no node reports it yet.
pub const NO_REPORTS: &str = "NoReports";

/// Ready=True of a node.
pub const ATTACHED: &str = "Attached";
/// Ready=False of a node: the dataplane is not attached; the message says what is missing.
pub const DETACHED: &str = "Detached";
/// Ready=True of a node with a feature off; the message names it.
pub const DEGRADED: &str = "Degraded";
/// Ready=False of a node: pins of another schema version; nothing was touched.
pub const SCHEMA_MISMATCH: &str = "SchemaMismatch";
/// CapabilitiesMet=True.
pub const ALL_MET: &str = "AllMet";
/// CapabilitiesMet=False: the message names what is missing.
pub const SOME_MISSING: &str = "SomeMissing";
/// ResourcesSufficient=True: nothing is foreseen.
pub const SUFFICIENT: &str = "Sufficient";
/// ResourcesSufficient=False: something is used up soon; the message names it.
pub const RUNNING_OUT: &str = "RunningOut";
/// ResourcesSufficient=False: tasks stand still most of the time; the message says for what.
pub const STALLED: &str = "Stalled";
/// ResourcesSufficient=Unknown: the node's signals were not read.
pub const NO_SIGNALS: &str = "NoSignals";
/// Trusted is False: what the node reports does not fit what others see, or it does not do what it is asked.
pub const DOUBTED: &str = "Doubted";
/// Trusted is True again.
pub const BELIEVED: &str = "Believed";

/// Hint: demand fits the replicas there are.
pub const STEADY: &str = "Steady";
/// Hint: demand, served and shed, needs more replicas.
pub const DEMAND: &str = "Demand";
/// Hint: demand fell and stayed low for the hold time.
pub const EXCESS: &str = "Excess";
/// Hint: a lower need has not lasted long enough.
pub const HOLDING: &str = "Holding";
/// Hint: the need is beyond minReplicas or maxReplicas.
pub const CLAMPED: &str = "Clamped";
/// Hint: reports are missing; the last value stands.
pub const SILENT: &str = "Silent";
/// Hint: capacity of one replica is not known yet; the present number stands.
pub const LEARNING: &str = "Learning";
/// Hint: errors or a shared dependency limit the service; more replicas would not help.
pub const UPSTREAM: &str = "Upstream";
