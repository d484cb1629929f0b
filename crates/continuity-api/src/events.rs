//! Reasons of Kubernetes Events. Events are written on transitions only, with figures in the note.

/// On a set: its regime got worse. Warning.
pub const REGIME_WORSENED: &str = "RegimeWorsened";
/// On a set: its regime got better. Normal.
pub const REGIME_IMPROVED: &str = "RegimeImproved";
/// On a set: nodes took a backend out of rotation. Warning.
pub const BACKEND_ISOLATED: &str = "BackendIsolated";
/// On a set: nodes let a backend return. Normal.
pub const BACKEND_RETURNED: &str = "BackendReturned";
/// On a set: a backend's own node foresees that it fails, or sees it stand still. Warning.
pub const FAILURE_FORESEEN: &str = "FailureForeseen";
/// On a set: the wanted number of replicas changed. Normal.
pub const SCALE_HINT_CHANGED: &str = "ScaleHintChanged";
/// On a set: no backend serves. Warning.
pub const BACKENDS_GONE: &str = "BackendsGone";
/// On a policy: accepted for all its targets. Normal.
pub const POLICY_ACCEPTED: &str = "PolicyAccepted";
/// On a policy: not accepted for a target. Warning.
pub const POLICY_REFUSED: &str = "PolicyRefused";
/// On a policy: a change of it is tried on some nodes. Normal.
pub const ROLLOUT_STARTED: &str = "RolloutStarted";
/// On a policy: a change of it was taken back. Warning.
pub const ROLLOUT_HALTED: &str = "RolloutHalted";
/// On a policy: every node runs it. Normal.
pub const POLICY_PROGRAMMED: &str = "PolicyProgrammed";
/// On a node's object: its dataplane stopped being ready. Warning.
pub const NODE_DEGRADED: &str = "NodeDegraded";
/// On a node's object: its dataplane is ready again. Normal.
pub const NODE_READY: &str = "NodeReady";
/// On a node's object: its reports stop counting. Warning.
pub const NODE_DISTRUSTED: &str = "NodeDistrusted";
/// On a node's object: its reports count again. Normal.
pub const NODE_TRUSTED: &str = "NodeTrusted";

/// On a timeline only: a policy began to follow the set.
pub const SET_FOLLOWED: &str = "SetFollowed";
/// On a timeline only: another policy, another generation of it, or another mode is in force.
pub const POLICY_CHANGED: &str = "PolicyChanged";
/// On a timeline only: a backend serves again after none did.
pub const BACKENDS_BACK: &str = "BackendsBack";
/// On a timeline only: admission refuses more than before.
pub const ADMISSION_TIGHTENED: &str = "AdmissionTightened";
/// On a timeline only: admission refuses less than before.
pub const ADMISSION_RELAXED: &str = "AdmissionRelaxed";
/// On a timeline only: a policy lost a target, or a port of it, to another policy.
pub const CONFLICT_LOST: &str = "ConflictLost";
/// On a timeline only: a policy got back what another one had.
pub const CONFLICT_WON: &str = "ConflictWon";
/// On a timeline only: a policy no longer names or selects a target, or the target is gone.
pub const TARGET_GONE: &str = "TargetGone";
/// On a timeline only: a node refuses a policy.
pub const PLAN_REFUSED: &str = "PlanRefused";
/// On a timeline only: a change of a policy waits before its first node.
pub const ROLLOUT_WAITS: &str = "RolloutWaits";
/// On a timeline only: more nodes run a change of a policy.
pub const ROLLOUT_WIDENED: &str = "RolloutWidened";
/// On a timeline only: a person keeps a roll-out where it is.
pub const ROLLOUT_PAUSED: &str = "RolloutPaused";
/// On a timeline only: a roll-out that was paused may go on.
pub const ROLLOUT_RESUMED: &str = "RolloutResumed";
/// On a timeline only: a person took a change of a policy back.
pub const ROLLOUT_ABORTED: &str = "RolloutAborted";
/// On a timeline only: a roll-out ended well.
pub const ROLLOUT_FINISHED: &str = "RolloutFinished";
/// On a timeline only: a roll-out ended because the policy says something else now, or no longer has the set.
pub const ROLLOUT_DROPPED: &str = "RolloutDropped";
/// On a timeline only: a node was heard of for the first time.
pub const NODE_APPEARED: &str = "NodeAppeared";
/// On a timeline only: nothing new was heard of a node for so long that it stopped counting.
pub const NODE_SILENT: &str = "NodeSilent";
/// On a timeline only: a silent node was heard of again.
pub const NODE_RETURNED: &str = "NodeReturned";
/// On a timeline only: a node's kernel was booted anew.
pub const NODE_REBOOTED: &str = "NodeRebooted";
/// On a timeline only: another version of the agent runs on a node.
pub const AGENT_CHANGED: &str = "AgentChanged";
/// On a timeline only: the agent of a node was started anew.
pub const AGENT_RESTARTED: &str = "AgentRestarted";
/// On a timeline only: a node lost what a feature needs.
pub const CAPABILITY_LOST: &str = "CapabilityLost";
/// On a timeline only: a node has what a feature needs again.
pub const CAPABILITY_FOUND: &str = "CapabilityFound";
