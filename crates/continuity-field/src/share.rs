//! The share each backend should have now: `∝ capacity · 2^lean · nearness · bias / pressure · phase`, capped, floored,
//! summing to 1.
//!
//! | factor | formula | range | source |
//! | --- | --- | --- | --- |
//! | capacity | thousandths of an ordinary replica | 1/16 … 16 | the caller |
//! | lean | `2^lean`, `lean += −η · (d + lean)` a second, d the reported level against the median, trusted and fresh | ½ … 2 | in-band reports |
//! | nearness | `1 / (1 + λ · distance)`, raised until nobody near gets more than 1.25 × what capacity gives | ⅓ … 1 | locality |
//! | bias | the regret overlay's, 1 unless it is on | 0.8 … 1.2 | own answers |
//! | pressure | [`crate::pressure`], its slow part | ≥ 1 | all |
//!
//! Phase: a new backend grows from a tenth to its full share over the slow start; a released one starts at 2 % and
//! doubles every second; an isolated one has none. The floor (a fifth of fair) keeps every backend in use under
//! observation, the cap never bites below the fair share.

use crate::track::{Phase, Track};
use crate::{BackendSample, Locality, Nanos, Reason, SetConfig, Topology};

/// Least share of a backend in full use, as part of fair.
const FLOOR: f64 = 0.2;
/// What slow start, or distance, may put on the others, as part of fair.
const MOST_BURDEN: f64 = 1.25;
/// Share at which a new backend starts, as part of full.
const START: f64 = 0.1;

/// Part of its full share that a backend gets for where it stands; moves on those that have arrived.
pub(crate) fn phase(track: &mut Track, config: &SetConfig, reasons: &mut Vec<Reason>, now: Nanos) -> f64 {
    match track.phase {
        Phase::Normal => 1.0,
        Phase::Isolated(_) => 0.0,
        Phase::Starting { since } => {
            let whole = config.slow_start.as_secs_f64();
            let part = if whole > 0.0 {
                now.since(since).as_secs_f64() / whole
            } else {
                1.0
            };
            if part >= 1.0 {
                track.phase = Phase::Normal;
            }
            (START + (1.0 - START) * part).min(1.0)
        }
        Phase::Returning { since, .. } => {
            let slew = &config.slew;
            let doublings = now.since(since).as_secs_f64() / slew.return_doubling.as_secs_f64().max(0.01);
            let start = f64::from(slew.return_start_permille.clamp(1, 1_000)) / 1_000.0;
            let part = start * libm::exp2(doublings.min(40.0));
            if part >= 1.0 {
                track.phase = Phase::Normal;
                reasons.push(Reason::Returned {
                    backend: track.id,
                    after: now.since(since),
                });
            }
            part.min(1.0)
        }
    }
}

/// Octaves of deviation that the slow shares pass over, and that they answer to at most.
const LEAN: (f64, f64) = (0.15, 1.0);
/// What a report says fades by e in this time, s.
const FADE: f64 = 4.0;

/// Slow share: leans against the mean deviation of the reported level from the median, `lean += −η·(d + lean)` a second
/// (law-balancing §2.6); frozen while isolated, and back to zero without live reports.
pub(crate) fn lean(
    track: &mut Track,
    sample: &BackendSample,
    wm: i32,
    config: &SetConfig,
    dt: f64,
    now: Nanos,
) {
    if track.isolation().is_some() {
        return;
    }
    let live = sample.report.filter(|_| track.trust.weight(now) > 0);
    let apart = live.map_or(0.0, |report| {
        let octaves = (f64::from(report.level) - f64::from(wm)) / 256.0;
        octaves * libm::exp(-report.age.as_secs_f64() / FADE)
    });
    let apart = if apart.abs() < LEAN.0 {
        0.0
    } else {
        apart.clamp(-LEAN.1, LEAN.1)
    };
    let gain = f64::from(config.slew.slow_gain_permille.min(100)) / 1_000.0;
    track.lean -= (gain * dt).min(1.0) * (apart + track.lean);
    if track.lean.abs() < 1e-6 {
        track.lean = 0.0;
    }
}

/// Writes the share of every backend into `shares`; they sum to 1, or are all 0 when nobody is in use.
pub(crate) fn target(
    tracks: &mut [Track],
    samples: &[BackendSample],
    config: &SetConfig,
    spilling: bool,
    reasons: &mut Vec<Reason>,
    shares: &mut Vec<f64>,
    now: Nanos,
) {
    shares.clear();
    let least = spared(tracks);
    let near = Nearness::of(tracks, samples, config);
    for (track, sample) in tracks.iter_mut().zip(samples) {
        let starting = matches!(track.phase, Phase::Starting { .. });
        let part = phase(track, config, reasons, now);
        let part = if starting { part.max(least) } else { part };
        let weight = if track.in_use() {
            let lean = if track.lean == 0.0 {
                1.0
            } else {
                libm::exp2(track.lean)
            };
            part * capacity(sample) * near.factor(sample) * track.player.bias * lean / track.pressure.slow()
        } else if spilling && track.in_service {
            capacity(sample)
        } else {
            0.0
        };
        shares.push(weight);
    }
    floor(tracks, samples, shares);
    normalise(shares);
    cap(
        shares,
        f64::from(config.max_share_permille.clamp(1, 1_000)) / 1_000.0,
    );
}

/// What distance does to weights.
#[derive(Debug, Clone, Copy)]
struct Nearness {
    /// λ; 0 = nothing.
    lambda: f64,
    /// Part by which every factor is raised toward 1.
    relief: f64,
}

impl Nearness {
    /// With F̄ the capacity-weighted mean of the factors a near backend would get 1/F̄ of what its capacity gives; raising
    /// every factor f to f + (1 − f)·relief brings F̄ to 1/1.25 at least, so that nobody near drowns for being near.
    fn of(tracks: &[Track], samples: &[BackendSample], config: &SetConfig) -> Self {
        let lambda = f64::from(config.locality_milli.min(1_000)) / 1_000.0;
        let mut nearness = Self { lambda, relief: 0.0 };
        if lambda == 0.0 || config.topology == Topology::Ignore {
            return Self {
                lambda: 0.0,
                ..nearness
            };
        }
        let used = tracks.iter().zip(samples).filter(|(track, _)| track.in_use());
        let (whole, weighed) = used.fold((0.0, 0.0), |(whole, weighed), (_, sample)| {
            let capacity = capacity(sample);
            (whole + capacity, weighed + capacity * nearness.factor(sample))
        });
        let mean = if whole > 0.0 { weighed / whole } else { 1.0 };
        if mean < 1.0 / MOST_BURDEN {
            nearness.relief = (1.0 / MOST_BURDEN - mean) / (1.0 - mean);
        }
        nearness
    }

    fn factor(&self, sample: &BackendSample) -> f64 {
        if self.lambda == 0.0 {
            return 1.0;
        }
        let distance = match sample.locality {
            Locality::Node => 0.0,
            Locality::Zone => 1.0,
            Locality::Elsewhere => 2.0,
        };
        let factor = 1.0 / (1.0 + self.lambda * distance);
        factor + (1.0 - factor) * self.relief
    }
}

/// Least part of its full share that a starting backend gets, so that the settled ones carry at most 1.25 × their fair
/// part: in a rolling update most are new at once, and slow start would drown the few that are not. With `a` settled and
/// `b` starting, `a / (a + b·p) ≤ 1.25 · a / (a + b)` gives p.
fn spared(tracks: &[Track]) -> f64 {
    let used = || tracks.iter().filter(|track| track.in_use());
    let starting = used()
        .filter(|track| matches!(track.phase, Phase::Starting { .. }))
        .count() as f64;
    let all = used().count() as f64;
    if starting < 1.0 {
        return 0.0;
    }
    ((all / MOST_BURDEN - (all - starting)) / starting).clamp(0.0, 1.0)
}

/// Capacity beside an ordinary replica, 1/16 ..= 16.
pub(crate) fn capacity(sample: &BackendSample) -> f64 {
    let milli = if sample.capacity == 0 {
        1_000
    } else {
        sample.capacity
    };
    (f64::from(milli) / 1_000.0).clamp(1.0 / 16.0, 16.0)
}

/// Who is in full use keeps at least a fifth of what capacity alone would give.
fn floor(tracks: &[Track], samples: &[BackendSample], shares: &mut [f64]) {
    let whole: f64 = shares.iter().sum();
    let used = tracks.iter().zip(samples).filter(|(track, _)| track.in_use());
    let capacities: f64 = used.map(|(_, sample)| capacity(sample)).sum();
    if whole <= 0.0 || capacities <= 0.0 {
        return;
    }
    for ((track, sample), share) in tracks.iter().zip(samples).zip(shares.iter_mut()) {
        if track.in_use() && matches!(track.phase, Phase::Normal) {
            *share = share.max(FLOOR * whole * capacity(sample) / capacities);
        }
    }
}

fn normalise(shares: &mut [f64]) {
    let whole: f64 = shares.iter().sum();
    if whole > 0.0 {
        shares.iter_mut().for_each(|share| *share /= whole);
    }
}

/// Cuts what is above the cap and gives it to the others in proportion; two rounds settle it, since only one backend can
/// hold more than half.
fn cap(shares: &mut [f64], most: f64) {
    let used = shares.iter().filter(|share| **share > 0.0).count();
    if used < 2 {
        return;
    }
    let most = most.max(1.0 / used as f64);
    for _ in 0..2 {
        let over: f64 = shares.iter().map(|share| (share - most).max(0.0)).sum();
        let under: f64 = shares.iter().filter(|share| **share < most).sum();
        if over <= 0.0 || under <= 0.0 {
            return;
        }
        for share in shares.iter_mut() {
            *share = if *share >= most {
                most
            } else {
                *share * (1.0 + over / under)
            };
        }
    }
}

#[cfg(test)]
mod tests;
