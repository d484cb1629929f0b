//! Ages of waiting requests from the kernel's ring of start times.
//!
//! The ring has 64 buckets of 67.1 ms, so a bucket stands for one 67.1 ms of start times in every 4.29 s. A request
//! that waits longer shares its bucket with newer ones. [`AgeReader`] keeps it visible: what is left in a bucket when
//! its next turn begins is carried as *old*, and from then on old = min(old, what is in the bucket now). So the
//! figure is never below the truth as long as one read falls into every 4 s; it exceeds the truth only while an old
//! request ended and a new one took its place between two reads, and sinks to the truth as the new ones are answered.
//! After a restart of the reader, requests older than the ring count as young until their bucket's next turn.

use crate::wire::{AGE_BUCKETS, AGE_SHIFT, Traffic};

/// Follows one ring (one backend, one role) from read to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgeReader {
    old: [u32; AGE_BUCKETS],
    last: [u32; AGE_BUCKETS],
    turn: Option<u64>,
}

impl Default for AgeReader {
    fn default() -> Self {
        Self {
            old: [0; AGE_BUCKETS],
            last: [0; AGE_BUCKETS],
            turn: None,
        }
    }
}

/// Waiting requests by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// `by_age[k]`: requests that have waited for k to k + 1 spans of 2^26 ns; the last one holds all older ones.
    pub by_age: [u32; AGE_BUCKETS],
}

impl AgeReader {
    /// Ages at `now` (`CLOCK_MONOTONIC` in ns, the kernel's clock), given the summed ring of the same moment.
    pub fn read(&mut self, traffic: &Traffic, now: u64) -> Ages {
        let turn = now >> AGE_SHIFT;
        let ring = traffic.waiting.map(|count| u32::try_from(count).unwrap_or(0));
        let entered = self
            .turn
            .map_or(0, |last| turn.saturating_sub(last))
            .min(AGE_BUCKETS as u64);
        for back in 0..entered {
            let bucket = bucket_of(turn.saturating_sub(back));
            if let (Some(old), Some(last)) = (self.old.get_mut(bucket), self.last.get(bucket)) {
                *old = *last;
            }
        }
        let mut by_age = [0u32; AGE_BUCKETS];
        for (back, age) in (0u64..).zip(0..AGE_BUCKETS) {
            let bucket = bucket_of(turn.saturating_sub(back));
            let count = ring.get(bucket).copied().unwrap_or(0);
            let old = self.old.get(bucket).copied().unwrap_or(0).min(count);
            if let Some(slot) = self.old.get_mut(bucket) {
                *slot = old;
            }
            if let Some(slot) = by_age.get_mut(age) {
                *slot += count - old;
            }
            if let Some(oldest) = by_age.last_mut() {
                *oldest += old;
            }
        }
        self.last = ring;
        self.turn = Some(turn);
        Ages { by_age }
    }
}

fn bucket_of(turn: u64) -> usize {
    usize::try_from(turn % AGE_BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::{AGE_BUCKETS, AGE_SHIFT, AgeReader, Traffic, bucket_of};

    const SPAN: u64 = 1 << AGE_SHIFT;

    fn ring(starts: &[u64]) -> Traffic {
        let mut traffic = Traffic::zeroed();
        for start in starts {
            traffic.waiting[bucket_of(start / SPAN)] += 1;
        }
        traffic
    }

    #[test]
    fn a_waiting_request_grows_older_with_every_read() {
        let mut reader = AgeReader::default();
        let start = 1_000 * SPAN;
        for age in 0..63 {
            let ages = reader.read(&ring(&[start]), start + age * SPAN + 1);
            assert_eq!(
                ages.by_age.iter().position(|count| *count == 1),
                usize::try_from(age).ok()
            );
        }
    }

    #[test]
    fn a_request_older_than_the_ring_stays_old_while_new_ones_share_its_bucket() {
        let mut reader = AgeReader::default();
        let start = 1_000 * SPAN;
        let mut now = start;
        while now < start + 200 * SPAN {
            // One new request in every span is answered within two spans; the old one hangs.
            let recent = [start, now, now.saturating_sub(SPAN).max(start)];
            let ages = reader.read(&ring(&recent), now);
            if now > start + 66 * SPAN {
                assert_eq!(
                    ages.by_age[AGE_BUCKETS - 1],
                    1,
                    "at {} spans",
                    (now - start) / SPAN
                );
                assert_eq!(ages.by_age.iter().sum::<u32>(), 3);
            }
            now += 3 * SPAN;
        }
    }

    #[test]
    fn an_old_request_that_ends_is_no_longer_counted() {
        let mut reader = AgeReader::default();
        let start = 1_000 * SPAN;
        for step in 0..100 {
            reader.read(&ring(&[start]), start + step * SPAN);
        }
        let ages = reader.read(&ring(&[]), start + 100 * SPAN);
        assert_eq!(ages.by_age.iter().sum::<u32>(), 0);
    }

    #[test]
    fn shards_that_went_below_zero_do_not_count_as_waiting() {
        let mut traffic = Traffic::zeroed();
        traffic.waiting[3] = -2;
        let ages = AgeReader::default().read(&traffic, 5 * SPAN);
        assert_eq!(ages.by_age.iter().sum::<u32>(), 0);
    }
}
