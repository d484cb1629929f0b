//! The same scenario, seed and row give the same bytes on every machine: a golden digest for each.
//!
//! A change of the law or of the plant changes digests; who means it says so by `UPDATE_GOLDEN=1 cargo test -p
//! continuity-harness --test replay` and commits `golden/digests.txt` with the reason.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its own files must fail"
)]

use std::fmt::Write;
use std::path::Path;

use continuity_harness::peer::named;
use continuity_harness::plant::run;
use continuity_harness::scenario::{names, shipped};

/// Rows pinned here: a peer for the plant, the published agent for the choice and its header.
const ROWS: &[&str] = &["p2c", "reference+reports"];
const SEED: u64 = 11;

fn digest(scenario: &str, row: &str) -> String {
    let scenario = shipped(scenario).unwrap();
    let peer = named(&[row.to_owned()]).unwrap()[0];
    let mut policy = peer.build(&scenario, SEED);
    run(&scenario, SEED, peer.reports, policy.as_mut()).digest()
}

#[test]
fn every_scenario_replays_to_its_golden_digest() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/digests.txt");
    let mut found = String::new();
    for scenario in names() {
        for row in ROWS {
            writeln!(found, "{scenario} {row} {}", digest(scenario, row)).unwrap();
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&golden).unwrap();
    for (found, wanted) in found.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted, "changed: see the top of this file");
    }
    assert_eq!(found.lines().count(), wanted.lines().count());
}

#[test]
fn the_law_decides_the_same_twice() {
    for row in ["law", "law+reports"] {
        assert_eq!(digest("S7", row), digest("S7", row));
    }
}

#[test]
fn another_seed_is_another_run() {
    let scenario = shipped("S1").unwrap();
    let peer = named(&["p2c".to_owned()]).unwrap()[0];
    let digests = [1, 2].map(|seed| {
        let mut policy = peer.build(&scenario, seed);
        run(&scenario, seed, peer.reports, policy.as_mut()).digest()
    });
    assert_ne!(digests[0], digests[1]);
}
