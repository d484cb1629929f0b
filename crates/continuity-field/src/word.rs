//! The words that the kernel's choice reads (law-balancing §2.5): medians, mean in-flight, the memory's switch, and what
//! each backend's record carries.

use crate::histogram::lg;
use crate::track::Track;
use crate::{BackendChoice, BackendSample, ChoiceWords, Nanos};

/// A report younger than this counts for the median (8192 kms).
const FRESH: Nanos = Nanos(8_192 << 20);
/// Least trust of a report that lets the memory be used.
const HALF_TRUST: u32 = 80;
/// `shl` of a backend without a slot: six octaves below fair is less than one of 64.
const NO_SLOT: i32 = -1_536;

/// Words of the set. Medians without a value stay as they were.
pub(crate) fn set(
    now: Nanos,
    tracks: &[Track],
    samples: &[BackendSample],
    (before, spread): (ChoiceWords, f64),
    scratch: &mut Vec<i32>,
) -> ChoiceWords {
    let in_use = || tracks.iter().zip(samples).filter(|(track, _)| track.in_use());
    let fresh = |sample: &BackendSample| sample.report.filter(|report| report.age < FRESH);
    scratch.clear();
    scratch.extend(in_use().filter_map(|(track, sample)| {
        fresh(sample)
            .filter(|_| track.trust.weight(now) > 0)
            .map(|report| report.level)
    }));
    let wm = median(scratch).unwrap_or(before.wm);
    scratch.clear();
    scratch.extend(in_use().filter_map(|(_, sample)| sample.level));
    let lm = median(scratch).unwrap_or(before.lm);
    let (mut used, mut in_flight, mut live) = (0_u64, 0_u64, 0_u64);
    for (track, sample) in in_use() {
        used += 1;
        in_flight += u64::from(sample.in_flight);
        live += u64::from(fresh(sample).is_some() && track.trust.weight(now) >= HALF_TRUST);
    }
    let mean = (16 * in_flight + used / 2).checked_div(used).unwrap_or(0);
    let ownm = i32::try_from(lg(mean + 16)).unwrap_or(i32::MAX);
    ChoiceWords {
        wm,
        lm,
        ownm,
        // The median of a few is those few: a sick backend that alone reports would be its own measure. And who reports is
        // scored by other news than who does not: with fewer than two thirds a moving load is met later than without any.
        reports: live > 0 && live * 3 >= used * 2,
        mem_on: used > 0 && live * 8 >= used * 7,
        width: width(spread, before.width),
    }
}

/// Part of the spread of one answer that is noise in the kernel's level of a backend. Without a dead zone a healthy set pays
/// 1 % at the 99th percentile; with more than half of the spread a moving antagonist is seen late.
const NOISE: f64 = 0.35;
/// The width moves in steps of an eighth of an octave, and only when the spread has left the middle of its step.
const STEP: u32 = 8;

/// Dead zone of own turnaround: what one answer varies by tells nobody which backend is slower.
fn width(spread: f64, before: u32) -> u32 {
    let exact = 64.0 * NOISE * spread;
    if (exact - f64::from(before)).abs() < 0.75 * f64::from(STEP) {
        return before;
    }
    let steps = crate::number::to_u32(exact / f64::from(STEP) + 0.5);
    (steps * STEP).min(255)
}

/// Words of one backend. `fair` is the slots that its capacity alone would give.
pub(crate) fn backend(
    track: &mut Track,
    fair: f64,
    (spill, reports): (Option<i32>, bool),
    now: Nanos,
) -> BackendChoice {
    let isolated = track.isolation().is_some();
    let shl = if track.slots == 0 || fair <= 0.0 {
        NO_SLOT
    } else {
        let ratio = f64::from(track.slots) / fair;
        let whole = |ratio| crate::number::to_i32(256.0 * libm::log2(ratio)).clamp(NO_SLOT, -NO_SLOT);
        track.shown.share.of(ratio, whole)
    };
    let carries = isolated && track.in_service && spill.is_some();
    BackendChoice {
        off: !track.in_service || isolated && track.slots == 0 && !carries,
        shl,
        trust: if reports { track.trust.weight(now) } else { 0 },
        fixed: spill.filter(|_| carries),
        pardon: track.pardon,
    }
}

fn median(values: &mut [i32]) -> Option<i32> {
    values.sort_unstable();
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values.get(half).copied()
    } else {
        let (low, high) = (values.get(half.checked_sub(1)?)?, values.get(half)?);
        Some(i32::midpoint(*low, *high))
    }
}
