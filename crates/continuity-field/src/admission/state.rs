//! What admission remembers, and its step: estimate, learn, judge, regulate, write.

use super::config::Config;
use super::estimate::{Estimate, Ratios};
use super::learn::{Learned, Look, Plateau};
use super::level::LEVELS;
use super::limit::Limiter;
use super::machine::{Machine, REFUSING, Signs};
use super::outcome::{Outcome, PARK_LEAST, Posture};
use super::sample::{Period, Samples};
use super::storm::Storm;
use super::thin;
use super::word::{Control, Words, fixed, pace, part};
use crate::caller::{Book, Pass};
use crate::number::{to_i32, to_u32};
use crate::{Enforcement, InputError, Nanos, Regime};

/// Nothing is enforced before so many answers and periods.
const WARM_ANSWERS: f64 = 50.0;
const WARM_PERIODS: u32 = 25;
/// Longest control period, s.
const PERIOD_MOST: f64 = 60.0;
/// A gap this long freezes learning for [`WARM_PERIODS`].
const GAP: Nanos = Nanos::from_secs(3);
/// Turnaround is cut at this multiple of the typical one: an outlier must not drive the limiter.
const CUT: f64 = 8.0;
/// Requests older than this multiple are parked.
const PARK: f64 = 20.0;
/// Bound of a reported peak: this multiple of the calm one and so many requests more.
const REPORT_FUSE: (f64, f64) = (1.5, 4.0);
/// Bound of a threshold: this multiple of the largest level, and so many requests more.
const MOST: (f64, f64) = (2.5, 20.0);
/// The top class keeps at least this part of a slot in hard, however little was proven: never deny-all.
const HARD_LEAST: f64 = 0.1;
/// Demand below this part of the whole does not make a level the top one.
const PRESENT: f64 = 0.005;

/// Everything admission keeps of one set on one node. `Default` is "nothing known".
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) learned: Learned,
    pub(super) known: bool,
    started: bool,
    last: Nanos,
    period: Period,
    pub(super) estimate: Estimate,
    pub(super) ratios: Ratios,
    plateau: Plateau,
    frozen: u32,
    pub(super) machine: Machine,
    pub(super) limiter: Limiter,
    callers: Book,
    storm: Storm,
    epoch: u16,
    fused: bool,
    outcome: Outcome,
}

impl State {
    /// The outcome of the last step.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// A fresh state that knows what is normal.
    pub(super) fn knowing(learned: Learned) -> Self {
        Self {
            learned,
            known: true,
            ..Self::default()
        }
    }

    fn warm(&self) -> bool {
        self.known || (self.estimate.answers >= WARM_ANSWERS && self.estimate.periods >= WARM_PERIODS)
    }
}

/// One step: what was counted since the last one in, words for the kernel out. Call it once per tick (100 ..= 300 ms);
/// a service whose answers take longer is regulated once per typical answer, while its heartbeat keeps the tick.
///
/// A clock that goes back changes nothing and is said in [`Outcome::error`].
pub fn step<'a>(state: &'a mut State, samples: &Samples<'_>, config: &Config, now: Nanos) -> &'a Outcome {
    state.outcome.reasons.clear();
    state.outcome.changed = false;
    state.outcome.error = None;
    if now < state.last {
        state.outcome.error = Some(InputError::ClockBackwards {
            by: state.last.since(now),
            last: state.last,
        });
        return &state.outcome;
    }
    if state.started && now.since(state.last) > GAP {
        state.frozen = WARM_PERIODS;
    }
    state.started = true;
    state.last = now;
    state.period.add(samples);
    state.callers.add(samples.callers);
    if state.period.span >= state.learned.typical.min(PERIOD_MOST) {
        let period = std::mem::take(&mut state.period);
        turn(state, &period, config, now);
    }
    let beat = Control {
        heartbeat: Control::beat(now),
        ..Control::unpack(state.outcome.words.control)
    };
    state.outcome.words.control = beat.pack();
    &state.outcome
}

/// One control period.
fn turn(state: &mut State, period: &Period, config: &Config, now: Nanos) {
    state.estimate.observe(period, state.learned.typical);
    let warm = state.warm();
    if warm {
        state.ratios = state.estimate.ratios(&state.learned);
    } else {
        state.learned.warm(&state.estimate, period);
    }
    let learned = warm && learn(state, period, config, now);
    let before = state.machine.mode;
    if warm && config.enabled {
        judge(state, period, config, now);
    } else {
        state.machine = Machine::default();
    }
    if state.machine.mode == Enforcement::Soft {
        match before {
            Enforcement::Normal => {
                state.limiter = Limiter::enter(&state.estimate, &state.learned, config);
            }
            Enforcement::Hard => state.limiter = Limiter::reopen(&state.learned),
            Enforcement::Soft => {}
        }
        let State {
            limiter,
            estimate,
            ratios,
            learned,
            ..
        } = state;
        limiter.regulate(estimate, ratios, learned, period, config);
    }
    callers(state, period, learned || !warm, config);
    publish(state, period, config, warm);
}

fn learn(state: &mut State, period: &Period, config: &Config, now: Nanos) -> bool {
    if state.frozen > 0 {
        state.frozen -= 1;
        return false;
    }
    let look = Look {
        estimate: &state.estimate,
        ratios: &state.ratios,
        mode: state.machine.mode,
        period,
        config,
        now,
    };
    state.learned.observe(&look, &mut state.plateau)
}

fn judge(state: &mut State, period: &Period, config: &Config, now: Nanos) {
    state.fused = state.machine.mode == Enforcement::Normal && period.shed() > 0.0;
    let signs = Signs {
        period,
        estimate: &state.estimate,
        ratios: &state.ratios,
        learned: &state.learned,
        storm: state.storm.on,
        config,
        now,
    };
    let reason = state.machine.turn(&signs);
    state.outcome.reasons.extend(reason);
}

fn callers(state: &mut State, period: &Period, calm: bool, config: &Config) {
    let pass = Pass {
        span: period.span,
        step: period.weight(),
        calm,
        enforced: state.machine.mode != Enforcement::Normal,
        capacity: state.estimate.rate,
        retry_budget: f64::from(config.retry_budget_permille.min(1_000)) / 1e3,
    };
    let retries = state.callers.turn(&pass, &mut state.outcome.reasons);
    state.callers.shares(&mut state.outcome.callers);
    let said = state.storm.observe(retries, period.answered(), period.span);
    state.outcome.reasons.extend(said);
}

fn publish(state: &mut State, period: &Period, config: &Config, warm: bool) {
    let mut words = if warm && config.enabled {
        words(state, period, config)
    } else {
        Words::open()
    };
    if warm {
        words.cut = pace(CUT * state.learned.typical);
    }
    let before = Words {
        control: 0,
        ..state.outcome.words
    };
    let mode = state.machine.mode;
    state.outcome.changed = words != before || state.outcome.mode != mode;
    state.epoch = state.epoch.wrapping_add(u16::from(state.outcome.changed));
    let control = Control {
        epoch: state.epoch,
        mode,
        top: top(state),
        heartbeat: 0,
    };
    words.control = control.pack();
    state.outcome.words = words;
    state.outcome.mode = mode;
    state.outcome.mode_since = state.machine.since;
    state.outcome.regime = regime(state, config);
    let parked = Nanos(pace(PARK * state.learned.typical));
    state.outcome.park_after = parked.max(PARK_LEAST);
    state.outcome.posture = posture(state, config);
}

fn words(state: &mut State, period: &Period, config: &Config) -> Words {
    let State {
        learned,
        estimate,
        ratios,
        ..
    } = state;
    let most = MOST.0 * learned.cap(config) + MOST.1;
    let fuse = learned.fuse(config).map(|fuse| fuse.min(most));
    let [lower, reserved] = fuse;
    let mut thresholds = [lower; LEVELS];
    thresholds.iter_mut().take(2).for_each(|own| *own = reserved);
    let mut gates = [1.0; LEVELS];
    let mut trickles = [0.0; LEVELS];
    match state.machine.mode {
        Enforcement::Normal => {}
        Enforcement::Soft => {
            thresholds = state.limiter.thresholds();
            gates = thin::gates(estimate, ratios.overload, config);
            trickles = thin::trickles(estimate, period.span, config);
        }
        Enforcement::Hard => {
            let top = usize::from(top(state));
            for (level, threshold) in thresholds.iter_mut().enumerate() {
                *threshold = match level.cmp(&top) {
                    std::cmp::Ordering::Less => state.learned.proven + 2.0,
                    std::cmp::Ordering::Equal => state.learned.proven.max(HARD_LEAST),
                    std::cmp::Ordering::Greater => 0.0,
                };
            }
            trickles = thin::trickles(&state.estimate, period.span, config);
        }
    }
    state.outcome.gates_permille = gates.map(|gate| to_u32(1e3 * gate).min(1_000));
    let thresholds = thresholds.map(|threshold| fixed(threshold.min(most)));
    let slot = config.target() * state.learned.typical;
    let part_of = |threshold: u32| f64::from(threshold % 256) / 256.0;
    let told = state.machine.mode == Enforcement::Normal && state.learned.reported_peak > 0.0;
    let (factor, more) = REPORT_FUSE;
    Words {
        control: 0,
        adjust: to_i32(256.0 * (state.estimate.zombies - state.estimate.parked)),
        thresholds,
        fuse: fuse.map(fixed),
        gates: gates.map(part),
        report_fuse: if told {
            to_u32(factor * state.learned.reported_peak + more)
        } else {
            0
        },
        fractions: thresholds.map(|threshold| match part_of(threshold) {
            part if part > 0.0 => pace(slot / part),
            _ => 0,
        }),
        trickles: trickles.map(pace),
        cut: 0,
    }
}

/// Highest level with demand worth the name.
fn top(state: &State) -> u8 {
    let least = PRESENT * state.estimate.demand();
    let demands = state.estimate.offered.iter();
    let found = demands
        .zip(0_u8..)
        .find(|(demand, _)| **demand > 0.0 && **demand >= least);
    found.map_or(0, |(_, level)| level)
}

fn regime(state: &State, config: &Config) -> Regime {
    let machine = &state.machine;
    let refusing = state.estimate.shed_share() > REFUSING;
    let owing = state.estimate.debt(&state.learned) > 0.0;
    let strained = state.fused || state.ratios.slow >= config.calm();
    machine.regime(refusing, owing, strained)
}

fn posture(state: &State, config: &Config) -> Posture {
    let milli = |value: f64| to_u32(1e3 * value);
    let level = match state.machine.mode {
        Enforcement::Normal => state.learned.fuse(config)[0],
        Enforcement::Soft => state.limiter.level,
        Enforcement::Hard => state.learned.proven,
    };
    Posture {
        level_milli: milli(level),
        overload_milli: milli(state.ratios.overload),
        latency_milli: milli(state.ratios.fast),
        offered_milli: milli(state.estimate.demand()),
        refused_permille: milli(state.estimate.shed_share()).min(1_000),
        debt_milli: milli(state.estimate.debt(&state.learned)),
        retry_index_milli: milli(state.storm.index()),
        typical: Nanos(pace(state.learned.typical)),
        proven_milli: milli(state.learned.proven),
    }
}
