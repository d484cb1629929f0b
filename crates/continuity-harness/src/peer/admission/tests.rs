//! Golden values that pin each peer to its publication (control.md §5.2 of the research notes), and what every row keeps.

use super::breaker::Breaker;
use super::dagor::Levels;
use super::gradient::Gradient2;
use super::limit::{Adaptive, Limit, Sample, Vegas};
use super::queue::Codel;
use super::rate::Bucket;
use super::throttle::{envoy_refusal, sre_refusal};
use super::*;
use crate::admission::{Closed, Decision, Offer};
use crate::figure::figures;
use crate::plant::admitted;
use crate::policy::Truth;
use crate::span::{MILLI, SECOND};

fn sample(took: f64) -> Sample {
    Sample {
        took,
        in_flight: 20,
        dropped: false,
        now: 0,
    }
}

#[test]
fn gradient2_adds_a_queue_of_four_and_follows_the_ratio() {
    assert!((Gradient2::next(20.0, 1.0) - 20.8).abs() < 1e-12);
    // The published value is before the lower bound of 20.
    let raw = 0.8 * 20.0 + 0.2 * ((1.5 * 0.5_f64).clamp(0.5, 1.0) * 20.0 + 4.0);
    assert!((raw - 19.8).abs() < 1e-12);
    assert_eq!(Gradient2::next(20.0, 0.5), 20.0);
    assert!((Gradient2::next(40.0, 0.5) - 38.8).abs() < 1e-12);
    let mut limit = Gradient2::new();
    // A window a second: ten of its samples make one step, and 0.8 is added each time.
    for window in 1..=25_u64 {
        (0..10).for_each(|_| {
            limit.sample(&Sample {
                now: window * SECOND,
                ..sample(0.03)
            })
        });
    }
    assert_eq!(limit.limit(), 40.0);
}

#[test]
fn vegas_keeps_three_to_six_requests_in_the_queue_it_infers() {
    let after = |limit: f64, took: f64| {
        let mut vegas = Vegas::new(1);
        (vegas.limit, vegas.idle) = (limit, 0.010);
        vegas.sample(&sample(took));
        vegas.limit
    };
    assert_eq!(after(20.0, 0.020), 19.0);
    assert_eq!(after(20.0, 0.0125), 20.0);
    assert_eq!(after(20.0, 0.011), 21.0);
    assert_eq!(after(20.0, 0.0102), 26.0);
}

#[test]
fn envoys_adaptive_concurrency_follows_its_gradient() {
    assert_eq!(Adaptive::next(100.0, 10.0, 20.0), 70.0);
    assert_eq!(Adaptive::next(3.0, 1.0, 100.0), 3.0);
}

#[test]
fn throttles_refuse_as_published() {
    assert!((sre_refusal(100.0, 40.0, 2.0) - 0.198).abs() < 5e-4);
    assert!((envoy_refusal(100.0, 80.0, 1.0) - 0.156).abs() < 5e-4);
    assert!((envoy_refusal(100.0, 80.0, 2.0) - 0.395).abs() < 5e-4);
    assert_eq!(sre_refusal(100.0, 60.0, 2.0), 0.0);
}

#[test]
fn a_bucket_gives_its_rate() {
    let mut bucket = Bucket::new(65.4);
    let taken = (0..10_000).filter(|tick| bucket.take(tick * MILLI)).count();
    assert!((654..=662).contains(&taken), "{taken}");
}

#[test]
fn dagor_cuts_a_twentieth_from_below_and_gives_back_a_hundredth() {
    let mut levels = Levels::new();
    let fill = |levels: &mut Levels| (0..640).filter(|&level| levels.came(level)).count();
    assert_eq!(fill(&mut levels), 640);
    levels.turn(true);
    assert_eq!(levels.cut, 608);
    fill(&mut levels);
    levels.turn(false);
    assert_eq!(levels.cut, 614);
}

#[test]
fn a_breaker_opens_at_half_of_twenty_and_one_request_decides_after_five_seconds() {
    let mut breaker = Breaker::default();
    for request in 0..19_u64 {
        breaker.ended(false, request % 2 == 0, SECOND);
    }
    assert_eq!(breaker.admits(SECOND), Some(false));
    breaker.ended(false, false, SECOND);
    assert_eq!(breaker.admits(SECOND), None);
    assert_eq!(breaker.admits(6 * SECOND), Some(true));
    assert_eq!(breaker.admits(6 * SECOND), None);
    breaker.ended(true, false, 7 * SECOND);
    assert_eq!(breaker.admits(11 * SECOND), None);
    assert_eq!(breaker.admits(12 * SECOND), Some(true));
    breaker.ended(true, true, 12 * SECOND);
    assert_eq!(breaker.admits(12 * SECOND), Some(false));
}

#[test]
fn codel_drops_only_while_nobody_waits_briefly() {
    let mut codel = Codel::default();
    assert!(!(0..200).all(|at| codel.serves(20 * MILLI, at * MILLI + 1)));
    assert!(codel.serves(9 * MILLI, 201 * MILLI));
    assert!(codel.serves(MILLI, 250 * MILLI));
    assert!(codel.serves(50 * MILLI, 350 * MILLI));
}

#[test]
fn a_wrong_name_is_told() {
    assert_eq!(
        named(&["vegas".to_owned(), "x".to_owned()]).err(),
        Some("x".to_owned())
    );
    assert_eq!(
        named(&["all".to_owned()]).map(|rows| rows.len()).ok(),
        Some(ALL.len())
    );
}

/// Counts what passes by.
struct Ledger {
    inner: Box<dyn Admission>,
    admitted: u64,
    refused: u64,
    done: u64,
}

impl Admission for Ledger {
    fn offer(&mut self, offer: &Offer, truth: &Truth<'_>) -> Decision {
        let decision = self.inner.offer(offer, truth);
        match decision {
            Decision::Admit(_) => self.admitted += 1,
            Decision::Refuse => self.refused += 1,
        }
        decision
    }

    fn done(&mut self, closed: &Closed) {
        self.done += 1;
        self.inner.done(closed);
    }

    fn tick(&mut self, node: usize, now: u64) {
        self.inner.tick(node, now);
    }

    fn serve(&mut self, backend: usize, waited: u64, now: u64) -> bool {
        self.inner.serve(backend, waited, now)
    }

    fn mode(&self, node: usize) -> u8 {
        self.inner.mode(node)
    }
}

/// A surge to twice the capacity, from 10 s to 30 s.
fn surge() -> Scenario {
    let mut scenario = crate::scenario::shipped("S9").unwrap();
    scenario.duration_millis = 35_000;
    (scenario.window.from_millis, scenario.window.to_millis) = (10_000, 30_000);
    for (step, from) in scenario.load.steps.iter_mut().zip([10_000, 30_000]) {
        step.from_millis = from;
    }
    scenario
}

fn run(scenario: &Scenario, inner: Box<dyn Admission>) -> (Ledger, crate::recording::Recording) {
    let mut ledger = Ledger {
        inner,
        admitted: 0,
        refused: 0,
        done: 0,
    };
    let balancer = crate::peer::named(&["p2c".to_owned()]).unwrap()[0];
    let mut policy = balancer.build(scenario, 1);
    let recording = admitted(scenario, 1, Reports::None, policy.as_mut(), Some(&mut ledger));
    (ledger, recording)
}

#[test]
fn every_row_accounts_for_every_attempt() {
    let scenario = surge();
    for row in ALL {
        let (ledger, recording) = run(&scenario, row.build(&scenario, 1));
        assert_eq!(ledger.admitted, ledger.done, "{}", row.name);
        let attempts = recording.attempts.len() as u64;
        assert_eq!(ledger.admitted + ledger.refused, attempts, "{}", row.name);
    }
}

#[test]
fn the_law_keeps_the_high_class_and_the_goodput_in_a_surge() {
    let scenario = surge();
    let (ledger, recording) = run(&scenario, law(&scenario, 1));
    assert_eq!(ledger.admitted, ledger.done);
    assert_eq!(recording.digest(), run(&scenario, law(&scenario, 1)).1.digest());
    let figures = figures(&scenario, &recording).requests.unwrap();
    assert!(figures.top_percent >= 99.8, "{figures:?}");
    assert!(figures.goodput_percent >= 98.0, "{figures:?}");
    assert!(figures.served_p99 <= 160.0, "{figures:?}");
}
