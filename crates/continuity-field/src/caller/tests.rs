//! What callers may rely on.

use proptest::prelude::*;

use super::fair::{Claim, lower_median, multiple};
use super::*;
use crate::Nanos;
use crate::admission::Reason;

const CALM: Pass = Pass {
    span: 0.2,
    step: 1.0,
    calm: true,
    enforced: false,
    capacity: 60.0,
    retry_budget: 0.2,
};
const SHORT: Pass = Pass {
    calm: false,
    enforced: true,
    ..CALM
};

fn sample(id: u64, offered: u64) -> CallerSample {
    CallerSample {
        id: CallerId(id),
        offered,
        ..CallerSample::default()
    }
}

/// A period in which the callers 0.. ask that often.
fn period(book: &mut Book, pass: &Pass, offered: &[u64]) -> Vec<Reason> {
    let samples: Vec<CallerSample> = (0..).zip(offered).map(|(id, &n)| sample(id, n)).collect();
    let mut reasons = Vec::new();
    book.add(&samples);
    book.turn(pass, &mut reasons);
    reasons
}

fn shares(book: &Book) -> Vec<CallerShare> {
    let mut shares = Vec::new();
    book.shares(&mut shares);
    shares
}

fn settled() -> Book {
    let mut book = Book::default();
    for _ in 0..200 {
        period(&mut book, &CALM, &[4, 4, 4, 4]);
    }
    book
}

#[test]
fn a_rogue_is_held_to_a_share_and_its_neighbours_are_not() {
    let mut book = settled();
    let reasons: Vec<Reason> = (0..10)
        .flat_map(|_| period(&mut book, &SHORT, &[40, 4, 4, 4]))
        .collect();
    let limited = |reason: &Reason| matches!(reason, Reason::CallerLimited { caller: CallerId(0), growth_milli, .. } if *growth_milli > 5_000);
    assert!(reasons.iter().any(limited), "{reasons:?}");
    let intervals: Vec<u64> = shares(&book).iter().map(|share| share.words.interval).collect();
    // 20/s in calm: its share is at most 1.25 of that and, at the lowest reputation, at least half of it.
    assert!(
        (40_000_000..=100_000_000).contains(&intervals[0]),
        "{intervals:?}"
    );
    assert_eq!(intervals[1..], [0, 0, 0]);
}

#[test]
fn when_all_grow_alike_nobody_is_held_back() {
    let mut book = settled();
    for _ in 0..50 {
        assert_eq!(period(&mut book, &SHORT, &[16, 17, 15, 16]), []);
    }
}

#[test]
fn one_caller_alone_has_no_peers_to_be_compared_with() {
    let mut book = Book::default();
    for _ in 0..200 {
        period(&mut book, &CALM, &[4]);
    }
    for _ in 0..50 {
        assert_eq!(period(&mut book, &SHORT, &[80]), []);
    }
}

#[test]
fn reputation_falls_to_a_floor_and_heals_within_a_minute() {
    let mut book = settled();
    for _ in 0..500 {
        period(&mut book, &SHORT, &[40, 4, 4, 4]);
    }
    assert_eq!(shares(&book)[0].reputation_milli, 400);
    let reasons = period(&mut book, &SHORT, &[0, 4, 4, 4]);
    assert_eq!(reasons, []);
    for _ in 0..300 {
        period(&mut book, &SHORT, &[4, 4, 4, 4]);
    }
    let share = shares(&book)[0];
    assert!(share.reputation_milli >= 985, "{share:?}");
    assert_eq!(share.words, CallerWords::default());
}

#[test]
fn only_retries_beyond_the_peers_and_the_budget_are_held_back() {
    let mut book = settled();
    let mut round = |retries: u64| {
        let samples: Vec<CallerSample> = (0..4)
            .map(|id| CallerSample {
                retries: if id == 0 { retries } else { 2 },
                ..sample(id, 16)
            })
            .collect();
        let mut reasons = Vec::new();
        book.add(&samples);
        book.turn(&SHORT, &mut reasons);
        reasons
    };
    assert!((0..20).all(|_| round(2).is_empty()));
    let reasons: Vec<Reason> = (0..20).flat_map(|_| round(12)).collect();
    assert!(
        matches!(
            reasons[..],
            [Reason::RetriesLimited {
                caller: CallerId(0),
                ..
            }]
        ),
        "{reasons:?}"
    );
}

#[test]
fn a_connect_after_a_failure_is_a_retry_once_and_for_a_second() {
    let mut live = CallerLive::default();
    let words = CallerWords::default();
    live.failed(Nanos::from_secs(5));
    assert!(!live.exceeds(&words, Nanos::from_millis(5_100)));
    assert_eq!((live.offered, live.retries), (1, 1));
    live.exceeds(&words, Nanos::from_millis(5_200));
    assert_eq!(live.retries, 1);
    live.failed(Nanos::from_secs(6));
    live.exceeds(&words, Nanos::from_millis(7_001));
    assert_eq!((live.offered, live.retries, live.owed), (3, 1, 0));
}

#[test]
fn a_share_is_paced_with_a_burst_of_five() {
    let mut live = CallerLive::default();
    let words = CallerWords {
        interval: 100_000_000,
        retry_interval: 0,
    };
    let now = Nanos::from_secs(5);
    let within = (0..20).filter(|_| !live.exceeds(&words, now)).count();
    assert_eq!(within, 5);
    assert!(!live.exceeds(&words, now + Nanos::from_millis(100)));
}

#[test]
fn retries_have_a_pace_of_their_own() {
    let mut live = CallerLive::default();
    let words = CallerWords {
        interval: 0,
        retry_interval: 100_000_000,
    };
    let now = Nanos::from_secs(5);
    let retry = |live: &mut CallerLive| {
        live.failed(now);
        live.exceeds(&words, now)
    };
    assert_eq!((0..20).filter(|_| !retry(&mut live)).count(), 5);
    assert!(!live.exceeds(&words, now), "no failure is owed: no retry");
    assert_eq!((live.offered, live.retries), (21, 20));
}

#[test]
fn max_min_gives_the_modest_all_and_the_greedy_the_rest() {
    let claim = |asked, weight| Claim { asked, weight };
    let mut claims = [claim(50.0, 10.0), claim(5.0, 10.0), claim(20.0, 10.0)];
    assert_eq!(multiple(&mut claims, 45.0), 2.0);
    assert_eq!(multiple(&mut claims, 75.0), f64::INFINITY);
    assert_eq!(multiple(&mut [], 1.0), f64::INFINITY);
    assert_eq!(lower_median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.0));
    assert_eq!(lower_median(&mut []), None);
}

proptest! {
    #[test]
    fn shares_use_the_capacity_and_no_more(
        claims in prop::collection::vec((0.0..1e4_f64, 0.01..1e3_f64), 1..40),
        capacity in 0.0..1e5_f64,
    ) {
        let mut claims: Vec<Claim> = claims.into_iter().map(|(asked, weight)| Claim { asked, weight }).collect();
        let total: f64 = claims.iter().map(|claim| claim.asked).sum();
        let multiple = multiple(&mut claims, capacity);
        let given: f64 = claims.iter().map(|claim| claim.asked.min(multiple * claim.weight)).sum();
        prop_assert!((given - total.min(capacity)).abs() <= 1e-6 * (1.0 + total), "{given} of {capacity}");
    }

    #[test]
    fn a_caller_is_never_banned(rounds in prop::collection::vec(prop::collection::vec((0_u64..500, 0_u64..500), 1..8), 1..60)) {
        let mut book = settled();
        for round in &rounds {
            let samples: Vec<CallerSample> = (0..)
                .zip(round)
                .map(|(id, &(offered, retries))| CallerSample { retries, ..sample(id, offered) })
                .collect();
            book.add(&samples);
            book.turn(&SHORT, &mut Vec::new());
            for share in shares(&book) {
                // A tenth of the mean calm demand, at the lowest reputation, at the smallest multiple that occurs.
                prop_assert!(share.words.interval <= 20_000_000_000, "{share:?}");
                prop_assert!(share.words.retry_interval <= 1_000_000_000);
                prop_assert!((400..=1_000).contains(&share.reputation_milli));
            }
        }
    }
}
