use proptest::prelude::*;

use super::*;
use crate::{BackendId, Nanos};

const LOOK: f64 = 0.2;
const MEDIAN: f64 = 14.3;

/// Backends with equal slots whose costs are these, in medians.
fn tracks(costs: &[f64]) -> Vec<Track> {
    let one = |(id, cost): (u64, &f64)| {
        let mut track = Track::new(BackendId(id), Phase::Normal, Nanos::ZERO);
        track.level = Some(MEDIAN + libm::log2(*cost));
        track.slots = 64 / u32::try_from(costs.len()).unwrap();
        track
    };
    (0..).zip(costs).map(one).collect()
}

fn play(tracks: &mut [Track], on: bool, regime: Regime, looks: u32) -> Game {
    let mut game = Game::default();
    for _ in 0..looks {
        game = look(tracks, Some(MEDIAN), on, regime, LOOK);
    }
    game
}

#[test]
fn gap_and_conductance_have_the_values_of_their_formulas() {
    let mut equal = tracks(&[1.0, 1.0, 1.0, 1.0]);
    assert_eq!(
        play(&mut equal, false, Regime::Laminar, 1),
        Game {
            conductance_milli: 1_000,
            gap_milli: 0,
            regret_milli: 0
        }
    );
    // Mean 1.25, least ½: (1.25 − 0.5) / 1.25.
    let mut unequal = tracks(&[0.5, 1.0, 1.5, 2.0]);
    unequal[0].pressure.errors = 1.0;
    unequal[1].pressure.errors = 3.0;
    let game = play(&mut unequal, false, Regime::Laminar, 1);
    assert_eq!(game.gap_milli, 600);
    assert_eq!(game.conductance_milli, 688, "(½ + ¼ + 1 + 1) / 4");
}

#[test]
fn regret_comes_to_what_the_best_single_backend_would_have_saved() {
    let mut all = tracks(&[0.5, 1.0, 1.5, 2.0]);
    // 1 − 1/e of it after a minute, all of it after ten.
    let minute = play(&mut all, false, Regime::Laminar, 300).regret_milli;
    assert!((473..=476).contains(&minute), "{minute}");
    assert_eq!(play(&mut all, false, Regime::Laminar, 3_000).regret_milli, 750);
}

#[test]
fn the_overlay_leans_to_the_cheaper_by_a_fifth_at_most_and_only_where_it_is_asked_for_and_laminar() {
    let mut all = tracks(&[0.5, 1.0, 1.0, 2.0]);
    play(&mut all, false, Regime::Laminar, 1_000);
    assert!(all.iter().all(|track| track.player.bias == 1.0), "not asked for");
    play(&mut all, true, Regime::Laminar, 1_000);
    let biases: Vec<f64> = all.iter().map(|track| track.player.bias).collect();
    assert!(biases[0] > 1.15 && biases[0] <= 1.2, "{biases:?}");
    assert_eq!(biases[3], 0.8, "{biases:?}");
    for regime in [Regime::Transition, Regime::Crisis, Regime::Recovery] {
        let mut other = all.clone();
        play(&mut other, true, regime, 1);
        assert!(other.iter().all(|track| track.player.bias == 1.0), "{regime}");
    }
}

#[test]
fn the_overlay_comes_to_rest_in_a_congestion_game_and_narrows_its_gap() {
    // Cost of backend b at share x: base_b · (½ + 2 x); the overlay moves shares by its bias alone.
    let bases = [1.0, 1.0, 1.1, 0.9];
    let mut all = tracks(&[1.0; 4]);
    let (mut first, mut last, mut swing) = (None, 0, 0.0_f64);
    for at in 0..5_000 {
        let sum: f64 = all.iter().map(|track| track.player.bias).sum();
        for (track, base) in all.iter_mut().zip(bases) {
            let share = track.player.bias / sum;
            track.level = Some(MEDIAN + libm::log2(base * (0.5 + 2.0 * share)));
        }
        let before = all[3].player.bias;
        last = look(&mut all, Some(MEDIAN), true, Regime::Laminar, LOOK).gap_milli;
        first = first.or(Some(last));
        if at >= 4_000 {
            swing = swing.max((all[3].player.bias - before).abs());
        }
    }
    assert!(swing < 1e-6, "at rest: {swing}");
    assert!(last < first.unwrap(), "{first:?} → {last}");
}

#[test]
fn without_a_cost_nothing_is_measured_and_nothing_is_leaned() {
    let mut all = tracks(&[1.0, 2.0]);
    all.iter_mut().for_each(|track| track.level = None);
    let game = play(&mut all, true, Regime::Laminar, 10);
    assert_eq!((game.gap_milli, game.regret_milli), (0, 0));
    assert_eq!(look(&mut [], None, true, Regime::Laminar, LOOK), Game::default());
}

proptest! {
    #[test]
    fn the_bias_stays_within_a_fifth_whatever_the_costs(
        courses in prop::collection::vec(prop::collection::vec(0.01..100.0_f64, 5), 1..60),
        regimes in prop::collection::vec(0..4_usize, 60),
    ) {
        let all_regimes = [Regime::Laminar, Regime::Transition, Regime::Crisis, Regime::Recovery];
        let mut all = tracks(&[1.0; 5]);
        for (costs, regime) in courses.iter().zip(regimes) {
            for (track, cost) in all.iter_mut().zip(costs) {
                track.level = Some(MEDIAN + libm::log2(*cost));
            }
            let game = play(&mut all, true, all_regimes[regime], 20);
            prop_assert!(all.iter().all(|track| (0.8..=1.2).contains(&track.player.bias)));
            prop_assert!(regime == 0 || all.iter().all(|track| track.player.bias == 1.0));
            prop_assert!(game.gap_milli <= 1_000 && game.regret_milli <= 4_000);
        }
    }
}
