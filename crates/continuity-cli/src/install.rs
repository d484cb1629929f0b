//! Names of what `config/` installs. The commands find, judge and remove exactly these; a test reads `config/` and
//! fails when the two drift apart.

/// Namespace of the installation.
pub const NAMESPACE: &str = "continuity-system";
/// The DaemonSet of agents.
pub const AGENT: &str = "continuity-agent";
/// The Deployment of the operator.
pub const OPERATOR: &str = "continuity-operator";
/// The leader's Lease, in the installation's namespace.
pub const LEASE: &str = "continuity-operator";
/// The ValidatingAdmissionPolicy and its binding.
pub const NODE_WRITER: &str = "continuity-node-writer";
/// The APIService through which a HorizontalPodAutoscaler reads the hint.
pub const EXTERNAL_METRICS: &str = "v1beta1.external.metrics.k8s.io";
/// The Service behind that APIService when it is ours.
pub const EXTERNAL_METRICS_SERVICE: &str = "continuity-external-metrics";
/// The ClusterTriggerAuthentication that triggers of KEDA name.
pub const SCALER: &str = "continuity-scaler";
/// API group of our kinds.
pub const GROUP: &str = "continuity.nity.io";
/// Names of the CRDs.
pub const CRDS: [&str; 5] = [
    "continuitynodes.continuity.nity.io",
    "continuitypolicies.continuity.nity.io",
    "equivalenceplans.continuity.nity.io",
    "equivalencesets.continuity.nity.io",
    "equivalencetimelines.continuity.nity.io",
];
/// Label that every object of the installation carries.
pub const PART_OF: &str = "app.kubernetes.io/part-of=continuity";
/// Cluster roles and their bindings start with this.
pub const PREFIX: &str = "continuity-";
/// The agent's manifest as shipped: what cleans a node when the DaemonSet is already gone.
pub const AGENT_MANIFEST: &str = include_str!("../../../config/agent/daemonset.yaml");
/// The namespace's manifest as shipped: what cleaning pods need where the namespace was deleted by hand.
pub const NAMESPACE_MANIFEST: &str = include_str!("../../../config/namespace/namespace.yaml");
