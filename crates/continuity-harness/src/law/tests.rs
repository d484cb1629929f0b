use continuity_field::histogram::AGE_BUCKETS;

use super::*;
use crate::plant::{Reports, run};
use crate::scenario::shipped;

#[test]
fn waiting_requests_are_seen_with_their_age() {
    let mut kernel = Kernel::new(&[true], 0);
    let window = 1 << 26;
    kernel.start(0, BOOT);
    kernel.start(0, BOOT + 3 * window);
    kernel.read(BOOT + 3 * window);
    let sample = &kernel.samples[0];
    assert_eq!(
        (sample.unanswered[0], sample.unanswered[3], sample.attempts),
        (1, 1, 2)
    );
    kernel.read(BOOT + 200 * window);
    assert_eq!(kernel.samples[0].unanswered[AGE_BUCKETS - 1], 2);
    kernel.end(0, BOOT, BOOT + 200 * window, End::TimedOut);
    kernel.read(BOOT + 200 * window);
    assert_eq!(kernel.samples[0].unanswered.iter().sum::<u32>(), 1);
    assert_eq!(kernel.samples[0].abandoned, 1);
}

#[test]
fn deltas_start_again_and_gauges_stay() {
    let mut kernel = Kernel::new(&[true], 0);
    kernel.start(0, BOOT);
    kernel.connected(0);
    kernel.reset(BOOT + SECOND);
    let sample = &kernel.samples[0];
    assert_eq!((sample.attempts, sample.established, sample.in_flight), (0, 0, 1));
}

/// In-flight of every record returns to zero once everything has ended.
#[test]
fn nothing_stays_in_flight_after_the_last_request() {
    for (name, reports) in [("S8", Reports::Live), ("S3", Reports::None)] {
        let scenario = shipped(name).unwrap();
        let mut law: Law<field::Field> = Law::new(&scenario, 5, |own, _| field::Field::new(own));
        let recording = run(&scenario, 5, reports, &mut law);
        assert!(recording.attempts.len() > 50_000);
        for node in &law.nodes {
            assert!(
                node.kernel.chooser.records.iter().all(|record| record.infl == 0),
                "{name}"
            );
            assert!(
                node.kernel.samples.iter().all(|sample| sample.in_flight == 0),
                "{name}"
            );
        }
    }
}
