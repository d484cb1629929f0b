//! How long to leave an object alone after a failed write, by kind of failure.
//!
//! A delay doubles with each failure in a row, from a first value to a last one. What heals by itself soon (a conflict, an
//! API server that restarts) is tried again within seconds, because status must catch up within 10 s of its return; what
//! needs a person (a revoked role, a body the schema refuses) is tried rarely. Jitter is a function of the object, so that
//! many objects do not come back at once and a test sees the same figure twice.

use crate::error::Category;
use kube::runtime::utils::Backoff;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// First and last delay of a category; none where a retry is pointless.
const fn range(category: Category) -> Option<(Duration, Duration)> {
    let (first, last) = match category {
        Category::Conflict => (100, 2_000),
        Category::Unavailable | Category::Timeout => (500, 4_000),
        Category::Throttled => (1_000, 30_000),
        Category::Unauthorized => (1_000, 30_000),
        // A namespace goes within seconds, or a finalizer holds it for as long as a person lets it.
        Category::Forbidden | Category::Terminating => (5_000, 60_000),
        Category::Invalid | Category::Internal => (10_000, 300_000),
        // The watch brings what takes the object's place; the new leader writes its own.
        Category::Gone | Category::NotLeading => return None,
    };
    Some((Duration::from_millis(first), Duration::from_millis(last)))
}

/// Delay after `failures` (1 = the first) of one object, or none where the write is to be forgotten.
#[must_use]
pub fn delay<K: Hash>(category: Category, failures: u32, object: &K) -> Option<Duration> {
    let (first, last) = range(category)?;
    Some(jittered(doubled(first, last, failures), object))
}

fn doubled(first: Duration, last: Duration, failures: u32) -> Duration {
    first
        .saturating_mul(1_u32 << failures.saturating_sub(1).min(16))
        .min(last)
}

fn jittered<K: Hash>(delay: Duration, object: &K) -> Duration {
    let mut hash = DefaultHasher::new();
    object.hash(&mut hash);
    let percent = u32::try_from(hash.finish() % 25).unwrap_or(0);
    delay + delay * percent / 100
}

/// Back-off of a broken watch: 0.25 s doubling to 1.5 s, with a jitter of a quarter.
///
/// A returning API server often needs three tries: it refuses, then throttles while its caches fill, then calls the old
/// version gone. Three times 1.9 s keep the picture within 6 s of the return; the default of kube-runtime ends at 30 s.
/// Six watches a replica make at most four requests a second meanwhile.
#[derive(Clone, Debug)]
pub struct Reconnect {
    attempt: u32,
    seed: u64,
}

impl Reconnect {
    const FIRST: Duration = Duration::from_millis(250);
    const LAST: Duration = Duration::from_millis(1_500);

    /// A back-off whose jitter depends on `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { attempt: 0, seed }
    }
}

impl Iterator for Reconnect {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.attempt = self.attempt.saturating_add(1);
        let delay = doubled(Self::FIRST, Self::LAST, self.attempt);
        Some(jittered(delay, &(self.seed, self.attempt)))
    }
}

impl Backoff for Reconnect {
    fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_last_value_and_stay_there() {
        for category in Category::ALL {
            let Some((first, last)) = range(category) else {
                continue;
            };
            let mut before = Duration::ZERO;
            for failures in 1..=40 {
                let now = delay(category, failures, &"a").unwrap();
                assert!(
                    now >= before && now >= first && now <= last * 5 / 4,
                    "{category:?} {failures} {now:?}"
                );
                before = now;
            }
        }
    }

    #[test]
    fn three_tries_of_a_watch_fit_into_six_seconds() {
        let mut reconnect = Reconnect::new(7);
        assert!((0..100).all(|_| reconnect.next().unwrap() <= Duration::from_secs(2)));
        reconnect.reset();
        assert!(reconnect.next().unwrap() < Duration::from_millis(400));
    }

    #[test]
    fn what_is_gone_is_not_tried_again() {
        assert_eq!(delay(Category::Gone, 1, &"a"), None);
    }

    #[test]
    fn no_category_is_retried_in_a_hot_loop() {
        let floor = Duration::from_millis(100);
        assert!(
            Category::ALL
                .into_iter()
                .filter_map(|category| delay(category, 1, &"a"))
                .all(|first| first >= floor)
        );
    }
}
