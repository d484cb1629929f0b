//! One command takes everything away and proves it.
//!
//! Order matters and is the invariant here: the operator first (nothing is planned any more), then the agents (nothing
//! is projected any more; from here on the kernel holds, then passes connects through to the VIP), then every node is
//! cleaned by a short-lived pod whose exit code and report are the proof, and only when every node is clean the API
//! side goes. A node that cannot be cleaned stops the removal while everything needed to try again is still there.
//! Left out: workloads, Services and HorizontalPodAutoscalers, which Continuity never owned.

mod ground;
mod proof;
mod removal;
mod sweep;

pub use proof::{Leftover, NodeProof, Proof};

use crate::error::Error;
use crate::session::Session;
use std::io::Write as _;
use std::time::Duration;

/// What the command line asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Do not ask.
    pub yes: bool,
    /// Keep the CRDs and the ContinuityPolicies.
    pub keep_crds: bool,
    /// Go on although a node that is not Ready could not be cleaned.
    pub ignore_unreachable: bool,
    /// Image for the cleaning pods, if no DaemonSet names one.
    pub agent_image: Option<String>,
    /// Longest wait for one step.
    pub timeout: Duration,
}

/// Removes Continuity and returns the proof; `say` hears each step as it begins.
///
/// # Errors
/// The question was declined, a node stayed unclean, a wait ended, or the API server refused.
pub async fn run(session: &Session, wish: &Wish, say: impl Fn(&str)) -> Result<Proof, Error> {
    let scene = removal::look(session).await?;
    let noted = ground::recall(scene.namespace.as_ref());
    let template = sweep::template(session, wish.agent_image.as_deref(), noted.as_deref()).await?;
    if !wish.yes {
        confirm(&scene.question(wish.keep_crds))?;
    }
    let image = ground::image(&template).unwrap_or_default();
    ground::prepare(session, &image, wish.timeout).await?;
    say("removing the operator: no new plans");
    removal::operator(session, wish.timeout).await?;
    say("removing the agents: nothing is projected any more");
    removal::agents(session, &scene.ready, wish.timeout).await?;
    say(&format!("cleaning {}", scene.nodes()));
    let nodes = sweep::all(session, &template, &scene, wish.timeout).await?;
    let unclean: Vec<NodeProof> = nodes
        .iter()
        .filter(|node| !node.clean && (node.ready || !wish.ignore_unreachable))
        .cloned()
        .collect();
    if !unclean.is_empty() {
        return Err(Error::Unclean(Leftover { nodes: unclean }));
    }
    say("removing the API objects, roles, admission policy and namespace");
    let (removed, kept) = removal::objects(session, wish).await?;
    Ok(Proof { nodes, removed, kept })
}

fn confirm(question: &str) -> Result<(), Error> {
    let terminal = |source| Error::File {
        what: "the terminal".to_owned(),
        source,
    };
    let mut out = std::io::stderr();
    write!(out, "{question}Type `yes` to go on: ").map_err(terminal)?;
    out.flush().map_err(terminal)?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(terminal)?;
    if line.trim() == "yes" {
        Ok(())
    } else {
        Err(Error::Declined)
    }
}
