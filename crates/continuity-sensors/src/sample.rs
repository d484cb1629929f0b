//! What the sensors say of one moment. A signal is unread, known, or missing with its cause; there is no default value.

use crate::{Layout, Level, PodId, Pressure, SensorError, Throughput};

/// One signal's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// Not read yet.
    #[default]
    Unread,
    /// Read.
    Known(T),
    /// Not to be had, and why.
    Missing(SensorError),
}

impl<T> Reading<T> {
    /// The value, where there is one.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unread | Self::Missing(_) => None,
        }
    }

    /// Why it is missing.
    pub const fn missing(&self) -> Option<&SensorError> {
        match self {
            Self::Missing(error) => Some(error),
            Self::Unread | Self::Known(_) => None,
        }
    }
}

impl<T> From<Result<T, SensorError>> for Reading<T> {
    fn from(result: Result<T, SensorError>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) => Self::Missing(error),
        }
    }
}

/// Something that runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Open files of the node.
    Descriptors,
    /// Tracked connections.
    Conntrack,
    /// Threads.
    Threads,
}

impl Resource {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Descriptors, Self::Conntrack, Self::Threads];

    /// Name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory_bytes",
            Self::Descriptors => "descriptors",
            Self::Conntrack => "conntrack_entries",
            Self::Threads => "threads",
        }
    }
}

/// A signal of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Stall for CPU, memory and I/O.
    Pressure,
    /// Memory.
    Memory,
    /// Open files.
    Descriptors,
    /// Tracked connections.
    Conntrack,
    /// Threads.
    Threads,
    /// Cgroup hierarchies with the pods' limits.
    Cgroups,
}

impl Signal {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Pressure,
        Self::Memory,
        Self::Descriptors,
        Self::Conntrack,
        Self::Threads,
        Self::Cgroups,
    ];

    /// Name in metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pressure => "PressureStall",
            Self::Memory => "NodeMemory",
            Self::Descriptors => "OpenFiles",
            Self::Conntrack => "Conntrack",
            Self::Threads => "Threads",
            Self::Cgroups => "PodCgroups",
        }
    }

    /// What it needs of the node.
    #[must_use]
    pub const fn needs(self) -> &'static str {
        match self {
            Self::Pressure => "CONFIG_PSI, not switched off by psi=0: /proc/pressure",
            Self::Memory => "MemAvailable in /proc/meminfo",
            Self::Descriptors => "/proc/sys/fs/file-nr and nr_open",
            Self::Conntrack => "nf_conntrack loaded: /proc/sys/net/netfilter/nf_conntrack_count and _max",
            Self::Threads => "/proc/loadavg and /proc/sys/kernel/threads-max",
            Self::Cgroups => "cgroup v2, or v1 with the memory controller, mounted for reading",
        }
    }
}

/// The node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSample {
    /// The instant that the caller named last, ns.
    pub at: u64,
    /// Stall for CPU.
    pub cpu: Reading<Pressure>,
    /// Stall for memory.
    pub memory_stall: Reading<Pressure>,
    /// Stall for I/O.
    pub io: Reading<Pressure>,
    /// Memory, bytes.
    pub memory: Reading<Level>,
    /// Open files of all processes.
    pub descriptors: Reading<Level>,
    /// Most open files that one process can be allowed.
    pub descriptors_per_process: Reading<u64>,
    /// Tracked connections of the reader's network namespace.
    pub conntrack: Reading<Level>,
    /// Threads.
    pub threads: Reading<Level>,
    /// Where the cgroups are.
    pub layout: Reading<Layout>,
    /// The pods that are watched, in the order they were named.
    pub pods: Vec<PodSample>,
    /// Pods that were named beyond the bound and are not watched.
    pub pods_left_out: usize,
}

impl NodeSample {
    /// The reading of a resource.
    #[must_use]
    pub const fn level(&self, resource: Resource) -> &Reading<Level> {
        match resource {
            Resource::Memory => &self.memory,
            Resource::Descriptors => &self.descriptors,
            Resource::Conntrack => &self.conntrack,
            Resource::Threads => &self.threads,
        }
    }

    /// Stalls by what was waited for.
    #[must_use]
    pub const fn stalls(&self) -> [(&'static str, &Reading<Pressure>); 3] {
        [
            ("cpu", &self.cpu),
            ("memory", &self.memory_stall),
            ("io", &self.io),
        ]
    }

    /// Why a signal is missing, if it is: `Some(None)` where it is there, `None` where nothing was read yet.
    #[must_use]
    pub fn lacks(&self, signal: Signal) -> Option<Option<&SensorError>> {
        fn of<T>(reading: &Reading<T>) -> Option<Option<&SensorError>> {
            match reading {
                Reading::Unread => None,
                Reading::Known(_) => Some(None),
                Reading::Missing(error) => Some(Some(error)),
            }
        }
        match signal {
            Signal::Pressure => of(&self.cpu),
            Signal::Memory => of(&self.memory),
            Signal::Descriptors => of(&self.descriptors),
            Signal::Conntrack => of(&self.conntrack),
            Signal::Threads => of(&self.threads),
            Signal::Cgroups => of(&self.layout),
        }
    }
}

/// One watched pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSample {
    /// Which.
    pub id: PodId,
    /// Memory in use without what the kernel can drop, bytes, of the pod or of that container of it that is nearest to its
    /// own limit.
    pub memory: Reading<Level>,
    /// CPU time and quota.
    pub cpu: Reading<Throughput>,
    /// Processes and threads.
    pub processes: Reading<Level>,
    /// Stall for CPU.
    pub cpu_stall: Reading<Pressure>,
    /// Stall for memory.
    pub memory_stall: Reading<Pressure>,
    /// Stall for I/O.
    pub io_stall: Reading<Pressure>,
}

impl PodSample {
    /// A pod of which nothing was read.
    pub(crate) const fn new(id: PodId) -> Self {
        Self {
            id,
            memory: Reading::Unread,
            cpu: Reading::Unread,
            processes: Reading::Unread,
            cpu_stall: Reading::Unread,
            memory_stall: Reading::Unread,
            io_stall: Reading::Unread,
        }
    }
}
