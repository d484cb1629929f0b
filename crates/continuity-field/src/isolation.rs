//! Who is taken out and who may come back.
//!
//! Invariants: never the last backend in use, never more than the bounded number (at most half), nobody while more than
//! half look sick at once (what they share is sick then), worst first, and a backend that comes back too early goes again
//! at the first sign, for twice as long.

use crate::evidence::micros;
use crate::look;
use crate::track::{Phase, Track};
use crate::{Advice, Evidence, Isolation, IsolationConfig, Nanos, Reason, SetConfig, VerdictKind};

/// One relapse is forgiven after this long without another.
const FORGIVE: Nanos = Nanos::from_secs(60);
/// Isolations younger than this are taken back when most turn out to look alike.
const SHARED_MEMORY: Nanos = Nanos::from_secs(10);
/// A clean answer lies less than this many octaves above the peers' median: 3 ×, or 2σ of one answer where answers vary
/// more, but never as far as 6 ×.
const CLEAN: (f64, f64) = (1.585, 2.585);
/// Octaves below what isolated it from which an answer that is not clean is promising: a third.
const PROMISING: f64 = 1.585;
/// Time to the next test after a promising one, and how many such tests a spacing may bring.
const SOON: Nanos = Nanos::from_secs(1);
const EXTRA: u32 = 2;
/// After an answer on a connection that was kept, as late as what isolated the backend, no test is due for so long, and
/// twice what the answer took: those who stayed find out for nothing.
const FREE: Nanos = Nanos::from_secs(2);
/// Relapses counted; 2 s · 2^8 is beyond the longest hold.
const MOST_RELAPSES: u32 = 8;

/// How bad an evidence is; larger goes first when not all may go.
fn severity(evidence: &Evidence) -> u64 {
    match *evidence {
        Evidence::Consecutive { failures } => 4_000_000_000 + u64::from(failures),
        // As sure as a failure in a row and rarer.
        Evidence::LeaseLost { leases } => 4_000_000_000 + u64::from(leases),
        Evidence::ErrorRate { permille, .. } => 3_000_000_000 + u64::from(permille),
        Evidence::Silence { oldest, .. } => 2_000_000_000 + oldest.as_millis().min(999_999_999),
        Evidence::Latency { own, .. } => 1_000_000_000 + own.as_millis().min(999_999_999),
        Evidence::Shared { .. } => 0,
    }
}

/// Most backends of `in_service` that may be isolated at once.
pub(crate) fn most(in_service: usize, config: &IsolationConfig) -> usize {
    if !config.enabled || in_service < 2 {
        return 0;
    }
    let permille = usize::try_from(config.max_isolated_permille.min(500)).unwrap_or(0);
    in_service * permille / 1_000
}

/// Takes over what other nodes said: a release starts the return, an isolation becomes evidence.
///
/// A release must be news: given a shortest hold after what isolated the backend here, the time in which word of others is
/// under way. The longer hold of a relapse is this node's own patience; it does not outweigh others who saw the backend
/// well since, and who were made to prove it for longer after each relapse themselves.
pub(crate) fn heed(
    tracks: &mut [Track],
    (advice, config): (&Advice<'_>, &IsolationConfig),
    reasons: &mut Vec<Reason>,
    now: Nanos,
) {
    for verdict in advice
        .verdicts
        .iter()
        .filter(|verdict| verdict.expires > now && verdict.given <= now)
    {
        let Some(track) = tracks.iter_mut().find(|track| track.id == verdict.backend) else {
            continue;
        };
        if verdict.given <= track.verdict_given {
            continue;
        }
        if verdict.kind == VerdictKind::Isolate && doubted(track) {
            doubt(track, verdict.given, reasons);
            continue;
        }
        match (verdict.kind, track.phase) {
            (VerdictKind::Isolate, Phase::Normal | Phase::Starting { .. } | Phase::Returning { .. }) => {
                track.evidence = track.evidence.or(Some(Evidence::Shared {
                    expires: verdict.expires,
                }));
            }
            (VerdictKind::Release, Phase::Isolated(isolation))
                if verdict.given >= isolation.since + config.hold =>
            {
                track.verdict_given = verdict.given;
                // The scar keeps a share low until answers heal it; others have given them.
                track.pressure.scar = 0.0;
                reasons.push(Reason::ReleasedByOthers {
                    backend: track.id,
                    after: now.since(isolation.since),
                });
                // How late it was here is no word about how it is now.
                track.level = None;
                let_in(track, isolation.since, now);
            }
            _ => {}
        }
    }
}

/// Good answers of about the last second that outweigh what others say. At fewer a node has seen too little: four in a
/// row by luck from a backend that fails half of its requests come once in sixteen times.
const CONTRADICTS: f64 = 4.0;

/// What this node itself sees contradicts a verdict heard: several good answers now, and nothing that is late, waits too
/// long or failed. A gray or failing backend cannot give that, so who follows the others loses nothing by the exception.
fn doubted(track: &Track) -> bool {
    let settled = matches!(track.phase, Phase::Normal | Phase::Starting { .. });
    let look = &track.look;
    let quiet = look.waiting == 0 && !look.blatant() && look.hits(5) == 0;
    settled && track.evidence.is_none() && track.good >= CONTRADICTS && track.failed < 0.5 && quiet
}

/// Says once per verdict that it is not followed; it stays open, should the answers cease.
fn doubt(track: &mut Track, given: Nanos, reasons: &mut Vec<Reason>) {
    if track.doubted == given {
        return;
    }
    track.doubted = given;
    reasons.push(Reason::HearsayDoubted {
        backend: track.id,
        answers: crate::number::to_u32(track.good),
    });
}

/// Members left: more are isolated than the smaller set allows. The mildest come back, the oldest of them first.
pub(crate) fn relax(tracks: &mut [Track], config: &SetConfig, reasons: &mut Vec<Reason>, now: Nanos) {
    let in_service = tracks.iter().filter(|track| track.in_service).count();
    let most = if in_service < 2 {
        0
    } else {
        most(in_service, &config.isolation).min(in_service - 1)
    };
    let mut isolated = tracks
        .iter()
        .filter(|track| track.in_service && track.isolation().is_some())
        .count();
    while isolated > most {
        let served = tracks.iter_mut().filter(|track| track.in_service);
        let out = served.filter_map(|track| track.isolation().map(|isolation| (track, isolation)));
        let mildest =
            out.min_by_key(|(track, isolation)| (severity(&isolation.evidence), isolation.since, track.id));
        let Some((track, isolation)) = mildest else { break };
        isolated -= 1;
        let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        reasons.push(Reason::KeptInUse {
            backend: track.id,
            evidence: isolation.evidence,
            isolated: count(isolated),
            of: count(in_service),
        });
        let_in(track, isolation.since, now);
    }
}

/// Isolates by the evidence of this step.
pub(crate) fn decide(tracks: &mut [Track], config: &SetConfig, reasons: &mut Vec<Reason>, now: Nanos) {
    let in_service = tracks.iter().filter(|track| track.in_service).count();
    let isolated = tracks
        .iter()
        .filter(|track| track.in_service && track.isolation().is_some())
        .count();
    let accused = tracks
        .iter()
        .filter(|track| track.in_use() && track.evidence.is_some())
        .count();
    if accused == 0 {
        forget_said(tracks);
        return;
    }
    let fresh = tracks
        .iter()
        .filter(|track| track.in_service && is_fresh(track, now))
        .count();
    if (accused + fresh) * 2 > in_service && in_service > 1 {
        shared(tracks, accused + fresh, in_service, reasons, now);
        return;
    }
    let most = most(in_service, &config.isolation);
    let mut room = most
        .saturating_sub(isolated)
        .min(in_service.saturating_sub(isolated + 1));
    for _ in 0..accused {
        let worst = tracks
            .iter_mut()
            .filter(|track| track.in_use())
            .filter_map(|track| track.evidence.map(|evidence| (track, evidence)))
            .max_by_key(|(track, evidence)| (severity(evidence), std::cmp::Reverse(track.id)));
        let Some((track, evidence)) = worst else { break };
        if room == 0 {
            keep(tracks, isolated, in_service, reasons);
            break;
        }
        room -= 1;
        take_out(track, evidence, &config.isolation, reasons, now);
    }
    forget_said(tracks);
}

fn is_fresh(track: &Track, now: Nanos) -> bool {
    track
        .isolation()
        .is_some_and(|isolation| now.since(isolation.since) < SHARED_MEMORY)
}

/// Most look sick at once: it is not them. Who was isolated a moment ago comes back.
fn shared(tracks: &mut [Track], suspects: usize, of: usize, reasons: &mut Vec<Reason>, now: Nanos) {
    let said = tracks.iter().any(|track| track.said_kept);
    if !said {
        let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        reasons.push(Reason::SharedTrouble {
            suspects: count(suspects),
            of: count(of),
        });
    }
    for track in tracks.iter_mut() {
        track.said_kept = track.evidence.is_some();
        if let Phase::Isolated(isolation) = track.phase
            && now.since(isolation.since) < SHARED_MEMORY
            && !matches!(isolation.evidence, Evidence::Shared { .. })
        {
            track.phase = Phase::Normal;
            track.verdict_given = now;
            track.look.clear();
        }
    }
}

/// Says once per spell who would have gone but may not.
fn keep(tracks: &mut [Track], isolated: usize, of: usize, reasons: &mut Vec<Reason>) {
    for track in tracks
        .iter_mut()
        .filter(|track| track.in_use() && !track.said_kept)
    {
        if let Some(evidence) = track.evidence {
            track.said_kept = true;
            let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
            let (isolated, of) = (count(isolated), count(of));
            reasons.push(Reason::KeptInUse {
                backend: track.id,
                evidence,
                isolated,
                of,
            });
        }
    }
}

fn forget_said(tracks: &mut [Track]) {
    for track in tracks.iter_mut().filter(|track| track.evidence.is_none()) {
        track.said_kept = false;
    }
}

fn take_out(
    track: &mut Track,
    evidence: Evidence,
    config: &IsolationConfig,
    reasons: &mut Vec<Reason>,
    now: Nanos,
) {
    let forgiven = now.since(track.relapses_at).0 / FORGIVE.0;
    let level = track
        .relapses
        .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
    // Word of others is no relapse that this node saw: it neither doubles the hold nor counts for the next one.
    let heard = matches!(evidence, Evidence::Shared { .. });
    let (level, relapses) = if heard { (0, level) } else { (level, level + 1) };
    let hold = Nanos(config.hold.0.saturating_mul(1 << level.min(MOST_RELAPSES)))
        .min(config.hold_most.max(config.hold));
    reasons.push(Reason::Isolated {
        backend: track.id,
        evidence,
    });
    if level > 0 {
        reasons.push(Reason::Relapsed {
            backend: track.id,
            level,
            hold,
        });
    }
    track.phase = Phase::Isolated(Isolation {
        since: now,
        evidence,
        level,
        hold_until: now + hold,
    });
    track.relapses = relapses.min(MOST_RELAPSES);
    track.relapses_at = now;
    track.tested = false;
    track.extra = (0, now);
    track.said_kept = false;
    track.evidence = None;
    track.look.clear();
}

/// Lets a backend in again after one clean test, seen in this step's answers. One that is merely unlucky brings the next
/// test soon: a whole `spacing` would keep a healthy backend out for a request that happened to be a long one.
pub(crate) fn forgive(
    track: &mut Track,
    peers: Option<f64>,
    (calm, spread): (f64, f64),
    spacing: Nanos,
    reasons: &mut Vec<Reason>,
    now: Nanos,
) {
    let Phase::Isolated(isolation) = track.phase else {
        return;
    };
    let look = &track.look;
    if look.n < 1.0 || track.run > 0 {
        return;
    }
    let answered = look.sum / look.n;
    let clean = answered <= peers.unwrap_or(calm) + (2.0 * spread).clamp(CLEAN.0, CLEAN.1);
    let hopeful = answered < promising(&isolation.evidence);
    if isolation.is_slow() && !clean && !hopeful {
        let took = micros(answered);
        let free = FREE.max(Nanos(2 * took.0));
        track.drip_due = track
            .drip_due
            .max(now + free)
            .max(counted(&isolation, answered, spacing, now));
    }
    if now < isolation.hold_until {
        return;
    }
    // A backend that failed connections must show a new one; one that was late may also answer on an old one.
    if !isolation.is_slow() && !track.tested {
        return;
    }
    if !clean {
        if hopeful {
            hasten(track, spacing, now);
        }
        return;
    }
    let after = now.since(isolation.since);
    reasons.push(Reason::Released {
        backend: track.id,
        after,
        answered_in: micros(answered),
    });
    track.level = Some(answered);
    let_in(track, isolation.since, now);
}

/// When the next test is due after a late answer that was asked for since the isolation: a `spacing` later than that, as
/// after a test of our own. It tells the same, whoever opened the connection; a test's own answer changes nothing here.
fn counted(isolation: &Isolation, answered: f64, spacing: Nanos, now: Nanos) -> Nanos {
    // No later than it may have been asked for: levels are those of buckets.
    let asked = Nanos(now.0.saturating_sub(micros(answered + look::BUCKET_WIDTH).0));
    if asked > isolation.since {
        asked + spacing
    } else {
        Nanos::ZERO
    }
}

/// Level below which an answer is far better than what isolated the backend; any answer is, after failures.
fn promising(evidence: &Evidence) -> f64 {
    let level = |time: Nanos| libm::log2((time.as_micros() as f64).max(1.0)) - PROMISING;
    match *evidence {
        Evidence::Latency { own, .. } => level(own),
        Evidence::Silence { oldest, .. } => level(oldest),
        Evidence::Consecutive { .. } | Evidence::ErrorRate { .. } | Evidence::LeaseLost { .. } => {
            f64::INFINITY
        }
        Evidence::Shared { .. } => f64::NEG_INFINITY,
    }
}

/// The next test soon, at most [`EXTRA`] times in a spacing.
fn hasten(track: &mut Track, spacing: Nanos, now: Nanos) {
    let (used, since) = track.extra;
    let (used, since) = if now.since(since) >= spacing {
        (0, now)
    } else {
        (used, since)
    };
    if used < EXTRA && track.drip_due > now + SOON {
        track.extra = (used + 1, since);
        track.drip_due = now + SOON;
    }
}

fn let_in(track: &mut Track, isolated: Nanos, now: Nanos) {
    track.phase = Phase::Returning { since: now, isolated };
    // What others said before it proved itself here is spent: a verdict that is renewed while nodes still act on it
    // would otherwise keep itself alive.
    track.verdict_given = now;
    track.relapses_at = now;
    track.failed = 0.0;
    track.ended = 0.0;
    track.error = 0.0;
    track.run = 0;
    track.run_weight = 0;
    track.known = 0.0;
    track.look.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackendId;

    const SPACING: Nanos = Nanos::from_secs(12);

    fn level(millis: f64) -> f64 {
        libm::log2(1e3 * millis)
    }

    /// An isolated backend whose test was just answered after `millis`; its peers answer in 20 ms.
    fn tested(track: &mut Track, evidence: Evidence, millis: f64, now: Nanos) {
        track.phase = Phase::Isolated(Isolation {
            since: Nanos::ZERO,
            evidence,
            level: 0,
            hold_until: Nanos::ZERO,
        });
        track.tested = true;
        track.drip_due = now + SPACING;
        (track.look.n, track.look.sum) = (1.0, level(millis));
        let peers = Some(level(20.0));
        forgive(track, peers, (level(20.0), 0.5), SPACING, &mut Vec::new(), now);
    }

    const LATE: Evidence = Evidence::Latency {
        own: Nanos::from_millis(520),
        peers: Nanos::from_millis(20),
        hits: 3,
        window: 5,
    };

    #[test]
    fn an_unlucky_test_brings_the_next_in_a_second_but_only_twice_a_spacing() {
        let now = Nanos::from_secs(100);
        for evidence in [LATE, Evidence::Consecutive { failures: 3 }] {
            let mut track = Track::new(BackendId(1), Phase::Normal, now);
            for (after, due) in [(0, 1), (2, 1), (4, 12), (12, 1)] {
                let now = now + Nanos::from_secs(after);
                tested(&mut track, evidence, 100.0, now);
                assert!(track.isolation().is_some(), "100 ms is not clean");
                assert_eq!(
                    track.drip_due,
                    now + Nanos::from_secs(due),
                    "{evidence:?} after {after} s"
                );
            }
        }
    }

    #[test]
    fn a_late_answer_on_a_kept_connection_is_a_test_and_one_from_before_puts_the_next_off() {
        let now = Nanos::from_secs(100);
        let (peers, about) = (Some(level(20.0)), (level(20.0), 0.5));
        let mut track = Track::new(BackendId(1), Phase::Normal, now);
        tested(&mut track, LATE, 400.0, now);
        assert_eq!(
            track.drip_due,
            now + SPACING,
            "the test's own answer moves nothing"
        );
        track.drip_due = now + Nanos::from_millis(500);
        forgive(&mut track, peers, about, SPACING, &mut Vec::new(), now);
        let asked = Nanos((now + SPACING).0 - Nanos::from_millis(400).0);
        let early = asked.since(track.drip_due);
        assert!(
            track.drip_due <= asked && early < Nanos::from_millis(100),
            "{early:?} early"
        );
        let Phase::Isolated(isolation) = &mut track.phase else {
            panic!("400 ms is not clean");
        };
        isolation.since = Nanos(now.0 - Nanos::from_millis(300).0);
        track.drip_due = now;
        forgive(&mut track, peers, about, SPACING, &mut Vec::new(), now);
        assert_eq!(track.drip_due, now + FREE, "asked for before the isolation");
        track.look.sum = level(2_000.0);
        forgive(&mut track, peers, about, SPACING, &mut Vec::new(), now);
        assert_eq!(track.drip_due, now + Nanos::from_secs(4), "twice what it took");
    }

    #[test]
    fn a_test_as_late_as_what_isolated_it_brings_none_sooner_and_a_clean_one_lets_it_in() {
        let now = Nanos::from_secs(100);
        let mut track = Track::new(BackendId(1), Phase::Normal, now);
        tested(&mut track, LATE, 400.0, now);
        assert_eq!(track.drip_due, now + SPACING);
        tested(&mut track, LATE, 30.0, now);
        assert!(matches!(track.phase, Phase::Returning { .. }));
    }
}
