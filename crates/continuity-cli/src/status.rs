//! `status`: sets, nodes, agents and operator on one screen.

use crate::error::Error;
use crate::output::columns;
use crate::session::Session;
use crate::survey::{NodeLine, Replicas, Seen, Survey, survey};
use continuity_api::EquivalenceSet;
use continuity_api::node::{DataplaneState, FailsafeState, Regime};
use continuity_api::policy::Mode;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

/// Nodes shown to a person; the rest is counted, and JSON has them all.
const NODES: usize = 12;

/// The overview.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// `2/2 ready, NAME leads`.
    pub operator: String,
    /// `3/3 ready`.
    pub agents: String,
    /// Sets, worst first.
    pub sets: Vec<SetRow>,
    /// Nodes, worst first.
    pub nodes: Vec<NodeRow>,
    /// What could not be read.
    pub unread: Vec<String>,
}

/// One set.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetRow {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Service and port, as `checkout:http`.
    pub service: String,
    /// Observe or Enforce.
    pub mode: Mode,
    /// `ready/total`.
    pub backends: String,
    /// Isolated backends.
    pub isolated: i32,
    /// Worst regime that counts.
    pub regime: Regime,
    /// When it began.
    pub since: Option<Timestamp>,
    /// Wanted replicas.
    pub hint: String,
    /// Share of new connections that pass the hook.
    pub reach: String,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Name.
    pub name: String,
    /// State of the kernel side.
    pub dataplane: DataplaneState,
    /// What the kernel says of the heartbeat.
    pub failsafe: FailsafeState,
    /// Worst regime of any set.
    pub regime: Regime,
    /// Sets that it carries.
    pub sets: i32,
    /// Version of the agent.
    pub agent: String,
    /// Kernel release.
    pub kernel: String,
}

/// Looks and sums up.
///
/// # Errors
/// The API server does not answer.
pub async fn run(session: &Session, all_namespaces: bool) -> Result<Overview, Error> {
    let namespace = (!all_namespaces).then_some(session.namespace.as_str());
    Ok(overview(&survey(session, namespace).await?))
}

/// Sums up what was seen.
#[must_use]
pub fn overview(survey: &Survey) -> Overview {
    let mut unread = Vec::new();
    let mut sets: Vec<SetRow> = taken(&survey.sets, "sets", &mut unread)
        .iter()
        .map(set_row)
        .collect();
    sets.sort_by(|a, b| (b.regime, &a.namespace, &a.name).cmp(&(a.regime, &b.namespace, &b.name)));
    let mut nodes: Vec<NodeRow> = taken(&survey.nodes, "nodes", &mut unread)
        .iter()
        .map(node_row)
        .collect();
    nodes.sort_by(|a, b| (healthy(a), &a.name).cmp(&(healthy(b), &b.name)));
    Overview {
        operator: operator(survey),
        agents: agents(survey),
        sets,
        nodes,
        unread,
    }
}

fn taken<'a, T>(seen: &'a Seen<Vec<T>>, what: &str, unread: &mut Vec<String>) -> &'a [T] {
    match seen {
        Ok(list) => list,
        Err(why) => {
            unread.push(format!("{what}: {why}"));
            &[]
        }
    }
}

fn healthy(node: &NodeRow) -> bool {
    node.dataplane == DataplaneState::Attached && node.failsafe == FailsafeState::Normal
}

fn operator(survey: &Survey) -> String {
    let deployment = match &survey.operator {
        Ok(Some(deployment)) => deployment,
        Ok(None) => return "not installed".to_owned(),
        Err(why) => return why.clone(),
    };
    let Replicas { wanted, ready } = Replicas::of(deployment);
    let lease = survey.lease.as_ref().ok().and_then(Option::as_ref);
    let holder = lease
        .and_then(|lease| lease.spec.as_ref()?.holder_identity.clone())
        .filter(|name| !name.is_empty());
    match holder {
        Some(holder) => format!("{ready}/{wanted} ready, {holder} leads"),
        None => format!("{ready}/{wanted} ready, nobody leads"),
    }
}

fn agents(survey: &Survey) -> String {
    match &survey.agents {
        Ok(Some(set)) => {
            let status = set.status.clone().unwrap_or_default();
            format!(
                "{}/{} ready",
                status.number_ready, status.desired_number_scheduled
            )
        }
        Ok(None) => "not installed".to_owned(),
        Err(why) => why.clone(),
    }
}

fn set_row(set: &EquivalenceSet) -> SetRow {
    let status = set.status.clone().unwrap_or_default();
    SetRow {
        namespace: set.namespace().unwrap_or_default(),
        name: set.name_any(),
        service: format!("{}:{}", set.spec.service.name, set.spec.port.label),
        mode: set.spec.mode,
        backends: status.backends.summary,
        isolated: status.backends.isolated,
        regime: status.regime,
        since: status.regime_since.map(|time| time.0),
        hint: status.scale_hint.map(|hint| hint.summary).unwrap_or_default(),
        reach: status.reach.summary,
    }
}

fn node_row(node: &NodeLine) -> NodeRow {
    NodeRow {
        name: node.name.clone(),
        dataplane: node.dataplane.state,
        failsafe: node.dataplane.failsafe,
        regime: node.regime,
        sets: node.sets,
        agent: node.version.clone(),
        kernel: node.kernel.clone(),
    }
}

/// For a person.
#[must_use]
pub fn text(overview: &Overview, now: Timestamp) -> String {
    let mut text = format!("operator  {}\nagents    {}\n", overview.operator, overview.agents);
    for line in &overview.unread {
        text.push_str(&format!("not read  {line}\n"));
    }
    format!(
        "{text}\n{}\n{}",
        sets(&overview.sets, now),
        nodes(&overview.nodes)
    )
}

fn or_dash(cell: &str) -> String {
    if cell.is_empty() {
        "-".to_owned()
    } else {
        cell.to_owned()
    }
}

fn sets(sets: &[SetRow], now: Timestamp) -> String {
    if sets.is_empty() {
        return "No equivalence sets: no ContinuityPolicy is about a Service here. -A looks in all namespaces.\n"
            .to_owned();
    }
    let head = [
        "NAMESPACE",
        "SERVICE",
        "MODE",
        "BACKENDS",
        "ISOLATED",
        "REGIME",
        "SINCE",
        "HINT",
        "REACH",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(sets.iter().map(|set| {
        let since = set
            .since
            .map(|at| crate::number::span(now.as_second() - at.as_second()));
        vec![
            set.namespace.clone(),
            set.service.clone(),
            format!("{:?}", set.mode),
            or_dash(&set.backends),
            set.isolated.to_string(),
            format!("{:?}", set.regime),
            or_dash(&since.unwrap_or_default()),
            or_dash(&set.hint),
            or_dash(&set.reach),
        ]
    }));
    columns(&rows)
}

fn nodes(nodes: &[NodeRow]) -> String {
    if nodes.is_empty() {
        return "No node has reported.\n".to_owned();
    }
    let head = [
        "NODE",
        "DATAPLANE",
        "FAILSAFE",
        "REGIME",
        "SETS",
        "AGENT",
        "KERNEL",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(nodes.iter().take(NODES).map(|node| {
        vec![
            node.name.clone(),
            format!("{:?}", node.dataplane),
            format!("{:?}", node.failsafe),
            format!("{:?}", node.regime),
            node.sets.to_string(),
            or_dash(&node.agent),
            or_dash(&node.kernel),
        ]
    }));
    let mut text = columns(&rows);
    if let Some(rest) = nodes.len().checked_sub(NODES).filter(|rest| *rest > 0) {
        text.push_str(&format!("and {rest} more nodes\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overview_shows_dashes_for_what_is_not_known_and_counts_what_does_not_fit() {
        let node = |index: usize| NodeRow {
            name: format!("node-{index:02}"),
            dataplane: DataplaneState::Attached,
            failsafe: FailsafeState::Normal,
            regime: Regime::Laminar,
            sets: 1,
            agent: "0.1.0".into(),
            kernel: String::new(),
        };
        let set = SetRow {
            namespace: "shop".into(),
            name: "checkout-http-00000".into(),
            service: "checkout:http".into(),
            mode: Mode::Enforce,
            backends: "5/5".into(),
            isolated: 1,
            regime: Regime::Transition,
            since: "2026-11-21T12:04:31Z".parse().ok(),
            hint: String::new(),
            reach: "98%".into(),
        };
        let overview = Overview {
            operator: "2/2 ready, a leads".into(),
            agents: "14/14 ready".into(),
            sets: vec![set],
            nodes: (0..14).map(node).collect(),
            unread: Vec::new(),
        };
        let text = text(&overview, "2026-11-21T12:05:13Z".parse().expect("a time"));
        let row =
            "shop        checkout:http   Enforce   5/5        1          Transition   42 s    -      98%\n";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("node-00   Attached    Normal     Laminar   1      0.1.0   -\n"),
            "{text}"
        );
        assert!(text.ends_with("and 2 more nodes\n"), "{text}");
    }
}
