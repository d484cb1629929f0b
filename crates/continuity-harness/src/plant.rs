//! The plant: nodes, a network, backends, clients with patience; discrete events, one seed, no clock.
//!
//! Why it exists: every law meets the same arrivals, the same work and the same faults (common random numbers), so a
//! difference between two rows is a difference between two laws. Invariants: the same scenario, seed and law give the
//! same [`Recording`] bit for bit; every arrival is recorded exactly once; a server never notices that its client left.
//! Left out: bytes, congestion, the TCP handshake beyond one delay each way.

mod agenda;
mod backend;
mod client;
mod foreign;
mod herald;
mod memory;
mod probe;
mod request;
mod server;

#[cfg(test)]
mod tests;

use std::mem;

use agenda::{Agenda, Back, Event, Lane};
use backend::Backend;
use client::Clients;
use herald::Herald;
use request::Requests;

use crate::admission::Admission;
use crate::choice::kms;
use crate::policy::{End, Policy, Probe};
use crate::random::Random;
use crate::recording::Recording;
use crate::scenario::{Agent, Contest, Scenario, Service};
use crate::span::{MILLI, SECOND, nanos};

/// How reports travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reports {
    /// None: old kernels, or options stripped.
    #[default]
    None,
    /// In every SYN-ACK and every response.
    Live,
}

struct Plant<'a> {
    scenario: &'a Scenario,
    policy: &'a mut dyn Policy,
    admission: Option<&'a mut dyn Admission>,
    reports: Reports,
    greets: bool,
    agenda: Agenda,
    backends: Vec<Backend>,
    requests: Requests,
    clients: Clients,
    in_flight: Vec<u32>,
    speed: Vec<f64>,
    delay: Vec<u64>,
    arrivals: Random,
    work: Random,
    luck: Random,
    losses: Random,
    ticks: Random,
    /// Who calls, who is tried again, the rogue.
    crowd: Random,
    /// Another Service on the same pods.
    others: Random,
    /// Whether requests are recorded beside attempts.
    counts: bool,
    /// Mean work before any cut, ns: what an oracle is told.
    mean: f64,
    probes: Vec<usize>,
    one_way: u64,
    patience: u64,
    end: u64,
    recording: Recording,
}

/// Runs `scenario` once, everybody admitted. Requests that are open at the end get the time they need to end.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, reports: Reports, policy: &mut dyn Policy) -> Recording {
    admitted(scenario, seed, reports, policy, None)
}

/// The same behind a law of admission.
#[must_use]
pub fn admitted<'a>(
    scenario: &'a Scenario,
    seed: u64,
    reports: Reports,
    policy: &'a mut dyn Policy,
    admission: Option<&'a mut dyn Admission>,
) -> Recording {
    let mut plant = Plant::new(scenario, seed, reports, policy, admission);
    plant.prepare();
    while let Some((now, event)) = plant.agenda.next() {
        if now > plant.end + plant.patience + plant.one_way {
            break;
        }
        plant.happen(now, event);
    }
    plant.recording.events = plant.agenda.taken;
    plant.recording
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl<'a> Plant<'a> {
    fn new(
        scenario: &'a Scenario,
        seed: u64,
        reports: Reports,
        policy: &'a mut dyn Policy,
        admission: Option<&'a mut dyn Admission>,
    ) -> Self {
        let speeds = scenario.backends.speeds.iter().copied().cycle();
        let total = scenario.backends.count;
        let backends: Vec<Backend> = (0..total)
            .zip(speeds)
            .map(|(which, speed)| Backend::new(speed, Herald::new(&scenario.gossip, which, total)))
            .collect();
        let count = backends.len();
        Self {
            scenario,
            greets: policy.hears_connects(),
            counts: scenario.contest == Contest::Admission
                || scenario.client.retries.is_some()
                || scenario.load.closed.is_some()
                || !scenario.callers.is_empty(),
            policy,
            admission,
            reports,
            agenda: Agenda::default(),
            requests: Requests::default(),
            clients: Clients::new(scenario),
            in_flight: vec![0; count],
            speed: vec![1.0; count],
            delay: vec![0; count],
            backends,
            arrivals: Random::new(seed, "arrivals"),
            work: Random::new(seed, "work"),
            luck: Random::new(seed, "luck"),
            losses: Random::new(seed, "losses"),
            ticks: Random::new(seed, "ticks"),
            crowd: Random::new(seed, "crowd"),
            others: Random::new(seed, "others"),
            mean: mean(&scenario.service),
            probes: Vec::new(),
            one_way: scenario.network.one_way_micros * 1_000,
            patience: scenario.client.timeout_millis * MILLI,
            end: scenario.duration_millis * MILLI,
            recording: Recording::default(),
        }
    }

    fn prepare(&mut self) {
        for fault in &self.scenario.faults {
            for turn in fault.turns() {
                self.agenda.late(turn, Event::Fault);
            }
        }
        if let Some(rollout) = &self.scenario.rollout {
            for (at, backend, step) in rollout.steps(self.scenario.backends.count) {
                self.agenda.late(at, Event::Rollout { backend, step });
            }
        }
        self.fault(0);
        let tick = self.scenario.agent.tick_millis * MILLI;
        for node in 0..self.scenario.nodes {
            let phase = nanos(self.ticks.uniform() * tick as f64 / 1e9);
            self.agenda.late(phase, Event::Tick(node));
        }
        for death in &self.scenario.agent.deaths {
            for node in Agent::struck(death, self.scenario.nodes) {
                self.agenda.late(death.to_millis * MILLI, Event::Restart(node));
            }
        }
        if self.scenario.memory.is_some() {
            self.agenda.late(SECOND, Event::Memory);
        }
        if let Some(sharing) = &self.scenario.sharing {
            self.agenda.late(sharing.from_millis * MILLI, Event::Foreign);
        }
        self.open_load();
    }

    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Arrival => self.arrival(now),
            Event::Rogue => self.rogue(now),
            Event::Foreign => self.foreign(now),
            Event::Thought(client) => self.thought(now, client),
            Event::Retry(place) => self.retry(now, place),
            Event::Restart(node) => self.restart(now, node),
            Event::Memory => self.memory(now),
            Event::Reborn { backend } => self.reborn(now, backend),
            Event::Reach(request) => self.reach(now, request),
            Event::Finish { backend, request } => self.finish(now, backend, request),
            Event::Leave { request } => self.leave(now, request),
            Event::Return(back) => self.back(now, back),
            Event::Patience { request, generation } => self.patience(now, request, generation),
            Event::Tick(node) => self.tick(now, node),
            Event::Fault => self.fault(now),
            Event::Rollout { backend, step } => self.rollout(now, backend, step),
            Event::Probe { node, backend } => self.probe(now, node, backend),
        }
    }

    fn draw(&mut self) -> u64 {
        work(&self.scenario.service, &mut self.work)
    }

    /// The same work from a stream of its own, so that rows and arrivals do not notice.
    fn draw_foreign(&mut self) -> u64 {
        work(&self.scenario.service, &mut self.others)
    }

    fn back(&mut self, now: u64, back: Back) {
        match back {
            Back::Answer { request, report } => {
                self.close(now, request, End::Answered, report);
                self.requests.server_done(request);
            }
            Back::Failure { request, refused } => {
                let end = if refused { End::Refused } else { End::Reset };
                self.close(now, request, end, None);
                self.requests.server_done(request);
            }
            Back::Greeting {
                node,
                backend,
                report,
            } => {
                self.policy
                    .connected(index(node), index(backend), report.as_ref(), now);
            }
            Back::Probe {
                node,
                backend,
                rif,
                micros,
            } => {
                let (node, backend) = (index(node), index(backend));
                self.policy.probed(&Probe {
                    node,
                    backend,
                    rif,
                    micros,
                    now,
                });
            }
        }
    }

    fn patience(&mut self, now: u64, place: u32, generation: u32) {
        let Some(request) = self.requests.live(place, generation) else {
            return;
        };
        let hung = request.hung;
        let backend = index(request.backend);
        self.close(now, place, End::TimedOut, None);
        if hung {
            if let Some(backend) = self.backends.get_mut(backend) {
                backend.pod.gone(kms(now));
            }
            self.release(place);
            self.requests.server_done(place);
        }
    }

    fn tick(&mut self, now: u64, node: u32) {
        let (agent, nodes) = (&self.scenario.agent, self.scenario.nodes);
        let dead = agent.dead(node, nodes, now);
        if !(dead && self.policy.has_agent()) {
            self.policy.tick(index(node), now);
            self.recording
                .isolation(now, node, self.policy.isolated(index(node)));
        }
        if let Some(admission) = self.admission.as_deref_mut() {
            if !dead {
                admission.tick(index(node), now);
            }
            self.recording.mode(now, node, admission.mode(index(node)));
        }
        self.send_probes(now, node);
        let tick = (self.scenario.agent.tick(node, nodes, now) * MILLI) as f64;
        let jitter = self.scenario.agent.jitter_permille as f64 / 1e3;
        let gap = tick * (1.0 + jitter * (2.0 * self.ticks.uniform() - 1.0));
        let next = now + nanos(gap / SECOND as f64);
        if next < self.end {
            self.agenda.late(next, Event::Tick(node));
        }
    }

    fn restart(&mut self, now: u64, node: u32) {
        if !self.scenario.agent.dead(node, self.scenario.nodes, now) {
            self.policy.restarted(index(node), now);
        }
    }

    fn send_probes(&mut self, now: u64, node: u32) {
        let mut probes = mem::take(&mut self.probes);
        self.policy.probes(index(node), now, &mut probes);
        for backend in probes.drain(..).map(small) {
            self.agenda
                .lane(Lane::Out, now + self.one_way, Event::Probe { node, backend });
        }
        self.probes = probes;
    }
}

/// Work of one request at speed 1, ns.
fn work(service: &Service, random: &mut Random) -> u64 {
    let millis = match *service {
        Service::Normal {
            mean_millis,
            sigma_millis,
            least_millis,
        } => (mean_millis + sigma_millis * random.normal()).max(least_millis),
        Service::Exponential { mean_millis } => mean_millis * random.exponential(),
        Service::Fixed { millis } => millis,
        Service::Uniform {
            low_millis,
            high_millis,
        } => low_millis + (high_millis - low_millis) * random.uniform(),
    };
    nanos(millis / 1e3)
}

/// Mean work in ns; the cut of a normal distribution is left out, which no oracle minds.
fn mean(service: &Service) -> f64 {
    match *service {
        Service::Normal { mean_millis, .. } => mean_millis * 1e6,
        _ => service.mean() * 1e6,
    }
}
