//! Leases: long jobs that say they are alive, so that length is not taken for silence.
//!
//! A job that runs for half an hour looks like a request that is never answered. Whoever runs it takes a lease, renews it
//! by a sign of life and gives it back at the end. While the lease lives the job counts neither as late nor as queued; if
//! the signs stop for [`MISSED`] periods the lease is *lost*, which is a failure of the backend like a connection that
//! timed out: on a backend that gives no good answers meanwhile it isolates at once, among many good answers it is one
//! failure of many. The terms come from the workload profile:
//!
//! | profile | typical | longest | sign of life every | lost after |
//! | --- | --- | --- | --- | --- |
//! | Light | 10 ms | 1 s | 250 ms | 750 ms |
//! | Standard | 100 ms | 30 s | 5 s | 15 s |
//! | Heavy | 5 s | 5 min | 5 s | 15 s |
//! | Extreme | 60 s | 1 h | 10 s | 30 s |
//!
//! Jobs of the last two profiles outlast the scale of turnaround (16.8 s) and of waiting (4.2 s): there a lost lease is the
//! sign that a backend is gone, as ages are for short requests.
//!
//! Invariants: at most [`Book::MOST`] leases; none lives beyond its profile's longest time (it then protects nothing, and
//! the job is judged as any request is); none is lost twice. Left out: where signs of life come from.

use crate::{BackendId, ErrorCategory, Nanos, WorkloadProfile};

/// Signs of life that may be missing before a lease is lost.
pub const MISSED: u64 = 3;

/// Leases of one backend over one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseSample {
    /// Requests that wait under a living lease, gauge.
    pub held: u32,
    /// Leases lost, delta.
    pub lost: u32,
}

/// What a lease of a profile may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// It ends after this long whatever is heard.
    pub longest: Nanos,
    /// A sign of life is due this often.
    pub heartbeat: Nanos,
}

impl WorkloadProfile {
    /// Terms of leases of such jobs.
    pub const fn lease(self) -> Terms {
        let (longest, heartbeat) = match self {
            Self::Light => (1_000, 250),
            Self::Standard => (30_000, 5_000),
            Self::Heavy => (300_000, 5_000),
            Self::Extreme => (3_600_000, 10_000),
        };
        Terms {
            longest: Nanos::from_millis(longest),
            heartbeat: Nanos::from_millis(heartbeat),
        }
    }
}

/// Number of a lease, chosen by whoever takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// Why a lease was not taken or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The book is full.
    #[error("{most} leases are held already: the job runs without one and is judged as any request is")]
    Full {
        /// The bound.
        most: usize,
    },
    /// The number is taken.
    #[error("lease {} is held already: every job needs a number of its own", .0.0)]
    Taken(LeaseId),
    /// No such lease: never taken, given back, lost, or at its end.
    #[error("lease {} is not held (given back, lost, or at its longest time): take a new one", .0.0)]
    NotHeld(LeaseId),
}

impl LeaseError {
    /// The kind of trouble.
    pub fn category(&self) -> ErrorCategory {
        ErrorCategory::Input
    }
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    id: LeaseId,
    backend: BackendId,
    terms: Terms,
    taken: Nanos,
    heard: Nanos,
}

impl Lease {
    fn ended(&self, now: Nanos) -> bool {
        now.since(self.taken) >= self.terms.longest
    }

    fn lost(&self, now: Nanos) -> bool {
        now.since(self.heard).0 >= self.terms.heartbeat.0.saturating_mul(MISSED)
    }
}

/// The leases of one set on one node, in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub struct Book {
    leases: Vec<Lease>,
}

impl Book {
    /// Most leases of one set and node: 64 bytes each, 64 KiB.
    pub const MOST: usize = 1_024;

    /// Takes a lease for a job on `backend`; returns when it ends at the latest.
    ///
    /// # Errors
    /// The number is taken, or the book is full.
    pub fn take(
        &mut self,
        id: LeaseId,
        backend: BackendId,
        profile: WorkloadProfile,
        now: Nanos,
    ) -> Result<Nanos, LeaseError> {
        let place = match self.leases.binary_search_by_key(&id, |lease| lease.id) {
            Ok(_) => return Err(LeaseError::Taken(id)),
            Err(_) if self.leases.len() >= Self::MOST => return Err(LeaseError::Full { most: Self::MOST }),
            Err(place) => place,
        };
        let terms = profile.lease();
        let lease = Lease {
            id,
            backend,
            terms,
            taken: now,
            heard: now,
        };
        self.leases.insert(place, lease);
        Ok(now + terms.longest)
    }

    /// A sign of life.
    ///
    /// # Errors
    /// There is no such lease, or it was silent for too long: a lost lease stays lost.
    pub fn renew(&mut self, id: LeaseId, now: Nanos) -> Result<(), LeaseError> {
        let found = self.leases.binary_search_by_key(&id, |lease| lease.id).ok();
        let lease = found.and_then(|at| self.leases.get_mut(at));
        match lease {
            Some(lease) if !lease.lost(now) && !lease.ended(now) => {
                lease.heard = lease.heard.max(now);
                Ok(())
            }
            _ => Err(LeaseError::NotHeld(id)),
        }
    }

    /// The job is over.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn release(&mut self, id: LeaseId) -> Result<(), LeaseError> {
        let place = self.leases.binary_search_by_key(&id, |lease| lease.id);
        let place = place.map_err(|_| LeaseError::NotHeld(id))?;
        self.leases.remove(place);
        Ok(())
    }

    /// Drops what was lost or ended since the last call and writes every backend's leases into its sample.
    pub fn tally(&mut self, samples: &mut [crate::BackendSample], now: Nanos) {
        samples
            .iter_mut()
            .for_each(|sample| sample.leases = LeaseSample::default());
        self.leases.retain(|lease| {
            let (lost, ended) = (lease.lost(now), lease.ended(now));
            if let Some(sample) = samples.iter_mut().find(|sample| sample.id == lease.backend) {
                sample.leases.lost += u32::from(lost && !ended);
                sample.leases.held += u32::from(!lost && !ended);
            }
            !lost && !ended
        });
    }

    /// Leases held.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// No lease is held.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BackendSample;

    const ONE: LeaseId = LeaseId(1);
    const BACKEND: BackendId = BackendId(7);

    fn tally(book: &mut Book, seconds: u64) -> LeaseSample {
        let mut samples = [BackendSample::new(BACKEND)];
        book.tally(&mut samples, Nanos::from_secs(seconds));
        samples[0].leases
    }

    #[test]
    fn a_lease_lives_by_its_signs_of_life_and_is_lost_after_three_that_are_missing() {
        let mut book = Book::default();
        book.take(ONE, BACKEND, WorkloadProfile::Extreme, Nanos::from_secs(100))
            .unwrap();
        for second in (110..1_900).step_by(10) {
            book.renew(ONE, Nanos::from_secs(second)).unwrap();
            assert_eq!(tally(&mut book, second), LeaseSample { held: 1, lost: 0 });
        }
        assert_eq!(tally(&mut book, 1_919), LeaseSample { held: 1, lost: 0 });
        assert_eq!(tally(&mut book, 1_920), LeaseSample { held: 0, lost: 1 });
        assert_eq!(tally(&mut book, 1_921), LeaseSample::default(), "lost once");
        assert_eq!(
            book.renew(ONE, Nanos::from_secs(1_922)).unwrap_err().to_string(),
            "lease 1 is not held (given back, lost, or at its longest time): take a new one"
        );
    }

    #[test]
    fn a_lease_ends_with_its_profile_however_much_is_heard() {
        for (profile, longest) in [
            (WorkloadProfile::Light, 1),
            (WorkloadProfile::Standard, 30),
            (WorkloadProfile::Heavy, 300),
            (WorkloadProfile::Extreme, 3_600),
        ] {
            let mut book = Book::default();
            let ends = book.take(ONE, BACKEND, profile, Nanos::ZERO).unwrap();
            assert_eq!(ends, Nanos::from_secs(longest));
            let mut now = Nanos::ZERO;
            while now + profile.lease().heartbeat < ends {
                now = now + profile.lease().heartbeat;
                book.renew(ONE, now).unwrap();
            }
            assert_eq!(tally(&mut book, longest), LeaseSample::default(), "{profile:?}");
            assert!(book.is_empty());
        }
    }

    #[test]
    fn the_book_is_bounded_and_a_number_is_taken_once() {
        let mut book = Book::default();
        for id in 0..Book::MOST as u64 {
            book.take(LeaseId(id), BACKEND, WorkloadProfile::Heavy, Nanos::ZERO)
                .unwrap();
        }
        let take = |book: &mut Book, id| book.take(LeaseId(id), BACKEND, WorkloadProfile::Heavy, Nanos::ZERO);
        assert_eq!(take(&mut book, 5), Err(LeaseError::Taken(LeaseId(5))));
        assert_eq!(take(&mut book, 5_000), Err(LeaseError::Full { most: 1_024 }));
        book.release(LeaseId(5)).unwrap();
        assert_eq!(book.release(LeaseId(5)), Err(LeaseError::NotHeld(LeaseId(5))));
        assert!(take(&mut book, 5_000).is_ok());
    }

    proptest! {
        #[test]
        fn leases_expire(acts in prop::collection::vec((0..6_u64, 0..4_u8, 0..20_000_u64), 0..200)) {
            let mut book = Book::default();
            let mut now = Nanos::ZERO;
            let (mut taken, mut lost) = (0_u32, 0_u32);
            let mut samples = [BackendSample::new(BACKEND)];
            for (id, act, millis) in acts {
                now = now + Nanos::from_millis(millis);
                match act {
                    0 => taken += u32::from(book.take(LeaseId(id), BACKEND, WorkloadProfile::Heavy, now).is_ok()),
                    1 => {
                        let _ = book.renew(LeaseId(id), now);
                    }
                    2 => {
                        let _ = book.release(LeaseId(id));
                    }
                    _ => book.tally(&mut samples, now),
                }
                lost += if act > 2 { samples[0].leases.lost } else { 0 };
                prop_assert!(book.len() <= 6);
            }
            book.tally(&mut samples, now + Nanos::from_secs(300));
            prop_assert!(book.is_empty(), "nothing outlives the longest time");
            prop_assert!(lost + samples[0].leases.lost <= taken, "none is lost twice");
        }
    }
}
