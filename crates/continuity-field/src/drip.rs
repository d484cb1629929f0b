//! The bounded trickle of real connections that tests isolated backends.
//!
//! The fleet spends `drip_per_million` of its connections on tests of one backend; a node's part is one every
//! `N / (drip · λ)` seconds (law-balancing §2.6). The kernel holds one word {backend, time} per set: the backend whose
//! test is due first. The caller arms the word when it differs from what it armed last; a connection seen at the isolated
//! backend after the due time consumes it and sets the next one.

use crate::track::{Phase, Track};
use crate::{Advice, BackendId, BackendSample, Drip, Nanos, SetConfig};

/// Least spacing: a busy fleet would test more often than it learns.
const LEAST: f64 = 1.0;
/// Most spacing, s: what a quiet service (below 20 connections a second) may wait to find out that a backend is well, and
/// what a large fleet may, whose nodes tell one another.
const MOST: (f64, f64) = (60.0, 300.0);
const QUIET: f64 = 20.0;
/// While a returning backend's level in the kernel is this far above the median (Q8), the choice would starve it:
/// direct connections show the kernel that it is well.
const STARVED: i32 = 256;
const SHOWING: Nanos = Nanos::from_millis(300);
/// Nodes that test a fresh isolation early.
const SCOUTS: u64 = 3;

/// Time between tests of one backend from this node.
pub(crate) fn spacing(advice: &Advice<'_>, own_rate: f64, config: &SetConfig) -> Nanos {
    let nodes = f64::from(advice.active_nodes.max(1));
    let rate = match advice.offered_milli_per_second {
        0 => own_rate * nodes,
        // What this node sends is part of it: a plan that knows less is old.
        milli => (milli.min(1_000_000_000_000) as f64 / 1_000.0).max(own_rate),
    };
    let share = f64::from(config.isolation.drip_per_million.clamp(100, 10_000)) / 1e6;
    let seconds = nodes / (share * rate.max(1e-9));
    Nanos(crate::number::to_u64(
        seconds.clamp(LEAST, (MOST.0 * rate / QUIET).clamp(MOST.0, MOST.1)) * 1e9,
    ))
}

/// Part of the spacing by which this node's tests are late, so that nodes do not test together; thirds by golden ratio.
pub(crate) fn phase(seed: u64, spacing: Nanos) -> Nanos {
    let fraction = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1_u32 << 24);
    Nanos(crate::number::to_u64(spacing.0 as f64 * fraction))
}

/// First test of a fresh isolation: after the hold, anywhere in one spacing, so that the nodes' tests are spread from the
/// start; all of them at the end of the hold would be one failure a node.
pub(crate) fn first(hold_until: Nanos, spacing: Nanos, seed: u64) -> Nanos {
    hold_until + phase(seed, spacing)
}

/// Whether this node tests a fresh isolation early; about [`SCOUTS`] of the fleet do, each backend by others.
pub(crate) fn scouts(seed: u64, backend: BackendId, nodes: u32) -> bool {
    let hash = (seed ^ backend.0.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    hash.wrapping_mul(u64::from(nodes.max(1))) >> 32 < SCOUTS
}

/// A first isolation for slowness may have been a pause (a garbage collection): if all that waited was answered by the end
/// of the hold, the scouts test at once, and the others hear of it. One test each is what a gray backend costs by that.
fn explore(track: &mut Track, now: Nanos) {
    let Phase::Isolated(isolation) = track.phase else {
        track.scout = false;
        return;
    };
    if track.scout && now >= isolation.hold_until {
        track.scout = false;
        if track.look.crowd == 0 {
            track.drip_due = now;
        }
    }
}

/// Notes a test that left and sets the next.
pub(crate) fn observe(track: &mut Track, sample: &BackendSample, spacing: Nanos, now: Nanos) {
    explore(track, now);
    if sample.attempts == 0 || now < track.drip_due {
        return;
    }
    match track.phase {
        Phase::Isolated(_) => {
            track.drip_due = now + spacing;
            track.tested = true;
        }
        Phase::Returning { .. } => track.drip_due = now + SHOWING,
        _ => {}
    }
}

/// The test that is due first, over all backends that need one.
pub(crate) fn next(tracks: &[Track], samples: &[BackendSample], lm: i32, spacing: Nanos) -> Option<Drip> {
    let needs = |track: &Track, sample: &BackendSample| match track.phase {
        Phase::Isolated(_) => track.in_service,
        Phase::Returning { .. } => {
            track.in_service
                && sample
                    .level
                    .is_some_and(|level| level.saturating_sub(lm) > STARVED)
        }
        _ => false,
    };
    let due = tracks
        .iter()
        .zip(samples)
        .enumerate()
        .filter(|(_, (track, sample))| needs(track, sample));
    let (index, (track, _)) = due.min_by_key(|(_, (track, _))| (track.drip_due, track.id))?;
    let every = if track.isolation().is_some() {
        spacing
    } else {
        SHOWING
    };
    Some(Drip {
        backend: u16::try_from(index).unwrap_or(crate::OFF),
        every,
        due: track.drip_due,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(nodes: u32, fleet: u64, own: f64) -> f64 {
        let advice = Advice {
            active_nodes: nodes,
            offered_milli_per_second: fleet * 1_000,
            verdicts: &[],
        };
        spacing(&advice, own, &SetConfig::default()).as_secs_f64()
    }

    #[test]
    fn the_fleet_spends_a_two_thousandth_of_its_connections_on_tests() {
        let table = [
            // nodes, connections a second of the fleet (0 = not known) and of this node, spacing
            (3, 500, 170.0, 12.0),
            (10, 1_200, 120.0, 16.667),
            (3, 0, 170.0, 11.765),
            (1, 100_000, 100_000.0, 1.0),
            (3, 1, 0.3, 60.0),
            // A plan that knows less than this node alone sends.
            (3, 5, 500.0, 12.0),
        ];
        for (nodes, fleet, own, expected) in table {
            let found = seconds(nodes, fleet, own);
            assert!((found - expected).abs() < 0.01, "{nodes} {fleet} {own}: {found}");
        }
    }

    #[test]
    fn about_three_nodes_of_a_fleet_are_scouts_and_all_of_a_small_one() {
        for nodes in [1_u32, 2, 3] {
            assert!((0..u64::from(nodes)).all(|node| scouts(node * 77, BackendId(5), nodes)));
        }
        for nodes in [10_u32, 60, 200] {
            let mut all = 0;
            for backend in 0..100 {
                let seeds = (0..u64::from(nodes)).map(|node| (node + 1).wrapping_mul(0xD1B5_4A32_D192_ED03));
                all += seeds
                    .filter(|seed| scouts(*seed, BackendId(backend), nodes))
                    .count();
            }
            assert!(
                (200..=400).contains(&all),
                "{nodes} nodes: {all} in 100 isolations"
            );
        }
    }
}
