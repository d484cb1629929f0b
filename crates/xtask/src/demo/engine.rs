//! Runs faults against a cluster on which everything is installed, and judges them.
//!
//! Both systems run at the same time, with the same arrivals and service times: what disturbs the machine disturbs both,
//! and a ratio of the two is a ratio of systems, not of minutes. Each has pods of its own, so that neither queues behind
//! the other's work.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use continuity_traffic::clock;
use continuity_traffic::control::Port;

use super::control::Builds;
use super::fault::{self, Beside, Fault, Inject};
use super::goal::{self, Check};
use super::kernel::Maps;
use super::latency::fraction;
use super::log::{Backend, Log};
use super::scene::{Half, Scene, sleep_until};
use super::share::Shares;
use super::steal::Repeats;
use super::trial::{self, Row, Side, Times, Trial};
use super::wire::Server;
use super::workload::{self, BESIDE_RATE, KEPT_RATE, Load, PAIR, RATE, Wanted, steady};
use super::{contract, status, surge};
use crate::Error;
use crate::cluster::Cluster;
use crate::image::Image;
use crate::progress::{Progress, Step};

pub use super::stage::test_on_cluster;

/// Before the healthy window: connections of the last trial are gone, new pods are known everywhere.
const WARM_UP: Duration = Duration::from_millis(2500);
/// The healthy window before each fault: 4,000 attempts.
const HEALTHY: Duration = Duration::from_secs(8);
/// How long a return is waited for: the goal and some.
const RETURN: Duration = Duration::from_secs(34);
/// What is still measured after a fault that has no victim to return.
const AFTER: Duration = Duration::from_secs(4);

/// Runs faults one after the other.
pub(super) struct Engine<'a> {
    cluster: &'a Cluster,
    progress: &'a Progress,
    /// The agents' image and its other build, for the upgrade.
    builds: Builds,
    seed: u64,
    turn: usize,
    /// Shared by all trials of the run.
    pub(super) repeats: Repeats,
}

/// The row of Observe.
pub const OBSERVE: &str = "observe";
/// The row of Enforce with nothing broken.
pub const NONE: &str = "none";

/// The names of all rows: what is no fault, then the faults.
pub fn names() -> Vec<&'static str> {
    let faults = fault::FAULTS.iter().map(|fault| fault.name);
    [OBSERVE, NONE, contract::NAME]
        .into_iter()
        .chain(faults)
        .collect()
}

/// The faults among these names; all of them if there is no name.
pub(super) fn chosen(rows: &[&str]) -> Result<Vec<&'static Fault>, Error> {
    if rows.is_empty() {
        return Ok(fault::FAULTS.iter().collect());
    }
    let find = |name: &&str| {
        let unknown = || Error::Unknown {
            kind: "fault",
            name: (*name).to_owned(),
            known: names().join(", "),
        };
        fault::named(name).ok_or_else(unknown)
    };
    let faults = rows
        .iter()
        .filter(|row| ![OBSERVE, NONE, contract::NAME].contains(row));
    faults.map(find).collect()
}

impl<'a> Engine<'a> {
    /// An engine for a cluster that has these images.
    pub(super) fn new(cluster: &'a Cluster, images: &[Image], progress: &'a Progress) -> Result<Self, Error> {
        Ok(Self {
            cluster,
            progress,
            builds: Builds::among(images)?,
            seed: 7,
            turn: 0,
            repeats: Repeats::default(),
        })
    }

    /// Runs one fault and judges it; again where the host took the machine away.
    pub(super) fn run(&mut self, fault: &Fault) -> Result<(Trial, Vec<Check>), Error> {
        let mut repeats = std::mem::take(&mut self.repeats);
        let progress = self.progress.clone();
        let result = repeats.fair(fault.name, &progress, || self.once(fault));
        self.repeats = repeats;
        result
    }

    fn once(&mut self, fault: &Fault) -> Result<(Trial, Vec<Check>), Error> {
        let step = self.progress.step(format!("{}: {}", fault.name, fault.about));
        self.seed += 1;
        let trial = match fault.inject {
            Inject::Surge(kind) => surge::run(self.cluster, fault, kind, self.seed, &step)?,
            _ => self.steer(fault, &step)?,
        };
        step.done();
        let checks = goal::judge(fault.goals, &trial);
        for check in &checks {
            self.progress.note(&super::table::line(check));
        }
        Ok((trial, checks))
    }

    fn steer(&mut self, fault: &Fault, step: &Step) -> Result<Trial, Error> {
        let mut scene = Scene::new(self.cluster, fault, &self.builds, self.turn)?;
        self.turn += scene.halves[0].sick.len();
        let mut load = Load::start(self.cluster, self.seed, &wanted(self.cluster, fault.beside)?)?;
        step.waiting("the load to settle");
        thread::sleep(WARM_UP);
        let mut times = Times {
            start_ns: clock::now_ns(),
            ..Times::default()
        };
        thread::sleep(HEALTHY);

        step.waiting("the fault to unfold");
        times.begin_ns = scene.begin()?;
        times.turn_ns = scene.inject().turn_ns();
        let watch = Watch::start(&scene, times.begin_ns, self.cluster)?;
        let status_back_s = scene.unfold(times.begin_ns);
        let seen = watch.finish()?;
        let status_back_s = status_back_s?;
        times.late_end_ns = scene.restarted_ns;
        times.end_ns = scene.end()?;
        scene.settle(times.end_ns)?;
        step.waiting("the backend's share to return");
        self.wait_return(&mut load, fault, &scene, &times)?;
        times.stop_ns = load.stop()?;
        Ok(self.measure(fault, &scene, &mut load.log, times, seen, status_back_s))
    }

    /// Waits until the victims have their share again under both systems, or the patience is at its end.
    fn wait_return(&self, load: &mut Load, fault: &Fault, scene: &Scene, times: &Times) -> Result<(), Error> {
        let curable = !scene.halves[0].sick.is_empty() && fault.inject != Inject::RollingUpdate;
        if !curable {
            sleep_until(clock::now_ns(), AFTER);
            return Ok(());
        }
        let patience_ns = u64::try_from(RETURN.as_nanos()).unwrap_or(u64::MAX);
        sleep_until(times.end_ns, AFTER);
        loop {
            thread::sleep(Duration::from_secs(1));
            load.fetch()?;
            let now_ns = clock::now_ns();
            // Attempts of the last 2 s may still be under way; slow ones must not be missing from the share.
            let seen_ns = now_ns.saturating_sub(2_000_000_000);
            let back = |number: usize, half: &Half| {
                let side = side(&mut load.log.clone(), number, half, Beside::Nothing);
                let attempts = load.log.window(side.stream, times.end_ns, seen_ns);
                Shares::new(&attempts, &side.sick, fair(half))
                    .returned(times.end_ns, seen_ns)
                    .is_some()
            };
            let all_back = scene
                .halves
                .iter()
                .enumerate()
                .all(|(number, half)| back(number, half));
            if all_back || now_ns.saturating_sub(times.end_ns) > patience_ns {
                return Ok(());
            }
        }
    }

    fn measure(
        &self,
        fault: &Fault,
        scene: &Scene,
        log: &mut Log,
        times: Times,
        seen: Seen,
        status_back_s: Option<f64>,
    ) -> Trial {
        let [ours, theirs] = [0, 1].map(|number| {
            let side = side(log, number, &scene.halves[number], fault.beside);
            let mut row: Row = trial::row(log, &side, &times);
            row.server_saw = seen.accepted.get(number).copied().flatten();
            row
        });
        let names = scene
            .halves
            .iter()
            .flat_map(|half| half.victims().map(|pod| pod.name.clone()));
        Trial {
            fault: fault.name.to_owned(),
            about: fault.about.to_owned(),
            times,
            victims: names.collect(),
            ours,
            theirs,
            agents: scene.agents.clone(),
            scaling: None,
            maps_share: seen.maps_share,
            status_back_s,
            sets: seen.sets,
            explained: seen.explained,
            missed: log.missed,
        }
    }
}

fn fair(half: &Half) -> f64 {
    fraction(half.sick.len()) / fraction(half.pods.len().max(1))
}

/// The streams of a trial.
pub(super) fn wanted(cluster: &Cluster, beside: Beside) -> Result<Vec<Wanted>, Error> {
    let mut all = Vec::new();
    for (number, service) in (0_u8..).zip(PAIR) {
        let http = workload::address(cluster, service)?;
        all.push(Wanted {
            id: number,
            target: http,
            kept: false,
            rate: steady(RATE),
        });
        all.push(Wanted {
            id: 2 + number,
            target: http,
            kept: true,
            rate: steady(KEPT_RATE),
        });
        let target = match beside {
            Beside::Nothing => continue,
            Beside::OtherPort => SocketAddr::new(http.ip(), 81),
            Beside::Ipv6 => {
                let found = workload::addresses(cluster, service)?;
                let missing = || Error::Unknown {
                    kind: "IPv6 address of Service",
                    name: service.to_owned(),
                    known: http.to_string(),
                };
                let six = found.iter().find(|ip| ip.is_ipv6()).copied();
                SocketAddr::new(six.ok_or_else(missing)?, 80)
            }
        };
        all.push(Wanted {
            id: 4 + number,
            target,
            kept: false,
            rate: steady(BESIDE_RATE),
        });
    }
    all.sort_by_key(|wanted| wanted.id);
    Ok(all)
}

/// The streams and sick backends of one half, in the numbering of the log.
fn side(log: &mut Log, number: usize, half: &Half, beside: Beside) -> Side {
    let id = u8::try_from(number).unwrap_or(0);
    let sick: Vec<Backend> = half.victims().filter_map(|pod| log.backend(&pod.name)).collect();
    Side {
        stream: id,
        kept: 2 + id,
        beside: (beside != Beside::Nothing).then_some(4 + id),
        sick,
        backends: half.pods.len(),
    }
}

/// What is looked at while the fault is on, beside the load.
#[derive(Clone, Debug, Default)]
struct Seen {
    sets: Option<String>,
    explained: Option<String>,
    maps_share: Option<f64>,
    accepted: Vec<Option<f64>>,
}

/// A thread that looks at the worst moment, so that unfolding the fault needs not wait for it.
struct Watch {
    thread: Option<thread::JoinHandle<Result<Seen, Error>>>,
}

impl Watch {
    fn start(scene: &Scene, begin_ns: u64, cluster: &Cluster) -> Result<Self, Error> {
        let steady = matches!(scene.inject(), Inject::Backends { .. });
        if !steady {
            return Ok(Self { thread: None });
        }
        let mut halves = Vec::new();
        for (half, app) in scene.halves.iter().zip(PAIR) {
            halves.push((
                workload::servers(cluster, app)?,
                half.victims().cloned().collect::<Vec<_>>(),
            ));
        }
        let (cluster, times) = (cluster.clone(), (scene.worst(), scene.seconds()));
        let thread = thread::spawn(move || watch(&cluster, halves, begin_ns, times));
        Ok(Self { thread: Some(thread) })
    }

    fn finish(self) -> Result<Seen, Error> {
        match self.thread.map(thread::JoinHandle::join) {
            None => Ok(Seen::default()),
            Some(Ok(seen)) => seen,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

fn watch(
    cluster: &Cluster,
    mut halves: Vec<(Vec<Server>, Vec<workload::Pod>)>,
    begin_ns: u64,
    (worst, seconds): (Duration, u64),
) -> Result<Seen, Error> {
    let settle = Duration::from_nanos(trial::SETTLE_NS);
    sleep_until(begin_ns, settle);
    let mut before = Vec::new();
    for (servers, _) in &mut halves {
        before.push(workload::accepted(servers, Port::Http)?);
    }
    sleep_until(begin_ns, worst);
    let sets = Some(status::sets(cluster)?);
    let explained = Some(status::explain(PAIR[0])?);
    let mut maps_share = None;
    if let Some((_, victims)) = halves.first() {
        let frontend = workload::address(cluster, PAIR[0])?;
        for node in cluster.nodes() {
            let maps = Maps::of(cluster, node)?;
            let set = maps.set_at(frontend);
            let shares = victims.iter().filter_map(|pod| set?.share(pod.address));
            maps_share = shares.chain(maps_share).reduce(f64::max);
        }
    }
    sleep_until(
        begin_ns,
        Duration::from_secs(seconds).saturating_sub(Duration::from_millis(300)),
    );
    let mut accepted = Vec::new();
    for ((servers, victims), before) in halves.iter_mut().zip(before) {
        accepted.push(share_accepted(
            &before,
            &workload::accepted(servers, Port::Http)?,
            victims,
        ));
    }
    Ok(Seen {
        sets,
        explained,
        maps_share,
        accepted,
    })
}

/// The victims' part of what was accepted between two looks.
fn share_accepted(
    before: &[(String, u64)],
    after: &[(String, u64)],
    victims: &[workload::Pod],
) -> Option<f64> {
    let (mut all, mut sick) = (0_u64, 0_u64);
    for ((pod, before), (_, after)) in before.iter().zip(after) {
        let accepted = after.saturating_sub(*before);
        all += accepted;
        sick += if victims.iter().any(|victim| victim.name == *pod) {
            accepted
        } else {
            0
        };
    }
    let count = |n| usize::try_from(n).map_or(0.0, fraction);
    (all > 0).then(|| count(sick) / count(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_fault_is_answered_with_the_known_ones() {
        let error = chosen(&["gary"]).unwrap_err().to_string();
        assert!(
            error.contains("observe, none, contract, gray, fast-fail"),
            "{error}"
        );
        assert!(chosen(&[NONE]).unwrap().is_empty());
        assert_eq!(chosen(&["hang"]).unwrap().len(), 1);
        assert_eq!(chosen(&[]).unwrap().len(), fault::FAULTS.len());
    }

    #[test]
    fn what_servers_accepted_gives_the_victims_share() {
        let counts = |a, b| vec![("one".to_owned(), a), ("two".to_owned(), b)];
        let address = "10.244.1.2".parse().unwrap();
        let victim = workload::Pod {
            name: "two".into(),
            node: "node-1".into(),
            address,
            addresses: vec![address],
        };
        let share = share_accepted(
            &counts(100, 100),
            &counts(190, 110),
            std::slice::from_ref(&victim),
        );
        assert!((share.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(share_accepted(&counts(1, 1), &counts(1, 1), &[victim]), None);
    }
}
