//! What came back from the probes of one client, and what should have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::demo::workload::Pod;

/// Who answered how often, and how often it ended otherwise.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    servers: BTreeMap<String, u32>,
    ends: BTreeMap<String, u32>,
}

impl Answers {
    /// Counts what a client said; what begins with a blank is an end without an answer.
    pub(super) fn add(&mut self, peers: Vec<String>) {
        for peer in peers {
            let kind = match peer.strip_prefix(' ') {
                Some(end) => self.ends.entry(end.to_owned()).or_default(),
                None => self.servers.entry(peer).or_default(),
            };
            *kind += 1;
        }
    }
}

/// Who should answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Every server some, nobody else.
    Everybody,
    /// One server each client, whichever.
    OneForEach,
    /// Every server of the client's node some, nobody else.
    OwnNode,
    /// Nobody: the connect is refused.
    Refused,
}

impl Expect {
    /// As it stands in the table.
    pub(super) const fn goal(self) -> &'static str {
        match self {
            Self::Everybody => "every server answers, no other; both systems",
            Self::OneForEach => "one server each client; both systems",
            Self::OwnNode => "every server of the client's node, no other; both systems",
            Self::Refused => "connection refused; both systems",
        }
    }

    /// The servers that may answer a client on this node.
    pub(super) fn servers(self, all: &[Pod], node: &str) -> Vec<Pod> {
        let wanted = |pod: &&Pod| match self {
            Self::Everybody | Self::OneForEach => true,
            Self::OwnNode => pod.node == node,
            Self::Refused => false,
        };
        all.iter().filter(wanted).cloned().collect()
    }

    /// Probes of one round. The kernel sends only some six refusals a second to one peer on kube-proxy's behalf.
    pub(super) const fn probes(self) -> u16 {
        match self {
            Self::Refused => 4,
            _ => 64,
        }
    }

    /// Whether somebody who should answer has not been seen, and nothing is wrong yet.
    pub(super) fn asks_on(self, answers: &Answers, servers: &[Pod]) -> bool {
        let all = matches!(self, Self::Everybody | Self::OwnNode);
        let seen = |pod: &Pod| answers.servers.contains_key(&pod.name);
        all && answers.ends.is_empty() && !servers.iter().all(seen)
    }

    /// Whether the answers are those of these servers; else what is wrong.
    pub(super) fn holds(self, answers: &Answers, servers: &[Pod]) -> Result<(), String> {
        let found: BTreeSet<&str> = answers.servers.keys().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = servers.iter().map(|pod| pod.name.as_str()).collect();
        let ends = answers.ends.keys().map(String::as_str).collect::<Vec<_>>();
        let held = match self {
            Self::Everybody | Self::OwnNode => found == wanted && ends.is_empty(),
            Self::OneForEach => found.len() == 1 && found.is_subset(&wanted) && ends.is_empty(),
            Self::Refused => found.is_empty() && ends == ["connection refused"],
        };
        if held {
            Ok(())
        } else {
            Err(format!(
                "answered by {:?}, ended {:?}",
                answers.servers, answers.ends
            ))
        }
    }
}

/// The servers' addresses of one family, sorted.
pub(super) fn addresses(servers: &[Pod], v6: bool) -> Vec<IpAddr> {
    let all = servers.iter().flat_map(|pod| pod.addresses.iter().copied());
    let mut found: Vec<IpAddr> = all.filter(|address| address.is_ipv6() == v6).collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str) -> Pod {
        let address = "10.244.1.7".parse().unwrap();
        Pod {
            name: name.to_owned(),
            node: node.to_owned(),
            address,
            addresses: vec![address, "fd00::7".parse().unwrap()],
        }
    }

    fn said(peers: &[&str]) -> Answers {
        let mut answers = Answers::default();
        answers.add(peers.iter().map(|peer| (*peer).to_owned()).collect());
        answers
    }

    #[test]
    fn a_row_holds_only_for_the_servers_it_names() {
        let all = [pod("a", "node-1"), pod("b", "node-1"), pod("c", "node-2")];
        let table = [
            (Expect::Everybody, vec!["a", "b", "c", "a"], true),
            (Expect::Everybody, vec!["a", "b"], false),
            (Expect::Everybody, vec!["a", "b", "c", "stranger"], false),
            (Expect::Everybody, vec!["a", "b", "c", " timed out"], false),
            (Expect::OneForEach, vec!["c", "c"], true),
            (Expect::OneForEach, vec!["c", "a"], false),
            (Expect::OneForEach, vec!["stranger"], false),
            (Expect::OwnNode, vec!["a", "b"], true),
            (Expect::OwnNode, vec!["a", "b", "c"], false),
            (Expect::Refused, vec![" connection refused"], true),
            (Expect::Refused, vec![" connection refused", " timed out"], false),
            (Expect::Refused, vec!["a"], false),
        ];
        for (expect, peers, held) in table {
            let servers = expect.servers(&all, "node-1");
            let found = expect.holds(&said(&peers), &servers);
            assert_eq!(found.is_ok(), held, "{expect:?} {peers:?}: {found:?}");
        }
    }
}
