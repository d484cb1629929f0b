//! What each node's cleaning pod said, and what of the API side is gone: the text that ends an uninstall.

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

    /// The pod ended: exit code 0 *and* a report are a proof, one alone is not.
    pub(super) fn from_exit(node: &str, ready: bool, exit: Option<i32>, log: &str) -> Self {
        let report = report(log);
        let detail = match (exit, report.is_null()) {
            (Some(0), false) => None,
            (Some(0), true) => Some("exited 0 but printed no report".to_owned()),
            (Some(code), _) => Some(format!("exited {code}: {}", last_line(log))),
            (None, _) => Some("ended without an exit code".to_owned()),
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

/// The last JSON object that starts a line of the log: log lines may stand before it, and it may span several.
fn report(log: &str) -> Value {
    let mut starts: Vec<usize> = log.match_indices("\n{").map(|(at, _)| at + 1).collect();
    if log.starts_with('{') {
        starts.insert(0, 0);
    }
    for start in starts.into_iter().rev() {
        if let Some(rest) = log.get(start..)
            && let Some(Ok(value)) = serde_json::Deserializer::from_str(rest)
                .into_iter::<Value>()
                .next()
        {
            return value;
        }
    }
    Value::Null
}

fn last_line(log: &str) -> &str {
    log.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no output")
}

/// Figures at the top of a report, for a line of text: `7 links, 12 maps`.
fn figures(report: &Value) -> String {
    let Some(fields) = report.as_object() else {
        return String::new();
    };
    let mut parts = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Number(number) => parts.push(format!("{name} {number}")),
            Value::Array(items) => parts.push(format!("{name} {}", items.len())),
            _ => {}
        }
    }
    parts.join(", ")
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
            "{} nodes could not be cleaned, so roles, CRDs and namespace were left in place:",
            self.nodes.len()
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
            "\n{clean} of {} nodes: no program, link, map or pin of Continuity left.\n",
            self.nodes.len()
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
    fn an_exit_code_without_a_report_proves_nothing() {
        assert!(!NodeProof::from_exit("a", true, Some(0), "gone\n").clean);
        assert!(!NodeProof::from_exit("a", true, Some(1), "{\"left\":1}\n").clean);
        assert!(!NodeProof::from_exit("a", true, None, "{}").clean);
        assert!(NodeProof::from_exit("a", true, Some(0), "{\"left\":[]}\n").clean);
    }

    #[test]
    fn the_report_is_the_last_object_of_the_log_even_over_several_lines() {
        let log = "{\"level\":\"INFO\"}\n{\n  \"links\": 7,\n  \"left\": []\n}\n";
        assert_eq!(report(log), serde_json::json!({"links": 7, "left": []}));
        assert_eq!(figures(&report(log)), "left 0, links 7");
    }

    #[test]
    fn a_failed_pod_is_quoted_with_its_last_line() {
        let proof = NodeProof::from_exit("a", true, Some(1), "{\"x\":1}\npermission denied\n\n");
        assert_eq!(proof.detail.as_deref(), Some("exited 1: permission denied"));
    }
}
