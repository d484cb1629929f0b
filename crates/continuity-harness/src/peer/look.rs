//! The bound of every law without probes and without word of others: perfect knowledge, but only after one look.
//!
//! Each node knows every queue, and every speed and delay as they were at its own latest request to that backend; that a
//! backend is well again it knows at once. So it sends one request to what has become sick, and none after it, however
//! early the sickness showed. A row below this one has luck, or heard of others; a row above it pays for time until the
//! first answer, for tests, and for what it does not believe yet.

use super::simple::{expected, two};
use crate::policy::{Done, Pick, Policy, Truth};
use crate::random::Random;
use crate::scenario::Scenario;

/// Speed and delay (ns) of a backend.
type Condition = (f64, u64);

struct Looks {
    random: Random,
    backends: usize,
    /// What each node saw last, by node and backend.
    seen: Vec<Condition>,
    /// The truth at the latest pick of anybody.
    present: Vec<Condition>,
}

impl Looks {
    /// What `node` takes for the truth: its latest look, or better news.
    fn believed(&self, node: usize, backend: usize) -> Condition {
        let known = |list: &[Condition], place: usize| list.get(place).copied().unwrap_or((1.0, 0));
        let (seen, present) = (
            known(&self.seen, node * self.backends + backend),
            known(&self.present, backend),
        );
        if present.0 >= seen.0 && present.1 <= seen.1 {
            present
        } else {
            seen
        }
    }

    fn look(&mut self, node: usize, backend: usize) {
        let present = self.present.get(backend).copied();
        if let (Some(seen), Some(present)) = (self.seen.get_mut(node * self.backends + backend), present) {
            *seen = present;
        }
    }
}

impl Policy for Looks {
    fn pick(&mut self, node: usize, _: u64, truth: &Truth<'_>) -> Option<Pick> {
        self.present.clear();
        let conditions = truth.speed.iter().zip(truth.delay);
        self.present
            .extend(conditions.map(|(&speed, &delay)| (speed, delay)));
        let (a, b) = two(&mut self.random, self.backends);
        let time = |backend: usize| {
            let (speed, delay) = self.believed(node, backend);
            let own = Truth {
                speed: &[speed],
                delay: &[delay],
                in_flight: truth.in_flight.get(backend..=backend).unwrap_or_default(),
                ..*truth
            };
            expected(&own, 0)
        };
        let backend = if time(b) < time(a) { b } else { a };
        self.look(node, backend);
        Some(Pick { backend, tag: 0 })
    }

    fn done(&mut self, _: &Done) {}

    fn again(&mut self, node: usize, backend: usize, _: u64) -> Option<i32> {
        self.look(node, backend);
        None
    }
}

pub(super) fn pair(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    let count = |value: u32| usize::try_from(value).unwrap_or(0);
    let backends = count(scenario.backends.count);
    let speeds = scenario.backends.speeds.iter().copied().cycle();
    let healthy: Vec<Condition> = speeds.take(backends).map(|speed| (speed, 0)).collect();
    Box::new(Looks {
        random: Random::new(seed, "oracle"),
        backends,
        seen: healthy.repeat(count(scenario.nodes)),
        present: healthy,
    })
}
