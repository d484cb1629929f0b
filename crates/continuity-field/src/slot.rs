//! Shares onto 64 slots: an exact sum, bounded steps, and as few owners changed as the step allows.
//!
//! Three things move slots, each with its own pace: a backend that left or fails gives everything at once, one that is
//! merely late is emptied in two ticks, and rebalancing moves one slot a look and backend. A step only ever moves toward
//! today's target (the guard): nobody loses below it or gains above it, so the distance to it cannot grow.

use crate::track::Track;
use crate::{Evidence, OFF, SLOTS, SlewConfig};

const WHOLE: u32 = 64;

/// Working memory of the projection, kept to avoid allocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scratch {
    target: Vec<u32>,
    order: Vec<(u64, usize)>,
    /// What the target was made of: between looks shares stand still.
    shares: Vec<f64>,
    seed: u64,
}

/// Slots per backend: whole parts, and the rest by lot, with the remainder as the chance; at least one for whoever has a
/// share. The lot is fixed by `seed`, so a node's slots stand still while its shares do.
pub(crate) fn apportion(shares: &[f64], seed: u64, scratch: &mut Scratch) {
    if scratch.seed == seed && scratch.shares == shares {
        return;
    }
    scratch.seed = seed;
    scratch.shares.clear();
    scratch.shares.extend_from_slice(shares);
    let Scratch { target, order, .. } = scratch;
    target.clear();
    order.clear();
    target.resize(shares.len(), 0);
    let used = shares.iter().filter(|share| **share > 0.0).count();
    if used == 0 {
        return;
    }
    if used > SLOTS {
        window(shares, seed, target);
        return;
    }
    let mut left = WHOLE;
    for (index, (share, slots)) in shares.iter().zip(target.iter_mut()).enumerate() {
        if *share <= 0.0 {
            continue;
        }
        let exact = share * f64::from(WHOLE);
        *slots = crate::number::to_u32(libm::floor(exact)).clamp(1, WHOLE);
        left = left.saturating_sub(*slots);
        order.push((lot(seed, index, exact - f64::from(*slots)), index));
    }
    order.sort_unstable_by(|one, other| other.cmp(one));
    let given: u32 = target.iter().sum();
    for &(_, index) in order
        .iter()
        .cycle()
        .take(usize::try_from(WHOLE.saturating_sub(given)).unwrap_or(0))
    {
        if let Some(slots) = target.get_mut(index) {
            *slots += 1;
        }
    }
    // The floor of one slot may have given too many: the largest give them back.
    for _ in WHOLE..given {
        if let Some(largest) = target.iter_mut().rev().max_by_key(|slots| **slots) {
            *largest -= 1;
        }
    }
}

/// Rank of a backend in the lot for the slots that remain; the larger wins. Odds of the remainder times odds of a number
/// that differs by node and backend: Rosén's Pareto sampling, by which about the remainder's part of the nodes rounds up.
/// By the largest remainder alone all nodes would round alike, since reports tell all of them the same, and a difference of
/// nothing would put a sixth more on one of ten backends.
fn lot(seed: u64, index: usize, remainder: f64) -> u64 {
    let number = (seed ^ index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    let odds = |part: f64| part / (1.0 - part);
    let drawn = odds((number as f64 + 0.5) / f64::from(1_u32 << 16));
    // Bits of positive floats stand in the order of their values.
    (odds(remainder.clamp(0.0, 1.0 - 1e-6)) * drawn).to_bits()
}

/// More backends than slots: every look another 64 of them, the sequence shifted by node. Memory reaches the rest.
fn window(shares: &[f64], seed: u64, target: &mut [u32]) {
    let used = shares.iter().filter(|share| **share > 0.0).count() as u64;
    let start = seed % used.max(1);
    let mut position = 0;
    for (share, slots) in shares.iter().zip(target.iter_mut()) {
        if *share > 0.0 {
            let offset = (position + used - start) % used;
            *slots = u32::from(offset < SLOTS as u64);
            position += 1;
        }
    }
}

/// Moves the held slots of every track one step toward the target; returns how many slots changed owner.
pub(crate) fn slew(
    tracks: &mut [Track],
    slots: &mut [u16; SLOTS],
    slew: &SlewConfig,
    look_closed: bool,
    scratch: &mut Scratch,
) -> u32 {
    count_held(tracks, slots);
    let gains: u32 = deficits(tracks, &scratch.target, true);
    let pace = if look_closed {
        slew.rebalance_slots.max(1)
    } else {
        0
    };
    let fair = WHOLE.div_ceil(
        u32::try_from(scratch.target.iter().filter(|slots| **slots > 0).count())
            .unwrap_or(1)
            .max(1),
    );
    // Who is in use and has no slot at all gets its first one now, whatever the pace.
    let hungry = tracks
        .iter()
        .zip(&scratch.target)
        .filter(|(track, goal)| **goal > 0 && track.slots == 0)
        .count();
    let first = u32::from(hungry > 0);
    let mut moved = 0;
    for (index, track) in tracks.iter_mut().enumerate() {
        let goal = scratch.target.get(index).copied().unwrap_or(0);
        let surplus = track.slots.saturating_sub(goal);
        if surplus == 0 {
            continue;
        }
        let leaving = !track.in_service || is_failing(track) || goal == 0 && track.isolation().is_none();
        let most = if leaving {
            surplus
        } else if track.isolation().is_some() {
            fair.div_ceil(slew.drain_ticks.max(1))
        } else {
            // Who returns or joins is paced by its own target: the others make room as fast as it grows.
            pace.max(gains.min(surplus).min(u32::from(look_closed) * 4))
                .max(first)
        };
        let give = surplus.min(most);
        let owner = u16::try_from(index).unwrap_or(OFF);
        for slot in slots
            .iter_mut()
            .rev()
            .filter(|slot| **slot == owner)
            .take(usize::try_from(give).unwrap_or(0))
        {
            *slot = OFF;
        }
        track.slots -= give;
        moved += give;
    }
    fill(tracks, slots, scratch);
    moved
}

/// Slots wanted by those that grow by themselves (returning, starting) or, with `all` false, by everybody.
fn deficits(tracks: &[Track], target: &[u32], growing: bool) -> u32 {
    let wants = |track: &Track| !growing || !matches!(track.phase, crate::track::Phase::Normal);
    tracks
        .iter()
        .zip(target)
        .filter(|(track, _)| wants(track))
        .map(|(track, goal)| goal.saturating_sub(track.slots))
        .sum()
}

fn is_failing(track: &Track) -> bool {
    track
        .isolation()
        .is_some_and(|isolation| !matches!(isolation.evidence, Evidence::Latency { .. }))
}

fn count_held(tracks: &mut [Track], slots: &[u16; SLOTS]) {
    tracks.iter_mut().for_each(|track| track.slots = 0);
    for slot in slots {
        if let Some(track) = tracks.get_mut(usize::from(*slot)) {
            track.slots += 1;
        }
    }
}

/// Gives every free slot to the backend that lacks most; where some have slots and others that should have none, to these
/// first.
fn fill(tracks: &mut [Track], slots: &mut [u16; SLOTS], scratch: &Scratch) {
    let held = tracks.iter().any(|track| track.slots > 0);
    for slot in slots.iter_mut().filter(|slot| **slot == OFF) {
        let lacking = tracks
            .iter_mut()
            .zip(&scratch.target)
            .enumerate()
            .filter(|(_, (track, goal))| **goal > track.slots);
        let most = lacking.max_by_key(|(index, (track, goal))| {
            (
                held && track.slots == 0,
                **goal - track.slots,
                std::cmp::Reverse(*index),
            )
        });
        let Some((index, (track, _))) = most else { break };
        *slot = u16::try_from(index).unwrap_or(OFF);
        track.slots += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::track::Phase;
    use crate::{BackendId, Isolation, Nanos, SetConfig};

    fn tracks(n: usize) -> Vec<Track> {
        (0..n)
            .map(|id| Track::new(BackendId(id as u64), Phase::Normal, Nanos::ZERO))
            .collect()
    }

    fn isolate(track: &mut Track, evidence: Evidence) {
        track.phase = Phase::Isolated(Isolation {
            since: Nanos::ZERO,
            evidence,
            level: 0,
            hold_until: Nanos::ZERO,
        });
    }

    fn distance(tracks: &[Track], target: &[u32]) -> u32 {
        tracks
            .iter()
            .zip(target)
            .map(|(track, goal)| track.slots.abs_diff(*goal))
            .sum()
    }

    #[test]
    fn five_equal_shares_are_twelve_or_thirteen_slots_each() {
        let mut scratch = Scratch::default();
        apportion(&[0.2; 5], 7, &mut scratch);
        assert_eq!(scratch.target.iter().sum::<u32>(), 64);
        assert!(
            scratch.target.iter().all(|slots| (12..=13).contains(slots)),
            "{:?}",
            scratch.target
        );
    }

    #[test]
    fn who_has_a_share_has_a_slot_however_small_it_is() {
        let mut scratch = Scratch::default();
        apportion(&[0.998, 0.001, 0.001, 0.0], 7, &mut scratch);
        assert_eq!(scratch.target, [62, 1, 1, 0]);
    }

    #[test]
    fn over_many_nodes_a_share_is_what_it_says_though_every_node_has_whole_slots() {
        let shares = [0.104, 0.101, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.095];
        let mut sums = [0; 10];
        let mut scratch = Scratch::default();
        for node in 1..=2_000_u64 {
            apportion(&shares, node.wrapping_mul(0xD1B5_4A32_D192_ED03), &mut scratch);
            sums.iter_mut()
                .zip(&scratch.target)
                .for_each(|(sum, slots)| *sum += slots);
        }
        for (sum, share) in sums.iter().zip(shares) {
            let mean = f64::from(*sum) / 2_000.0;
            assert!((mean - 64.0 * share).abs() < 0.1, "{mean} slots for {share}");
        }
    }

    #[test]
    fn a_late_backend_is_emptied_in_two_ticks_and_a_failing_one_in_one() {
        let late = Evidence::Latency {
            own: Nanos(8),
            peers: Nanos(1),
            hits: 3,
            window: 5,
        };
        for (evidence, ticks) in [(late, 2), (Evidence::Consecutive { failures: 3 }, 1)] {
            let mut tracks = tracks(5);
            let (mut slots, mut scratch) = ([OFF; SLOTS], Scratch::default());
            let pace = SetConfig::default().slew;
            apportion(&[0.2; 5], 1, &mut scratch);
            slew(&mut tracks, &mut slots, &pace, true, &mut scratch);
            isolate(&mut tracks[1], evidence);
            apportion(&[0.25, 0.0, 0.25, 0.25, 0.25], 1, &mut scratch);
            for tick in 1..=ticks {
                assert!(tracks[1].slots > 0, "tick {tick}");
                slew(&mut tracks, &mut slots, &pace, false, &mut scratch);
            }
            assert_eq!(tracks[1].slots, 0);
            assert!(
                tracks
                    .iter()
                    .enumerate()
                    .all(|(index, track)| index == 1 || track.slots == 16)
            );
        }
    }

    #[test]
    fn more_backends_than_slots_take_turns_until_all_have_had_one() {
        let shares = vec![1.0 / 200.0; 200];
        let mut scratch = Scratch::default();
        let mut seen = vec![0; 200];
        for look in 0..4 {
            apportion(&shares, 64 * look, &mut scratch);
            assert_eq!(scratch.target.iter().sum::<u32>(), 64);
            seen.iter_mut()
                .zip(&scratch.target)
                .for_each(|(seen, slots)| *seen += slots);
        }
        assert!(seen.iter().all(|turns| *turns >= 1), "{seen:?}");
    }

    proptest! {
        #[test]
        fn every_step_comes_closer_and_moves_no_more_than_it_must(
            weights in prop::collection::vec(0.0..1.0_f64, 1..40),
            next in prop::collection::vec(0.0..1.0_f64, 1..40),
            seed: u64,
        ) {
            let n = weights.len().min(next.len());
            let shares = |weights: &[f64]| {
                let sum: f64 = weights[..n].iter().sum::<f64>().max(1e-9);
                weights[..n].iter().map(|weight| weight / sum).collect::<Vec<_>>()
            };
            let mut tracks = tracks(n);
            let (mut slots, mut scratch) = ([OFF; SLOTS], Scratch::default());
            let pace = SetConfig::default().slew;
            apportion(&shares(&weights), seed, &mut scratch);
            slew(&mut tracks, &mut slots, &pace, true, &mut scratch);
            apportion(&shares(&next), seed, &mut scratch);
            let mut before = distance(&tracks, &scratch.target);
            for _ in 0..200 {
                let old = slots;
                let moved = slew(&mut tracks, &mut slots, &pace, true, &mut scratch);
                let now = distance(&tracks, &scratch.target);
                let changed = old.iter().zip(&slots).filter(|(one, other)| one != other).count();
                prop_assert!(now <= before, "projected skew never grows: {now} > {before}");
                prop_assert!(moved <= u32::try_from(n).unwrap(), "bounded step: {moved} slots of {n} backends in one look");
                prop_assert_eq!(u32::try_from(changed).unwrap(), moved, "every owner that changed was a slot that moved");
                prop_assert_eq!(tracks.iter().map(|track| track.slots).sum::<u32>(), if scratch.target.iter().any(|slots| *slots > 0) { 64 } else { 0 });
                before = now;
            }
            prop_assert_eq!(before, 0, "the target is reached");
        }
    }
}
