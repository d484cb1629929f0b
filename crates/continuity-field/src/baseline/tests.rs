use super::*;

const LOOK: f64 = 0.2;

/// One look of the fleet: `n` answers around `level`, the half of them `spread` octaves below and the other above.
fn look(baseline: &mut Baseline, level: f64, spread: f64, abnormal: bool, seconds: &mut f64) {
    let mut fleet = Fleet::default();
    for each in [level - spread, level + spread] {
        let micros = crate::number::to_u64(libm::exp2(each));
        let bucket = histogram::bucket(micros);
        fleet.add(bucket, 10.0, histogram::level(bucket));
    }
    *seconds += LOOK;
    let now = Nanos(crate::number::to_u64(*seconds * 1e9));
    baseline.learn(&fleet, Some(level), abnormal, LOOK, now);
}

fn learned(level: f64, spread: f64, minutes: f64) -> (Baseline, f64) {
    let (mut baseline, mut seconds) = (Baseline::default(), 0.0);
    while seconds < 60.0 * minutes {
        look(&mut baseline, level, spread, false, &mut seconds);
    }
    (baseline, seconds)
}

#[test]
fn a_new_service_is_learned_within_minutes_whatever_it_does() {
    for (level, spread) in [(10.0, 0.5), (14.4, 1.0), (22.0, 1.5)] {
        let (baseline, _) = learned(level, spread, 3.0);
        let calm = baseline.calm.unwrap();
        assert!((calm - level).abs() < 0.05, "calm {calm}, {level}");
        // Buckets are a quarter octave wide.
        assert!(
            (baseline.spread() - spread).abs() < 0.2,
            "σ {}, {spread}",
            baseline.spread()
        );
        let tail = baseline.tail().unwrap();
        assert!(
            tail >= level + spread - 0.3 && tail <= level + spread + 0.35,
            "tail {tail}"
        );
    }
}

#[test]
fn the_spread_has_a_floor_and_a_ceiling() {
    assert_eq!(learned(14.4, 0.0, 3.0).0.spread(), 0.3, "a service like a clock");
    let (mut wild, mut seconds) = (Baseline::default(), 0.0);
    for at in 0..3_000_u32 {
        look(
            &mut wild,
            14.0,
            if at % 2 == 0 { 8.0 } else { 0.1 },
            false,
            &mut seconds,
        );
    }
    assert_eq!(wild.spread(), 2.5);
}

#[test]
fn what_is_abnormal_teaches_nothing() {
    let (mut baseline, mut seconds) = learned(14.4, 0.5, 3.0);
    let before = (baseline.calm, baseline.spread(), baseline.tail());
    for _ in 0..1_500 {
        look(&mut baseline, 15.0, 2.0, true, &mut seconds);
    }
    assert_eq!((baseline.calm, baseline.spread(), baseline.tail()), before);
}

#[test]
fn a_step_of_all_backends_is_not_absorbed_until_it_has_been_a_plateau_for_five_minutes() {
    for height in [1.0, 2.0, 4.0] {
        let (mut baseline, mut seconds) = learned(14.4, 0.5, 3.0);
        let (calm, spread, tail) = (baseline.calm, baseline.spread(), baseline.tail());
        let began = seconds;
        while seconds < began + 295.0 {
            look(&mut baseline, 14.4 + height, 0.5, false, &mut seconds);
        }
        let now = (baseline.calm, baseline.spread(), baseline.tail());
        assert_eq!(now, (calm, spread, tail), "{height} octaves, 295 s");
        while seconds < began + 400.0 {
            look(&mut baseline, 14.4 + height, 0.5, false, &mut seconds);
        }
        let believed = baseline.calm.unwrap();
        assert!(
            (believed - 14.4 - height).abs() < 0.1,
            "{height} octaves: {believed}"
        );
    }
}

#[test]
fn a_ramp_is_followed_slowly_and_a_fall_soon() {
    let (mut baseline, mut seconds) = learned(14.4, 0.5, 5.0);
    let calm = baseline.calm.unwrap();
    for _ in 0..100 {
        look(&mut baseline, 15.0, 0.5, false, &mut seconds);
    }
    let up = baseline.calm.unwrap() - calm;
    assert!((0.01..0.1).contains(&up), "20 s upward: {up}");
    for _ in 0..150 {
        look(&mut baseline, 13.4, 0.5, false, &mut seconds);
    }
    let down = baseline.calm.unwrap();
    assert!((13.3..13.6).contains(&down), "30 s downward: {down}");
}

#[test]
fn what_is_normal_is_known_after_25_looks_with_answers_and_not_before() {
    let (mut baseline, mut seconds) = (Baseline::default(), 0.0);
    for at in 0..25 {
        assert!(!baseline.warm(), "{at} looks");
        look(&mut baseline, 14.4, 0.5, false, &mut seconds);
    }
    assert!(baseline.warm());
}

#[test]
fn the_first_look_gives_the_level_and_later_ones_move_it_by_their_part() {
    let (mut baseline, mut seconds) = (Baseline::default(), 0.0);
    look(&mut baseline, 14.0, 0.0, false, &mut seconds);
    let first = baseline.mean;
    // Buckets are a quarter octave wide.
    assert!((first - 14.0).abs() < 0.25, "{first}");
    assert_eq!(baseline.calm, Some(14.0));
    // A first answer is no surprise: only the width of the prior, made narrower by a fifth.
    assert!((baseline.variance - 0.8).abs() < 1e-9, "{}", baseline.variance);
    look(&mut baseline, 17.0, 0.0, false, &mut seconds);
    // The second of two looks counts a sixth for the mean, and a third for what is calm.
    assert!(
        (baseline.mean - first - 3.0 / 6.0).abs() < 1e-9,
        "{}",
        baseline.mean
    );
    assert_eq!(baseline.calm, Some(15.0));
}

#[test]
fn the_tail_is_said_from_200_answers_on_and_one_in_200_lies_above_it() {
    let (low, high) = (40, 60);
    let learn = |answers: f64| {
        let (mut baseline, mut fleet) = (Baseline::default(), Fleet::default());
        fleet.add(high, 1.0, histogram::level(high));
        fleet.add(low, answers - 1.0, histogram::level(low));
        baseline.learn(
            &fleet,
            Some(histogram::level(low)),
            false,
            LOOK,
            Nanos::from_secs(1),
        );
        baseline.tail()
    };
    assert_eq!(learn(199.0), None);
    let top = |bucket| Some(libm::log2(histogram::lower_micros(bucket + 1)));
    assert_eq!(learn(200.0), top(low));
}

#[test]
fn what_late_means_is_known_after_25_answers_even_of_abnormal_ones() {
    let (mut baseline, mut seconds) = (Baseline::default(), 0.0);
    look(&mut baseline, 14.4, 0.5, true, &mut seconds);
    assert!(!baseline.familiar(), "20 answers");
    look(&mut baseline, 14.4, 0.5, true, &mut seconds);
    assert!(baseline.familiar(), "40 answers");
    assert!(!baseline.warm());
}

#[test]
fn while_nothing_is_calm_the_profile_says_what_to_compare_with() {
    let baseline = Baseline::default();
    for profile in [WorkloadProfile::Light, WorkloadProfile::Standard] {
        let typical = libm::log2(profile.typical().as_micros() as f64);
        assert!(typical > 1.0);
        assert_eq!(baseline.calm_or(profile), typical);
    }
    let calm = learned(12.0, 0.5, 1.0).0;
    assert_eq!(Some(calm.calm_or(WorkloadProfile::Standard)), calm.calm);
}

#[test]
fn what_an_earlier_life_learned_is_known_at_once() {
    let earlier = learned(14.4, 0.5, 3.0).0;
    let kept = Baseline::learned(
        earlier.mean,
        earlier.variance,
        earlier.looks,
        earlier.calm,
        earlier.tail,
        earlier.tail_n,
    );
    assert_eq!(
        (kept.mean, kept.variance, kept.looks, kept.calm),
        (earlier.mean, earlier.variance, earlier.looks, earlier.calm)
    );
    assert_eq!(kept.tail(), earlier.tail());
    assert_eq!((kept.tail, kept.tail_n), (earlier.tail, earlier.tail_n));
    assert!(kept.warm() && kept.familiar());
}
