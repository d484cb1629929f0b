//! Evidence against a backend: late answers, silence, failures in a row, error share.
//!
//! Steps are gathered into *looks* of about 200 ms, whatever the tick, so that "3 of 5" means the same time everywhere.
//! A request that has not answered yet already counts by its age (censored), but one stuck request is one piece of
//! evidence however often it is looked at: isolation by latency needs several distinct late requests, so that low
//! traffic and a single pause isolate nobody. Everything is relative to peers that answer at the same time; a node that
//! was itself stalled sees all of them silent, and that is no evidence.

use crate::baseline::Baseline;
use crate::histogram::{self, AGE_BUCKETS};
use crate::track::Track;
use crate::{BackendSample, Evidence, IsolationConfig, Nanos, SetConfig};

/// Least length of a look: two ticks of 100 ms − 5 %, or one of 200 ms − 5 %.
pub(crate) const LOOK: Nanos = Nanos::from_millis(180);
/// Looks whose late answers are remembered: 3.2 s.
const SPELL: usize = 16;
/// Silence that isolates, by the number of requests waiting (1, 2, 3 or more).
const SILENCE: [Nanos; 3] = [
    Nanos::from_millis(1_500),
    Nanos::from_millis(900),
    Nanos::from_millis(600),
];
/// Answers that peers must have given meanwhile, for each of those.
const PEERS_ANSWERED: [f64; 3] = [40.0, 20.0, 10.0];
/// Two failures in a row suffice while nobody else failed for this long.
const LONELY: Nanos = Nanos::from_secs(30);
/// A run of failures is forgotten after this long without another.
const RUN_MEMORY: Nanos = Nanos::from_secs(10);
/// Chance of a run of failures by luck that is accepted: with it a 1 % background needs 5 in a row.
const LUCK: f64 = 1e-9;

/// What was seen of one backend since the present look began, and what earlier looks found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// Answers of this look: count, sum of levels, those that were late.
    pub n: f64,
    pub sum: f64,
    late: u16,
    /// Requests waiting at the latest step: late ones, their oldest age, count and sum of levels of those that count as samples.
    pub waiting: u32,
    pub oldest: Nanos,
    overdue: f64,
    overdue_sum: f64,
    /// One bit a look, newest lowest: looked gray.
    hits: u32,
    /// Late answers of the latest looks, a ring.
    spell: [u16; SPELL],
    at: usize,
    /// Looks since one brought news.
    stale: u32,
    /// Answers of the peers since this backend's last answer.
    pub peers_answered: f64,
}

/// What a backend is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Yardstick {
    /// Median level of its peers; `None` if none is known.
    pub peers: Option<f64>,
    /// Octaves above it that count as gray for one answer.
    pub gray: f64,
    /// Level from which a request is late.
    pub late: f64,
    /// Level that almost no request reaches: the oldest waiting one must, before silence counts.
    pub bound: f64,
}

impl Yardstick {
    pub(crate) fn new(peers: Option<f64>, baseline: &Baseline, config: &SetConfig) -> Self {
        let ratio = f64::from(config.isolation.latency_ratio_milli.clamp(2_000, 64_000)) / 1_000.0;
        let gray = libm::log2(ratio);
        let reference = peers.unwrap_or_else(|| baseline.calm_or(config.profile));
        let excess = floor_excess(reference, config);
        let late = (reference + gray).max(excess);
        // An octave above the 99.5 % quantile; the ceiling keeps a noisy past from blinding us.
        let tail = baseline.tail().map_or(late, |tail| (tail + 1.0).min(late + 2.0));
        Self {
            peers,
            gray,
            late,
            bound: late.max(tail),
        }
    }

    /// Octaves that a mean of `n` answers must lie above the peers: the ratio, or 3σ of such a mean, at most two more.
    fn threshold(&self, n: f64, baseline: &Baseline) -> f64 {
        (3.0 * baseline.spread() / libm::sqrt(n.clamp(1.0, 9.0))).clamp(self.gray, self.gray + 2.0)
    }
}

/// Level below which nothing is called late: half of a typical request above the reference, so that a service that
/// answers in 0.2 ms is not judged by the jitter of the host.
fn floor_excess(reference: f64, config: &SetConfig) -> f64 {
    libm::log2(libm::exp2(reference.min(40.0)) + config.profile.typical().as_micros() as f64 / 2.0)
}

/// Adds one step's answers and waiting requests.
pub(crate) fn observe(track: &mut Track, sample: &BackendSample, yardstick: &Yardstick, now: Nanos) {
    let isolated = track.isolation().is_some();
    let late_level = yardstick.late;
    let look = &mut track.look;
    let mut answered = 0.0;
    for (bucket, &count) in sample.turnaround.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let level = histogram::level(bucket);
        look.sum += f64::from(count) * level;
        answered += f64::from(count);
        if level > late_level {
            look.late = look.late.saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        }
    }
    look.n += answered;
    look.waiting = 0;
    look.oldest = Nanos::ZERO;
    look.overdue = 0.0;
    look.overdue_sum = 0.0;
    // While isolated only answers count: what waits there has already decided.
    if !isolated {
        wait(track, sample, late_level, now);
    }
    if answered > 0.0 || sample.answered > 0 {
        track.last_answer = Some(now);
        track.look.peers_answered = 0.0;
    }
}

/// Counts the waiting requests: late ones as evidence, those older than twice the estimate as samples of at least that age.
fn wait(track: &mut Track, sample: &BackendSample, late_level: f64, now: Nanos) {
    let overdue_level = track.level.unwrap_or(late_level - 1.0) + 1.0;
    for bucket in (1..AGE_BUCKETS).rev() {
        let Some(&count) = sample.unanswered.get(bucket) else {
            continue;
        };
        if count == 0 {
            continue;
        }
        let age = histogram::least_age(bucket, now);
        let level = libm::log2((age.as_micros() as f64).max(1.0));
        if level < overdue_level.min(late_level) {
            break;
        }
        let look = &mut track.look;
        look.oldest = look.oldest.max(age);
        if level >= late_level {
            look.waiting = look.waiting.saturating_add(count);
        }
        if level >= overdue_level {
            look.overdue += f64::from(count);
            look.overdue_sum += f64::from(count) * level;
        }
    }
}

/// Ends a look: moves the estimate of the level, remembers whether it looked gray.
pub(crate) fn close(track: &mut Track, yardstick: &Yardstick, baseline: &Baseline, config: &SetConfig) {
    let isolated = track.isolation().is_some();
    let look = &mut track.look;
    let n = look.n + look.overdue;
    track.known = track.known * 0.972 + look.n.min(100.0);
    if n > 0.0 {
        let mean = (look.sum + look.overdue_sum) / n;
        let weight = if isolated {
            1.0
        } else {
            1.0 - libm::pow(0.75, n.min(4.0))
        };
        let before = track.level.unwrap_or(mean);
        track.level = Some(before + weight * (mean - before));
        look.stale = 0;
    } else {
        look.stale = look.stale.saturating_add(1);
    }
    look.at = (look.at + 1) % SPELL;
    let late = look.late;
    if let Some(slot) = look.spell.get_mut(look.at) {
        *slot = late;
    }
    let gray = match (track.level, yardstick.peers) {
        (Some(level), Some(peers)) if look.stale < 15 => {
            let samples = track.known.max(n);
            level > peers + yardstick.threshold(samples, baseline) && level > floor_excess(peers, config)
        }
        _ => false,
    };
    look.hits = look.hits << 1 | u32::from(gray);
    look.n = 0.0;
    look.sum = 0.0;
    look.late = 0;
}

impl Look {
    /// Distinct late requests of the last 3 s, those that still wait included.
    pub(crate) fn distinct(&self) -> u32 {
        self.spell.iter().map(|&late| u32::from(late)).sum::<u32>() + self.waiting
    }

    /// Looks that were gray, of the last `window`.
    pub(crate) fn hits(&self, window: u32) -> u32 {
        let mask = if window >= 32 { u32::MAX } else { (1 << window) - 1 };
        (self.hits & mask).count_ones()
    }

    /// Forgets what looks found: after isolation, release or a gap.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            waiting: self.waiting,
            oldest: self.oldest,
            ..Self::default()
        };
    }
}

/// Failures of one step: connects refused or timed out weigh double, since a healthy backend never refuses.
pub(crate) fn fail(track: &mut Track, sample: &BackendSample, dt: f64, now: Nanos) {
    let hard = count(sample.refused) + count(sample.timed_out);
    let soft = count(sample.reset_before_data) + count(sample.abandoned);
    let good = count(sample.answered);
    let keep = libm::exp(-dt.min(60.0) / 10.0);
    track.failed = track.failed * keep + hard + soft;
    track.ended = track.ended * keep + hard + soft + good;
    let n = hard + soft + good;
    if n > 0.0 {
        let weight = 1.0 - libm::pow(0.75, n.min(4.0));
        track.error += weight * ((hard + soft) / n - track.error);
    }
    if track
        .last_failure
        .is_some_and(|last| now.since(last) > RUN_MEMORY)
    {
        track.run = 0;
    }
    // Inside one step the order is not known: a good answer breaks the run unless failures are the majority.
    if good > 0.0 && good >= hard + soft {
        track.run = 0;
    } else if hard + soft > 0.0 {
        track.run = track.run.saturating_add(crate::number::to_u32(2.0 * hard + soft));
    }
    if hard + soft > 0.0 {
        track.last_failure = Some(now);
    }
}

/// A counter as float, cut where no step can reach: absurd input must not poison the means.
fn count(value: u64) -> f64 {
    value.min(1_000_000_000) as f64
}

/// What speaks against the whole set meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around {
    /// Failed and ended requests of all backends in use, fading over 10 s.
    pub failed: f64,
    pub ended: f64,
    /// When the latest two different backends failed last.
    pub latest_failure: Option<(crate::BackendId, Nanos)>,
    pub second_failure: Option<Nanos>,
}

impl Around {
    /// Notes when a backend failed last.
    pub(crate) fn note(&mut self, track: &Track) {
        self.failed += track.failed;
        self.ended += track.ended;
        let Some(at) = track.last_failure else { return };
        match self.latest_failure {
            Some((_, latest)) if latest >= at => self.second_failure = self.second_failure.max(Some(at)),
            before => {
                self.second_failure = self.second_failure.max(before.map(|(_, at)| at));
                self.latest_failure = Some((track.id, at));
            }
        }
    }

    fn others_failed(&self, track: &Track) -> Option<Nanos> {
        match self.latest_failure {
            Some((id, _)) if id == track.id => self.second_failure,
            latest => latest.map(|(_, at)| at),
        }
    }

    fn peers_error(&self, track: &Track) -> f64 {
        let ended = (self.ended - track.ended).max(0.0);
        if ended < 1.0 {
            0.0
        } else {
            ((self.failed - track.failed) / ended).clamp(0.0, 1.0)
        }
    }
}

/// The strongest evidence against a backend in use, if any suffices.
pub(crate) fn judge(
    track: &Track,
    yardstick: &Yardstick,
    around: &Around,
    config: &IsolationConfig,
    now: Nanos,
) -> Option<Evidence> {
    failures(track, around, config, now)
        .or_else(|| silence(track, yardstick, now))
        .or_else(|| late(track, yardstick, config))
}

fn failures(track: &Track, around: &Around, config: &IsolationConfig, now: Nanos) -> Option<Evidence> {
    let peers = around.peers_error(track);
    let lucky = if peers > 0.0 {
        libm::ceil(libm::log(LUCK) / libm::log(peers.min(0.9)))
    } else {
        0.0
    };
    let bound = config
        .consecutive_failures
        .max(1)
        .max(crate::number::to_u32(lucky));
    let lonely = around
        .others_failed(track)
        .is_none_or(|at| now.since(at) > LONELY);
    if track.run >= bound || (lonely && track.run >= bound.min(2)) {
        return Some(Evidence::Consecutive { failures: track.run });
    }
    let share = if track.ended > 0.0 {
        track.failed / track.ended
    } else {
        0.0
    };
    let limit = f64::from(config.error_permille.clamp(50, 1_000)) / 1_000.0;
    let fast = track.error > limit && track.ended >= 5.0;
    // Over 10 s two fifths of the limit are enough, with four times the requests.
    let slow = share > 0.4 * limit && track.ended >= 20.0;
    if (fast || slow) && share > 4.0 * peers {
        let permille = crate::number::to_u32(1_000.0 * share);
        return Some(Evidence::ErrorRate {
            permille,
            peers_permille: crate::number::to_u32(1_000.0 * peers),
        });
    }
    None
}

fn silence(track: &Track, yardstick: &Yardstick, now: Nanos) -> Option<Evidence> {
    let look = &track.look;
    yardstick.peers?;
    let kind = usize::try_from(look.waiting.min(3)).unwrap_or(0).checked_sub(1)?;
    let (long, answered) = (SILENCE.get(kind)?, PEERS_ANSWERED.get(kind)?);
    let silent = track.last_answer.is_none_or(|last| now.since(last) >= *long);
    let bound = micros(yardstick.bound);
    if !silent || look.oldest < (*long).max(bound) || look.peers_answered < *answered {
        return None;
    }
    Some(Evidence::Silence {
        waiting: look.waiting,
        oldest: look.oldest,
        bound,
    })
}

fn late(track: &Track, yardstick: &Yardstick, config: &IsolationConfig) -> Option<Evidence> {
    let (level, peers) = (track.level?, yardstick.peers?);
    let window = config.window_ticks.clamp(1, 32);
    let returning = matches!(track.phase, crate::track::Phase::Returning { .. });
    // Who has just come back on parole goes at the first gray look.
    let needed = if returning {
        1
    } else {
        config.hits.clamp(1, window)
    };
    let hits = track.look.hits(window);
    let blatant = level > peers + yardstick.gray + 1.0;
    let distinct = if returning || blatant { 2 } else { 3 };
    if hits < needed || track.look.hits & 1 == 0 || track.look.distinct() < distinct {
        return None;
    }
    Some(Evidence::Latency {
        own: micros(level),
        peers: micros(peers),
        hits,
        window,
    })
}

/// A level as time.
pub(crate) fn micros(level: f64) -> Nanos {
    Nanos::from_micros(crate::number::to_u64(libm::exp2(level.clamp(0.0, 40.0))))
}
