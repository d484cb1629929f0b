//! The server's side of the plant: a request reaches a backend, waits, is worked on, and its answer leaves.
//!
//! Invariant: whatever a backend does with a request, `in_flight` falls once, when nothing of it is left at the server.

use super::agenda::{Back, Event, Lane};
use super::backend::{Condition, Mode};
use super::probe::Sensor;
use super::{Plant, Reports, index, small};
use crate::choice::{Pod, kms};
use crate::scenario::Step;
use crate::span::micros;

impl Plant<'_> {
    pub(super) fn reach(&mut self, now: u64, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let Some(backend) = self.backends.get_mut(index(request.backend)) else {
            return;
        };
        request.arrived = now;
        request.rif = backend.pod.rif;
        let back = now + self.one_way;
        if backend.condition.mode == Mode::Vanish {
            request.hung = true;
            return backend.pod.request(kms(now));
        }
        if backend.condition.mode == Mode::Refuse || backend.gone {
            self.release(place);
            let failure = Back::Failure {
                request: place,
                refused: true,
            };
            return self.agenda.lane(Lane::Back, back, Event::Return(failure));
        }
        if self.greets && request.fresh {
            let speaks = self.reports == Reports::Live && !request.wish.lost;
            let report = speaks.then(|| backend.herald.write(&backend.pod, now)).flatten();
            let greeting = Back::Greeting {
                node: request.wish.node,
                backend: request.backend,
                report,
            };
            self.agenda.lane(Lane::Back, back, Event::Return(greeting));
        }
        backend.pod.request(kms(now));
        match backend.condition.mode {
            Mode::Reset(after) => self.reset(now, place, after),
            Mode::Serve if request.wish.luck < backend.condition.errors => self.reset(now, place, 0),
            Mode::Hang => request.hung = true,
            Mode::Serve | Mode::Refuse | Mode::Vanish => {
                let which = request.backend;
                backend.queue.push_back(place);
                if backend.busy < self.scenario.backends.workers {
                    backend.busy += 1;
                    self.next_in_line(now, which);
                }
            }
        }
    }

    pub(super) fn reset(&mut self, now: u64, place: u32, after: u64) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        if let Some(backend) = self.backends.get_mut(index(request.backend)) {
            backend.pod.response(micros(after), true, kms(now + after));
        }
        self.release(place);
        let failure = Event::Return(Back::Failure {
            request: place,
            refused: false,
        });
        self.agenda.late(now + after + self.one_way, failure);
    }

    /// The server's side of a request is over.
    pub(super) fn release(&mut self, place: u32) {
        if let Some(request) = self.requests.get_mut(place)
            && let Some(count) = self.in_flight.get_mut(index(request.backend))
        {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn finish(&mut self, now: u64, which: u32, place: u32) {
        self.next_in_line(now, which);
        let Some(backend) = self.backends.get(index(which)) else {
            return;
        };
        if backend.condition.mode == Mode::Vanish {
            return self.lose(now, place);
        }
        match backend.condition.delay {
            0 => self.leave(now, place),
            delay => self.agenda.late(now + delay, Event::Leave { request: place }),
        }
    }

    /// A worker is free: it takes what waits longest, unless a law in the server drops it.
    fn next_in_line(&mut self, now: u64, which: u32) {
        loop {
            let Some(backend) = self.backends.get_mut(index(which)) else {
                return;
            };
            let Some(next) = backend.queue.pop_front() else {
                backend.busy -= 1;
                return;
            };
            let Some(request) = self.requests.get_mut(next) else {
                continue;
            };
            if let Some(admission) = self.admission.as_deref_mut()
                && !admission.serve(index(which), now - request.arrived, now)
            {
                backend.pod.gone(kms(now));
                self.release(next);
                let failure = Event::Return(Back::Failure {
                    request: next,
                    refused: true,
                });
                self.agenda.lane(Lane::Back, now + self.one_way, failure);
                continue;
            }
            let event = Event::Finish {
                backend: which,
                request: next,
            };
            return self.agenda.late(now + backend.service(request.wish.work), event);
        }
    }

    /// What a backend had worked on when it vanished: its client waits in vain, or has left already.
    fn lose(&mut self, now: u64, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        if request.client {
            request.hung = true;
            return;
        }
        if let Some(backend) = self.backends.get_mut(index(request.backend)) {
            backend.pod.gone(kms(now));
        }
        self.release(place);
        self.requests.server_done(place);
    }

    pub(super) fn leave(&mut self, now: u64, place: u32) {
        self.release(place);
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let Some(backend) = self.backends.get_mut(index(request.backend)) else {
            return;
        };
        let took = micros(now - request.arrived);
        backend.pod.response(took, false, kms(now));
        backend.sensor.finished(request.rif, took);
        let speaks = self.reports == Reports::Live && !request.wish.lost;
        let report = speaks.then(|| backend.herald.write(&backend.pod, now)).flatten();
        let answer = Event::Return(Back::Answer {
            request: place,
            report,
        });
        self.agenda.lane(Lane::Back, now + self.one_way, answer);
    }

    pub(super) fn fault(&mut self, now: u64) {
        let count = self.scenario.backends.count;
        for (which, backend) in self.backends.iter_mut().enumerate() {
            let condition = Condition::at(&self.scenario.faults, small(which), count, now);
            backend.condition = condition;
            if let (Some(speed), Some(delay)) = (self.speed.get_mut(which), self.delay.get_mut(which)) {
                let serves = condition.mode == Mode::Serve;
                *speed = if serves {
                    backend.speed * condition.speed
                } else {
                    0.0
                };
                *delay = condition.delay;
            }
        }
    }

    pub(super) fn rollout(&mut self, now: u64, which: u32, step: Step) {
        let cold = self.scenario.rollout.map_or(1.0, |rollout| rollout.cold_speed);
        let Some(backend) = self.backends.get_mut(index(which)) else {
            return;
        };
        match step {
            Step::Leaves => self.policy.endpoint(index(which), false, false, now),
            Step::Gone => backend.gone = true,
            Step::Ready => {
                backend.gone = false;
                backend.warmth = cold;
                backend.pod = Pod::default();
                backend.sensor = Sensor::default();
            }
            Step::Joins => self.policy.endpoint(index(which), true, true, now),
            Step::Warm => backend.warmth = 1.0,
        }
        self.fault(now);
    }

    pub(super) fn probe(&mut self, now: u64, node: u32, which: u32) {
        let Some(backend) = self.backends.get(index(which)) else {
            return;
        };
        if !matches!(backend.condition.mode, Mode::Serve | Mode::Reset(_)) {
            return;
        }
        let rif = backend.pod.rif;
        let back = Back::Probe {
            node,
            backend: which,
            rif,
            micros: backend.sensor.latency(rif),
        };
        self.agenda
            .lane(Lane::Back, now + self.one_way, Event::Return(back));
    }
}
