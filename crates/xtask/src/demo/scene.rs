//! Breaking things, and ending it: one small program of steps for each kind of fault.
//!
//! A scene knows both Services of the pair and breaks both in the same way at the same time. Whatever it breaks it can
//! mend, and it mends what is still broken when it is dropped, so an error half-way leaves no sick backend, no paused
//! kubelet and no stopped API server behind.

use std::thread;
use std::time::Duration;

use continuity_traffic::clock;
use continuity_traffic::control::{Fault as Sickness, Port};

use super::control::{self, Builds};
use super::fault::{Fault, Inject};
use super::goal::Goal;
use super::trial::Agents;
use super::wire::Server;
use super::workload::{self, NAMESPACE, PAIR, Pod};
use crate::Error;
use crate::cluster::{Cluster, Node};
use crate::image::NEXT;

const GRAY: Sickness = Sickness::Gray { delay_ms: 500 };

/// One Service of the pair, as a scene sees it.
pub(super) struct Half {
    /// Its servers, by name.
    pub(super) servers: Vec<Server>,
    /// Its pods, in the same order.
    pub(super) pods: Vec<Pod>,
    /// Which of them are made sick.
    pub(super) sick: Vec<usize>,
}

impl Half {
    fn new(cluster: &Cluster, app: &str, first: usize, count: usize) -> Result<Self, Error> {
        let (servers, pods) = (workload::servers(cluster, app)?, workload::pods(cluster, app)?);
        let size = servers.len().max(1);
        let sick = (0..count.min(size)).map(|at| (first + at) % size).collect();
        Ok(Self { servers, pods, sick })
    }

    /// The pods that are made sick.
    pub(super) fn victims(&self) -> impl Iterator<Item = &Pod> {
        self.sick.iter().filter_map(|at| self.pods.get(*at))
    }

    fn set(&mut self, port: Port, sickness: Sickness) -> Result<u64, Error> {
        let mut at_ns = clock::now_ns();
        for index in &self.sick {
            if let Some(server) = self.servers.get_mut(*index) {
                at_ns = server.set(port, sickness)?;
            }
        }
        Ok(at_ns)
    }
}

/// What is broken now and must be mended.
#[derive(Default)]
struct Broken {
    sick: Option<Port>,
    paused: Option<Node>,
    control: bool,
}

/// A fault about to happen.
pub(super) struct Scene<'a> {
    cluster: &'a Cluster,
    fault: &'a Fault,
    builds: &'a Builds,
    /// The Service under Continuity, then its twin.
    pub(super) halves: [Half; 2],
    /// What the loss of agents looked like.
    pub(super) agents: Option<Agents>,
    /// When the control plane was started again, if it was stopped.
    pub(super) restarted_ns: Option<u64>,
    before: Option<control::Before>,
    broken: Broken,
}

impl<'a> Scene<'a> {
    /// Looks at the pods; `first` rotates the victims.
    pub(super) fn new(
        cluster: &'a Cluster,
        fault: &'a Fault,
        builds: &'a Builds,
        first: usize,
    ) -> Result<Self, Error> {
        let count = match fault.inject {
            Inject::Backends { count, .. } => count,
            Inject::ControlAway | Inject::RollingUpdate => 1,
            _ => 0,
        };
        let halves = [
            Half::new(cluster, PAIR[0], first, count)?,
            Half::new(cluster, PAIR[1], first, count)?,
        ];
        let loses = matches!(
            fault.inject,
            Inject::AgentKilled | Inject::AgentAway | Inject::Upgrade
        );
        Ok(Self {
            cluster,
            fault,
            builds,
            halves,
            agents: loses.then(Agents::default),
            restarted_ns: None,
            before: None,
            broken: Broken::default(),
        })
    }

    /// What is broken.
    pub(super) fn inject(&self) -> Inject {
        self.fault.inject
    }

    /// For how long.
    pub(super) fn seconds(&self) -> u64 {
        self.fault.seconds
    }

    /// When the worst moment of it is looked at, after it began. Observe is given longer: before it names a backend that is
    /// alone on its node, every other node must have had the time to tell the same of its own.
    pub(super) fn worst(&self) -> Duration {
        let compared = self.fault.goals.contains(&Goal::SaysWouldHave);
        Duration::from_secs(if compared { 12 } else { 8 })
    }

    fn sicken(&mut self, port: Port, sickness: Sickness) -> Result<u64, Error> {
        self.broken.sick = Some(port);
        // Ours last: the time that counts is when both are sick.
        let [ours, theirs] = &mut self.halves;
        theirs.set(port, sickness)?;
        ours.set(port, sickness)
    }

    fn cure(&mut self) -> Result<u64, Error> {
        let Some(port) = self.broken.sick.take() else {
            return Ok(clock::now_ns());
        };
        let [ours, theirs] = &mut self.halves;
        let at_ns = ours.set(port, Sickness::End)?;
        theirs.set(port, Sickness::End)?;
        Ok(at_ns)
    }

    /// The node whose agent is kept away.
    fn lonely(&self) -> Result<Node, Error> {
        self.cluster.node("node-2")
    }

    /// Begins the fault; returns when it had taken effect.
    pub(super) fn begin(&mut self) -> Result<u64, Error> {
        if self.agents.is_some() {
            self.before = Some(control::Before::look(self.cluster)?);
        }
        match self.fault.inject {
            Inject::Backends { sickness, port, .. } => self.sicken(port, sickness),
            Inject::RollingUpdate => self.sicken(Port::Http, GRAY),
            Inject::ControlAway => {
                self.broken.control = true;
                control::stop(self.cluster)?;
                thread::sleep(control::ALONE);
                self.sicken(Port::Http, GRAY)
            }
            Inject::AgentKilled => control::kill_agents(None),
            Inject::AgentAway => {
                let node = self.lonely()?;
                self.broken.paused = Some(node);
                self.cluster.pause_kubelet(node)?;
                control::kill_agents(Some(&node.name()))
            }
            Inject::Upgrade | Inject::Surge(_) => Ok(clock::now_ns()),
        }
    }

    /// What happens while the fault lasts, up to its end; `begin_ns` is when it began. Returns seconds from the API
    /// server's return to a status that names the victim, where that is the question.
    pub(super) fn unfold(&mut self, begin_ns: u64) -> Result<Option<f64>, Error> {
        match self.fault.inject {
            Inject::AgentAway => self.watch_failsafe(begin_ns)?,
            Inject::Upgrade => self.upgrade()?,
            Inject::RollingUpdate => self.roll(begin_ns)?,
            Inject::ControlAway => {
                sleep_until(
                    begin_ns,
                    Duration::from_secs(self.fault.seconds).saturating_sub(control::ALONE),
                );
                return self.give_control_back().map(Some);
            }
            _ => sleep_until(begin_ns, Duration::from_secs(self.fault.seconds)),
        }
        Ok(None)
    }

    /// HOLD and FALLBACK are read from the kernel: the time of the change, against the time of the kill.
    fn watch_failsafe(&mut self, begin_ns: u64) -> Result<(), Error> {
        let node = self.lonely()?;
        let mut agents = Agents::default();
        for (at, state) in [(8, "Hold"), (18, "Fallback")] {
            sleep_until(begin_ns, Duration::from_secs(at));
            let age = control::failsafe_age(self.cluster, node, state)?;
            if state == "Hold" {
                agents.held_s = age
            } else {
                agents.fell_back_s = age
            }
        }
        self.agents = Some(agents);
        sleep_until(begin_ns, Duration::from_secs(self.fault.seconds));
        Ok(())
    }

    /// To the other build and back: both are upgrades, and the next trial finds the agents as they were.
    fn upgrade(&mut self) -> Result<(), Error> {
        let rolled = |to: &str| {
            control::roll_agents(self.cluster, to)?;
            control::reported_versions(self.cluster, |version| {
                (version == NEXT) == (to == self.builds.next)
            })
        };
        let there = rolled(&self.builds.next)?;
        let back = rolled(&self.builds.usual)?;
        if let Some(agents) = &mut self.agents {
            agents.versions = Some((there, back));
        }
        Ok(())
    }

    fn roll(&mut self, begin_ns: u64) -> Result<(), Error> {
        sleep_until(begin_ns, Duration::from_secs(6));
        for half in &self.halves {
            for pod in half.victims() {
                // The last to go: most of the roll-out happens while the fault is on.
                let cost = "controller.kubernetes.io/pod-deletion-cost=1000";
                self.cluster
                    .kubectl(["annotate", "pod", &pod.name, "-n", NAMESPACE, "--overwrite", cost])?;
            }
        }
        let both = PAIR.map(|name| format!("deployment/{name}"));
        let [ours, theirs] = both.each_ref().map(String::as_str);
        self.cluster
            .kubectl(["rollout", "restart", ours, theirs, "-n", NAMESPACE])?;
        for object in [ours, theirs] {
            workload::rolled_out(self.cluster, object, Duration::from_secs(120))?;
        }
        // The sick pods are gone, so there is nothing to cure.
        self.broken.sick = None;
        Ok(())
    }

    fn give_control_back(&mut self) -> Result<f64, Error> {
        self.restarted_ns = Some(clock::now_ns());
        control::start(self.cluster)?;
        self.broken.control = false;
        let back_ns = clock::now_ns();
        let victims: Vec<String> = self.halves[0].victims().map(|pod| pod.name.clone()).collect();
        control::status_names(self.cluster, &victims)?;
        Ok(super::share::seconds(clock::now_ns() - back_ns))
    }

    /// Ends the fault; returns when it had ended.
    pub(super) fn end(&mut self) -> Result<u64, Error> {
        if let Some(node) = self.broken.paused.take() {
            self.cluster.resume_kubelet(node)?;
        }
        self.cure()
    }

    /// Looks at what is left of the agents' work, once they are Ready again.
    pub(super) fn settle(&mut self, end_ns: u64) -> Result<(), Error> {
        if self.fault.inject == Inject::ControlAway {
            super::install::wait_ready(self.cluster)?;
        }
        if let (Some(before), Some(agents)) = (&self.before, &mut self.agents) {
            super::install::wait_ready(self.cluster)?;
            agents.taken_over_s = Some(super::share::seconds(clock::now_ns() - end_ns));
            let after = control::Before::look(self.cluster)?;
            agents.counted = Some((before.connects, after.connects));
            agents.same_pins = Some(!before.pins.is_empty() && before.pins == after.pins);
        }
        Ok(())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // The way out of an error: what cannot be mended is gone or is taken down with the cluster.
        let _cured = self.cure();
        if let Some(node) = self.broken.paused.take() {
            let _resumed = self.cluster.resume_kubelet(node);
        }
        if std::mem::take(&mut self.broken.control) {
            let _started = control::start(self.cluster);
        }
    }
}

/// Sleeps until so long after `begin_ns`.
pub(super) fn sleep_until(begin_ns: u64, after: Duration) {
    let due = Duration::from_nanos(begin_ns).saturating_add(after);
    thread::sleep(due.saturating_sub(Duration::from_nanos(clock::now_ns())));
}
