use proptest::prelude::*;

use super::*;

/// The record of law-balancing.md §7.
fn golden() -> (Record, Words) {
    let record = Record {
        l: 4096,
        rif: 96,
        q: 40,
        infl: 2,
        own_at: 1,
        words: RecordWords {
            trust: 160,
            ..RecordWords::default()
        },
        has: 1,
        ..Record::default()
    };
    (
        record,
        Words {
            wm: 3840,
            ownm: 1344,
            ..Words::default()
        },
    )
}

#[test]
fn layouts_match_the_header() {
    assert_eq!(size_of::<Record>(), 64);
    assert_eq!(size_of::<Words>(), 32);
    assert_eq!(size_of::<Report>(), 8);
    assert_eq!(std::mem::offset_of!(Record, words), 56);
    assert_eq!(std::mem::offset_of!(Words, drip), 16);
}

#[test]
fn logarithm_has_the_golden_values() {
    for (x, level) in [
        (0, 0),
        (1, 0),
        (3, 384),
        (1000, 2548),
        (22_000, 3671),
        (65_535, 4095),
    ] {
        assert_eq!(lg(x), level, "lg({x})");
    }
}

#[test]
fn logarithm_is_within_its_stated_error_and_never_falls() {
    let mut before = -1;
    for x in (1..1_000_000_u32).step_by(7) {
        let level = lg(x);
        assert!(level >= before);
        before = level;
        let error = f64::from(x).log2() - f64::from(level) / 256.0;
        assert!(
            (-0.001..=0.0901).contains(&error),
            "lg({x}) is off by {error} octaves"
        );
    }
}

#[test]
fn decay_table_is_the_recurrence() {
    let mut v: u128 = 256 << 32;
    for i in 0..128 {
        assert_eq!(u128::from(decay(i)), (v + (1 << 31)) >> 32, "entry {i}");
        v = (v * 4_034_748_382) >> 32;
    }
    assert_eq!([decay(0), decay(1), decay(16), decay(23)], [256, 240, 94, 61]);
    assert_eq!(decay(128), 0);
}

#[test]
fn dead_zone_has_the_golden_values() {
    for (x, y) in [(97, 2), (150, 108), (192, 192), (-400, -400), (96, 0), (-97, -2)] {
        assert_eq!(dead_zone(x), y, "dz({x})");
    }
}

/// A chooser over one backend of which only this is known.
fn knows(record: Record, width: u8) -> Chooser {
    let words = Words {
        lm: 3_671,
        ownm: lg(16),
        width,
        ..Words::default()
    };
    Chooser {
        words,
        records: vec![record],
        ..Chooser::new(1, 0)
    }
}

#[test]
fn own_turnaround_inside_the_width_is_noise_and_counts_in_full_beyond_twice_of_it() {
    let slower = |by: u16| Record {
        lw: 3_671 + by,
        ..Record::default()
    };
    for (by, width, score) in [(90, 0, 90), (90, 24, 0), (150, 24, 108), (400, 24, 400)] {
        let chooser = knows(slower(by), width);
        assert_eq!(
            chooser.score(0, 0),
            Some(score),
            "{by} Q8 slower, width {width}/64"
        );
    }
}

#[test]
fn a_pardoned_failure_weighs_less() {
    for (pardon, score) in [(0, 1_024), (128, 512), (192, 256), (255, 4)] {
        let mut record = Record::default();
        record.words.pardon = pardon;
        let mut chooser = knows(record, 0);
        chooser.start(0);
        chooser.failure(0, 1_000);
        assert_eq!(chooser.score(0, 1_000), Some(score), "pardon {pardon}");
    }
}

#[test]
fn cursor_walks_the_golden_slots() {
    let walk: Vec<_> = (1..=4).map(indices).collect();
    assert_eq!(walk, [(48, 36), (32, 8), (16, 45), (1, 17)]);
}

#[test]
fn score_has_the_golden_values_over_age() {
    let (record, words) = golden();
    let chooser = Chooser {
        words,
        records: vec![record],
        ..Chooser::new(1, 0)
    };
    for (age, score) in [
        (0, 344),
        (64, 339),
        (256, 311),
        (1024, 226),
        (4096, 122),
        (16_384, 67),
    ] {
        assert_eq!(chooser.score(0, age), Some(score), "at age {age}");
    }
}

#[test]
fn a_failure_adds_four_octaves_that_decay_by_one_a_second() {
    let (record, words) = golden();
    let failed = Record {
        pen: 1024,
        pts: 0,
        ..record
    };
    let chooser = Chooser {
        words,
        records: vec![failed],
        ..Chooser::new(1, 0)
    };
    assert_eq!(chooser.score(0, 0), Some(1368));
    assert_eq!(chooser.score(0, 512), Some(1173));
}

#[test]
fn a_failure_returns_the_request_and_a_success_halves_the_penalty() {
    let mut chooser = Chooser::new(1, 0);
    chooser.start(0);
    chooser.start(0);
    chooser.failure(0, 100);
    assert_eq!((chooser.records[0].infl, chooser.records[0].pen), (1, 1024));
    chooser.answer(0, 20_000, NO_PREDICTION, 100);
    assert_eq!((chooser.records[0].infl, chooser.records[0].pen), (0, 512));
}

#[test]
fn own_latency_jumps_half_way_up_and_creeps_an_eighth_down() {
    let mut chooser = Chooser::new(1, 0);
    for micros in [20_000, 80_000, 20_000] {
        chooser.answer(0, micros, NO_PREDICTION, 10);
    }
    let low = lg(20_000);
    let high = lg(80_000);
    let up = low + ((high - low) >> 1);
    assert_eq!(i32::from(chooser.records[0].lw), up - ((up - low) >> 3));
}

#[test]
fn a_repeated_report_does_not_renew_its_stamp() {
    let mut chooser = Chooser::new(2, 0);
    let report = Report {
        l: 116,
        rif: 80,
        q: 31,
        ..Report::default()
    };
    chooser.report(0, &report, 1000);
    chooser.report(0, &report, 2000);
    let record = chooser.records[0];
    assert_eq!((record.ts, record.rx, record.rnew), (1000, 2, 1));
}

#[test]
fn a_report_older_than_32_ms_is_not_for_the_choice() {
    let mut chooser = Chooser::new(1, 0);
    chooser.report(
        0,
        &Report {
            l: 100,
            age: 32,
            ..Report::default()
        },
        1000,
    );
    assert_eq!((chooser.records[0].has, chooser.words.mem), (0, NONE));
}

#[test]
fn a_due_drip_is_taken_exactly_once() {
    let mut chooser = Chooser::new(3, 0);
    chooser.slots.id = [0; SLOTS];
    chooser.words.drip = (500 << 32) | 3;
    assert_eq!(chooser.pick(499), Some(0));
    assert_eq!(chooser.pick(500), Some(2));
    assert_eq!(chooser.pick(501), Some(0));
}

#[test]
fn an_empty_set_has_no_backend() {
    assert_eq!(Chooser::new(0, 7).pick(1), None);
}

#[test]
fn the_memory_is_the_second_candidate_unless_it_is_off() {
    let mut chooser = Chooser::new(3, 0);
    chooser.slots.id = [0; SLOTS];
    chooser.words.mem = 1;
    chooser.words.mem_on = 1;
    chooser.start(0);
    assert_eq!(chooser.pick(1), Some(1));
    chooser.records[1].words.off = 1;
    assert_eq!(chooser.pick(1), Some(0));
}

#[test]
fn a_pod_reports_the_golden_values() {
    let mut pod = Pod::default();
    assert_eq!(pod.report(90), None);
    pod.rif = 4;
    pod.response(20_000, false, 100);
    pod = Pod {
        rif: 5,
        q: 6144,
        tq: 100,
        ..pod
    };
    pod.response(60_000, false, 116);
    pod.rif = 5;
    assert_eq!((pod.el, pod.q), (25_000, 7936));
    assert_eq!(
        pod.report(120),
        Some(Report {
            l: 116,
            e: 0,
            age: 0,
            reserved: 0,
            rif: 80,
            q: 31
        })
    );
}

#[test]
fn a_queue_mean_has_the_golden_values() {
    let mut pod = Pod {
        rif: 3,
        ..Pod::default()
    };
    pod.request(100);
    pod.rif = 5;
    pod.request(116);
    assert_eq!(pod.q, 7936);
}

#[test]
fn a_stalled_pod_reports_its_silence() {
    let mut pod = Pod::default();
    pod.request(10);
    pod.response(20_000, false, 30);
    pod.request(40);
    assert_eq!(
        pod.report(1040).map(|report| report.l),
        Some(u8::try_from((lg(1000 << 10) + 16) >> 5).unwrap())
    );
}

fn record() -> impl Strategy<Value = Record> {
    let report = (
        any::<u32>(),
        0..8161_u16,
        any::<u16>(),
        any::<u16>(),
        any::<u8>(),
        0..2_u8,
        0..70_000_i32,
    );
    let own = (
        -3..70_000_i32,
        any::<u32>(),
        0..=2560_u16,
        0..8192_u16,
        any::<u32>(),
    );
    let agent = (
        -2048..2048_i16,
        0..=256_u16,
        prop_oneof![Just(0_u16), 1..8192_u16],
        0..2_u8,
    );
    (report, own, agent).prop_map(
        |((ts, l, rif, q, e, has, own_at), (infl, pts, pen, lw, lts), (shl, trust, fixed, off))| Record {
            ts,
            l,
            rif,
            q,
            e,
            has,
            own_at,
            infl,
            pts,
            pen,
            lw,
            lts,
            words: RecordWords {
                shl,
                trust,
                fixed,
                off,
                pardon: 0,
            },
            ..Record::default()
        },
    )
}

fn words() -> impl Strategy<Value = Words> {
    (
        0..8192_i32,
        0..8192_i32,
        1024..6000_i32,
        0..5_u32,
        0..2_u8,
        0..2_u8,
    )
        .prop_map(|(wm, lm, ownm, mem, mem_on, reports)| Words {
            wm,
            lm,
            ownm,
            mem,
            mem_on,
            reports,
            ..Words::default()
        })
}

proptest! {
    #[test]
    fn score_stays_below_two_to_the_sixteen(record in record(), words in words(), now: u32) {
        let chooser = Chooser { words, records: vec![record], ..Chooser::new(1, 0) };
        prop_assert!(chooser.score(0, now).unwrap().abs() < 1 << 16);
    }

    #[test]
    fn an_old_or_distrusted_report_has_no_influence(
        record in record(), other in record(), words in words(), now: u32, distrust: bool,
    ) {
        let aged = |mut r: Record| { if distrust { r.words.trust = 0 } else { r.ts = now.wrapping_sub(34_000) } r };
        let first = aged(record);
        let second = aged(Record { l: other.l, rif: other.rif, q: other.q, e: other.e, has: 1, ..record });
        let chooser = Chooser { words, records: vec![first, second], ..Chooser::new(2, 0) };
        prop_assert_eq!(chooser.score(0, now), chooser.score(1, now));
    }

    #[test]
    fn a_liar_below_the_floor_gains_nothing_more(record in record(), words in words(), now: u32, lie in 0..8160_u16) {
        let floor = words.wm - 384;
        let at = |l: i32| Record { l: u16::try_from(l.clamp(0, 8160)).unwrap(), ..record };
        let chooser = Chooser { words, records: vec![at(floor), at(floor - i32::from(lie))], ..Chooser::new(2, 0) };
        prop_assert_eq!(chooser.score(0, now), chooser.score(1, now));
    }

    #[test]
    fn penalty_is_capped_and_gone_after_eleven_seconds(failures in 1..40_usize, start: u32, gaps in prop::collection::vec(0..300_u32, 40)) {
        let mut chooser = Chooser::new(1, 0);
        let mut now = start;
        for gap in gaps.iter().take(failures) {
            now = now.wrapping_add(*gap);
            chooser.start(0);
            chooser.failure(0, now);
            prop_assert!(chooser.records[0].pen <= 2560);
        }
        let later = now.wrapping_add(11_000);
        let idle = Chooser::new(1, 0).score(0, later);
        prop_assert_eq!(chooser.score(0, later), idle);
        prop_assert_eq!(chooser.records[0].infl, 0);
    }

    #[test]
    fn without_memory_an_off_backend_outside_the_table_is_never_picked(
        records in prop::collection::vec(record(), 5), words in words(), now: u32, cursor: u32,
    ) {
        let mut chooser = Chooser { words: Words { mem: 4, ..words }, records, ..Chooser::new(4, cursor) };
        chooser.records[4].words.off = 1;
        for step in 0..128 {
            prop_assert!(chooser.pick(now.wrapping_add(step)).unwrap() < 4);
        }
    }

    #[test]
    fn the_smaller_score_wins_and_a_tie_goes_to_the_slot(a in record(), b in record(), words in words(), now: u32) {
        let mut b = b;
        b.words.off = 0;
        let mut chooser = Chooser { words: Words { mem: 1, mem_on: 1, ..words }, records: vec![a, b], ..Chooser::new(2, 0) };
        chooser.slots.id = [0; SLOTS];
        let wins = chooser.score(1, now) < chooser.score(0, now);
        prop_assert_eq!(chooser.pick(now), Some(usize::from(wins)));
    }
}
