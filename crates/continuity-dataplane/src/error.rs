//! What can go wrong between user space and the maps.

use std::{io, path::PathBuf};

use crate::SetId;

/// An error of the dataplane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No cgroup v2 hierarchy is mounted.
    #[error("no cgroup v2 hierarchy in {}: mount one (`mount -t cgroup2 none /sys/fs/cgroup`) and restart the agent", .mountinfo.display())]
    NoCgroup {
        /// The mountinfo that was read.
        mountinfo: PathBuf,
    },
    /// The pin directory is not on a bpffs.
    #[error("{} is not on a bpf file system: mount one (`mount -t bpf bpf /sys/fs/bpf`) and restart the agent", .path.display())]
    NoBpffs {
        /// The directory for the pins.
        path: PathBuf,
    },
    /// Pins of another layout are in the way.
    #[error("{} holds maps of schema {found}, this agent speaks {expected}: run the agent of that schema, or `kubectl continuity uninstall` on this node and restart", .path.display())]
    Schema {
        /// The pin.
        path: PathBuf,
        /// Schema of the pins.
        found: u32,
        /// [`crate::wire::SCHEMA_VERSION`].
        expected: u32,
    },
    /// A pinned map has another shape than its schema says.
    #[error("{} has {what} {found}, expected {expected}: it was not made by this schema; `kubectl continuity uninstall` on this node removes it", .path.display())]
    Layout {
        /// The pin.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Figure of the pinned map.
        found: u32,
        /// Figure of the schema.
        expected: u32,
    },
    /// Another process is the writer.
    #[error("another agent holds {}: one node has one writer; end that one first", .path.display())]
    Busy {
        /// The directory that it holds.
        path: PathBuf,
    },
    /// The kernel refused the object or a program.
    #[error("the kernel refused program {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why.
        source: Box<aya::programs::ProgramError>,
    },
    /// The object could not be loaded.
    #[error("the kernel refused the maps: {}", causes(.0.as_ref()))]
    Object(#[from] Box<aya::EbpfError>),
    /// Something that was asked for by name.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// A system call failed.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A bpf(2) call failed.
    #[error("bpf({command}) on {object}: {source}")]
    Bpf {
        /// The command.
        command: &'static str,
        /// Map, program or link.
        object: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A hook is not where it was put.
    #[error("hook {hook} is not live: {why}")]
    NotLive {
        /// The hook.
        hook: &'static str,
        /// What the kernel said.
        why: &'static str,
    },
    /// The set is not in the maps.
    #[error("set {0} is not in the maps: reconcile it first")]
    UnknownSet(SetId),
    /// A field names a backend that its set does not have.
    #[error("the field of set {set} names backend {backend}, which the set does not have")]
    ForeignBackend {
        /// The set.
        set: SetId,
        /// The index.
        backend: u32,
    },
    /// What the law wants to keep is too large.
    #[error("{length} bytes of learned state for set {set}, at most {capacity} fit")]
    LearnedTooLong {
        /// The set.
        set: SetId,
        /// Its length.
        length: usize,
        /// What fits.
        capacity: usize,
    },
    /// The field may not change while the agent counts as silent.
    #[error(
        "the heartbeat is {age_millis} ms old, past HOLD, and one late field is already waiting: call heartbeat() before publish()"
    )]
    Frozen {
        /// Age of the heartbeat.
        age_millis: u64,
    },
    /// An index beyond a map's end.
    #[error("map {map} has no element {index}")]
    OutOfRange {
        /// The map.
        map: &'static str,
        /// The index.
        index: u32,
    },
    /// Something is left after an uninstall.
    #[error("after uninstall {} is still there", .path.display())]
    LeftBehind {
        /// What is left.
        path: PathBuf,
    },
}

/// What an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The node lacks something; a person has to change it. Traffic goes through kube-proxy meanwhile.
    Node,
    /// The maps belong to another version.
    Version,
    /// The caller asked for something that is not there.
    Caller,
    /// The kernel refused what it took before; trying again may help.
    Kernel,
}

impl Error {
    /// What the error calls for.
    #[must_use]
    pub fn category(&self) -> Category {
        match self {
            Self::NoCgroup { .. } | Self::NoBpffs { .. } => Category::Node,
            Self::Schema { .. } | Self::Layout { .. } => Category::Version,
            Self::UnknownSet(_) | Self::ForeignBackend { .. } | Self::LearnedTooLong { .. } => {
                Category::Caller
            }
            Self::Frozen { .. } | Self::OutOfRange { .. } => Category::Caller,
            Self::Program { .. }
            | Self::Object(_)
            | Self::Missing(_)
            | Self::Io { .. }
            | Self::Bpf { .. }
            | Self::NotLive { .. }
            | Self::Busy { .. }
            | Self::LeftBehind { .. } => Category::Kernel,
        }
    }
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.ends_with(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}
