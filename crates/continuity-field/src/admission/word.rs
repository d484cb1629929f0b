//! The words of one set that the kernel reads at connect, and those it writes.
//!
//! | word | type | unit | meaning |
//! | --- | --- | --- | --- |
//! | `control` | u64 | – | epoch 16 · mode 2 · top 3 · heartbeat 32 (ms, wrapping), from bit 0; loaded once per decision |
//! | `adjust` | s32 | Q24.8 requests | zombies − parked, added to the requests in flight |
//! | `thresholds[6]` | u32 | Q24.8 requests | in flight below which a level is admitted |
//! | `fuse[2]` | u32 | Q24.8 requests | limits of normal: normal and lower levels, reserved levels; end of the lease |
//! | `gates[6]` | u32 | Q0.32 | part of a level's connects that may come; all ones = open |
//! | `report_fuse` | u32 | requests | reported in-flight of one backend above which normal and lower wait; 0 = off |
//! | `fractions[6]` | u64 | ns | pace of the fractional slot |
//! | `trickles[6]` | u64 | ns | pace of the survivors; 0 = none |
//! | `cut` | u64 | ns | turnaround is cut here before it is summed; 0 = not cut |
//!
//! 176 bytes, no gaps, written by the agent into the inactive bank and taken over with the set's epoch, so that no
//! decision mixes thresholds of one step with the adjustment of another. The kernel's own words are [`Live`]: in flight
//! (s32), accumulators (u32), one u64 per pacer. Per caller: [`CallerWords`](crate::caller::CallerWords).

use super::level::LEVELS;
use crate::{Enforcement, Nanos};

/// One request in Q24.8.
pub(super) const ONE: u32 = 256;
/// A gate that is open.
pub(super) const OPEN: u32 = u32::MAX;

/// What the agent writes; the layout is the kernel's.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// [`Control`], packed.
    pub control: u64,
    /// Zombies − parked, Q24.8.
    pub adjust: i32,
    /// Admitted below, Q24.8, by level.
    pub thresholds: [u32; LEVELS],
    /// Limits of normal, Q24.8: normal and lower, reserved.
    pub fuse: [u32; 2],
    /// Part that may come, Q0.32, by level.
    pub gates: [u32; LEVELS],
    /// Reported in-flight of one backend, requests; 0 = off.
    pub report_fuse: u32,
    /// Pace of the fractional slot, ns, by level.
    pub fractions: [u64; LEVELS],
    /// Pace of the survivors, ns, by level.
    pub trickles: [u64; LEVELS],
    /// Turnaround is cut here, ns.
    pub cut: u64,
}

const _: () = assert!(size_of::<Words>() == 176);

impl Words {
    /// Refuses nobody.
    pub const fn open() -> Self {
        Self {
            control: 0,
            adjust: 0,
            thresholds: [u32::MAX; LEVELS],
            fuse: [u32::MAX; 2],
            gates: [OPEN; LEVELS],
            report_fuse: 0,
            fractions: [0; LEVELS],
            trickles: [0; LEVELS],
            cut: 0,
        }
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::open()
    }
}

/// The first word: what is loaded once and goes into the event of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Control {
    /// Which step wrote the words, wrapping.
    pub epoch: u16,
    /// What is enforced.
    pub mode: Enforcement,
    /// Highest level with demand, 0 ..= 5: who stays in hard.
    pub top: u8,
    /// When the agent last wrote, ms of the monotonic clock, wrapping after 49 days.
    pub heartbeat: u32,
}

impl Control {
    /// The heartbeat of an instant.
    pub fn beat(now: Nanos) -> u32 {
        u32::try_from(now.as_millis() & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// As a word.
    pub fn pack(self) -> u64 {
        let mode = match self.mode {
            Enforcement::Normal => 0_u64,
            Enforcement::Soft => 1,
            Enforcement::Hard => 2,
        };
        u64::from(self.epoch)
            | mode << 16
            | u64::from(self.top.min(5)) << 18
            | u64::from(self.heartbeat) << 21
    }

    /// From a word; a mode that does not exist counts as normal.
    pub fn unpack(word: u64) -> Self {
        let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
        Self {
            epoch: u16::try_from(word & 0xffff).unwrap_or(0),
            mode: match word >> 16 & 3 {
                1 => Enforcement::Soft,
                2 => Enforcement::Hard,
                _ => Enforcement::Normal,
            },
            top: u8::try_from(word >> 18 & 7).unwrap_or(0).min(5),
            heartbeat: low(word >> 21),
        }
    }

    /// Silence of the agent, ms.
    pub fn age(self, now: Nanos) -> u32 {
        Self::beat(now).wrapping_sub(self.heartbeat)
    }
}

/// What the kernel writes, but for its per-CPU counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// Admitted and not ended, never below 0.
    pub in_flight: i32,
    /// Accumulators of the gates.
    pub thinned: [u32; LEVELS],
    /// Next time of the fractional slot, ns.
    pub fraction_at: [u64; LEVELS],
    /// Next time of a survivor, ns.
    pub trickle_at: [u64; LEVELS],
}

/// Requests as Q24.8, rounded down; negative and NaN give 0, beyond the range the largest.
pub(super) fn fixed(requests: f64) -> u32 {
    crate::number::to_u32(requests * f64::from(ONE) - 0.5)
}

/// A part as Q0.32; 1 and more is open.
pub(super) fn part(part: f64) -> u32 {
    if part >= 1.0 {
        OPEN
    } else {
        crate::number::to_u32(part.max(0.0) * 4_294_967_296.0).min(OPEN - 1)
    }
}

/// Seconds as ns; 0 stays 0, anything else is at least 1.
pub(crate) fn pace(seconds: f64) -> u64 {
    if seconds > 0.0 {
        crate::number::to_u64(seconds * 1e9).clamp(1, 1 << 62)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_fixed_point_rounded_down() {
        assert_eq!(fixed(11.6928), 2_993);
        assert_eq!(fixed(3.8464) % ONE, 216);
        assert_eq!([fixed(0.0), fixed(-3.0), fixed(f64::NAN)], [0, 0, 0]);
        assert_eq!(fixed(1e30), u32::MAX);
    }

    #[test]
    fn the_control_word_survives_packing() {
        let control = Control {
            epoch: 65_535,
            mode: Enforcement::Hard,
            top: 4,
            heartbeat: u32::MAX,
        };
        assert_eq!(Control::unpack(control.pack()), control);
        assert_eq!(Control::unpack(3 << 16).mode, Enforcement::Normal);
        let later = Nanos::from_millis((1 << 32) + 6_999);
        assert_eq!(control.age(later), 7_000);
    }

    #[test]
    fn a_part_of_one_is_open_and_nothing_less_is() {
        assert_eq!(part(1.0), OPEN);
        assert_eq!(part(0.999_999_999_999), OPEN - 1);
        assert_eq!([part(0.5), part(0.0), part(-1.0)], [1 << 31, 0, 0]);
    }
}
