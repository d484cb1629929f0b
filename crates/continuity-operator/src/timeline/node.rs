//! From a mark and a node to entries: its agent, its kernel side, whether it is heard and whether it is believed.

use super::written;
use crate::world::{Own, Portrait, STALE_AFTER};
use continuity_api::events;
use continuity_api::node::{CapabilityReport, DataplaneState};
use continuity_api::timeline::{NodeMark, TimelineEntry};
use k8s_openapi::jiff::Timestamp;

/// Features that the mark remembers, as many as a node reports.
const MISSING_MAX: usize = 32;

/// What the next transition of `node` is told from.
pub(super) fn mark(before: Option<&NodeMark>, node: &Portrait) -> NodeMark {
    let own = &node.own;
    NodeMark {
        agent_version: own.agent_version.clone(),
        boot_id: own.boot_id.clone(),
        started: own.started.clone(),
        dataplane: own.dataplane,
        missing: own
            .missing
            .iter()
            .take(MISSING_MAX)
            .map(|feature| feature.name.clone())
            .collect(),
        distrusted: node.doubt.is_some(),
        // A new leader has not waited yet; what the last one found stands until it is known better.
        silent: node
            .silent
            .unwrap_or_else(|| before.is_some_and(|before| before.silent)),
    }
}

/// What happened between `before` and `node`.
pub(super) fn told(before: Option<&NodeMark>, node: &Portrait, now: Timestamp) -> Vec<TimelineEntry> {
    let teller = Teller { node, now };
    let Some(before) = before else {
        let mut entries = vec![teller.appeared()];
        entries.extend(teller.believed(false));
        return entries;
    };
    let mut entries = Vec::new();
    // What it says is told after that it is heard again.
    entries.extend(teller.heard(before));
    entries.extend(teller.agent(before));
    entries.extend(teller.dataplane(before));
    entries.extend(teller.capabilities(before));
    entries.extend(teller.believed(before.distrusted));
    entries
}

struct Teller<'a> {
    node: &'a Portrait,
    now: Timestamp,
}

impl Teller<'_> {
    fn entry(&self, what: &str, subject: &str, cause: &str, action: &str) -> TimelineEntry {
        written((None, self.now), what, subject, cause, action)
    }

    fn appeared(&self) -> TimelineEntry {
        let own = &self.node.own;
        let zone = if own.zone.is_empty() {
            "no zone".to_owned()
        } else {
            format!("zone {}", own.zone)
        };
        let mut cause = format!(
            "agent {}, kernel {}, {zone}; dataplane {:?}",
            spoken(&own.agent_version),
            spoken(&own.kernel),
            own.dataplane
        );
        if !own.missing.is_empty() {
            let names: Vec<&str> = own.missing.iter().map(|feature| feature.name.as_str()).collect();
            cause.push_str(&format!("; without {}", names.join(", ")));
        }
        let action = match own.dataplane {
            DataplaneState::Attached | DataplaneState::Degraded => "it gets plans, and its reports count",
            DataplaneState::Detached | DataplaneState::Refused => "kube-proxy serves its clients",
        };
        self.entry(events::NODE_APPEARED, "", &cause, action)
    }

    fn heard(&self, before: &NodeMark) -> Option<TimelineEntry> {
        match (before.silent, self.node.silent?) {
            (false, true) => {
                let minutes = STALE_AFTER.as_secs() / 60;
                let cause = format!("nothing new from its agent for {minutes} min");
                let action = "it stops counting; its kernel goes on by itself, and kube-proxy after that";
                Some(self.entry(events::NODE_SILENT, "", &cause, action))
            }
            (true, false) => Some(self.entry(
                events::NODE_RETURNED,
                "",
                "its agent reports again",
                "it counts again",
            )),
            _ => None,
        }
    }

    /// What became of kernel and agent. An agent that was only started anew is told apart from another version of it.
    fn agent(&self, before: &NodeMark) -> Vec<TimelineEntry> {
        let own: &Own = &self.node.own;
        let mut entries = Vec::new();
        let rebooted = !before.boot_id.is_empty() && before.boot_id != own.boot_id;
        if rebooted {
            let cause = format!("another boot id; kernel {}", spoken(&own.kernel));
            let action = "its counters begin again, and what was pinned is made anew";
            entries.push(self.entry(events::NODE_REBOOTED, "", &cause, action));
        }
        if before.agent_version != own.agent_version {
            let cause = format!(
                "agent {} → {}",
                spoken(&before.agent_version),
                spoken(&own.agent_version)
            );
            entries.push(self.entry(
                events::AGENT_CHANGED,
                "",
                &cause,
                "no connection is dropped by it",
            ));
        } else if before.started.is_some() && before.started != own.started && !rebooted {
            let began = own.started.as_ref().map(|time| time.0.to_string());
            let cause = format!("it began anew at {} by its clock", began.unwrap_or_default());
            let action = "its kernel side went on meanwhile";
            entries.push(self.entry(events::AGENT_RESTARTED, "", &cause, action));
        }
        entries
    }

    fn dataplane(&self, before: &NodeMark) -> Option<TimelineEntry> {
        let own = &self.node.own;
        if before.dataplane == own.dataplane {
            return None;
        }
        let why = if own.message.is_empty() {
            String::new()
        } else {
            format!(": {}", own.message)
        };
        let cause = format!("{:?} → {:?}{why}", before.dataplane, own.dataplane);
        let (what, action) = match own.dataplane {
            DataplaneState::Attached => (events::NODE_READY, "steers its clients as its plans say"),
            DataplaneState::Degraded => (events::NODE_DEGRADED, "goes on without that feature"),
            DataplaneState::Detached | DataplaneState::Refused => (
                events::NODE_DEGRADED,
                "it does not count; kube-proxy serves its clients",
            ),
        };
        Some(self.entry(what, "", &cause, action))
    }

    fn capabilities(&self, before: &NodeMark) -> Vec<TimelineEntry> {
        let missing = &self.node.own.missing;
        let lost = |feature: &&CapabilityReport| !before.missing.contains(&feature.name);
        let lost = missing.iter().filter(lost).map(|feature| {
            let cause = format!("it needs {}", spoken(&feature.needs));
            self.entry(events::CAPABILITY_LOST, &feature.name, &cause, &feature.fallback)
        });
        let found = |name: &&String| !missing.iter().any(|feature| feature.name == **name);
        let found = before.missing.iter().filter(found).map(|name| {
            let cause = "the node has what it needs";
            self.entry(events::CAPABILITY_FOUND, name, cause, "")
        });
        lost.chain(found).collect()
    }

    fn believed(&self, distrusted: bool) -> Option<TimelineEntry> {
        match (distrusted, &self.node.doubt) {
            (false, Some(complaint)) => Some(self.entry(
                events::NODE_DISTRUSTED,
                "",
                complaint,
                "its reports stop counting, and roll-outs leave it out; it is looked at on",
            )),
            (true, None) => Some(self.entry(
                events::NODE_TRUSTED,
                "",
                "three good reports in a row",
                "its reports count again",
            )),
            _ => None,
        }
    }
}

/// What nobody said must be seen to be missing.
const fn spoken(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}
