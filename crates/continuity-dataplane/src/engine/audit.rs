//! The count of admitted requests against the sockets that hold them, and which of those are overdue.
//!
//! The sum and the records are not read at one moment. So a difference counts only beyond what the sum itself moved while
//! the records were read, and is mended only when it was there, in the same direction, in three audits in a row: what a
//! crash or a socket of a former owner left behind, not what is under way.

use std::{mem::offset_of, sync::atomic::Ordering};

use continuity_wire::{Admission, Backend, Cookies, Holding, HoldingFlags, LINES};

use super::Engine;
use crate::{Error, Held, Parking, backing::Backing};

/// Audits in a row that must show a difference.
const AUDITS: u8 = 3;

/// What the last audits of a set found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drift {
    times: u8,
    least: i64,
}

impl Drift {
    /// One more difference; what is to be taken off when it has lasted.
    fn observe(&mut self, difference: i64) -> i64 {
        if difference == 0 || difference.signum() != self.least.signum() {
            (self.times, self.least) = (0, difference);
        }
        if difference == 0 {
            return 0;
        }
        if difference.abs() < self.least.abs() {
            self.least = difference;
        }
        self.times += 1;
        if self.times < AUDITS {
            return 0;
        }
        let lasting = self.least;
        *self = Self::default();
        lasting
    }
}

/// One set while the records are read.
struct Count {
    index: u32,
    first: i64,
    held: u64,
    overdue: u64,
}

impl<B: Backing> Engine<B> {
    pub(super) fn audit_sets(&mut self, parkings: &[Parking]) -> Result<Vec<Held>, Error> {
        let mut counts = Vec::with_capacity(parkings.len());
        for parking in parkings {
            let index = self.entry(&parking.id)?.view.index.0;
            counts.push(Count {
                index,
                first: self.in_flight(index)?,
                held: 0,
                overdue: 0,
            });
        }
        self.count_holdings(parkings, &mut counts)?;
        let mut found = Vec::with_capacity(parkings.len());
        for (parking, count) in parkings.iter().zip(counts) {
            let last = self.in_flight(count.index)?;
            let held = i64::try_from(count.held).unwrap_or(i64::MAX);
            let (least, most) = (count.first.min(last), count.first.max(last));
            let difference = if held < least {
                least - held
            } else if held > most {
                most - held
            } else {
                0
            };
            let drift = self.sets.get_mut(&parking.id).map(|entry| &mut entry.drift);
            let lasting = drift.map_or(0, |drift| drift.observe(difference));
            let mended = i32::try_from(-lasting).unwrap_or(0);
            self.mend(count.index, mended)?;
            found.push(Held {
                id: parking.id,
                held: count.held,
                overdue: count.overdue,
                mended,
            });
        }
        Ok(found)
    }

    fn count_holdings(&self, parkings: &[Parking], counts: &mut [Count]) -> Result<(), Error> {
        for bucket in (0..self.tables.sockets.entries()).step_by(LINES as usize) {
            let cookies: Cookies = self.tables.sockets.load(bucket)?;
            for (line, _) in (bucket + 1..bucket + LINES)
                .zip(cookies)
                .filter(|(_, cookie)| *cookie != 0)
            {
                let holding: Holding = self.tables.sockets.load(line)?;
                if holding.flags & HoldingFlags::HELD == 0 || !self.owned(&holding)? {
                    continue;
                }
                let own = |(_, count): &(&Parking, &mut Count)| count.index == u32::from(holding.set);
                if let Some((parking, count)) = parkings.iter().zip(counts.iter_mut()).find(own) {
                    count.held += 1;
                    count.overdue += u64::from(holding.started < parking.before);
                }
            }
        }
        Ok(())
    }

    /// The kernel's own test: does the record speak of a set that still has this index?
    fn owned(&self, holding: &Holding) -> Result<bool, Error> {
        if holding.flags & HoldingFlags::PASSED != 0 {
            return Ok(true);
        }
        if holding.backend >= self.tables.backends.entries() {
            return Ok(false);
        }
        let backend: Backend = self.tables.backends.load(holding.backend)?;
        Ok(backend.generation == holding.generation && backend.set == u32::from(holding.set))
    }

    fn in_flight(&self, index: u32) -> Result<i64, Error> {
        let word = self.in_flight_word(index)?.load(Ordering::Relaxed);
        let [in_flight, _]: [i32; 2] = bytemuck::cast(word);
        Ok(i64::from(in_flight))
    }

    fn in_flight_word(&self, index: u32) -> Result<&std::sync::atomic::AtomicU64, Error> {
        self.tables
            .admissions
            .word(index, offset_of!(Admission, in_flight))
    }

    /// Adds to the count of one set, beside the connects that do.
    fn mend(&self, index: u32, by: i32) -> Result<(), Error> {
        if by == 0 {
            return Ok(());
        }
        let change = |seen: u64| {
            let [in_flight, most]: [i32; 2] = bytemuck::cast(seen);
            Some(bytemuck::cast([in_flight.saturating_add(by), most]))
        };
        let word = self.in_flight_word(index)?;
        // The closure always gives a value, so the update always ends.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        tracing::info!(set = index, by, "requests in flight mended");
        Ok(())
    }

    /// No socket holds anything: no program was attached, so nobody saw their ends.
    pub(crate) fn forget_holdings(&self) -> Result<(), Error> {
        for entry in self.sets.values() {
            let word = self.in_flight_word(entry.view.index.0)?;
            word.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Drift;

    #[test]
    fn a_difference_is_mended_when_it_lasts_and_by_its_smallest() {
        let mut drift = Drift::default();
        assert_eq!([7, 5, 9].map(|seen| drift.observe(seen)), [0, 0, 5]);
        assert_eq!([4, 4].map(|seen| drift.observe(seen)), [0, 0]);
    }

    #[test]
    fn what_comes_and_goes_is_not_mended() {
        let mut drift = Drift::default();
        assert_eq!([3, 0, 3, 3, -3, 3, 3].map(|seen| drift.observe(seen)), [0; 7]);
    }
}
