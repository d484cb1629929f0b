//! Evidence against a backend: late answers, silence, failures in a row, error share.
//!
//! Steps are gathered into *looks* of about 200 ms, whatever the tick, so that "3 of 5" means the same time everywhere.
//! A request that has not answered yet already counts by its age (censored), but one stuck request is one piece of
//! evidence however often it is looked at: isolation by latency needs several distinct late requests, so that low
//! traffic and a single pause isolate nobody. The choice in the kernel starves a late backend long before five looks are
//! full, so two requests that are *blatantly* late, with no good answer since, suffice. Everything is relative to peers that answer at the same time; a node that
//! was itself stalled sees all of them silent, and that is no evidence.

use crate::baseline::Baseline;
use crate::histogram::{self, AGE_BUCKETS};
use crate::track::Track;
use crate::{BackendSample, Evidence, IsolationConfig, Nanos, SetConfig};

/// Least length of a look: two ticks of 100 ms − 5 %, or one of 200 ms − 5 %.
pub(crate) const LOOK: Nanos = Nanos::from_millis(180);
/// Looks whose late answers are remembered: 3.2 s.
const SPELL: usize = 16;
/// Blatantly late is later than this many typical requests, besides an octave beyond gray: a pause shorter than 400 ms
/// of a standard service is not.
const BLATANT: f64 = 4.0;
/// No good answer for this long, before blatantly late requests count.
const SPELL_LEAST: Nanos = Nanos::from_millis(500);
/// One request alone must have waited this many times as long.
const ALONE: f64 = 4.0;
/// Answers that peers must have given since the last good answer, for one late request and for two.
const PEERS_ANSWERED: [f64; 2] = [40.0, 10.0];
/// Two failures in a row suffice while nobody else failed for this long.
const LONELY: Nanos = Nanos::from_secs(30);
/// A run of failures is forgotten after this long without another.
const RUN_MEMORY: Nanos = Nanos::from_secs(10);
/// Penalty (Q8 octaves) that shows that no good answer followed a failure of the last second: 3 of its 4 octaves.
const PENALTY_STANDS: u32 = 768;
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
    /// Of those, blatantly late.
    waiting_blatant: u32,
    overdue: f64,
    overdue_sum: f64,
    /// One bit a look that brought news, newest lowest: looked gray.
    hits: u32,
    /// Late answers of the latest looks, a ring.
    spell: [u16; SPELL],
    at: usize,
    /// Blatantly late answers since the last good one, and the sum of their levels.
    blatant_n: f64,
    blatant_sum: f64,
    /// When an answer was not late, last.
    pub good_at: Option<Nanos>,
    /// Looks since one brought news.
    stale: u32,
    /// Answers of the peers since this backend's last good answer.
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
    /// Level that almost no request reaches: blatantly late.
    pub blatant: f64,
}

impl Yardstick {
    pub(crate) fn new(peers: Option<f64>, baseline: &Baseline, config: &SetConfig) -> Self {
        let ratio = f64::from(config.isolation.latency_ratio_milli.clamp(2_000, 64_000)) / 1_000.0;
        let gray = libm::log2(ratio);
        let reference = peers.unwrap_or_else(|| baseline.calm_or(config.profile));
        let excess = floor_excess(reference, config);
        let late = (reference + gray).max(excess);
        let typical = libm::log2(BLATANT * config.profile.typical().as_micros() as f64);
        let blatant = (late + 1.0).max(typical);
        // An octave above the 99.5 % quantile; the ceiling keeps a noisy past from blinding us.
        let tail = baseline
            .tail()
            .map_or(blatant, |tail| (tail + 1.0).min(blatant + 1.0));
        Self {
            peers,
            gray,
            late,
            blatant: blatant.max(tail),
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
    let look = &mut track.look;
    let (mut good, mut blatant, mut blatant_sum) = (0.0, 0.0, 0.0);
    for (bucket, &count) in sample.turnaround.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let level = histogram::level(bucket);
        let n = f64::from(count);
        look.sum += n * level;
        look.n += n;
        if level <= yardstick.late {
            good += n;
            continue;
        }
        look.late = look.late.saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        if level > yardstick.blatant {
            blatant += n;
            blatant_sum += n * level;
        }
    }
    if good > 0.0 {
        look.good_at = Some(now);
        look.peers_answered = 0.0;
        look.blatant_n = 0.0;
        look.blatant_sum = 0.0;
    } else {
        look.blatant_n += blatant;
        look.blatant_sum += blatant_sum;
    }
    look.waiting = 0;
    look.waiting_blatant = 0;
    look.oldest = Nanos::ZERO;
    look.overdue = 0.0;
    look.overdue_sum = 0.0;
    // While isolated only answers count: what waits there has already decided.
    if track.isolation().is_none() {
        wait(track, sample, yardstick, now);
    }
}

/// Counts the waiting requests: late ones as evidence, those older than twice the estimate as samples of at least that age.
fn wait(track: &mut Track, sample: &BackendSample, yardstick: &Yardstick, now: Nanos) {
    let overdue = track.level.map_or(yardstick.late, |level| level + 1.0);
    for bucket in (1..AGE_BUCKETS).rev() {
        let Some(&count) = sample.unanswered.get(bucket) else {
            continue;
        };
        if count == 0 {
            continue;
        }
        let age = histogram::least_age(bucket, now);
        let level = libm::log2((age.as_micros() as f64).max(1.0));
        if level < overdue.min(yardstick.late) {
            break;
        }
        let look = &mut track.look;
        look.oldest = look.oldest.max(age);
        if level >= yardstick.late {
            look.waiting = look.waiting.saturating_add(count);
        }
        if level >= yardstick.blatant {
            look.waiting_blatant = look.waiting_blatant.saturating_add(count);
        }
        if level >= overdue {
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
    }
    look.at = (look.at + 1) % SPELL;
    let late = look.late;
    if let Some(slot) = look.spell.get_mut(look.at) {
        *slot = late;
    }
    if n > 0.0 {
        look.stale = 0;
        let gray = match (track.level, yardstick.peers) {
            (Some(level), Some(peers)) => {
                let samples = track.known.max(n);
                level > peers + yardstick.threshold(samples, baseline) && level > floor_excess(peers, config)
            }
            _ => false,
        };
        look.hits = look.hits << 1 | u32::from(gray);
    } else {
        // A look without news finds nothing, and after 3 s of them what was found is old.
        look.stale = look.stale.saturating_add(1);
        if usize::try_from(look.stale).is_ok_and(|stale| stale >= SPELL) {
            look.hits = 0;
        }
    }
    look.n = 0.0;
    look.sum = 0.0;
    look.late = 0;
}

impl Look {
    /// Distinct late requests of the last 3 s, those that still wait included.
    pub(crate) fn distinct(&self) -> u32 {
        self.spell
            .iter()
            .fold(self.waiting, |sum, &late| sum.saturating_add(u32::from(late)))
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
        track.run_weight = 0;
    }
    // Inside one step the order is not known, but the kernel halves the penalty of a failure with each good answer: while
    // nearly all of it stands, none came after. Without the kernel's word failures must be the majority.
    let standing = sample.penalty > PENALTY_STANDS && hard + soft > 0.0;
    if good > 0.0 && good >= hard + soft && !standing {
        track.run = 0;
        track.run_weight = 0;
    } else if hard + soft > 0.0 {
        track.run = track.run.saturating_add(crate::number::to_u32(hard + soft));
        track.run_weight = track
            .run_weight
            .saturating_add(crate::number::to_u32(2.0 * hard + soft));
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
        .or_else(|| silence(track, yardstick, config, now))
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
    if track.run_weight >= bound || (lonely && track.run_weight >= bound.min(2)) {
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

/// Requests that wait, or were answered, later than almost any ever is, with no good answer since.
fn silence(track: &Track, yardstick: &Yardstick, config: &IsolationConfig, now: Nanos) -> Option<Evidence> {
    let look = &track.look;
    let peers = yardstick.peers?;
    let waiting = look.waiting_blatant;
    let late = look.blatant_n + f64::from(waiting);
    let bound = micros(yardstick.blatant);
    let alone = crate::number::to_u64(bound.0 as f64 * ALONE);
    let two = late >= 2.0 && look.peers_answered >= PEERS_ANSWERED[1];
    let one = waiting >= 1 && look.oldest.0 >= alone && look.peers_answered >= PEERS_ANSWERED[0];
    let silent = look.good_at.is_none_or(|at| now.since(at) >= SPELL_LEAST);
    if !silent || !(two || one) {
        return None;
    }
    if look.blatant_n < 1.0 {
        return Some(Evidence::Silence {
            waiting,
            oldest: look.oldest,
            bound,
        });
    }
    let window = config.window_ticks.clamp(1, 32);
    let own = look.blatant_sum / look.blatant_n;
    Some(Evidence::Latency {
        own: micros(own),
        peers: micros(peers),
        hits: look.hits(window).max(1),
        window,
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
    let blatant = level > yardstick.blatant;
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
