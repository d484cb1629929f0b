//! The workload on the cluster: its pods, its addresses, the load.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use continuity_traffic::clock;
use continuity_traffic::control::{Connections, Port, Stream};
use continuity_traffic::draw;
use continuity_traffic::schedule::Knot;
use serde_json::Value;

use super::latency::TIMEOUT_US;
use super::log::Log;
use super::wire::{Client, Server};
use crate::cluster::Cluster;
use crate::progress::Progress;
use crate::{Error, paths};

/// Namespace of the workload.
pub(super) const NAMESPACE: &str = "shop";
/// The Service that gets a policy, and its twin that never does.
pub(super) const PAIR: [&str; 2] = ["checkout", "checkout-kp"];
/// The pair for the surge.
pub(super) const SURGE: [&str; 2] = ["surge", "surge-kp"];
/// New connections a second to each Service of the pair.
pub(super) const RATE: f64 = 500.0;
/// Requests a second over kept connections, to each Service.
pub(super) const KEPT_RATE: f64 = 24.0;
/// Kept connections of each client to each Service.
const KEPT: u16 = 4;
/// New connections a second of a stream beside: 1,500 in the 15 s that are judged, so that 0.2 % is three of them, four
/// times what tests a backend. Healthy utilisation stays below 50 %.
pub(super) const BESIDE_RATE: f64 = 100.0;
/// From the order to the first request: telling three clients takes a few milliseconds.
const LEAD_NS: u64 = 50_000_000;
/// How long pods may take to become Ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// A pod that runs and is Ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    /// Its name.
    pub(super) name: String,
    /// Its node.
    pub(super) node: String,
    /// Its first address.
    pub(super) address: IpAddr,
    /// All of its addresses.
    pub(super) addresses: Vec<IpAddr>,
}

/// One stream wanted of all clients together.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Number of its records.
    pub(super) id: u8,
    /// Where to.
    pub(super) target: SocketAddr,
    /// Kept or new connections.
    pub(super) kept: bool,
    /// Rate of all clients together.
    pub(super) rate: Vec<Knot>,
}

/// Deploys the workload and waits until it is Ready.
pub(super) fn deploy(cluster: &Cluster, progress: &Progress) -> Result<(), Error> {
    let step = progress.step("workload: two Services of five backends, a surge pair, a client a node");
    let dir = paths::root().join("e2e/manifests");
    cluster.kubectl(["apply".as_ref(), "-k".as_ref(), dir.as_os_str()])?;
    for object in [
        "deployment/checkout",
        "deployment/checkout-kp",
        "deployment/surge",
        "deployment/surge-kp",
    ] {
        step.waiting(object);
        rolled_out(cluster, object, PATIENCE)?;
    }
    step.waiting("daemonset/client");
    rolled_out(cluster, "daemonset/client", PATIENCE)?;
    step.done();
    Ok(())
}

/// Waits for a roll-out in the workload's namespace.
pub(super) fn rolled_out(cluster: &Cluster, object: &str, patience: Duration) -> Result<(), Error> {
    let timeout = format!("--timeout={}s", patience.as_secs());
    cluster
        .kubectl(["rollout", "status", object, "-n", NAMESPACE, &timeout])
        .map(drop)
}

/// The Ready pods that carry this `app` label, by name.
pub(super) fn pods(cluster: &Cluster, app: &str) -> Result<Vec<Pod>, Error> {
    pods_in(cluster, NAMESPACE, app)
}

/// The same in a namespace of the workload's choice.
pub(super) fn pods_in(cluster: &Cluster, namespace: &str, app: &str) -> Result<Vec<Pod>, Error> {
    let selector = format!("app={app}");
    let list = cluster.json(["get", "pods", "-n", namespace, "-l", &selector, "-o", "json"])?;
    let mut pods: Vec<Pod> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(pod)
        .collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pods)
}

fn pod(item: &Value) -> Option<Pod> {
    let conditions = item["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True");
    let leaving = !item["metadata"]["deletionTimestamp"].is_null();
    if leaving || !ready {
        return None;
    }
    let ips = item["status"]["podIPs"].as_array().into_iter().flatten();
    Some(Pod {
        addresses: ips.filter_map(|ip| ip["ip"].as_str()?.parse().ok()).collect(),
        name: item["metadata"]["name"].as_str()?.to_owned(),
        node: item["spec"]["nodeName"].as_str()?.to_owned(),
        address: item["status"]["podIP"].as_str()?.parse().ok()?,
    })
}

/// The virtual addresses of a Service, IPv4 first.
pub(super) fn addresses(cluster: &Cluster, service: &str) -> Result<Vec<IpAddr>, Error> {
    let object = cluster.json(["get", "service", service, "-n", NAMESPACE, "-o", "json"])?;
    let listed = object["spec"]["clusterIPs"].as_array().into_iter().flatten();
    let mut found: Vec<IpAddr> = listed.filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    Ok(found)
}

/// Where clients reach a Service's first port over IPv4.
pub(super) fn address(cluster: &Cluster, service: &str) -> Result<SocketAddr, Error> {
    let found = addresses(cluster, service)?;
    let four = found.iter().find(|ip| ip.is_ipv4()).copied();
    four.map(|ip| SocketAddr::new(ip, 80))
        .ok_or_else(|| Error::Unknown {
            kind: "IPv4 address of Service",
            name: service.to_owned(),
            known: found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// Control connections to all servers of a Service.
pub(super) fn servers(cluster: &Cluster, app: &str) -> Result<Vec<Server>, Error> {
    pods(cluster, app)?
        .iter()
        .map(|pod| Server::dial(cluster, &pod.name, pod.address))
        .collect()
}

/// Connections that each server has accepted on a port.
pub(super) fn accepted(servers: &mut [Server], port: Port) -> Result<Vec<(String, u64)>, Error> {
    servers
        .iter_mut()
        .map(|server| Ok((server.pod.clone(), server.accepted(port)?)))
        .collect()
}

/// All clients.
pub(super) struct Load {
    clients: Vec<Client>,
    /// When the first requests were due from.
    pub(super) at_ns: u64,
    /// Everything that was fetched since the start.
    pub(super) log: Log,
}

impl Load {
    /// Connects to the clients and starts the streams, each with its part of the rate.
    pub(super) fn start(cluster: &Cluster, seed: u64, wanted: &[Wanted]) -> Result<Self, Error> {
        let mut clients = Vec::new();
        for pod in pods(cluster, "client")? {
            clients.push(Client::dial(cluster, &pod.name, pod.address)?);
        }
        let mut load = Self {
            clients,
            at_ns: 0,
            log: Log::default(),
        };
        load.switch(seed, wanted)?;
        Ok(load)
    }

    /// Replaces what runs by these streams, without a pause.
    pub(super) fn switch(&mut self, seed: u64, wanted: &[Wanted]) -> Result<(), Error> {
        self.at_ns = clock::now_ns() + LEAD_NS;
        let parts = super::latency::fraction(self.clients.len().max(1));
        for (number, client) in (0_u64..).zip(&mut self.clients) {
            let streams = wanted.iter().map(|w| stream(w, seed, number, parts)).collect();
            client.start(streams, self.at_ns)?;
        }
        Ok(())
    }

    /// Fetches what has been recorded since the last time.
    pub(super) fn fetch(&mut self) -> Result<&Log, Error> {
        for client in &mut self.clients {
            client.fetch(&mut self.log)?;
        }
        Ok(&self.log)
    }

    /// Stops, lets the last attempts end, and fetches the rest. Returns the time of the stop.
    pub(super) fn stop(&mut self) -> Result<u64, Error> {
        let now_ns = clock::now_ns();
        for client in &mut self.clients {
            client.stop()?;
        }
        std::thread::sleep(Duration::from_micros(u64::from(TIMEOUT_US) + 100_000));
        self.fetch()?;
        Ok(now_ns)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for client in &mut self.clients {
            // A client that cannot be told goes away with the cluster.
            let _told = client.stop();
        }
    }
}

/// Streams of the same kind share the seed, so both systems get the same requests at the same times.
fn stream(wanted: &Wanted, seed: u64, client: u64, parts: f64) -> Stream {
    let kind = u64::from(wanted.kept) << 32;
    Stream {
        id: wanted.id,
        target: wanted.target,
        seed: draw::mix(seed ^ (client << 40) ^ kind),
        connections: if wanted.kept {
            Connections::KeptAlive { count: KEPT }
        } else {
            Connections::PerRequest
        },
        rate: wanted
            .rate
            .iter()
            .map(|k| Knot {
                per_second: k.per_second / parts,
                ..*k
            })
            .collect(),
        timeout_ms: TIMEOUT_US / 1000,
    }
}

/// A constant rate.
pub(super) fn steady(per_second: f64) -> Vec<Knot> {
    vec![Knot { at_ms: 0, per_second }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_pods_that_are_ready_and_stay_are_used() {
        let mut item = json!({
            "metadata": {"name": "checkout-1"},
            "spec": {"nodeName": "node-1"},
            "status": {"podIP": "10.244.1.7", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert_eq!(pod(&item).map(|p| p.node), Some("node-1".into()));
        item["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        assert_eq!(pod(&item), None);
    }

    #[test]
    fn both_systems_get_the_same_requests_and_clients_get_different_ones() {
        let wanted = |id| Wanted {
            id,
            target: "10.96.0.9:80".parse().unwrap(),
            kept: false,
            rate: steady(500.0),
        };
        assert_eq!(
            stream(&wanted(0), 1, 2, 3.0).seed,
            stream(&wanted(1), 1, 2, 3.0).seed
        );
        assert_ne!(
            stream(&wanted(0), 1, 1, 3.0).seed,
            stream(&wanted(0), 1, 2, 3.0).seed
        );
        assert!((stream(&wanted(0), 1, 1, 4.0).rate[0].per_second - 125.0).abs() < 1e-9);
    }
}
