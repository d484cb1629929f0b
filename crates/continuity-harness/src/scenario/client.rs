//! The clients: patience, retries, kept connections, who calls and what it is worth.

use continuity_field::admission::Class;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, class, range};

/// Most attempts after the first.
const MOST_RETRIES: u32 = 16;
/// Most kinds of callers: a kind for each class, and as many again for rogues.
const MOST_CALLERS: usize = 10;
/// Most pods of one kind on a node; 1,000 nodes × 10 kinds × 100 pods × 8 bytes are 8 MB.
const MOST_PODS: u32 = 100;

/// The clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Gives up after this long, ms. The server does not notice and works on.
    pub timeout_millis: u64,
    /// What it does after a failure; nothing by default.
    #[serde(default)]
    pub retries: Option<Retries>,
    /// Connections that carry more than one request; by default each carries one.
    #[serde(default)]
    pub connections: Option<Connections>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            timeout_millis: 5_000,
            retries: None,
            connections: None,
        }
    }
}

/// Retries after a refusal, a reset or a time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Attempts after the first.
    pub most: u32,
    /// Wait before the first retry, ms; doubles with each, half to all of it by chance.
    pub backoff_millis: u64,
    /// Retries that a node's clients allow themselves, permille of first attempts; without it as many as they like.
    #[serde(default)]
    pub budget_permille: Option<u32>,
}

/// Connections that are kept. The balancer decides about connections; requests on them are out of its reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// Requests that one carries before it is closed.
    pub requests: u32,
    /// Requests that one carries at the same time: 1 = HTTP/1.1, 100 = HTTP/2.
    pub streams: u32,
    /// Connections that a node's clients keep; with fewer, or all busy, another is opened.
    pub pool: u32,
}

/// Callers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// Its class.
    #[serde(with = "class")]
    #[schemars(schema_with = "class::schema")]
    pub level: Class,
    /// Its part of the load, permille; all kinds together make 1000.
    pub permille: u32,
    /// What an answer is worth, in any unit.
    #[serde(default = "one")]
    pub value: f64,
    /// Calling pods on each node, alike.
    #[serde(default = "single")]
    pub pods: u32,
}

const fn one() -> f64 {
    1.0
}

const fn single() -> u32 {
    1
}

/// One calling pod that asks for more than its part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rogue {
    /// Which kind of caller, counted from 0; its first pod on the first node.
    pub caller: u32,
    /// Multiple of what it asked before.
    pub factor: f64,
    /// From, ms.
    pub from_millis: u64,
    /// To, ms.
    pub to_millis: u64,
}

impl Client {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        range("client.timeout_millis", self.timeout_millis as f64, 1.0, 3.6e6)?;
        if let Some(retries) = &self.retries {
            range(
                "client.retries.most",
                f64::from(retries.most),
                1.0,
                f64::from(MOST_RETRIES),
            )?;
            range(
                "client.retries.backoff_millis",
                retries.backoff_millis as f64,
                0.0,
                60_000.0,
            )?;
            let budget = retries.budget_permille.unwrap_or(0);
            range("client.retries.budget_permille", f64::from(budget), 0.0, 1e4)?;
        }
        let Some(kept) = &self.connections else {
            return Ok(());
        };
        range("client.connections.requests", f64::from(kept.requests), 1.0, 1e6)?;
        range("client.connections.streams", f64::from(kept.streams), 1.0, 1e3)?;
        range("client.connections.pool", f64::from(kept.pool), 1.0, 1e3)
    }
}

/// Checks the callers, and the rogue among them.
pub(super) fn check(callers: &[Caller], rogue: Option<&Rogue>, duration: u64) -> Result<(), ScenarioError> {
    range(
        "callers (number of)",
        callers.len() as f64,
        0.0,
        MOST_CALLERS as f64,
    )?;
    for caller in callers {
        range("callers.permille", f64::from(caller.permille), 1.0, 1e3)?;
        range("callers.value", caller.value, 0.0, 1e6)?;
        range("callers.pods", f64::from(caller.pods), 1.0, f64::from(MOST_PODS))?;
    }
    if !callers.is_empty() {
        let sum: u32 = callers.iter().map(|caller| caller.permille).sum();
        range("callers.permille (sum)", f64::from(sum), 1e3, 1e3)?;
    }
    let Some(rogue) = rogue else { return Ok(()) };
    let most = callers.len().saturating_sub(1) as f64;
    range("rogue.caller", f64::from(rogue.caller), 0.0, most)?;
    range("rogue.factor", rogue.factor, 1.0, 1e4)?;
    range("rogue.to_millis", rogue.to_millis as f64, 1.0, duration as f64)?;
    range(
        "rogue.from_millis",
        rogue.from_millis as f64,
        0.0,
        (rogue.to_millis - 1) as f64,
    )
}
