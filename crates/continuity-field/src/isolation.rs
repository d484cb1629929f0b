//! Who is taken out and who may come back.
//!
//! Invariants: never the last backend in use, never more than the bounded number (at most half), nobody while more than
//! half look sick at once (what they share is sick then), worst first, and a backend that comes back too early goes again
//! at the first sign, for twice as long.

use crate::evidence::micros;
use crate::track::{Phase, Track};
use crate::{Advice, Evidence, Isolation, IsolationConfig, Nanos, Reason, SetConfig, VerdictKind};

/// One relapse is forgiven after this long without another.
const FORGIVE: Nanos = Nanos::from_secs(60);
/// Isolations younger than this are taken back when most turn out to look alike.
const SHARED_MEMORY: Nanos = Nanos::from_secs(10);
/// A clean answer lies less than this many octaves above the peers' median: 3 ×, or 2σ of one answer where answers vary
/// more, but never as far as 6 ×.
const CLEAN: (f64, f64) = (1.585, 2.585);
/// Relapses counted; 2 s · 2^8 is beyond the longest hold.
const MOST_RELAPSES: u32 = 8;

/// How bad an evidence is; larger goes first when not all may go.
fn severity(evidence: &Evidence) -> u64 {
    match *evidence {
        Evidence::Consecutive { failures } => 4_000_000_000 + u64::from(failures),
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
pub(crate) fn heed(tracks: &mut [Track], advice: &Advice<'_>, reasons: &mut Vec<Reason>, now: Nanos) {
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
        match (verdict.kind, track.phase) {
            (VerdictKind::Isolate, Phase::Normal | Phase::Starting { .. } | Phase::Returning { .. }) => {
                track.evidence = track.evidence.or(Some(Evidence::Shared {
                    expires: verdict.expires,
                }));
            }
            (VerdictKind::Release, Phase::Isolated(isolation)) if verdict.given >= isolation.hold_until => {
                track.verdict_given = verdict.given;
                reasons.push(Reason::ReleasedByOthers {
                    backend: track.id,
                    after: now.since(isolation.since),
                });
                let_in(track, isolation.since, now);
            }
            _ => {}
        }
    }
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
    track.relapses = (level + 1).min(MOST_RELAPSES);
    track.relapses_at = now;
    track.tested = false;
    track.said_kept = false;
    track.evidence = None;
    track.look.clear();
}

/// Lets a backend in again after one clean test, seen in this step's answers.
pub(crate) fn forgive(
    track: &mut Track,
    peers: Option<f64>,
    (calm, spread): (f64, f64),
    reasons: &mut Vec<Reason>,
    now: Nanos,
) {
    let Phase::Isolated(isolation) = track.phase else {
        return;
    };
    let look = &track.look;
    if now < isolation.hold_until || look.n < 1.0 || track.run > 0 {
        return;
    }
    // A backend that failed connections must show a new one; one that was late may also answer on an old one.
    if !isolation.is_slow() && !track.tested {
        return;
    }
    let answered = look.sum / look.n;
    if answered > peers.unwrap_or(calm) + (2.0 * spread).clamp(CLEAN.0, CLEAN.1) {
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
