//! `explain`: one screen that says what happens with a Service's traffic, why, what was done, how it stands, what comes
//! next and what a person can do; and for a policy or a node, what happened to it and how it stands.
//!
//! `facts` reads the API, `account` turns facts and a moment into an [`Account`] and is pure, `text` writes it; `story` is
//! the same for a policy or node. Every
//! figure on the screen comes from an object in the API or is arithmetic over such figures that the code shows; nothing
//! is guessed, and what cannot be seen is said.

mod absence;
mod account;
mod facts;
mod sick;
mod story;
mod text;

#[cfg(test)]
mod tests;

pub use absence::Absence;
pub use account::{Account, account};
pub use facts::{Facts, NodeView, Target};
pub use story::Story;
pub use text::text;

use crate::error::Error;
use crate::session::Session;
use crate::snapshot::Snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// The moment of the question, and the zone in which clock times are written.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// Where the reader's wall clock hangs.
    pub zone: TimeZone,
}

/// What `explain` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of each set of a Service, the worst first.
    Sets(Vec<Account>),
    /// Of a policy or a node.
    Story(Box<Story>),
}

impl Answer {
    /// As one screen of text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Sets(accounts) => text(accounts),
            Self::Story(story) => story.text(),
        }
    }
}

/// Explains the target.
///
/// # Errors
/// The target cannot be read, does not exist, has no policy, or the API server refuses.
pub async fn run(session: &Session, target: &str, clock: &Clock) -> Result<Answer, Error> {
    let target: Target = target.parse()?;
    match &target {
        Target::Policy(name) => story::policy(session, name, clock).await.map(told),
        Target::Node(name) => story::node(session, name, clock).await.map(told),
        Target::Service { .. } | Target::Set(_) => {
            let facts = facts::gather(session, &target).await?;
            Ok(Answer::Sets(accounts(&facts, clock)))
        }
    }
}

fn told(story: Story) -> Answer {
    Answer::Story(Box::new(story))
}

/// The name of the one set of the target, and how each node sees it.
///
/// # Errors
/// As [`run`], or the target has several sets.
pub async fn one(session: &Session, target: &Target) -> Result<(String, Vec<NodeView>), Error> {
    let mut facts = facts::gather(session, target).await?;
    let ports: Vec<String> = facts.iter().map(|one| one.set.spec.port.label.clone()).collect();
    match (facts.pop(), facts.is_empty()) {
        (Some(only), true) => Ok((only.set.metadata.name.unwrap_or_default(), only.nodes)),
        _ => Err(Error::Record(format!(
            "the Service has a set for each of {}: name one port, as in svc/NAME:PORT",
            ports.join(", ")
        ))),
    }
}

/// The same from a snapshot.
///
/// # Errors
/// The target cannot be read, or the snapshot does not have it.
pub fn from_snapshot(
    snapshot: Snapshot,
    namespace: &str,
    target: &str,
    clock: &Clock,
) -> Result<Answer, Error> {
    let target: Target = target.parse()?;
    match &target {
        Target::Policy(name) => story::kept_policy(&snapshot, namespace, name, clock).map(told),
        Target::Node(name) => story::kept_node(&snapshot, name, clock).map(told),
        Target::Service { .. } | Target::Set(_) => {
            let facts = facts::of_snapshot(snapshot, namespace, &target)?;
            Ok(Answer::Sets(accounts(&facts, clock)))
        }
    }
}

fn accounts(facts: &[Facts], clock: &Clock) -> Vec<Account> {
    let mut accounts: Vec<Account> = facts.iter().map(|facts| account(facts, clock)).collect();
    accounts.sort_by(|a, b| (b.regime, a.port_number).cmp(&(a.regime, b.port_number)));
    accounts
}
