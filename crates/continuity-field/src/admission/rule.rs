//! The kernel's half, as a reference: what connect decides on [`Words`], [`Live`] and a caller's words.
//!
//! Why it is here: the invariants of admission are about words and rule together, and replay needs the rule without a
//! kernel. O(1), no loop. A slot is reserved by fetch-add and given back on refusal; alone on one CPU that is the
//! check-then-count below. A decision is a function of its arguments, so it replays.
//!
//! Left out: the errno (ECONNREFUSED), failsafe before it, and the compare-exchange loops (four lost rounds refuse the
//! slot, then the trickle is tried).

use super::level::{Class, LEVELS, Level};
use super::word::{Control, Live, ONE, OPEN, Words};
use crate::caller::{CallerLive, CallerWords};
use crate::{Enforcement, Nanos};

/// Silence of the agent from which limits relax, and the time in which they double, ms.
const LEASE: u32 = 3_000;
/// Doublings after which the fuse is the limit at the latest: 15 s of silence.
const RELAXED: u32 = 5;
/// Silence after which nobody owns the limits any more, ms.
const ORPHANED: u32 = 600_000;

/// Which part of the rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ground {
    /// Below the threshold.
    Slot,
    /// On the fractional slot.
    Fraction,
    /// As a survivor.
    Trickle,
    /// The agent has been silent for ten minutes.
    Orphaned,
    /// Refused: too many in flight.
    Full,
    /// Refused: its class is thinned.
    Thinned,
    /// Refused: a backend reports too many in flight.
    Reported,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The level it was counted under.
    pub level: Level,
    /// Why.
    pub ground: Ground,
}

impl Verdict {
    /// Whether the connect goes on.
    pub const fn admitted(self) -> bool {
        matches!(
            self.ground,
            Ground::Slot | Ground::Fraction | Ground::Trickle | Ground::Orphaned
        )
    }
}

/// A connect, as the hook sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    /// Class of the caller.
    pub class: Class,
    /// Largest fresh reported in-flight of a backend; 0 = none.
    pub reported: u32,
    /// Now.
    pub now: Nanos,
}

/// Generic cell rate algorithm on one word: whether a cell may pass now; `interval` and `burst` in ns.
pub fn conforms(at: &mut u64, interval: u64, burst: u64, now: Nanos) -> bool {
    let begin = (*at).max(now.0.saturating_sub(interval.max(burst)));
    if begin > now.0 {
        return false;
    }
    *at = begin.saturating_add(interval);
    true
}

/// Decides one connect and counts it in flight if it is admitted.
pub fn admit(
    words: &Words,
    live: &mut Live,
    caller: Option<(&CallerWords, &mut CallerLive)>,
    connect: &Connect,
) -> Verdict {
    let control = Control::unpack(words.control);
    let mut level = Level::Class(connect.class);
    if let Some((share, own)) = caller
        && own.exceeds(share, connect.now)
    {
        level = Level::Excess;
    }
    let ground = ground(words, live, control, level, connect);
    let verdict = Verdict { level, ground };
    if verdict.admitted() {
        live.in_flight = live.in_flight.saturating_add(1);
    }
    verdict
}

/// An admitted request ended.
pub fn end(live: &mut Live) {
    live.in_flight = live.in_flight.saturating_sub(1).max(0);
}

fn of<T: Copy + Default>(values: &[T; LEVELS], index: usize) -> T {
    values.get(index).copied().unwrap_or_default()
}

fn ground(words: &Words, live: &mut Live, control: Control, level: Level, connect: &Connect) -> Ground {
    let age = control.age(connect.now);
    if age > ORPHANED {
        return Ground::Orphaned;
    }
    let doublings = if age <= LEASE {
        0
    } else {
        (age - LEASE) / LEASE + 1
    };
    let index = level.index();
    let threshold = threshold(words, control, level, doublings);
    let fresh = doublings == 0;
    let full = if fresh && reported(words, level, connect) {
        Ground::Reported
    } else if fresh && !passes(words, live, index) {
        Ground::Thinned
    } else {
        let load = i64::from(live.in_flight) * i64::from(ONE) + i64::from(words.adjust);
        let whole = threshold - threshold % i64::from(ONE);
        if load < whole {
            return Ground::Slot;
        }
        if fresh && threshold > whole && load < whole + i64::from(ONE) {
            let pace = of(&words.fractions, index);
            if live
                .fraction_at
                .get_mut(index)
                .is_some_and(|at| conforms(at, pace, 0, connect.now))
            {
                return Ground::Fraction;
            }
        }
        Ground::Full
    };
    let pace = of(&words.trickles, index);
    let survives = |at: &mut u64| pace > 0 && conforms(at, pace, 0, connect.now);
    if live.trickle_at.get_mut(index).is_some_and(survives) {
        return Ground::Trickle;
    }
    full
}

/// The limit now: that of the level, doubled for every 3 s of silence until it meets the fuse.
fn threshold(words: &Words, control: Control, level: Level, doublings: u32) -> i64 {
    if doublings == 0 {
        return i64::from(of(&words.thresholds, level.index()));
    }
    let index = if control.mode == Enforcement::Hard {
        usize::from(control.top)
    } else {
        level.index()
    };
    let own = i64::from(of(&words.thresholds, index));
    let [lower, reserved] = words.fuse;
    let fuse = i64::from(if level.reserved() { reserved } else { lower });
    let most = own.max(fuse);
    if doublings >= RELAXED {
        most
    } else {
        (own << doublings).min(most)
    }
}

fn reported(words: &Words, level: Level, connect: &Connect) -> bool {
    words.report_fuse > 0 && !level.reserved() && connect.reported > words.report_fuse
}

/// Low-discrepancy thinning: a connect passes when the accumulator wraps.
fn passes(words: &Words, live: &mut Live, index: usize) -> bool {
    let gate = of(&words.gates, index);
    if gate == OPEN {
        return true;
    }
    let Some(sum) = live.thinned.get_mut(index) else {
        return true;
    };
    let (next, wrapped) = sum.overflowing_add(gate);
    *sum = next;
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(mode: Enforcement, normal: u32) -> Words {
        Words {
            control: Control {
                mode,
                top: 1,
                ..Control::default()
            }
            .pack(),
            thresholds: [4 * normal, 3 * normal, normal, normal / 2, normal / 4, 0],
            fuse: [20 * ONE, 30 * ONE],
            fractions: [72_800_000; LEVELS],
            ..Words::open()
        }
    }

    fn at(class: Class, millis: u64) -> Connect {
        Connect {
            class,
            reported: 0,
            now: Nanos::from_millis(millis),
        }
    }

    fn filled(in_flight: i32) -> Live {
        Live {
            in_flight,
            ..Live::default()
        }
    }

    #[test]
    fn the_fractional_slot_is_paced_with_one_ahead_after_idleness() {
        let words = words(Enforcement::Soft, 985); // 3.846
        let mut live = filled(2);
        let mut ask = |millis| {
            let ground = admit(&words, &mut live, None, &at(Class::Normal, millis)).ground;
            if ground == Ground::Fraction {
                end(&mut live);
            }
            ground
        };
        assert_eq!(ask(1_000), Ground::Slot);
        assert_eq!(
            [ask(1_000), ask(1_000), ask(1_000)],
            [Ground::Fraction, Ground::Fraction, Ground::Full]
        );
        assert_eq!(
            [ask(1_072), ask(1_073), ask(1_074)],
            [Ground::Full, Ground::Fraction, Ground::Full]
        );
    }

    #[test]
    fn silence_doubles_the_limit_until_the_fuse() {
        let words = words(Enforcement::Soft, 985);
        let limit = |millis| {
            let mut live = Live::default();
            while admit(&words, &mut live, None, &at(Class::Normal, millis)).admitted() {}
            live.in_flight
        };
        // 3.846 × 2 and × 4 = 15.4: a whole slot is open until its last part is taken.
        assert_eq!([limit(4_000), limit(7_000), limit(13_000)], [7, 15, 20]);
    }

    #[test]
    fn hard_ends_with_its_lease() {
        let words = words(Enforcement::Hard, ONE);
        let refused = |millis| !admit(&words, &mut filled(2), None, &at(Class::Bulk, millis)).admitted();
        assert!(refused(3_000));
        assert!(!refused(3_001));
    }

    #[test]
    fn nobody_owns_the_limits_after_ten_minutes() {
        let words = words(Enforcement::Soft, ONE);
        let mut live = filled(1_000_000);
        assert!(!admit(&words, &mut live, None, &at(Class::Critical, 600_000)).admitted());
        assert_eq!(
            admit(&words, &mut live, None, &at(Class::Bulk, 600_001)).ground,
            Ground::Orphaned
        );
    }

    #[test]
    fn a_gate_lets_its_part_through_evenly() {
        let mut words = words(Enforcement::Soft, 1 << 20);
        words.gates = [super::super::word::part(0.25); LEVELS];
        let mut live = Live::default();
        let admitted: Vec<usize> = (0..16)
            .filter(|_| admit(&words, &mut live, None, &at(Class::Normal, 0)).admitted())
            .collect();
        assert_eq!(admitted, [3, 7, 11, 15]);
    }

    #[test]
    fn a_drowning_backend_holds_up_all_but_the_reserved() {
        let mut words = Words::open();
        words.report_fuse = 30;
        let ask = |class, reported| {
            let connect = Connect {
                reported,
                ..at(class, 0)
            };
            admit(&words, &mut Live::default(), None, &connect).ground
        };
        assert_eq!(ask(Class::Normal, 30), Ground::Slot);
        assert_eq!(ask(Class::Normal, 31), Ground::Reported);
        assert_eq!(ask(Class::High, 31), Ground::Slot);
    }
}
