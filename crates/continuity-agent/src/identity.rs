//! Who and where this agent is: facts that hold for the life of the process.

use std::fs;

use continuity_api::Time;

/// Boot id of the running kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Release of the running kernel.
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// The zone of this node, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// The Node was not read yet.
    #[default]
    Unread,
    /// Its label, if it has one.
    Known(Option<String>),
}

impl Zone {
    /// Name of the zone.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Unread => None,
            Self::Known(name) => name.as_deref(),
        }
    }
}

/// Facts about the node and the agent.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the node.
    pub node: String,
    /// Zone of the node, once its Node object was read.
    pub zone: Option<String>,
    /// UID of the Node object, for the owner reference.
    pub node_uid: Option<String>,
    /// Boot id.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// Start of the agent.
    pub started: Time,
    /// Generation of the ContinuityNode.
    pub generation: Option<i64>,
}

impl Identity {
    /// The facts that need no API server.
    #[must_use]
    pub fn of(node: &str, started: Time) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            node: node.to_owned(),
            zone: None,
            node_uid: None,
            boot_id: read(BOOT_ID),
            kernel: read(RELEASE),
            started,
            generation: None,
        }
    }
}
