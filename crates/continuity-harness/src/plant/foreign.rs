//! Another Service on the same pods: its requests wait and are worked on like all others, and nobody here hears of them.

use super::agenda::{Event, Lane};
use super::request::{NOBODY, Request, Wish};
use super::{Plant, index, small};
use crate::span::{MILLI, nanos};

impl Plant<'_> {
    /// One request of the other Service arrives, and the next is set.
    pub(super) fn foreign(&mut self, now: u64) {
        let scenario = self.scenario;
        let Some(sharing) = &scenario.sharing else { return };
        let count = scenario.backends.count;
        let since = now.saturating_sub(sharing.from_millis * MILLI);
        let hit: Vec<u32> = (0..count)
            .filter(|&backend| sharing.target.hits(backend, count, since))
            .collect();
        let Some(&backend) = hit.get(self.others.below(hit.len())) else {
            return;
        };
        if since > 0 {
            let work = self.draw_foreign();
            let request = Request {
                wish: Wish {
                    work,
                    due: now,
                    luck: 1_000,
                    lost: true,
                    client: NOBODY,
                    ..Wish::default()
                },
                sent: now,
                backend,
                connection: NOBODY,
                foreign: true,
                ..Request::default()
            };
            if let Some(count) = self.in_flight.get_mut(index(backend)) {
                *count += 1;
            }
            let (place, generation) = self.requests.open(request);
            let patience = Event::Patience {
                request: place,
                generation,
            };
            self.agenda
                .lane(Lane::Out, now + self.one_way, Event::Reach(place));
            self.agenda.lane(Lane::Patience, now + self.patience, patience);
        }
        let rate = sharing.per_backend_second * f64::from(small(hit.len()));
        let next = now + nanos(self.others.exponential() / rate);
        if next < sharing.to_millis * MILLI {
            self.agenda.late(next, Event::Foreign);
        }
    }
}
