//! The dataplane's contract on the cluster: every kind of address and socket, beside the same through kube-proxy.
//!
//! Each row of [`ROWS`] is asked from every client pod (or from every node's own namespace) of the Service that the policy
//! steers and of its twin. A row holds when both lead where they should, when the pinned maps of the asking node list exactly
//! those backends, and when the kernel says that it decided each of our connects. `operator-docs/dataplane.md` has the contract
//! in words.
//!
//! Left out: what a client must not see because it would wait for a time-out (kube-proxy with no endpoint on the node).

mod answer;
mod place;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use continuity_traffic::control::Transport;

use super::goal::Check;
use super::kernel::Maps;
use super::status;
use super::wire::Client;
use super::workload::{self, Pod};
use crate::Error;
use crate::cluster::{Cluster, Node};
use crate::progress::Progress;
use answer::{Answers, Expect};
use place::{Address, Places};

/// Name of the row of checks.
pub(super) const NAME: &str = "contract";
/// The Services, the policy and the clients of the nodes.
const MANIFEST: &str = "e2e/manifests/contract/contract.yaml";
/// Namespace of the clients in the nodes' own network: the workload's forbids such pods.
const NODES: &str = "shop-nodes";
/// What ends the name of a twin.
const TWIN: &str = "-kp";
/// Rounds of probes until every server has been seen, and the pause between two: 20 s in all. In a burst the choice passes
/// over a server that was slower of late; what it remembers of that fades within seconds.
const ROUNDS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);
/// How long the nodes may take to follow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// A pod of each node.
    Pods,
    /// A process in each node's own network namespace.
    Nodes,
}

/// One row.
struct Row {
    name: &'static str,
    service: &'static str,
    address: Address,
    from: From,
    transport: Transport,
    expect: Expect,
}

/// A TCP request from pods to the cluster IP, of which all pods answer some: what a row says otherwise is its point.
const PLAIN: Row = Row {
    name: "cluster IP, IPv4",
    service: "contract",
    address: Address::Cluster { v6: false, port: 80 },
    from: From::Pods,
    transport: Transport::Tcp,
    expect: Expect::Everybody,
};

const ROWS: &[Row] = &[
    PLAIN,
    Row {
        name: "cluster IP, IPv6",
        address: Address::Cluster { v6: true, port: 80 },
        ..PLAIN
    },
    Row {
        name: "IPv4-mapped IPv6 socket",
        address: Address::Mapped { port: 80 },
        ..PLAIN
    },
    Row {
        name: "second port, named target port",
        address: Address::Cluster { v6: false, port: 81 },
        ..PLAIN
    },
    Row {
        name: "external IP",
        address: Address::External,
        ..PLAIN
    },
    Row {
        name: "LoadBalancer IP",
        address: Address::LoadBalancer,
        ..PLAIN
    },
    Row {
        name: "node port of the client's node",
        address: Address::NodePort,
        ..PLAIN
    },
    Row {
        name: "hostNetwork client, cluster IP",
        from: From::Nodes,
        ..PLAIN
    },
    Row {
        name: "hostNetwork client, node port",
        address: Address::NodePort,
        from: From::Nodes,
        ..PLAIN
    },
    Row {
        name: "UDP, connected socket",
        address: Address::Cluster { v6: false, port: 53 },
        transport: Transport::UdpConnected,
        ..PLAIN
    },
    Row {
        name: "UDP, socket without connect",
        address: Address::Cluster { v6: false, port: 53 },
        transport: Transport::UdpUnconnected,
        ..PLAIN
    },
    Row {
        name: "UDP over IPv6, connected socket",
        address: Address::Cluster { v6: true, port: 53 },
        transport: Transport::UdpConnected,
        ..PLAIN
    },
    Row {
        name: "UDP, IPv4-mapped IPv6 socket",
        address: Address::Mapped { port: 53 },
        transport: Transport::UdpUnconnected,
        ..PLAIN
    },
    Row {
        name: "session affinity",
        service: "contract-sticky",
        expect: Expect::OneForEach,
        ..PLAIN
    },
    Row {
        name: "internalTrafficPolicy Local",
        service: "contract-local",
        expect: Expect::OwnNode,
        ..PLAIN
    },
    Row {
        name: "no endpoints",
        service: "contract-empty",
        expect: Expect::Refused,
        ..PLAIN
    },
];

/// Asks every row and takes everything away again.
pub(super) fn hold(cluster: &Cluster, progress: &Progress) -> Result<Vec<Check>, Error> {
    let step = progress.step("the dataplane's contract beside kube-proxy");
    status::enforce(cluster, MANIFEST, NAME)?;
    let clients = || {
        let found = workload::pods_in(cluster, NODES, "client").map_err(|error| error.to_string())?;
        (found.len() == cluster.nodes().len())
            .then_some(())
            .ok_or_else(|| format!("{} are Ready", found.len()))
    };
    cluster.wait("a client in every node's own network", PATIENCE, clients)?;
    let places = Places::prepare(cluster, "contract", TWIN)?;
    let servers = workload::pods(cluster, "checkout")?;
    let mut checks = Vec::new();
    for row in ROWS {
        step.waiting(row.name);
        checks.push(row.check(cluster, &places, &servers)?);
    }
    let manifest = crate::paths::root().join(MANIFEST);
    cluster.kubectl(["delete".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    step.done();
    Ok(checks)
}

impl Row {
    fn check(&self, cluster: &Cluster, places: &Places, servers: &[Pod]) -> Result<Check, Error> {
        let namespace = match self.from {
            From::Pods => workload::NAMESPACE,
            From::Nodes => NODES,
        };
        let twin = format!("{}{TWIN}", self.service);
        let (mut wrong, mut asked, mut decided) = (BTreeSet::new(), 0_u64, 0_u64);
        for pod in workload::pods_in(cluster, namespace, "client")? {
            let node = cluster.node(&pod.node)?;
            let expected = self.expect.servers(servers, &pod.node);
            let mut client = Client::dial(cluster, &pod.name, pod.address)?;
            let before = self.known(cluster, places, node, &expected)?;
            for service in [self.service, &twin] {
                let target = places.of(service, self.address, node)?;
                let (answers, probes) = self.ask(&mut client, target, &expected)?;
                if let Err(found) = self.expect.holds(&answers, &expected) {
                    wrong.insert(format!("{service} from {}: {found}", pod.node));
                }
                if service == self.service {
                    asked += probes;
                }
            }
            let after = self.known(cluster, places, node, &expected)?;
            decided += after.saturating_sub(before);
        }
        if decided < asked {
            wrong.insert(format!("{decided} of {asked} were decided by the kernel"));
        }
        let held = wrong.is_empty();
        let measured = if held {
            format!("both; {decided} of {asked} decided in the kernel")
        } else {
            wrong.into_iter().collect::<Vec<_>>().join("; ")
        };
        Ok(Check::that(NAME, self.name, held, measured, self.expect.goal()))
    }

    /// Asks until everybody who should answer did, and how often that was.
    fn ask(
        &self,
        client: &mut Client,
        target: SocketAddr,
        expected: &[Pod],
    ) -> Result<(Answers, u64), Error> {
        let (mut answers, mut asked) = (Answers::default(), 0);
        for _ in 0..ROUNDS {
            let probes = self.expect.probes();
            answers.add(client.probe(target, self.transport, probes)?);
            asked += u64::from(probes);
            if !self.expect.asks_on(&answers, expected) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok((answers, asked))
    }

    /// Connects that the node's kernel decided for our Service at this address, once its maps list exactly the expected.
    fn known(&self, cluster: &Cluster, places: &Places, node: Node, expected: &[Pod]) -> Result<u64, Error> {
        let target = places.of(self.service, self.address, node)?;
        let frontend = place::unmapped(target);
        let addresses = answer::addresses(expected, frontend.is_ipv6());
        let what = format!(
            "the maps of {} to list {} behind {frontend}",
            node.name(),
            expected.len()
        );
        cluster.wait(&what, PATIENCE, || {
            let maps = Maps::of(cluster, node).map_err(|error| error.to_string())?;
            let set = maps.set_at(frontend).ok_or("the address is not in them")?;
            let listed = set.addresses(frontend.is_ipv6());
            if listed == addresses {
                Ok(set.decided())
            } else {
                Err(format!("they list {listed:?}, expected {addresses:?}"))
            }
        })
    }
}
