//! The order of the parts: check, observe, judge, decide, project, explain.

use crate::{
    BackendChoice, BackendState, BackendView, InputError, Nanos, OFF, Outcome, SLOTS, Samples, SetConfig,
    SetState,
};

/// One step of the law. `now` is the kernel's monotonic clock; the outcome lives in the state until the next step.
pub fn step<'s>(
    state: &'s mut SetState,
    samples: &Samples<'_>,
    config: &SetConfig,
    now: Nanos,
) -> &'s Outcome {
    let _ = config;
    if now < state.last {
        let by = state.last.since(now);
        state.outcome.problem = Some(InputError::ClockBackwards { by, last: state.last });
        return &state.outcome;
    }
    state.last = now;
    let outcome = &mut state.outcome;
    outcome.problem = None;
    outcome.reasons.clear();
    outcome.backends.clear();
    let usable = samples
        .backends
        .iter()
        .filter(|backend| backend.in_service)
        .count();
    let mut slots = [OFF; SLOTS];
    if usable > 0 {
        let indices = samples
            .backends
            .iter()
            .enumerate()
            .filter(|(_, backend)| backend.in_service);
        for (slot, (index, _)) in slots.iter_mut().zip(indices.cycle()) {
            *slot = u16::try_from(index).unwrap_or(OFF);
        }
    }
    for (index, backend) in samples.backends.iter().enumerate() {
        let held = slots.iter().filter(|&&slot| usize::from(slot) == index).count();
        let held = u32::try_from(held).unwrap_or(0);
        outcome.backends.push(BackendView {
            id: backend.id,
            state: if backend.in_service {
                BackendState::Normal
            } else {
                BackendState::Out
            },
            isolation: None,
            share_ppm: held * 15_625,
            slots: held,
            pressure_milli: 1_000,
            latency: None,
            error_permille: 0,
            choice: BackendChoice {
                off: !backend.in_service,
                ..BackendChoice::default()
            },
        });
    }
    outcome.changed = outcome.slots != slots;
    outcome.slots = slots;
    outcome
}
