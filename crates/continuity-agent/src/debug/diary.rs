//! What the law decided last on this node, told from one picture to the next.
//!
//! A picture is made at once after a transition, so none that lasts is missed. What was so when the diary began is no entry.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use continuity_api::Time;
use continuity_field::BackendState;
use serde::Serialize;

use crate::lane::{Family, LaneKey};
use crate::snapshot::{BackendShot, LaneShot, Snapshot};

/// Entries kept: at 300 B each 77 kB, and some minutes of a storm.
pub(super) const ENTRIES_MAX: usize = 256;

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Decision {
    at: Time,
    set: String,
    family: u8,
    /// regime, enforcement, or the state of a backend.
    what: &'static str,
    /// The backend, where it is about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    from: String,
    to: String,
    why: String,
}

/// The last decisions.
#[derive(Debug, Default)]
pub(super) struct Diary {
    entries: VecDeque<Decision>,
    fallen_off: u64,
    last: Option<Arc<Snapshot>>,
}

impl Diary {
    /// Takes a picture in.
    pub(super) fn see(&mut self, snapshot: &Arc<Snapshot>) {
        if let Some(last) = self.last.replace(Arc::clone(snapshot)) {
            let known: BTreeMap<&LaneKey, &LaneShot> =
                last.lanes.iter().map(|lane| (&lane.key, lane)).collect();
            for lane in &snapshot.lanes {
                if let Some(before) = known.get(&lane.key) {
                    for decision in between(before, lane) {
                        self.write(decision);
                    }
                }
            }
        }
    }

    fn write(&mut self, decision: Decision) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
            self.fallen_off += 1;
        }
        self.entries.push_back(decision);
    }

    /// Entries, eldest first.
    pub(super) const fn entries(&self) -> &VecDeque<Decision> {
        &self.entries
    }

    /// Entries that found no room any more.
    pub(super) const fn fallen_off(&self) -> u64 {
        self.fallen_off
    }
}

fn between(before: &LaneShot, after: &LaneShot) -> Vec<Decision> {
    let decision = |what, subject: String, (from, to): (String, String), at: &Time, why: &str| Decision {
        at: at.clone(),
        set: format!("{}/{}", after.key.namespace, after.key.set),
        family: match after.key.family {
            Family::V4 => 4,
            Family::V6 => 6,
        },
        what,
        subject,
        from,
        to,
        why: why.to_owned(),
    };
    let mut decisions = Vec::new();
    if before.regime != after.regime {
        let change = (format!("{:?}", before.regime), format!("{:?}", after.regime));
        decisions.push(decision(
            "regime",
            String::new(),
            change,
            &after.since,
            &after.reason,
        ));
    }
    if before.enforcement != after.enforcement {
        let change = (
            format!("{:?}", before.enforcement),
            format!("{:?}", after.enforcement),
        );
        let (since, why) = match &after.gate {
            Some(gate) => (&gate.since, gate.reason.as_str()),
            None => (&after.since, after.reason.as_str()),
        };
        decisions.push(decision("enforcement", String::new(), change, since, why));
    }
    let known: BTreeMap<SocketAddr, BackendState> = backends(before)
        .map(|(address, shot)| (address, shot.state))
        .collect();
    for (address, shot) in backends(after) {
        let was = known.get(&address).copied();
        if let Some(was) = was.filter(|was| *was != shot.state) {
            let change = (format!("{was:?}"), format!("{:?}", shot.state));
            decisions.push(decision(
                "backend",
                address.to_string(),
                change,
                &shot.since,
                &shot.reason,
            ));
        }
    }
    decisions
}

/// Backends by their address.
pub(super) fn backends(lane: &LaneShot) -> impl Iterator<Item = (SocketAddr, &BackendShot)> {
    lane.backends.iter().filter_map(|shot| {
        let backend = lane.lane.backends.get(shot.index)?;
        Some((backend.address, shot))
    })
}
