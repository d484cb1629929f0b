//! The order of the parts: check, observe, judge, decide, project, explain.
//!
//! A step with refused input changes nothing but the problem it reports. Failures and silence are judged at every step;
//! late answers, shares and regimes at every look (about 200 ms), so that the tick of the caller changes no meaning.

use crate::baseline::Fleet;
use crate::evidence::{self, Armed, Around};
use crate::look::{self, LOOK, Rule};
use crate::pressure::Ground;
use crate::regime::Signals;
use crate::track::{self, Phase};
use crate::{Distress, InputError, Nanos, Outcome, Reason, Samples, SetConfig, SetState};
use crate::{distress, drip, game, isolation, pressure, save, share, slot, view, watch, word};

/// A gap after which counters say nothing about the present: hits and runs start anew.
const GAP: Nanos = Nanos::from_secs(5);

/// Bytes that memory gives at once.
const LINE: usize = 64;

/// Looks before a single late request is a sign: 2 s. At first nobody knows who carries how much, and queues swing.
const SETTLED: u64 = 10;

/// Octaves above calm at which the set as a whole is late: 4 ×.
const DROWNING: f64 = 2.0;

/// One step of the law. `now` is the kernel's monotonic clock; the outcome lives in the state until the next step.
///
/// Refused input (a clock that went back, a backend twice, too many backends) sets [`Outcome::problem`] and leaves the
/// rest of the outcome as the last good step made it.
pub fn step<'s>(
    state: &'s mut SetState,
    samples: &Samples<'_>,
    config: &SetConfig,
    now: Nanos,
) -> &'s Outcome {
    fetch(state, samples);
    match enter(state, samples, now) {
        Ok(moved) => {
            let dt = samples.interval.as_secs_f64().clamp(1e-3, 60.0);
            let look = begin_look(state, now);
            observe(state, samples, config, dt, now);
            if let Some(seconds) = look {
                close(state, samples, config, seconds, now);
            }
            judge(state, samples, config, now);
            project(state, samples, config, look.is_some(), moved, now);
            if let Some(seconds) = look {
                posture(state, config, seconds, now);
            }
            view::publish(state, samples, config, now);
        }
        Err(problem) => state.outcome.problem = Some(problem),
    }
    &state.outcome
}

/// Reads a word of every line of what the step will need, in the order of memory. Ten thousand sets fit no cache, and what
/// is read along a stream comes far sooner than what is leapt to. Decides nothing.
fn fetch(state: &SetState, samples: &Samples<'_>) {
    let lines = |counts: &[u32]| {
        let each = counts.iter().step_by(LINE / size_of::<u32>());
        each.fold(0, |sum: u32, count| sum.wrapping_add(*count))
    };
    let mut read = 0_u32;
    for sample in samples.backends {
        read = read.wrapping_add(lines(&sample.turnaround) ^ lines(&sample.unanswered));
    }
    for track in &state.tracks {
        read = read.wrapping_add(track.fetch());
    }
    std::hint::black_box(read);
}

/// Checks the input and brings the memories into its order; says whether indices moved.
fn enter(state: &mut SetState, samples: &Samples<'_>, now: Nanos) -> Result<bool, InputError> {
    if now < state.last {
        return Err(InputError::ClockBackwards {
            by: state.last.since(now),
            last: state.last,
        });
    }
    let got = samples.backends.len();
    if got > SetState::MOST_BACKENDS {
        return Err(InputError::TooManyBackends {
            got,
            most: SetState::MOST_BACKENDS,
        });
    }
    state.joined.clear();
    state.left.clear();
    let (joined, left) = (&mut state.joined, &mut state.left);
    let change = track::align(
        &mut state.tracks,
        samples.backends,
        now,
        |id| joined.push(id),
        |id| left.push(id),
    )?;
    if change.moved {
        state.reindex();
    }
    if !state.remembered.is_empty() {
        save::recall(&mut state.tracks, &mut state.remembered, now);
    }
    let gap = state.started && now.since(state.last) > GAP;
    state.last = now;
    state.outcome.problem = None;
    state.outcome.reasons.clear();
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        if track.in_service && !sample.in_service {
            state.outcome.reasons.push(Reason::Left { backend: track.id });
        }
        track.in_service = sample.in_service;
        track.evidence = None;
        if gap {
            track.look.excuse(sample, now);
            track.run = 0;
            track.run_weight = 0;
        }
    }
    Ok(change.moved)
}

/// Seconds of the look that ends with this step, if one does.
fn begin_look(state: &mut SetState, now: Nanos) -> Option<f64> {
    if !state.started {
        state.started = true;
        state.look_began = now;
        return None;
    }
    let lasted = now.since(state.look_began);
    if lasted < LOOK {
        return None;
    }
    state.look_began = now;
    state.looks = state.looks.wrapping_add(1);
    Some(lasted.as_secs_f64().min(60.0))
}

/// Takes in one step's samples, against what the last look knew of the peers.
fn observe(state: &mut SetState, samples: &Samples<'_>, config: &SetConfig, dt: f64, now: Nanos) {
    state.rank();
    let mut rule = Rule::new(&state.baseline, config);
    let (keep, fade) = (libm::exp(-dt / 10.0), libm::exp(-dt));
    state.slope.observe(&samples.regression, dt);
    let slope = state.slope.factor();
    let drowning = match (pressure::median(&state.levels), state.baseline.calm) {
        (Some(median), Some(calm)) => median > calm + DROWNING,
        _ => false,
    };
    let mut answered = 0.0;
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        let peers = pressure::median_without(&state.levels, track.level.filter(|_| track.in_use()));
        let yardstick = rule.with(peers);
        track.good *= fade;
        look::observe(track, sample, &yardstick, &mut state.fleet, now);
        evidence::fail(track, sample, keep, drowning, now);
        track.trust.observe(sample, slope, dt, now);
        if let (Some(peers), true) = (peers, sample.report.is_some()) {
            track
                .trust
                .doubt(sample, track.look.oldest, libm::exp2(peers.min(40.0)), now);
        }
        if track.in_use() {
            answered += sample.answered.min(1_000_000) as f64;
        }
    }
    state.demand.observe(&state.tracks, samples, dt);
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        let own = if track.in_use() {
            sample.answered.min(1_000_000) as f64
        } else {
            0.0
        };
        track.look.peers_answered = (track.look.peers_answered + answered - own).min(1e9);
    }
    let (calm, spread) = (state.baseline.calm_or(config.profile), state.baseline.spread());
    let spacing = drip::spacing(&samples.advice, state.demand.rate(), config);
    let peers = pressure::median(&state.levels);
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        drip::observe(track, sample, spacing, now);
        isolation::forgive(
            track,
            peers,
            (calm, spread),
            spacing,
            &mut state.outcome.reasons,
            now,
        );
    }
}

/// Ends a look: levels, pressures, what is normal.
fn close(state: &mut SetState, samples: &Samples<'_>, config: &SetConfig, seconds: f64, now: Nanos) {
    let mut rule = Rule::new(&state.baseline, config);
    let used = state.tracks.iter().filter(|track| track.in_use());
    let (count, waiting) = used.fold((0.0, 0.0), |(count, sum), track| {
        (count + 1.0, sum + f64::from(track.look.crowd))
    });
    let crowd = waiting / f64::max(count, 1.0);
    warn(state, samples, seconds, now);
    for track in &mut state.tracks {
        let peers = pressure::median_without(&state.levels, track.level.filter(|_| track.in_use()));
        look::close(track, &rule.with(peers), crowd);
    }
    state.rank();
    let used = state
        .tracks
        .iter()
        .zip(samples.backends)
        .filter(|(track, _)| track.in_use());
    let (count, in_flight) = used.fold((0_u32, 0_u64), |(count, sum), (_, sample)| {
        (count + 1, sum + u64::from(pressure::queued(sample)))
    });
    let ground = Ground {
        in_flight: in_flight as f64 / f64::from(count.max(1)),
        wm: state.outcome.words.wm,
        dt: seconds,
        now,
    };
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        let peers = pressure::median_without(&state.levels, track.level.filter(|_| track.in_use()));
        pressure::weigh(track, sample, peers, &ground);
        share::lean(track, sample, ground.wm, config, seconds, now);
    }
    let median = pressure::median(&state.levels);
    let abnormal = state
        .tracks
        .iter()
        .any(|track| track.isolation().is_some() || track.look.hits(5) > 0 || track.look.blatant());
    state.baseline.learn(&state.fleet, median, abnormal, seconds, now);
    state.demand.look(&state.fleet, seconds);
    state.fleet = Fleet::default();
    play(state, median, config.regret_overlay, seconds);
    let isolated = state
        .tracks
        .iter()
        .any(|track| track.in_service && track.isolation().is_some());
    state
        .spill
        .look(isolated, median, state.baseline.calm, &mut state.outcome.reasons);
}

/// The split as a game: at every look where the overlay plays, else every fifth.
fn play(state: &mut SetState, median: Option<f64>, on: bool, seconds: f64) {
    if !on && !state.looks.is_multiple_of(u64::from(game::EVERY)) {
        return;
    }
    let dt = if on {
        seconds
    } else {
        seconds * f64::from(game::EVERY)
    };
    state.outcome.game = game::look(&mut state.tracks, median, on, state.machine.regime, dt);
}

/// What nodes and pods say of themselves.
fn warn(state: &mut SetState, samples: &Samples<'_>, seconds: f64, now: Nanos) {
    let used = state.tracks.iter().zip(samples.backends);
    let (all, distressed) =
        used.filter(|(track, _)| track.in_use())
            .fold((0, 0), |(all, distressed), (_, sample)| {
                let said = sample.host.is_some_and(|host| host.distress > Distress::Well);
                (all + 1, distressed + usize::from(said))
            });
    let none = distress::shared(distressed, all);
    let reasons = &mut state.outcome.reasons;
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        distress::heed(track, sample, none, reasons, seconds);
        watch::look(track, sample, reasons, now);
    }
}

/// Evidence, verdicts of others, isolation, tests, release.
fn judge(state: &mut SetState, samples: &Samples<'_>, config: &SetConfig, now: Nanos) {
    let mut around = Around::default();
    state
        .tracks
        .iter()
        .filter(|track| track.in_use())
        .for_each(|track| around.note(track));
    let tracks = &state.tracks;
    state.alarm.follow(now, |id| {
        let track = tracks.iter().find(|track| track.id == id)?;
        Some((
            track.isolation().is_some(),
            track.run > 0 || track.look.hits & 1 > 0,
        ))
    });
    let mut rule = Rule::new(&state.baseline, config);
    let armed = state.alarm.armed(now);
    let armed = Armed {
        failure: armed && state.baseline.warm(),
        silence: armed && state.baseline.familiar() && state.looks >= SETTLED,
    };
    let reasons = &mut state.outcome.reasons;
    for (track, sample) in state.tracks.iter_mut().zip(samples.backends) {
        let peers = pressure::median_without(&state.levels, track.level.filter(|_| track.in_use()));
        if track.in_use() {
            let yardstick = rule.with(peers);
            track.pardon = around.pardon(track);
            let told = evidence::told(track, sample, &state.outcome.words, now);
            let found = evidence::judge(track, &yardstick, &around, &config.isolation, (armed, told), now);
            track.evidence = found.map(|(evidence, _)| evidence);
            track.single = found.is_some_and(|(_, single)| single);
        }
    }
    isolation::relax(&mut state.tracks, config, reasons, now);
    isolation::heed(
        &mut state.tracks,
        (&samples.advice, &config.isolation),
        reasons,
        now,
    );
    if config.isolation.enabled {
        isolation::decide(&mut state.tracks, config, reasons, now);
    }
    let spacing = drip::spacing(&samples.advice, state.demand.rate(), config);
    for track in &mut state.tracks {
        if let Phase::Isolated(isolation) = track.phase
            && isolation.since == now
        {
            track.drip_due = drip::first(isolation.hold_until, spacing, config.seed);
            track.scout = isolation.is_slow()
                && isolation.level == 0
                && drip::scouts(config.seed, track.id, samples.advice.active_nodes);
            if track.single {
                state.alarm.raise(track.id);
            }
        }
    }
    tell_members(state, config.slow_start);
}

/// Who joined and who left.
fn tell_members(state: &mut SetState, slow_start: Nanos) {
    let reasons = &mut state.outcome.reasons;
    let joined = state.joined.iter();
    reasons.extend(joined.map(|&backend| Reason::Joined { backend, slow_start }));
    reasons.extend(state.left.iter().map(|&backend| Reason::Left { backend }));
}

/// Shares onto slots.
fn project(
    state: &mut SetState,
    samples: &Samples<'_>,
    config: &SetConfig,
    look: bool,
    moved: bool,
    now: Nanos,
) {
    let spilling = state.spill.price.is_some();
    share::target(
        &mut state.tracks,
        samples.backends,
        config,
        spilling,
        &mut state.outcome.reasons,
        &mut state.shares,
        now,
    );
    // With more backends than slots the window moves on every look.
    let turn = if samples.backends.len() > crate::SLOTS {
        state.looks.wrapping_mul(crate::SLOTS as u64)
    } else {
        0
    };
    slot::apportion(&state.shares, config.seed.wrapping_add(turn), &mut state.scratch);
    let before = state.outcome.slots;
    let slots = slot::slew(
        &mut state.tracks,
        &mut state.outcome.slots,
        &config.slew,
        look,
        &mut state.scratch,
    );
    let changed = before != state.outcome.slots;
    let quiet = state.outcome.reasons.is_empty();
    state.outcome.changed = changed || moved;
    if changed && quiet && slots > 0 {
        state.outcome.reasons.push(Reason::Rebalanced { slots });
    }
    state.outcome.words = word::set(
        now,
        &state.tracks,
        samples.backends,
        (state.outcome.words, state.baseline.spread()),
        &mut state.ints,
    );
}

/// Level of the typical backend in use. What is not known is not late: one old answer of one backend says nothing of the
/// others, and a set in which nobody asks has no pressure.
fn typical(state: &SetState, calm: f64) -> f64 {
    let used = state.tracks.iter().filter(|track| track.in_use());
    let (count, asked) = used.fold((0, false), |(count, asked), track| {
        (count + 1, asked || track.look.is_fresh())
    });
    if asked {
        pressure::median_among(&state.levels, count, calm).unwrap_or(calm)
    } else {
        calm
    }
}

/// Regime of the set after a look.
fn posture(state: &mut SetState, config: &SetConfig, seconds: f64, now: Nanos) {
    let over = match state.baseline.calm {
        Some(calm) if state.baseline.warm() => {
            libm::exp2((typical(state, calm) - calm - 0.5).clamp(0.0, 10.0))
        }
        _ => 1.0,
    };
    state.pressure += (seconds / 2.0).min(1.0) * (over - state.pressure);
    let error = state.demand.error();
    let objective = config.objectives.latency_p99;
    let breached = match (objective, state.demand.p99()) {
        (Some(objective), Some(p99)) => p99 > objective.as_micros() as f64,
        _ => false,
    };
    let correcting = state.tracks.iter().any(|track| {
        track.in_service
            && (matches!(track.phase, Phase::Isolated(_) | Phase::Returning { .. }) || track.said_kept)
    });
    let signals = Signals {
        pressure: state.pressure,
        error,
        breached,
        refused: 0.0,
        correcting,
        in_debt: state.demand.in_debt(state.baseline.calm, state.tracks.len()),
    };
    if let Some((from, to)) = state.machine.look(&signals, &config.regimes, now) {
        let pressure_milli = crate::number::to_u32(1e3 * state.pressure);
        let error_permille = crate::number::to_u32(1e3 * error);
        state.outcome.reasons.push(Reason::RegimeChanged {
            from,
            to,
            pressure_milli,
            error_permille,
        });
    }
}
