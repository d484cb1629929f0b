//! A scenario file: the plant, its load and what breaks, in units that its field names carry.
//!
//! Why files: a claim is worth something only if anybody can bring the case that breaks it. The shipped ones are
//! compiled in; `--scenario` takes their name or a path. Invariant: a scenario that passed [`Scenario::check`] runs
//! without further questions. Left out: peers and seeds, which belong to the command line.

mod agent;
mod class;
mod client;
mod error;
mod fault;
mod gossip;
mod load;
mod memory;
mod rollout;
mod sharing;
mod shipped;
mod unseen;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use agent::{Agent, ClockStep, Death, Stall};
pub use client::{Caller, Client, Connections, Retries, Rogue};
pub use error::{ErrorCategory, ScenarioError};
pub use fault::{Fault, Kind, Target};
pub use gossip::{Gossip, Lie};
pub use load::{Closed, Load, LoadStep};
pub use memory::Memory;
pub use rollout::{Rollout, Step};
pub use sharing::Sharing;
pub use shipped::{names, shipped};
pub use unseen::unseen;

/// Version of the file format.
pub const VERSION: u32 = 1;
/// Most backends: what a slot table of the law can address is the law's matter, this bounds memory.
const MOST_BACKENDS: u32 = 4_096;
/// Most nodes: 1,000 nodes × 200 backends × one 64-byte record is 13 MB.
const MOST_NODES: u32 = 1_000;
/// Longest run: an hour at 24,000 requests a second is 10^8 records, 0.5 GB.
const LONGEST_MILLIS: u64 = 3_600_000;
/// Most faults of one file.
const MOST_FAULTS: usize = 64;

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Format version; 1.
    pub version: u32,
    /// Short name, such as S1.
    pub name: String,
    /// One sentence for the table.
    pub title: String,
    /// Length of the run, ms.
    pub duration_millis: u64,
    /// Requests that start before this are not counted, ms.
    #[serde(default)]
    pub warm_up_millis: u64,
    /// The window in which figures "in the fault" are taken, ms.
    pub window: Window,
    /// Nodes, each with an agent of its own, unless the command line says otherwise.
    #[serde(default = "ten")]
    pub nodes: u32,
    /// The backends.
    pub backends: Backends,
    /// How long work takes.
    pub service: Service,
    /// What is asked of the backends.
    pub load: Load,
    /// The clients.
    #[serde(default)]
    pub client: Client,
    /// The network.
    #[serde(default)]
    pub network: Network,
    /// The agents.
    #[serde(default)]
    pub agent: Agent,
    /// Who calls; by default one pod a node, of ordinary class.
    #[serde(default)]
    pub callers: Vec<Caller>,
    /// A calling pod that asks for more than its part.
    #[serde(default)]
    pub rogue: Option<Rogue>,
    /// What is judged, and so which rows take part.
    #[serde(default)]
    pub contest: Contest,
    /// Memory of the backends.
    #[serde(default)]
    pub memory: Option<Memory>,
    /// What breaks.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// A rolling update.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// How in-band reports travel.
    #[serde(default)]
    pub gossip: Gossip,
    /// Another Service on the same pods.
    #[serde(default)]
    pub sharing: Option<Sharing>,
    /// Zones: each node uses the backends of its own alone. Nodes and backends are dealt out to them in turn. Only rows
    /// that know zones take part.
    #[serde(default = "single")]
    pub zones: u32,
}

/// What a scenario is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contest {
    /// Where connections go: rows are balancers.
    #[default]
    Balance,
    /// Who may connect: rows are laws of admission.
    Admission,
}

const fn ten() -> u32 {
    10
}

const fn single() -> u32 {
    1
}

/// A span of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Start, ms.
    pub from_millis: u64,
    /// End, ms.
    pub to_millis: u64,
}

/// The backends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backends {
    /// How many, unless the command line says otherwise.
    pub count: u32,
    /// Requests that one serves at a time; the others wait in one queue.
    pub workers: u32,
    /// Speeds, repeated over the backends; 1 is ordinary.
    #[serde(default = "ordinary")]
    pub speeds: Vec<f64>,
}

fn ordinary() -> Vec<f64> {
    vec![1.0]
}

/// How long a request occupies a worker of speed 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Service {
    /// A normal distribution, cut off below at `least_millis`.
    Normal {
        /// Mean before the cut, ms.
        mean_millis: f64,
        /// Standard deviation before the cut, ms.
        sigma_millis: f64,
        /// Smaller draws count as this, ms.
        least_millis: f64,
    },
    /// Exponential.
    Exponential {
        /// Mean, ms.
        mean_millis: f64,
    },
    /// Always the same.
    Fixed {
        /// ms.
        millis: f64,
    },
    /// Uniform between two bounds.
    Uniform {
        /// ms.
        low_millis: f64,
        /// ms.
        high_millis: f64,
    },
}

/// The network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Delay one way, µs.
    pub one_way_micros: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { one_way_micros: 500 }
    }
}

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// # Errors
    /// What is wrong with the text, by field, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_yaml_ng::from_str(text).map_err(ScenarioError::Syntax)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Requests a second that the backends carry while nothing is wrong.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        let speeds = self.backends.speeds.iter().copied().cycle();
        let count = usize::try_from(self.backends.count).unwrap_or(0);
        let speed: f64 = speeds.take(count).sum();
        speed * f64::from(self.backends.workers) / (self.service.mean() / 1e3)
    }

    /// Requests a second of all nodes together, at the load's own rate.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.load.per_backend_second * f64::from(self.backends.count)
    }

    /// Whether `node` may use `backend`: both are of one zone.
    #[must_use]
    pub fn reaches(&self, node: u32, backend: u32) -> bool {
        node % self.zones == backend % self.zones
    }

    /// Whether every number makes sense.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), ScenarioError> {
        if self.version != VERSION {
            return Err(ScenarioError::Version {
                found: self.version,
                expected: VERSION,
            });
        }
        range(
            "duration_millis",
            self.duration_millis as f64,
            1.0,
            LONGEST_MILLIS as f64,
        )?;
        range(
            "warm_up_millis",
            self.warm_up_millis as f64,
            0.0,
            (self.duration_millis - 1) as f64,
        )?;
        range(
            "window.to_millis",
            self.window.to_millis as f64,
            1.0,
            self.duration_millis as f64,
        )?;
        range(
            "window.from_millis",
            self.window.from_millis as f64,
            0.0,
            (self.window.to_millis - 1) as f64,
        )?;
        self.check_parts()?;
        self.service.check()?;
        range(
            "faults (number of)",
            self.faults.len() as f64,
            0.0,
            MOST_FAULTS as f64,
        )?;
        self.gossip.check(self.duration_millis)?;
        if let Some(rollout) = &self.rollout {
            rollout.check(self.duration_millis)?;
        }
        self.faults
            .iter()
            .try_for_each(|fault| fault.check(self.duration_millis))
    }

    /// Ranges of nodes, backends, load, clients, network and agents.
    fn check_parts(&self) -> Result<(), ScenarioError> {
        range("nodes", f64::from(self.nodes), 1.0, f64::from(MOST_NODES))?;
        range(
            "backends.count",
            f64::from(self.backends.count),
            1.0,
            f64::from(MOST_BACKENDS),
        )?;
        range("backends.workers", f64::from(self.backends.workers), 1.0, 1e4)?;
        range(
            "backends.speeds (number of)",
            self.backends.speeds.len() as f64,
            1.0,
            f64::from(MOST_BACKENDS),
        )?;
        for &speed in &self.backends.speeds {
            range("backends.speeds", speed, 1e-3, 1e3)?;
        }
        self.load.check(self.duration_millis)?;
        self.client.check()?;
        client::check(&self.callers, self.rogue.as_ref(), self.duration_millis)?;
        range(
            "network.one_way_micros",
            self.network.one_way_micros as f64,
            0.0,
            1e6,
        )?;
        self.agent.check(self.duration_millis)?;
        if let Some(memory) = &self.memory {
            memory.check(self.duration_millis)?;
        }
        if let Some(sharing) = &self.sharing {
            sharing.check(self.duration_millis)?;
        }
        // A rolling update tells all nodes of every backend.
        let most = if self.rollout.is_some() {
            1
        } else {
            self.backends.count
        };
        range("zones", f64::from(self.zones), 1.0, f64::from(most))
    }
}

impl Service {
    /// Mean, ms, the cut of a normal distribution included.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Normal {
                mean_millis,
                sigma_millis,
                least_millis,
            } => {
                if sigma_millis <= 0.0 {
                    return mean_millis.max(least_millis);
                }
                let a = (least_millis - mean_millis) / sigma_millis;
                let below = 0.5 * (1.0 + libm::erf(a / std::f64::consts::SQRT_2));
                let density = libm::exp(-a * a / 2.0) / libm::sqrt(std::f64::consts::TAU);
                least_millis * below + mean_millis * (1.0 - below) + sigma_millis * density
            }
            Self::Exponential { mean_millis } => mean_millis,
            Self::Fixed { millis } => millis,
            Self::Uniform {
                low_millis,
                high_millis,
            } => f64::midpoint(low_millis, high_millis),
        }
    }

    fn check(&self) -> Result<(), ScenarioError> {
        match *self {
            Self::Normal {
                mean_millis,
                sigma_millis,
                least_millis,
            } => {
                range("service.mean_millis", mean_millis, 1e-3, 1e6)?;
                range("service.sigma_millis", sigma_millis, 0.0, 1e6)?;
                range("service.least_millis", least_millis, 0.0, 1e6)
            }
            Self::Exponential { mean_millis } => range("service.mean_millis", mean_millis, 1e-3, 1e6),
            Self::Fixed { millis } => range("service.millis", millis, 1e-3, 1e6),
            Self::Uniform {
                low_millis,
                high_millis,
            } => {
                range("service.high_millis", high_millis, 1e-3, 1e6)?;
                range("service.low_millis", low_millis, 0.0, high_millis)
            }
        }
    }
}

/// `value` must lie between the bounds; NaN does not.
fn range(field: &'static str, value: f64, least: f64, most: f64) -> Result<(), ScenarioError> {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err(ScenarioError::Range {
            field,
            value,
            least,
            most,
        })
    }
}
