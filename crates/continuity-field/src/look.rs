//! Looks: what about 200 ms showed of one backend, whatever the tick, so that "3 of 5" means the same time everywhere.
//!
//! A request that has not answered yet already counts by its age (censored), but one stuck request is one sign however
//! often it is looked at, and one that was sent before the last good answer is none: the backend serves others meanwhile,
//! so that request is simply long (a job of half an hour trips nothing). While a backend is isolated only its answers
//! count: what waits there has already decided.

use crate::baseline::{Baseline, Fleet};
use crate::histogram::{self, AGE_BUCKETS};
use crate::track::Track;
use crate::{BackendSample, Nanos, SetConfig};

/// Least length of a look: two ticks of 100 ms − 5 %, or one of 200 ms − 5 %.
pub(crate) const LOOK: Nanos = Nanos::from_millis(180);
/// Level of 2^27 ns: nothing in the youngest two windows is older.
const NEVER_SO_YOUNG: f64 = 17.04;
/// So many more requests wait here than at a mean backend: a queue.
const CROWDED: f64 = 1.0;
/// Looks whose late answers are remembered: 3.2 s.
const SPELL: usize = 16;
/// Looks without news after which what a backend showed last says nothing of now: 30 s, ten times the memory of late answers.
const FRESH: u32 = 150;
/// Blatantly late is later than this many typical requests, besides an octave beyond gray: a pause shorter than 475 ms
/// of a standard service is not, and one request in a queue of half a second is the first that is.
const BLATANT: f64 = 4.75;

/// Octaves above the peers up to which an answer speaks for its backend: 3 ×.
const CLEAN: f64 = 1.585;

/// Good answers of late are counted up to so many: after more, their absence would be noticed too late.
const RECENT: f64 = 8.0;

/// What was asked for before a gap is left out for this long after it; who answers later than that is late.
const GAP_MEMORY: Nanos = Nanos::from_secs(60);
/// Octaves that a level may be off: a bucket of the histogram.
pub(crate) const BUCKET_WIDTH: f64 = 0.25;

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
    pub waiting_blatant: u32,
    overdue: f64,
    overdue_sum: f64,
    /// One bit a look that brought news, newest lowest: looked gray.
    pub hits: u32,
    /// Late answers of the latest looks, a ring.
    spell: [u16; SPELL],
    at: usize,
    /// Blatantly late answers since the last good one, and the sum of their levels.
    pub blatant_n: f64,
    pub blatant_sum: f64,
    /// Requests that were waiting at the last good answer: the oldest bucket cannot tell them from later ones by age.
    long: u32,
    /// When an answer was not late, last.
    pub good_at: Option<Nanos>,
    /// Looks since one brought news.
    stale: u32,
    /// Answers of the peers since this backend began to be late.
    pub peers_answered: f64,
    /// Requests waiting now, whatever their age.
    pub crowd: u32,
    /// One bit a look, newest lowest: more waited here than at the peers.
    queued: u32,
    /// When a gap of the counters, or a jump of the clock, was noticed last.
    gap: Option<Nanos>,
}

crate::save::code::stored! {
    Look {
        n, sum, late, waiting, oldest, waiting_blatant, overdue, overdue_sum, hits, spell, at, blatant_n, blatant_sum,
        long, good_at, stale, peers_answered, crowd, queued, gap
    }
}

/// What a backend is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Yardstick {
    /// Median level of its peers; `None` if none is known.
    pub peers: Option<f64>,
    /// Octaves above it that count as gray for one answer.
    pub gray: f64,
    /// Level below which nothing is late.
    floor: f64,
    /// Level up to which an answer is a good one beyond doubt.
    clean: f64,
    /// Level from which a request is late.
    pub late: f64,
    /// Level that almost no request reaches: blatantly late.
    pub blatant: f64,
    /// Spread of one answer, octaves.
    spread: f64,
}

/// Makes yardsticks; peers' medians without one of them take three values, which are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    gray: f64,
    calm: f64,
    typical: f64,
    tail: Option<f64>,
    spread: f64,
    kept: [Option<Yardstick>; 3],
}

impl Rule {
    pub(crate) fn new(baseline: &Baseline, config: &SetConfig) -> Self {
        let ratio = f64::from(config.isolation.latency_ratio_milli.clamp(2_000, 64_000)) / 1_000.0;
        Self {
            gray: libm::log2(ratio),
            calm: baseline.calm_or(config.profile),
            typical: config.profile.typical().as_micros() as f64,
            tail: baseline.tail(),
            spread: baseline.spread(),
            kept: [None; 3],
        }
    }

    /// What a backend with such peers is compared with.
    pub(crate) fn with(&mut self, peers: Option<f64>) -> Yardstick {
        if let Some(kept) = self.kept.iter().flatten().find(|kept| kept.peers == peers) {
            return *kept;
        }
        let reference = peers.unwrap_or(self.calm);
        // Half of a typical request above the reference, so that a service that answers in 0.2 ms is not judged by the
        // jitter of the host.
        let floor = libm::log2(libm::exp2(reference.min(40.0)) + self.typical / 2.0);
        let late = (reference + self.gray).max(floor);
        let blatant = (late + 1.0).max(libm::log2(BLATANT * self.typical));
        // An octave above the 99.5 % quantile; the ceiling keeps a noisy past from blinding us.
        let tail = self.tail.map_or(blatant, |tail| (tail + 1.0).min(blatant + 1.0));
        let yardstick = Yardstick {
            peers,
            gray: self.gray,
            floor,
            clean: (reference + CLEAN).max(floor),
            late,
            blatant: blatant.max(tail),
            spread: self.spread,
        };
        let [first, second, _] = self.kept;
        self.kept = [Some(yardstick), first, second];
        yardstick
    }
}

impl Yardstick {
    /// Octaves that a mean of `n` answers must lie above the peers: the ratio, or 3σ of such a mean, at most two more.
    fn threshold(&self, n: f64) -> f64 {
        (3.0 * self.spread / libm::sqrt(n.clamp(1.0, 9.0))).clamp(self.gray, self.gray + 2.0)
    }
}

/// Weight of `n` new samples in a level or an error share: `1 − 0.75^min(n, 4)`.
pub(crate) fn weight(n: f64) -> f64 {
    match n {
        n if n < 1.0 => 0.0,
        n if n < 2.0 => 0.25,
        n if n < 3.0 => 0.437_5,
        n if n < 4.0 => 0.578_125,
        _ => 0.683_593_75,
    }
}

/// Adds one step's answers and waiting requests.
pub(crate) fn observe(
    track: &mut Track,
    sample: &BackendSample,
    yardstick: &Yardstick,
    fleet: &mut Fleet,
    now: Nanos,
) {
    let in_use = track.in_use();
    let look = &mut track.look;
    let known = look.known(now);
    let (mut good, mut timely, mut blatant, mut blatant_sum) = (0.0, 0.0, 0.0, 0.0);
    for (bucket, count) in histogram::counted(&sample.turnaround) {
        let level = histogram::level(bucket);
        if level > known {
            continue;
        }
        let n = f64::from(count);
        look.sum += n * level;
        look.n += n;
        if in_use {
            fleet.add(bucket, n, level);
        }
        if level <= yardstick.late {
            good += n;
            timely += if level <= yardstick.clean { n } else { 0.0 };
            continue;
        }
        look.late = look.late.saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        if level > yardstick.blatant {
            blatant += n;
            blatant_sum += n * level;
        }
    }
    let (young, ages) = waiting(sample);
    track.good = (track.good + timely).min(RECENT);
    let look = &mut track.look;
    // Long jobs under leases are no queue: nobody waits for them to answer soon.
    let crowd = ages.saturating_sub(u64::from(sample.leases.held));
    look.crowd = u32::try_from(crowd).unwrap_or(u32::MAX);
    if good > 0.0 {
        look.good_at = Some(now);
        look.long = look.crowd;
        look.peers_answered = 0.0;
        look.blatant_n = 0.0;
        look.blatant_sum = 0.0;
    } else {
        look.blatant_n += blatant;
        look.blatant_sum += blatant_sum;
    }
    look.nobody_waits();
    // Nearly always nobody waits longer than two windows.
    let waits = ages > young;
    // While isolated only answers count: what waits there has already decided.
    if track.isolation().is_none() && (waits || yardstick.late <= NEVER_SO_YOUNG) {
        wait(track, sample, yardstick, now);
    }
    if track.look.waiting == 0 && track.look.blatant_n < 1.0 {
        track.look.peers_answered = 0.0;
    }
}

/// Requests that wait: in the two youngest windows, and all.
fn waiting(sample: &BackendSample) -> (u64, u64) {
    let sum = |ages: &[u32]| ages.iter().fold(0, |sum, &count| sum + u64::from(count));
    let (young, old) = sample.unanswered.split_at(2);
    let young = sum(young);
    (young, young + sum(old))
}

/// Counts the waiting requests: late ones as evidence, those older than twice the estimate as samples of at least that age.
fn wait(track: &mut Track, sample: &BackendSample, yardstick: &Yardstick, now: Nanos) {
    let overdue = track.level.map_or(yardstick.late, |level| level + 1.0);
    let since_good = track.look.good_at.map_or(now, |at| now.since(at)) + Nanos(1 << histogram::AGE_SHIFT);
    // The oldest are the jobs under leases.
    let mut held = sample.leases.held;
    for bucket in (1..AGE_BUCKETS).rev() {
        let Some(&count) = sample.unanswered.get(bucket) else {
            continue;
        };
        let known = if bucket == AGE_BUCKETS - 1 {
            track.look.long
        } else {
            0
        };
        let leased = held.min(count);
        held -= leased;
        let count = (count - leased).saturating_sub(known);
        if count == 0 {
            continue;
        }
        let age = histogram::least_age(bucket, now);
        if age > since_good {
            continue;
        }
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

/// Ends a look: moves the estimate of the level, remembers whether it looked gray. `crowd` is the mean number of requests
/// that wait at a backend in use.
pub(crate) fn close(track: &mut Track, yardstick: &Yardstick, crowd: f64) {
    let isolated = track.isolation().is_some();
    let look = &mut track.look;
    let n = look.n + look.overdue;
    track.known = track.known * 0.972 + look.n.min(100.0);
    if n > 0.0 {
        let mean = (look.sum + look.overdue_sum) / n;
        let weight = if isolated { 1.0 } else { weight(n) };
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
                let threshold = yardstick.threshold(samples) * (1.0 - track.fear.part());
                level > peers + threshold && level > yardstick.floor
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
    look.queued = look.queued << 1 | u32::from(f64::from(look.crowd) > crowd + CROWDED);
    look.n = 0.0;
    look.sum = 0.0;
    look.late = 0;
}

impl Look {
    /// Knows nothing before `now`.
    pub(crate) fn since(now: Nanos) -> Self {
        Self {
            good_at: Some(now),
            ..Self::default()
        }
    }

    /// A look brought news within the last half minute.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.stale < FRESH
    }

    /// Forgets what waited at the last look.
    fn nobody_waits(&mut self) {
        self.waiting = 0;
        self.waiting_blatant = 0;
        self.oldest = Nanos::ZERO;
        self.overdue = 0.0;
        self.overdue_sum = 0.0;
    }

    /// Distinct late requests of the last 3 s, those that still wait included.
    pub(crate) fn distinct(&self) -> u32 {
        self.spell
            .iter()
            .fold(self.waiting, |sum, &late| sum.saturating_add(u32::from(late)))
    }

    /// A queue explains why it is late: more waited here than elsewhere within the last two seconds, and it has not been
    /// late for three. Slower under load is a matter of weight; the choice and the shares are given that time.
    pub(crate) fn excused(&self) -> bool {
        self.queued & 0x3ff != 0 && self.hits(15) < 12
    }

    /// Blatantly late, and nothing good since.
    pub(crate) fn blatant(&self) -> bool {
        self.blatant_n >= 1.0 || self.waiting_blatant > 0
    }

    /// Looks that were gray, of the last `window`.
    pub(crate) fn hits(&self, window: u32) -> u32 {
        let mask = if window >= 32 { u32::MAX } else { (1 << window) - 1 };
        (self.hits & mask).count_ones()
    }

    /// After a gap: what waits was sent before it, and its age says how long nobody looked, not how long it was ignored.
    pub(crate) fn excuse(&mut self, sample: &BackendSample, now: Nanos) {
        let stale = self.stale;
        *self = Self::since(now);
        self.gap = Some(now);
        self.stale = stale;
        let ages = waiting(sample).1.saturating_sub(u64::from(sample.leases.held));
        self.long = u32::try_from(ages).unwrap_or(u32::MAX);
    }

    /// Level of the longest answer that was asked for after the last gap. One that was asked for before it seems to have
    /// taken as long as nobody looked, or as the clock jumped.
    fn known(&mut self, now: Nanos) -> f64 {
        let Some(gap) = self.gap else {
            return f64::INFINITY;
        };
        let since = now.since(gap);
        if since > GAP_MEMORY {
            self.gap = None;
        }
        libm::log2((since.as_micros() as f64).max(1.0)) + BUCKET_WIDTH
    }

    /// Forgets what looks found: after isolation or release.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            waiting: self.waiting,
            oldest: self.oldest,
            gap: self.gap,
            ..Self::default()
        };
    }
}
