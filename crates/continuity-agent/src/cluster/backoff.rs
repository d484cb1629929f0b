//! How long to wait after the API server refused something, by the kind of refusal.
//!
//! Each watch and each writer has its own [`Backoff`], so that a missing permission on one resource slows nobody else. The
//! wait doubles from a floor to a ceiling and is spread over its upper half, so that a fleet of agents does not return in
//! step. The ceiling for an unreachable API server is 5 s: status must catch up within 10 s of its return.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use kube::runtime::watcher;

/// Why a call to the API server failed, as far as the next attempt is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// 401: the token is not accepted; it is re-read from its file meanwhile.
    Unauthorized,
    /// 403: a permission or an admission policy forbids it.
    Forbidden,
    /// 404: the kind is not installed, or the object is gone.
    Missing,
    /// 409: somebody else wrote first.
    Conflict,
    /// 410: the resource version is too old; a fresh list follows.
    Expired,
    /// 429: too many requests.
    Throttled,
    /// 400, 413, 422: the request itself is not accepted.
    Rejected,
    /// 5xx, time-outs, refused or broken connections.
    Unavailable,
}

impl Refusal {
    /// Every kind, for metrics.
    pub const ALL: [Self; 8] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::Missing,
        Self::Conflict,
        Self::Expired,
        Self::Throttled,
        Self::Rejected,
        Self::Unavailable,
    ];

    /// Label value for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
            Self::Throttled => "throttled",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
        }
    }

    /// First and longest wait.
    const fn span(self) -> (Duration, Duration) {
        let (floor, ceiling) = match self {
            Self::Conflict | Self::Expired => (100, 5_000),
            Self::Unavailable => (250, 5_000),
            Self::Throttled => (1_000, 30_000),
            Self::Unauthorized | Self::Missing => (1_000, 15_000),
            Self::Forbidden | Self::Rejected => (2_000, 60_000),
        };
        (Duration::from_millis(floor), Duration::from_millis(ceiling))
    }

    const fn of_code(code: u16) -> Self {
        match code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::Missing,
            409 => Self::Conflict,
            410 => Self::Expired,
            429 => Self::Throttled,
            400..=499 => Self::Rejected,
            _ => Self::Unavailable,
        }
    }

    /// The kind of a client error, and the wait the server asked for.
    #[must_use]
    pub fn of_client(error: &kube::Error) -> (Self, Option<Duration>) {
        match error {
            kube::Error::Api(status) => {
                let asked = status
                    .details
                    .as_ref()
                    .map(|details| u64::from(details.retry_after_seconds));
                (
                    Self::of_code(status.code),
                    asked.filter(|seconds| *seconds > 0).map(Duration::from_secs),
                )
            }
            kube::Error::Auth(_) => (Self::Unauthorized, None),
            _ => (Self::Unavailable, None),
        }
    }

    /// The kind of a watch error, and the wait the server asked for.
    #[must_use]
    pub fn of_watch(error: &watcher::Error) -> (Self, Option<Duration>) {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Self::of_client(error),
            watcher::Error::WatchError(status) => (Self::of_code(status.code), None),
            watcher::Error::NoResourceVersion => (Self::Rejected, None),
        }
    }
}

/// The server may ask for at most this; a wrong header must not put an agent to sleep for hours.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Doublings beyond this would pass every ceiling (100 ms × 2¹⁰ > 60 s).
const MOST_DOUBLINGS: u32 = 10;

/// The wait before the next attempt of one watch or writer.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Forgets past failures.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure.
    pub fn failed(&mut self, refusal: Refusal, asked: Option<Duration>) -> Duration {
        self.failed_with(refusal, asked, RandomState::new().build_hasher().finish())
    }

    /// The same with the randomness given: the wait lies in the upper half of the doubled floor, under the ceiling.
    fn failed_with(&mut self, refusal: Refusal, asked: Option<Duration>, random: u64) -> Duration {
        let (floor, ceiling) = refusal.span();
        let doublings = self.failures.min(MOST_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        let full = floor.saturating_mul(1 << doublings).min(ceiling);
        let permille = u32::try_from(random % 501).unwrap_or(0);
        let spread = full / 1_000 * (500 + permille);
        asked.map_or(spread, |wish| wish.min(LONGEST_ASKED).max(spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_ceiling_and_never_reach_zero() {
        for refusal in Refusal::ALL {
            let (floor, ceiling) = refusal.span();
            let mut backoff = Backoff::default();
            let mut last = Duration::ZERO;
            for _ in 0..40 {
                let wait = backoff.failed_with(refusal, None, 500);
                assert!(
                    wait >= last && wait >= floor / 2 && wait <= ceiling,
                    "{refusal:?} {wait:?}"
                );
                last = wait;
            }
            assert_eq!(last, ceiling, "{refusal:?}");
        }
    }

    #[test]
    fn an_unreachable_server_is_tried_again_within_five_seconds() {
        let mut backoff = Backoff::default();
        for random in 0..1_000 {
            assert!(backoff.failed_with(Refusal::Unavailable, None, random) <= Duration::from_secs(5));
        }
    }

    #[test]
    fn success_starts_over_and_jitter_spreads_over_half() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed_with(Refusal::Unavailable, None, 0);
        }
        backoff.succeeded();
        assert_eq!(
            backoff.failed_with(Refusal::Unavailable, None, 0),
            Duration::from_millis(125)
        );
        backoff.succeeded();
        assert_eq!(
            backoff.failed_with(Refusal::Unavailable, None, 500),
            Duration::from_millis(250)
        );
    }

    #[test]
    fn the_server_may_ask_for_longer_but_not_for_hours() {
        let mut backoff = Backoff::default();
        let wish = Some(Duration::from_secs(20));
        assert_eq!(
            backoff.failed_with(Refusal::Throttled, wish, 0),
            Duration::from_secs(20)
        );
        let absurd = Some(Duration::from_secs(86_400));
        assert_eq!(backoff.failed_with(Refusal::Throttled, absurd, 0), LONGEST_ASKED);
    }

    #[test]
    fn codes_fall_into_their_kinds() {
        for (code, kind) in [
            (401, Refusal::Unauthorized),
            (403, Refusal::Forbidden),
            (404, Refusal::Missing),
            (409, Refusal::Conflict),
            (410, Refusal::Expired),
            (422, Refusal::Rejected),
            (429, Refusal::Throttled),
            (500, Refusal::Unavailable),
            (503, Refusal::Unavailable),
        ] {
            assert_eq!(Refusal::of_code(code), kind);
        }
    }
}
