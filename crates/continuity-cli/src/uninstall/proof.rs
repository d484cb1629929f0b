//! What each node's cleaning pod said, and what of the API side is gone: the text that ends an uninstall.

use crate::number::count;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// One node's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeProof {
    /// The node's name.
    pub node: String,
    /// Was it Ready when the uninstall began.
    pub ready: bool,
    /// The cleaning pod exited 0: no program, link, map or pin of Continuity is left.
    pub clean: bool,
    /// The agent's own report, as it printed it.
    pub report: Value,
    /// In words, if it is not clean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl NodeProof {
    /// The pod could not give an answer.
    pub(super) fn failed(node: &str, ready: bool, detail: String) -> Self {
        Self {
            node: node.to_owned(),
            ready,
            clean: false,
            report: Value::Null,
            detail: Some(detail),
        }
    }

    /// The pod ended: exit code 0 *and* a report that says clean are a proof, one alone is not.
    pub(super) fn from_exit(node: &str, ready: bool, exit: Option<i32>, log: &str) -> Self {
        let report = report(log);
        let clean = report["clean"] == Value::Bool(true);
        let said = report["error"].as_str().unwrap_or_else(|| last_line(log));
        let detail = match exit {
            Some(0) if clean => None,
            Some(0) => Some("exited 0 without a report that says clean".to_owned()),
            Some(code) => Some(format!("exited {code}: {said}")),
            None => Some("ended without an exit code".to_owned()),
        };
        Self {
            node: node.to_owned(),
            ready,
            clean: detail.is_none(),
            report,
            detail,
        }
    }
}

/// The report: the last line of the log that is an object with a `clean` in it. Log lines are objects too.
fn report(log: &str) -> Value {
    let lines = log
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .into_iter()
        .find(|value: &Value| value["clean"].is_boolean())
        .unwrap_or(Value::Null)
}

fn last_line(log: &str) -> &str {
    log.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no output")
}

/// What was removed, for a line of text: `removed 7 links, 12 maps, 9 programs`.
fn figures(report: &Value) -> String {
    let removed = report["removed"].as_object().into_iter().flatten();
    let parts: Vec<String> = removed.map(|(what, count)| format!("{count} {what}")).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("removed {}", parts.join(", "))
    }
}

/// The nodes that stopped an uninstall.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// Those that are not clean.
    pub nodes: Vec<NodeProof>,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} could not be cleaned, so roles, CRDs and namespace were left in place:",
            count(self.nodes.len(), "node", "nodes")
        )?;
        for node in &self.nodes {
            let state = if node.ready { "" } else { " (not Ready)" };
            writeln!(
                f,
                "  {}{state}: {}",
                node.node,
                node.detail.as_deref().unwrap_or("not clean")
            )?;
        }
        write!(
            f,
            "Run it again when the cause is gone. Pins live in memory: a reboot clears a node too, and \
             --ignore-unreachable goes on without nodes that are not Ready"
        )
    }
}

/// The end of an uninstall.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proof {
    /// What each node said.
    pub nodes: Vec<NodeProof>,
    /// API objects that are gone, as `Kind/name`.
    pub removed: Vec<String>,
    /// API objects that were kept on purpose, as `Kind/name`.
    pub kept: Vec<String>,
}

impl Proof {
    /// For a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut rows = vec![vec!["NODE".to_owned(), "KERNEL".to_owned(), "REPORT".to_owned()]];
        for node in &self.nodes {
            let state = if node.clean { "clean" } else { "not cleaned" };
            let said = node.detail.clone().unwrap_or_else(|| figures(&node.report));
            rows.push(vec![node.node.clone(), state.to_owned(), said]);
        }
        let clean = self.nodes.iter().filter(|node| node.clean).count();
        let mut text = crate::output::columns(&rows);
        text.push_str(&format!(
            "\n{clean} of {} clean: no program, link, map or pin of Continuity is left there.\n",
            count(self.nodes.len(), "node", "nodes")
        ));
        text.push_str(&format!("{} API objects removed", self.removed.len()));
        if self.kept.is_empty() {
            text.push_str(", none kept. Services are served by kube-proxy as before.\n");
        } else {
            text.push_str(&format!(", kept as asked: {}.\n", self.kept.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_an_exit_code_nor_a_report_proves_anything_alone() {
        assert!(!NodeProof::from_exit("a", true, Some(0), "gone\n").clean);
        assert!(!NodeProof::from_exit("a", true, Some(0), "{\"clean\":false}\n").clean);
        assert!(!NodeProof::from_exit("a", true, Some(1), "{\"clean\":true}\n").clean);
        assert!(!NodeProof::from_exit("a", true, None, "{\"clean\":true}").clean);
        assert!(NodeProof::from_exit("a", true, Some(0), "{\"clean\":true}\n").clean);
    }

    #[test]
    fn the_report_is_found_between_log_lines() {
        let report = r#"{"clean":true,"node":"a","removed":{"links":7,"maps":12,"programs":9}}"#;
        let log = format!("{{\"level\":\"INFO\"}}\n{report}\n{{\"level\":\"INFO\"}}\n");
        let proof = NodeProof::from_exit("a", true, Some(0), &log);
        assert!(proof.clean);
        assert_eq!(figures(&proof.report), "removed 7 links, 12 maps, 9 programs");
    }

    #[test]
    fn a_failed_pod_is_quoted() {
        let log = "{\"clean\":false,\"error\":\"after uninstall /sys/fs/bpf/continuity is still there\"}\n{\"level\":\"ERROR\"}\n";
        let proof = NodeProof::from_exit("a", true, Some(1), log);
        assert_eq!(
            proof.detail.as_deref(),
            Some("exited 1: after uninstall /sys/fs/bpf/continuity is still there")
        );
        let proof = NodeProof::from_exit("a", true, Some(1), "permission denied\n\n");
        assert_eq!(proof.detail.as_deref(), Some("exited 1: permission denied"));
    }
}
