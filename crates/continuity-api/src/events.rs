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
