//! `explain`: one screen that says what happens with a Service's traffic, why, what was done, how it stands, what comes
//! next and what a person can do.
//!
//! `facts` reads the API, `account` turns facts and a moment into an [`Account`] and is pure, `text` writes it. Every
//! figure on the screen comes from an object in the API or is arithmetic over such figures that the code shows; nothing
//! is guessed, and what cannot be seen is said.

mod absence;
mod account;
mod facts;
mod sick;
mod text;

#[cfg(test)]
mod tests;

pub use absence::Absence;
pub use account::{Account, account};
pub use facts::{Facts, NodeView, Target};
pub use text::text;

use crate::error::Error;
use crate::session::Session;
use crate::snapshot::Snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The moment of the question, and the zone in which clock times are written.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// Where the reader's wall clock hangs.
    pub zone: TimeZone,
}

/// Explains every set of the target, the worst first.
///
/// # Errors
/// The target cannot be read, does not exist, has no policy, or the API server refuses.
pub async fn run(session: &Session, target: &str, clock: &Clock) -> Result<Vec<Account>, Error> {
    let target: Target = target.parse()?;
    let facts = facts::gather(session, &target).await?;
    Ok(accounts(&facts, clock))
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
/// The target cannot be read, or the snapshot has no set of it.
pub fn from_snapshot(
    snapshot: Snapshot,
    namespace: &str,
    target: &str,
    clock: &Clock,
) -> Result<Vec<Account>, Error> {
    let target: Target = target.parse()?;
    Ok(accounts(
        &facts::of_snapshot(snapshot, namespace, &target)?,
        clock,
    ))
}

fn accounts(facts: &[Facts], clock: &Clock) -> Vec<Account> {
    let mut accounts: Vec<Account> = facts.iter().map(|facts| account(facts, clock)).collect();
    accounts.sort_by(|a, b| (b.regime, a.port_number).cmp(&(a.regime, b.port_number)));
    accounts
}
