//! Pages from pictures that are made by hand.

use std::sync::Arc;

use continuity_api::Time;
use continuity_dataplane::Mode;
use continuity_field::{Enforcement, NodeDemand, Regime};

use super::*;
use crate::debug::diary::{Diary, ENTRIES_MAX};
use crate::fixture::{desired, lane_key, three};
use crate::lane::{Lane, LaneKey};
use crate::snapshot::{RateShot, TotalShot};

fn now() -> Time {
    Time(jiff::Timestamp::from_second(1_800_000_000).expect("a time"))
}

fn shot(number: usize, regime: Regime, states: &[BackendState]) -> LaneShot {
    let lane: Arc<Lane> = Arc::clone(&desired(Mode::Enforce, three()).lanes[&lane_key()]);
    let backend = |(index, state): (usize, &BackendState)| BackendShot {
        index,
        state: *state,
        since: now(),
        hearsay: false,
        reason: if *state == BackendState::Isolated {
            "answers in 512 ms".into()
        } else {
            String::new()
        },
        share_ppm: 333_333,
        latency_micros: 21_000,
        open: 4,
    };
    LaneShot {
        key: LaneKey {
            set: format!("set-{number:04}").into(),
            ..lane_key()
        },
        epoch: 7,
        regime,
        since: now(),
        reason: "one of three answers in 512 ms".into(),
        enforcement: Enforcement::Normal,
        gate: None,
        pressure_milli: 1_310,
        rates: RateShot {
            offered: 500_000,
            ..RateShot::default()
        },
        totals: TotalShot::default(),
        p50_micros: 21_000,
        p99_micros: 74_000,
        demand: NodeDemand::default(),
        backends: states.iter().enumerate().map(backend).collect(),
        refusal: String::new(),
        lane,
    }
}

fn picture(lanes: Vec<LaneShot>) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        lanes,
        adopted: true,
        ..Snapshot::default()
    })
}

#[test]
fn the_lane_in_trouble_stands_first_with_its_sick_backend_and_the_page_is_bounded() {
    let calm = [BackendState::Normal; 3];
    let mut all: Vec<LaneShot> = (0..300)
        .map(|number| shot(number, Regime::Laminar, &calm))
        .collect();
    all.push(shot(
        300,
        Regime::Transition,
        &[BackendState::Normal, BackendState::Isolated, BackendState::Normal],
    ));
    let page = lanes(&picture(all));
    assert_eq!(
        (&page["total"], &page["omitted"]),
        (&json!(301), &json!(301 - LANES_MAX))
    );
    let first = &page["lanes"][0];
    assert_eq!(first["set"], "shop/set-0300");
    assert_eq!(first["law"]["regime"], "Transition");
    let sick = &first["backends"][0];
    assert_eq!(
        (&sick["state"], &sick["reason"]),
        (&json!("Isolated"), &json!("answers in 512 ms"))
    );
    assert!(
        sick["address"]
            .as_str()
            .is_some_and(|address| address.contains(':')),
        "{sick}"
    );
    let size = serde_json::to_vec(&page).expect("JSON").len();
    assert!(size < 700_000, "{size} bytes");
}

#[test]
fn the_diary_tells_what_changed_and_why_and_keeps_the_last() {
    let calm = [BackendState::Normal; 3];
    let sick = [BackendState::Normal, BackendState::Isolated, BackendState::Normal];
    let mut diary = Diary::default();
    diary.see(&picture(vec![shot(0, Regime::Laminar, &calm)]));
    assert!(
        diary.entries().is_empty(),
        "what was so at the beginning is no decision"
    );
    diary.see(&picture(vec![shot(0, Regime::Transition, &sick)]));
    let told = serde_json::to_value(diary.entries()).expect("JSON");
    assert_eq!(told[0]["what"], "regime");
    assert_eq!(
        (&told[0]["from"], &told[0]["to"]),
        (&json!("Laminar"), &json!("Transition"))
    );
    assert_eq!(
        (&told[1]["what"], &told[1]["to"], &told[1]["why"]),
        (&json!("backend"), &json!("Isolated"), &json!("answers in 512 ms"))
    );
    for round in 0..ENTRIES_MAX {
        let states = if round % 2 == 0 { &calm } else { &sick };
        diary.see(&picture(vec![shot(0, Regime::Transition, states)]));
    }
    assert_eq!((diary.entries().len(), diary.fallen_off()), (ENTRIES_MAX, 2));
}

#[test]
fn a_node_without_a_dataplane_has_a_page_that_says_so() {
    let page = node(&Snapshot::default(), &Forecast::default());
    assert_eq!(
        (&page["plane"]["state"], &page["loop"]["adopted"]),
        (&json!("Opening"), &json!(false))
    );
}
