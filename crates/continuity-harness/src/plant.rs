//! The plant: nodes, a network, backends, clients with patience; discrete events, one seed, no clock.
//!
//! Why it exists: every law meets the same arrivals, the same work and the same faults (common random numbers), so a
//! difference between two rows is a difference between two laws. Invariants: the same scenario, seed and law give the
//! same [`Recording`] bit for bit; every arrival is recorded exactly once; a server never notices that its client left.
//! Left out: bytes, congestion, the TCP handshake beyond one delay each way.

mod agenda;
mod backend;
mod herald;
mod probe;
mod request;
mod server;

#[cfg(test)]
mod tests;

use std::mem;

use agenda::{Agenda, Back, Event, Lane};
use backend::Backend;
use herald::Herald;
use request::{Request, Requests};

use crate::choice::kms;
use crate::policy::{Done, End, Policy, Probe, Truth};
use crate::random::Random;
use crate::recording::{Attempt, NOWHERE, Recording};
use crate::scenario::{Scenario, Service};
use crate::span::{MILLI, SECOND, micros, nanos};

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
    reports: Reports,
    greets: bool,
    agenda: Agenda,
    backends: Vec<Backend>,
    requests: Requests,
    in_flight: Vec<u32>,
    speed: Vec<f64>,
    delay: Vec<u64>,
    arrivals: Random,
    work: Random,
    luck: Random,
    losses: Random,
    ticks: Random,
    probes: Vec<usize>,
    one_way: u64,
    patience: u64,
    end: u64,
    recording: Recording,
}

/// Runs `scenario` once. Requests that are open at the end get the time they need to end.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, reports: Reports, policy: &mut dyn Policy) -> Recording {
    let mut plant = Plant::new(scenario, seed, reports, policy);
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
    fn new(scenario: &'a Scenario, seed: u64, reports: Reports, policy: &'a mut dyn Policy) -> Self {
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
            policy,
            reports,
            agenda: Agenda::default(),
            requests: Requests::default(),
            in_flight: vec![0; count],
            speed: vec![1.0; count],
            delay: vec![0; count],
            backends,
            arrivals: Random::new(seed, "arrivals"),
            work: Random::new(seed, "work"),
            luck: Random::new(seed, "luck"),
            losses: Random::new(seed, "losses"),
            ticks: Random::new(seed, "ticks"),
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
        self.arrive_later(0);
    }

    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Arrival => self.arrival(now),
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

    fn arrive_later(&mut self, now: u64) {
        let gap = nanos(self.arrivals.exponential() / self.scenario.rate());
        if now + gap < self.end {
            self.agenda.lane(Lane::Due, now + gap, Event::Arrival);
        }
    }

    fn arrival(&mut self, now: u64) {
        let node = small(self.arrivals.below(index(self.scenario.nodes)));
        let work = self.draw();
        let luck = small(self.luck.below(1_000));
        let lost = small(self.losses.below(1_000)) < self.scenario.gossip.lost_permille;
        let workers = self.scenario.backends.workers;
        let truth = Truth {
            in_flight: &self.in_flight,
            speed: &self.speed,
            delay: &self.delay,
            workers,
            service: mean(&self.scenario.service),
        };
        let pick = self.policy.pick(index(node), now, &truth);
        match pick.filter(|pick| pick.backend < self.backends.len()) {
            Some(pick) => {
                let backend = small(pick.backend);
                let request = Request {
                    sent: now,
                    work,
                    node,
                    backend,
                    tag: pick.tag,
                    luck,
                    lost,
                    ..Request::default()
                };
                let (place, generation) = self.requests.open(request);
                if let Some(count) = self.in_flight.get_mut(pick.backend) {
                    *count += 1;
                }
                self.agenda
                    .lane(Lane::Out, now + self.one_way, Event::Reach(place));
                let patience = Event::Patience {
                    request: place,
                    generation,
                };
                self.agenda.lane(Lane::Patience, now + self.patience, patience);
            }
            None => self.recording.attempts.push(Attempt {
                sent: now,
                micros: 0,
                backend: NOWHERE,
                end: End::Refused,
            }),
        }
        self.send_probes(now, node);
        self.arrive_later(now);
    }

    fn draw(&mut self) -> u64 {
        let millis = match self.scenario.service {
            Service::Normal {
                mean_millis,
                sigma_millis,
                least_millis,
            } => (mean_millis + sigma_millis * self.work.normal()).max(least_millis),
            Service::Exponential { mean_millis } => mean_millis * self.work.exponential(),
            Service::Fixed { millis } => millis,
            Service::Uniform {
                low_millis,
                high_millis,
            } => low_millis + (high_millis - low_millis) * self.work.uniform(),
        };
        nanos(millis / 1e3)
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

    /// The client's side of a request is over.
    fn close(&mut self, now: u64, place: u32, end: End, report: Option<crate::choice::Report>) {
        let Some(request) = self.requests.client_done(place) else {
            return;
        };
        let took = micros(now - request.sent);
        self.recording.attempts.push(Attempt {
            sent: request.sent,
            micros: took,
            backend: request.backend,
            end,
        });
        self.policy.done(&Done {
            node: index(request.node),
            backend: index(request.backend),
            sent: request.sent,
            now,
            end,
            tag: request.tag,
            report,
        });
    }

    fn tick(&mut self, now: u64, node: u32) {
        self.policy.tick(index(node), now);
        self.recording
            .isolation(now, node, self.policy.isolated(index(node)));
        self.send_probes(now, node);
        let tick = (self.scenario.agent.tick_millis * MILLI) as f64;
        let jitter = self.scenario.agent.jitter_permille as f64 / 1e3;
        let gap = tick * (1.0 + jitter * (2.0 * self.ticks.uniform() - 1.0));
        let next = now + nanos(gap / SECOND as f64);
        if next < self.end {
            self.agenda.late(next, Event::Tick(node));
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

/// Mean work in ns; the cut of a normal distribution is left out, which no oracle minds.
fn mean(service: &Service) -> f64 {
    match *service {
        Service::Normal { mean_millis, .. } | Service::Exponential { mean_millis } => mean_millis * 1e6,
        Service::Fixed { millis } => millis * 1e6,
        Service::Uniform {
            low_millis,
            high_millis,
        } => (low_millis + high_millis) * 5e5,
    }
}
