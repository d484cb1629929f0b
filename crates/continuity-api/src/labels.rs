//! Labels and annotations, ours and those of Kubernetes that we read.

/// On sets and plans: name of the Service.
pub const SERVICE: &str = "continuity.nity.io/service";
/// On sets and plans: name or number of the port.
pub const PORT: &str = "continuity.nity.io/port";
/// Who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of `MANAGED_BY` on what the operator makes.
pub const MANAGED_BY_OPERATOR: &str = "continuity-operator";
/// Which product an object belongs to.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Value of `PART_OF` on everything of ours.
pub const PART_OF_CONTINUITY: &str = "continuity";
/// On a namespace or pod: "true" keeps its connections untouched.
pub const OPT_OUT: &str = "continuity.nity.io/opt-out";
/// On policies, as an annotation: "pause" keeps a roll-out where it is, "abort" takes it back.
pub const ROLLOUT: &str = "continuity.nity.io/rollout";
/// Value of `ROLLOUT` that pauses.
pub const ROLLOUT_PAUSE: &str = "pause";
/// Value of `ROLLOUT` that aborts.
pub const ROLLOUT_ABORT: &str = "abort";
/// On EndpointSlices: name of the Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// On EndpointSlices and Services: headless.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// On nodes: failure domain.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// On pods: revision of the workload.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
