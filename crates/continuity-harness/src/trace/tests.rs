use proptest::prelude::*;

use super::*;
use crate::plant::Reports;
use crate::scenario::{Scenario, shipped};

fn short(name: &str) -> Scenario {
    let mut scenario = shipped(name).unwrap();
    scenario.duration_millis = 26_000;
    scenario
}

fn text(scenario: &Scenario) -> Vec<u8> {
    let (header, ticks) = record(scenario, 11, Reports::Live, 3);
    let mut text = Vec::new();
    write(&mut text, &header, &ticks).unwrap();
    text
}

#[test]
fn a_trace_decides_the_same_again_through_faults_and_restarts() {
    for name in ["S1", "S5-verdicts", "S11"] {
        let mut scenario = short(name);
        scenario.agent.deaths = shipped("S14b").unwrap().agent.deaths;
        for death in &mut scenario.agent.deaths {
            (death.from_millis, death.to_millis) = (22_000, 22_700);
        }
        let (header, ticks) = read(text(&scenario).as_slice()).unwrap();
        let found = replay(&header, &ticks).unwrap();
        assert!(found.ticks > 120, "{name}: {}", found.ticks);
        assert_eq!((found.gaps, found.differences), (vec![], vec![]), "{name}");
        assert_eq!(ticks.iter().filter(|tick| tick.restarted).count(), 1);
    }
}

#[test]
fn a_gap_is_said_and_a_changed_counter_is_found() {
    let (header, mut ticks) = read(text(&short("S5")).as_slice()).unwrap();
    let mut changed = ticks.clone();
    ticks.drain(40..43);
    assert_eq!(replay(&header, &ticks).unwrap().gaps, [(39, 43)]);
    changed[60].decided ^= 1;
    let found = replay(&header, &changed).unwrap();
    assert_eq!(found.differences.len(), 1);
    assert_eq!(found.differences[0].tick, 60);
}

#[test]
fn a_slot_move_is_explained() {
    let (header, ticks) = read(text(&short("S5")).as_slice()).unwrap();
    let moved = moves(&header, &ticks).unwrap();
    assert!(!moved.is_empty() && moved.len() < ticks.len());
    let emptied = |one: &&Explanation| {
        one.slots
            .first()
            .is_some_and(|&(_, then, now)| then > 2 && now == 0)
    };
    let drained = moved.iter().find(emptied).unwrap();
    assert_eq!(*drained, explain(&header, &ticks, drained.tick).unwrap());
    assert!(
        moved
            .iter()
            .any(|one| one.tick <= drained.tick && !one.reasons.is_empty())
    );
    assert_eq!(drained.slots.iter().map(|(_, _, now)| now).sum::<usize>(), 64);
    assert!(
        drained.backends[0].starts_with("backend 0: Isolated"),
        "{}",
        drained.backends[0]
    );
    let missing = explain(&header, &ticks, 9_999).unwrap_err().to_string();
    assert!(missing.contains("no tick 9999; it holds 0 to"), "{missing}");
}

#[test]
fn a_foreign_old_or_cut_file_is_refused_by_line() {
    let whole = text(&short("S0"));
    let refuse = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert!(refuse(b"").contains("empty"));
    assert!(refuse(b"{\"format\":\"pcap\",\"version\":1}").contains("\"pcap\""));
    let newer = String::from_utf8(whole.clone())
        .unwrap()
        .replacen("\"version\":2", "\"version\":3", 1);
    assert!(refuse(newer.as_bytes()).contains("version 3, this program reads versions up to 2"));
    let cut = refuse(&whole[..whole.len() - 20]);
    assert!(cut.contains("the file is cut off"), "{cut}");
    let twice: Vec<u8> = whole
        .iter()
        .chain(whole.split(|&b| b == b'\n').nth(5).unwrap())
        .copied()
        .collect();
    assert!(refuse(&twice).contains("tick 4 after tick"));
    let (header, mut ticks) = read(whole.as_slice()).unwrap();
    let busy = |tick: &Tick| serde_json::to_string(tick).unwrap().contains("turnaround");
    let place = ticks.iter().position(busy).unwrap();
    let mut hostile = serde_json::to_value(&ticks[place]).unwrap();
    let backends = hostile["backends"].as_array_mut().unwrap();
    let answered = backends
        .iter_mut()
        .find(|one| one.get("turnaround").is_some())
        .unwrap();
    answered["turnaround"][0][0] = 960.into();
    ticks[place] = serde_json::from_value(hostile).unwrap();
    let message = replay(&header, &ticks).unwrap_err().to_string();
    let wanted = format!("line {}: turnaround bucket is 960", place + 2);
    assert!(message.contains(&wanted), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_bytes_are_reading_ends_in_a_trace_or_an_error(
        place in 0.0..1.0_f64, bytes in prop::collection::vec(any::<u8>(), 0..40), keep: bool,
    ) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let whole = text(&short("S3"));
            whole.split_inclusive(|&byte| byte == b'\n').take(30).flatten().copied().collect()
        });
        let at = crate::span::micros(crate::span::nanos(place * WHOLE.len() as f64 / 1e6));
        let at = usize::try_from(at).unwrap().min(WHOLE.len());
        let tail = if keep { &WHOLE[(at + bytes.len()).min(WHOLE.len())..] } else { &[][..] };
        let hostile: Vec<u8> = WHOLE[..at].iter().chain(&bytes).chain(tail).copied().collect();
        if let Ok((header, ticks)) = read(hostile.as_slice()) {
            let _ = replay(&header, &ticks);
        }
        let _ = read(bytes.as_slice());
    }
}
