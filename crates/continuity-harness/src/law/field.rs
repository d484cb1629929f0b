//! The product's agent: samples → `continuity_field::step` → words and slots.

use continuity_field::{
    Advice, BackendState, BackendView, Nanos, OFF, Outcome, Regression, Samples, SetConfig, SetState, step,
};

use super::{Agent, Kernel, Law, Plan};
use crate::choice::{NONE, kms};
use crate::policy::Policy;
use crate::scenario::Scenario;

/// One node's law.
pub struct Field {
    state: SetState,
    config: SetConfig,
    /// Sums of the regression at the last tick.
    before: crate::choice::Regression,
}

impl Field {
    /// A fresh agent.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: SetState::default(),
            config: SetConfig {
                seed,
                ..SetConfig::default()
            },
            before: crate::choice::Regression::default(),
        }
    }

    /// What the regression summed since the last tick.
    fn learned(&mut self, kernel: &Kernel) -> Regression {
        let (now, before) = (kernel.chooser.regression, self.before);
        self.before = now;
        Regression {
            n: now.n.wrapping_sub(before.n),
            sx: now.sx.wrapping_sub(before.sx),
            sy: now.sy.wrapping_sub(before.sy),
            sxx: now.sxx.wrapping_sub(before.sxx),
            sxy: now.sxy.wrapping_sub(before.sxy),
        }
    }

    /// One tick; `seen` hears what the law is asked before it decides.
    pub fn decide(
        &mut self,
        kernel: &mut Kernel,
        plan: &Plan,
        now: u64,
        seen: impl FnOnce(&Samples<'_>, Nanos),
    ) {
        kernel.read(now);
        let interval = Nanos(if kernel.since == 0 {
            0
        } else {
            now.saturating_sub(kernel.since)
        });
        let advice = Advice {
            active_nodes: plan.nodes,
            offered_milli_per_second: plan.milli_per_second,
            verdicts: &plan.verdicts,
        };
        let samples = Samples {
            interval,
            backends: &kernel.samples,
            advice,
            regression: self.learned(kernel),
        };
        seen(&samples, Nanos(now));
        let outcome = step(&mut self.state, &samples, &self.config, Nanos(now));
        publish(kernel, outcome);
        kernel.reset(now);
    }

    /// What the last step decided.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        self.state.outcome()
    }
}

impl Agent for Field {
    /// The kernel cannot know why a client left, and blames nobody.
    const BLAMES_TIMEOUTS: bool = false;

    fn tick(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64) {
        self.decide(kernel, plan, now, |_, _| {});
    }

    fn views(&self) -> &[BackendView] {
        &self.state.outcome().backends
    }

    /// What the page holds comes back; a page that does not read is a fresh start.
    fn restart(&mut self, kernel: &mut Kernel) {
        let mut page = Vec::new();
        self.state.save(&mut page);
        self.state = SetState::restore(&page).unwrap_or_default();
        self.before = kernel.chooser.regression;
        kernel.forget();
    }

    fn isolated(&self) -> usize {
        let views = &self.state.outcome().backends;
        views
            .iter()
            .filter(|view| view.state == BackendState::Isolated)
            .count()
    }
}

/// Writes an outcome into the kernel's words, as the dataplane does.
fn publish(kernel: &mut Kernel, outcome: &Outcome) {
    let chooser = &mut kernel.chooser;
    for (slot, &index) in chooser.slots.id.iter_mut().zip(&outcome.slots) {
        *slot = if index == OFF { NONE } else { u32::from(index) };
    }
    chooser.words.wm = outcome.words.wm;
    chooser.words.lm = outcome.words.lm;
    chooser.words.ownm = outcome.words.ownm;
    chooser.words.width = u8::try_from(outcome.words.width).unwrap_or(u8::MAX);
    chooser.words.mem_on = u8::from(outcome.words.mem_on);
    chooser.words.reports = u8::from(outcome.backends.iter().any(|view| view.choice.trust > 0));
    chooser.words.drip = outcome.drip.map_or(0, |drip| {
        (u64::from(kms(drip.due.0)) << 32) | (u64::from(drip.backend) + 1)
    });
    for (record, view) in chooser.records.iter_mut().zip(&outcome.backends) {
        record.words.pardon = u8::try_from(view.choice.pardon).unwrap_or(u8::MAX);
        record.words.off = u8::from(view.choice.off);
        record.words.shl = i16::try_from(view.choice.shl).unwrap_or(0);
        record.words.trust = u16::try_from(view.choice.trust).unwrap_or(0);
        record.words.fixed = view
            .choice
            .fixed
            .and_then(|fixed| u16::try_from(fixed).ok())
            .unwrap_or(0);
    }
}

/// The law as it ships.
#[must_use]
pub fn law(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    Box::new(Law::new(scenario, seed, |own, _| Field::new(own)))
}
