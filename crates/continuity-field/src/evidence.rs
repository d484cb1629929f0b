//! Evidence against a backend: late answers, silence, failures in a row, error share.
//!
//! Isolation by latency needs several distinct late requests, so that low traffic and a single pause isolate nobody. The
//! choice in the kernel starves a late backend long before five looks are full, so two requests that are *blatantly*
//! late, with no good answer since, suffice; and where single signs have never been wrong, one does ([`crate::alarm`]).
//! Everything is relative to peers that answer at the same time; a node that was itself stalled sees all of them silent,
//! and that is no evidence.

use crate::look::{Yardstick, weight};
use crate::track::{Phase, Track};
use crate::{BackendSample, ChoiceWords, Evidence, IsolationConfig, Nanos};

/// No good answer for this long, before blatantly late requests count.
const SPELL_LEAST: Nanos = Nanos::from_millis(500);
/// One request alone must have waited this many times as long.
const ALONE: f64 = 4.0;
/// Answers that peers must have given since it began to be late; and four times as many for one request that waits long.
const PEERS_ANSWERED: f64 = 5.0;
/// Two failures in a row suffice while nobody else failed for this long.
const LONELY: Nanos = Nanos::from_secs(30);
/// A run of failures is forgotten after this long without another.
const RUN_MEMORY: Nanos = Nanos::from_secs(10);
/// Penalty (Q8 octaves) that shows that no good answer followed a failure of the last second: 3 of its 4 octaves.
const PENALTY_STANDS: u32 = 768;
/// Chance of a run of failures by luck that is accepted: with it a 1 % background needs 5 in a row.
const LUCK: f64 = 1e-9;

/// Failures of one step. Connects refused or timed out weigh double, since a healthy backend never refuses; a client that
/// gave up weighs nothing by itself, since that was its own decision, but is a failure among others. While the whole
/// set is `drowning` it is no failure of one backend at all: overload would else isolate whoever it reaches first. `keep`
/// is what the step leaves of the counts of the last 10 s.
pub(crate) fn fail(track: &mut Track, sample: &BackendSample, keep: f64, drowning: bool, now: Nanos) {
    let lost = f64::from(sample.leases.lost);
    let hard = count(sample.refused) + count(sample.timed_out) + lost;
    track.lost = sample.leases.lost;
    let reset = count(sample.reset_before_data);
    let soft = reset + if drowning { 0.0 } else { count(sample.abandoned) };
    let good = count(sample.answered);
    track.failed = track.failed * keep + hard + soft;
    track.ended = track.ended * keep + hard + soft + good;
    let n = hard + soft + good;
    if n > 0.0 {
        let weight = weight(n);
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
            .saturating_add(crate::number::to_u32(2.0 * hard + reset));
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

    fn lonely(&self, track: &Track, now: Nanos) -> bool {
        self.others_failed(track).is_none_or(|at| now.since(at) > LONELY)
    }

    /// What the failures of `track` are pardoned, in 256ths; stays until the share of the peers is clear of a bound.
    pub(crate) fn pardon(&self, track: &Track) -> u32 {
        let (failed, ended) = (self.failed - track.failed, self.ended - track.ended);
        let share = if failed < PARDON_LEAST.0 || ended < PARDON_LEAST.1 {
            0.0
        } else {
            failed / ended
        };
        let part = |share: f64| {
            let above = PARDONS.iter().find(|(bound, _)| share >= *bound);
            above.map_or(0, |&(_, part)| part)
        };
        track.pardon.clamp(part(0.8 * share), part(1.25 * share))
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

/// Failures of the peers that pardon: at least so many, of so many requests of the last 10 s.
const PARDON_LEAST: (f64, f64) = (2.0, 50.0);
/// Error share of the peers from which a failure is pardoned to so many 256ths. One failure is worth 4 octaves where nobody
/// ever fails; log2 of the odds that it is this backend's own falls by one with each doubling of the share.
const PARDONS: [(f64, u32); 3] = [(0.02, 224), (0.005, 192), (0.002, 128)];

/// Which single signs count now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Armed {
    pub failure: bool,
    pub silence: bool,
}

/// The strongest evidence against a backend in use, if any suffices, and whether it is a single sign; those count only
/// while `armed` and for a backend in full use.
pub(crate) fn judge(
    track: &Track,
    yardstick: &Yardstick,
    around: &Around,
    config: &IsolationConfig,
    (armed, told): (Armed, Option<Told>),
    now: Nanos,
) -> Option<(Evidence, bool)> {
    let failed = failures(track, around, config, now);
    if failed.is_none() && told == Some(Told::Well) {
        return None;
    }
    let many = failed
        .or_else(|| silence(track, yardstick, config, 2.0, now))
        .or_else(|| late(track, yardstick, config, told == Some(Told::Bad)));
    let one = || {
        let failed = single(track, around, now).filter(|_| armed.failure);
        failed.or_else(|| silence(track, yardstick, config, 1.0, now).filter(|_| armed.silence))
    };
    let settled = matches!(track.phase, Phase::Normal);
    let one = if many.is_none() && settled { one() } else { None };
    many.map(|evidence| (evidence, false))
        .or(one.map(|evidence| (evidence, true)))
}

/// What a fresh, trusted report says about its own backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Below 4.8 × the median of the reports: our own late answers were bad luck.
    Well,
    /// Above 4 × and not below 4.8 ×: one look suffices.
    Bad,
}

/// Reads the newest report, if it is younger than a second, trusted, and one of enough.
pub(crate) fn told(track: &Track, sample: &BackendSample, words: &ChoiceWords, now: Nanos) -> Option<Told> {
    let report = sample.report.filter(|report| report.age < Nanos(1_000 << 20))?;
    if !words.reports || track.trust.weight(now) == 0 {
        return None;
    }
    let above = (f64::from(report.level) - f64::from(words.wm)) / 256.0;
    Some(if above < libm::log2(4.8) {
        Told::Well
    } else {
        Told::Bad
    })
}

/// One failure that no good answer followed, while nobody else failed for long.
fn single(track: &Track, around: &Around, now: Nanos) -> Option<Evidence> {
    (track.run_weight >= 1 && around.lonely(track, now))
        .then_some(Evidence::Consecutive { failures: track.run })
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
    let lonely = track.run_weight >= 2 && around.lonely(track, now);
    if lonely || track.run.max(track.run_weight) >= bound {
        return Some(match track.lost {
            0 => Evidence::Consecutive { failures: track.run },
            leases => Evidence::LeaseLost { leases },
        });
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
fn silence(
    track: &Track,
    yardstick: &Yardstick,
    config: &IsolationConfig,
    least: f64,
    now: Nanos,
) -> Option<Evidence> {
    let look = &track.look;
    let peers = yardstick.peers?;
    let waiting = look.waiting_blatant;
    let late = look.blatant_n + f64::from(waiting);
    if late < 1.0 {
        return None;
    }
    let bound = micros(yardstick.blatant);
    let alone = crate::number::to_u64(bound.0 as f64 * ALONE);
    let enough = late >= least && look.peers_answered >= PEERS_ANSWERED;
    let one = waiting >= 1 && look.oldest.0 >= alone && look.peers_answered >= 4.0 * PEERS_ANSWERED;
    let silent = look.good_at.is_none_or(|at| now.since(at) >= SPELL_LEAST);
    if !silent || !(enough || one) {
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

fn late(track: &Track, yardstick: &Yardstick, config: &IsolationConfig, told: bool) -> Option<Evidence> {
    let (level, peers) = (track.level?, yardstick.peers?);
    let window = config.window_ticks.clamp(1, 32);
    let returning = matches!(track.phase, Phase::Returning { .. });
    // Who has just come back on parole, or says itself that it is slow, goes at the first gray look.
    let needed = if returning || told {
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
    if !returning && !blatant && !told && track.look.excused() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackendId, ReportSample};

    fn failing(failed: f64, ended: f64) -> Track {
        Track {
            failed,
            ended,
            ..Track::new(BackendId(1), Phase::Normal, Nanos::ZERO)
        }
    }

    #[test]
    fn a_failure_is_pardoned_by_what_its_peers_fail_and_never_by_its_own() {
        for (peers, own, pardon) in [
            (0.0, 50.0, 0),
            (1.0, 0.0, 0),
            (3.0, 3.0, 128),
            (10.0, 0.0, 192),
            (40.0, 1.0, 224),
        ] {
            let around = Around {
                failed: peers + own,
                ended: 1_100.0,
                ..Around::default()
            };
            let track = failing(own, 100.0);
            assert_eq!(around.pardon(&track), pardon, "{peers} of 1000 at the peers");
        }
    }

    #[test]
    fn a_pardon_stays_while_the_share_of_the_peers_swings_about_its_bound() {
        let mut track = failing(0.0, 100.0);
        for (peers, pardon) in [(6.5, 192), (4.5, 192), (5.5, 192), (3.9, 128), (5.5, 128)] {
            let around = Around {
                failed: peers,
                ended: 1_100.0,
                ..Around::default()
            };
            track.pardon = around.pardon(&track);
            assert_eq!(track.pardon, pardon, "{peers} of 1000");
        }
    }

    #[test]
    fn a_report_excuses_nobody_while_too_few_report() {
        let now = Nanos::from_secs(10);
        let mut track = failing(0.0, 0.0);
        let mut sample = BackendSample::new(BackendId(1));
        sample.report = Some(ReportSample {
            level: 4_000,
            received: 8,
            renewed: 8,
            ..ReportSample::default()
        });
        track.trust.observe(&sample, 1.0, 1.0, now);
        let words = |reports| ChoiceWords {
            wm: 4_000,
            reports,
            ..ChoiceWords::default()
        };
        assert_eq!(told(&track, &sample, &words(true), now), Some(Told::Well));
        assert_eq!(told(&track, &sample, &words(false), now), None);
    }
}
