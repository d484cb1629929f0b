//! The same scenario, seed and row give the same bytes on every machine: a golden digest for each.
//!
//! `golden/digests.txt` pins the plant and the choice, `golden/law.txt` the law. A change of either changes digests; who
//! means it says so by `UPDATE_GOLDEN=1 cargo test -p continuity-harness --test replay` and commits the file with the
//! reason.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its own files must fail"
)]

use std::fmt::Write;
use std::path::Path;

use continuity_harness::peer::named;
use continuity_harness::plant::run;
use continuity_harness::scenario::{Contest, names, shipped};

const SEED: u64 = 11;
/// Longest run pinned here: longer ones say nothing that these do not.
const LONGEST_MILLIS: u64 = 200_000;
/// The law's rows are cut here: what breaks has broken by then.
const LAW_MILLIS: u64 = 40_000;

fn digest(scenario: &str, row: &str) -> String {
    let mut scenario = shipped(scenario).unwrap();
    if row.starts_with("law") {
        scenario.duration_millis = scenario.duration_millis.min(LAW_MILLIS);
    }
    let peer = named(&[row.to_owned()]).unwrap()[0];
    peer.run(&scenario, SEED).digest()
}

fn pinned(file: &str, rows: &[(&str, Option<Contest>)]) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let mut found = String::new();
    for name in names() {
        let scenario = shipped(name).unwrap();
        if scenario.duration_millis > LONGEST_MILLIS {
            continue;
        }
        for (row, contest) in rows {
            if contest.is_none_or(|contest| contest == scenario.contest) {
                writeln!(found, "{name} {row} {}", digest(name, row)).unwrap();
            }
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&golden).unwrap();
    let changed: Vec<&str> = found
        .lines()
        .filter(|line| !wanted.lines().any(|old| old == *line))
        .collect();
    assert!(
        changed.is_empty(),
        "changed (see the top of this file): {changed:#?}"
    );
    assert_eq!(found.lines().count(), wanted.lines().count());
}

#[test]
fn plant_and_choice_replay_to_their_golden_digests() {
    pinned(
        "digests.txt",
        &[
            ("p2c", Some(Contest::Balance)),
            ("reference+reports", Some(Contest::Balance)),
            ("none", Some(Contest::Admission)),
        ],
    );
}

#[test]
fn the_law_replays_to_its_golden_digests() {
    pinned("law.txt", &[("law", None), ("law+reports", None)]);
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
