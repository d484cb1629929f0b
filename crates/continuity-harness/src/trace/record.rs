//! Records one node of a run of the wind tunnel.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Header, Tick, digest};
use crate::law::field::Field;
use crate::law::{Agent, Kernel, Law, Plan};
use crate::plant::{Reports, run};
use crate::scenario::Scenario;

/// The field agent, and what it was asked if it is the recorded one.
struct Recorded {
    field: Field,
    ticks: Option<Rc<RefCell<Vec<Tick>>>>,
    restarted: bool,
}

impl Agent for Recorded {
    const BLAMES_TIMEOUTS: bool = Field::BLAMES_TIMEOUTS;

    fn tick(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64) {
        let Some(ticks) = &self.ticks else {
            return self.field.tick(kernel, plan, now);
        };
        let mut ticks = ticks.borrow_mut();
        let restarted = std::mem::take(&mut self.restarted);
        self.field.decide(kernel, plan, now, |samples, at| {
            let mut tick = Tick::of(ticks.len() as u64, at, samples);
            tick.restarted = restarted;
            ticks.push(tick);
        });
        if let Some(tick) = ticks.last_mut() {
            tick.decided = digest(self.field.outcome());
        }
    }

    fn isolated(&self) -> usize {
        self.field.isolated()
    }

    fn views(&self) -> &[continuity_field::BackendView] {
        self.field.views()
    }

    fn restart(&mut self, kernel: &mut Kernel) {
        self.restarted = true;
        self.field.restart(kernel);
    }
}

/// Runs `scenario` and gives what its `node` was asked and decided. A node that is not there gives no ticks.
#[must_use]
pub fn record(scenario: &Scenario, seed: u64, reports: Reports, node: u32) -> (Header, Vec<Tick>) {
    let ticks = Rc::new(RefCell::new(Vec::new()));
    let (next, own_seed) = (Cell::new(0), Cell::new(0));
    let mut law = Law::new(scenario, seed, |own, _| {
        let place = next.replace(next.get() + 1);
        if place == node {
            own_seed.set(own);
        }
        Recorded {
            field: Field::new(own),
            ticks: (place == node).then(|| Rc::clone(&ticks)),
            restarted: false,
        }
    });
    let _ = run(scenario, seed, reports, &mut law);
    let source = format!("{} seed {seed} node {node}", scenario.name);
    let header = Header::fresh(source, own_seed.get());
    (header, ticks.take())
}
