//! Limits in and counters out, per set.
//!
//! The bank of the next epoch is written whole, its epoch last; then the control word names it. Between two changes only
//! the heartbeat in that word moves: the lease of what stands.

use std::{
    mem::offset_of,
    sync::atomic::{Ordering, fence},
};

use bytemuck::Zeroable as _;
use continuity_wire::{Admission, AdmissionTraffic, LIMIT_BANKS, Set, SetFlags};

use super::{Engine, GRACE};
use crate::{AdmissionCounters, Error, Limits, SetId, backing::Backing};

/// Bits of the control word that are the epoch.
const EPOCH: u64 = 0xffff;
/// Bits in which a change is a change of limits: mode and top level.
const POSTURE: u64 = 0x1f << 16;
/// Levels that a caller can have.
const CLASS_MOST: u32 = 4;

impl<B: Backing> Engine<B> {
    /// True if more than the heartbeat was written.
    pub(super) fn write_limits(&mut self, id: &SetId, limits: &Limits) -> Result<bool, Error> {
        let entry = self.entry(id)?;
        let (index, flipped) = (entry.view.index.0, entry.limited);
        let word = self
            .tables
            .admissions
            .word(index, offset_of!(Admission, control))?;
        let before = word.load(Ordering::Relaxed);
        let bank = |epoch: u64| index * LIMIT_BANKS + u32::from(epoch & 1 == 1);
        let epoch = before & EPOCH;
        let stands: continuity_wire::Limits = self.tables.limits.load(bank(epoch))?;
        let wanted = |epoch: u64| continuity_wire::Limits {
            control: 0,
            epoch,
            reserved: 0,
            ..limits.words
        };
        let admits = self.admits(index, limits)?;
        let posture = limits.words.control & !EPOCH;
        if admits && stands == wanted(epoch) && before & POSTURE == posture & POSTURE {
            word.store(posture | epoch, Ordering::Release);
            return Ok(false);
        }
        let now = self.backing.now();
        if now.saturating_sub(flipped) < u64::try_from(GRACE.as_nanos()).unwrap_or(u64::MAX) {
            self.backing.grace();
        }
        let next = (epoch + 1) & EPOCH;
        // No epoch is larger than 16 bits: a reader that breaks the grace period finds a bank that is nobody's.
        let words = self
            .tables
            .limits
            .word(bank(next), offset_of!(continuity_wire::Limits, epoch))?;
        words.store(u64::MAX, Ordering::Relaxed);
        fence(Ordering::Release);
        self.tables.limits.store(bank(next), &wanted(u64::MAX))?;
        words.store(next, Ordering::Release);
        word.store(posture | next, Ordering::Release);
        self.flag(index, |flags| governed(flags, limits))?;
        if let Some(entry) = self.sets.get_mut(id) {
            entry.limited = now;
        }
        Ok(true)
    }

    /// Whether connects to the set already ask, with these bits.
    fn admits(&self, index: u32, limits: &Limits) -> Result<bool, Error> {
        let flags = self.tables.sets.load::<Set>(index)?.flags;
        Ok(flags == governed(flags, limits))
    }

    /// From here on connects to the set ask for nothing. What its sockets hold is given back all the same.
    pub(super) fn open_limits(&mut self, id: &SetId) -> Result<(), Error> {
        let index = self.entry(id)?.view.index.0;
        self.flag(index, |flags| flags & !ADMISSION_FLAGS)
    }

    /// Changes the flags of a set, beside its generation.
    fn flag(&self, index: u32, change: impl FnOnce(u32) -> u32) -> Result<(), Error> {
        let set: Set = self.tables.sets.load(index)?;
        let flags = change(set.flags);
        if flags != set.flags {
            let pair: u64 = bytemuck::cast([flags, set.generation]);
            let word = self.tables.sets.word(index, offset_of!(Set, flags))?;
            word.store(pair, Ordering::Release);
        }
        Ok(())
    }

    /// A set that takes an index starts with nothing of its former owner's.
    pub(super) fn clear_admission(&self, index: u32) -> Result<(), Error> {
        self.tables.admissions.clear::<Admission>(index)?;
        for bank in 0..LIMIT_BANKS {
            let at = index * LIMIT_BANKS + bank;
            self.tables.limits.clear::<continuity_wire::Limits>(at)?;
        }
        for shard in 0..self.tables.shards {
            let at = index * self.tables.shards + shard;
            self.tables.admission_traffic.clear::<AdmissionTraffic>(at)?;
        }
        Ok(())
    }

    pub(super) fn read_admission_of(&mut self, id: &SetId) -> Result<AdmissionCounters, Error> {
        let index = self.entry(id)?.view.index.0;
        let mut traffic = AdmissionTraffic::zeroed();
        for shard in 0..self.tables.shards {
            traffic.absorb(
                &self
                    .tables
                    .admission_traffic
                    .load(index * self.tables.shards + shard)?,
            );
        }
        let word = self
            .tables
            .admissions
            .word(index, offset_of!(Admission, in_flight))?;
        let seen = word.load(Ordering::Relaxed);
        let [in_flight, most]: [i32; 2] = bytemuck::cast(seen);
        // Lost to a connect in between it is only lowered at the next read.
        let lowered: u64 = bytemuck::cast([in_flight, in_flight]);
        let _ = word.compare_exchange(seen, lowered, Ordering::Relaxed, Ordering::Relaxed);
        Ok(AdmissionCounters {
            traffic,
            in_flight: count(in_flight),
            most: count(most.max(in_flight)),
        })
    }
}

/// Every flag that is admission's.
pub(super) const ADMISSION_FLAGS: u32 = SetFlags::ADMIT | SetFlags::CALLERS | 7 << SetFlags::CLASS_SHIFT;

fn governed(flags: u32, limits: &Limits) -> u32 {
    let callers = if limits.callers { SetFlags::CALLERS } else { 0 };
    let class = limits.level.min(CLASS_MOST) << SetFlags::CLASS_SHIFT;
    flags & !ADMISSION_FLAGS | SetFlags::ADMIT | callers | class
}

fn count(value: i32) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(0)
}
