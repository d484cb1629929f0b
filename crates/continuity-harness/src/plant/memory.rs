//! Memory in the plant: nodes measure their pods once a second, warnings are recorded, what hits its limit is killed.

use super::agenda::Event;
use super::{Plant, index, small};
use crate::choice::Pod;
use crate::recording::Alarm;
use crate::span::{MILLI, SECOND};

impl Plant<'_> {
    pub(super) fn memory(&mut self, now: u64) {
        let scenario = self.scenario;
        let Some(memory) = &scenario.memory else { return };
        for which in 0..self.backends.len() {
            let Some(backend) = self.backends.get_mut(which) else {
                continue;
            };
            if backend.gone {
                // The pod's control group outlives its container and is as good as empty until the next one runs.
                self.policy.memory(which, 0.0, memory.limit_mib, now);
                continue;
            }
            let used = memory.used(small(which), scenario.backends.count, backend.born, now);
            let foretold = self.policy.memory(which, used, memory.limit_mib, now);
            let mut alarm = |killed| {
                self.recording.alarms.push(Alarm {
                    at: now,
                    backend: small(which),
                    killed,
                });
            };
            if foretold && !std::mem::replace(&mut backend.warned, true) {
                alarm(false);
            } else if !foretold {
                backend.warned = false;
            }
            if used >= memory.limit_mib {
                alarm(true);
                backend.gone = true;
                backend.warned = false;
                let ready = now + memory.restart_millis * MILLI;
                self.agenda.late(
                    ready,
                    Event::Reborn {
                        backend: small(which),
                    },
                );
            }
        }
        if now + SECOND < self.end {
            self.agenda.late(now + SECOND, Event::Memory);
        }
    }

    pub(super) fn reborn(&mut self, now: u64, which: u32) {
        if let Some(backend) = self.backends.get_mut(index(which)) {
            backend.gone = false;
            backend.born = now;
            backend.pod = Pod::default();
        }
    }
}
