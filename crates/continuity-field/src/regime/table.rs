//! The full truth table: every regime × every combination of what is seen, held for two minutes.

use super::*;
use crate::SetConfig;

const LOOK: u64 = 200;
/// Below both exits; between exit and entry of transition; above it and below the exit of crisis; between that and the
/// entry of crisis; above it.
const PRESSURES: [f64; 5] = [1.0, 1.25, 1.5, 1.8, 2.5];
const REGIMES: [Regime; 4] = [
    Regime::Laminar,
    Regime::Transition,
    Regime::Crisis,
    Regime::Recovery,
];

/// Every combination of signals.
fn signals() -> impl Iterator<Item = Signals> {
    PRESSURES.into_iter().flat_map(|pressure| {
        (0..32_u32).map(move |bits| Signals {
            pressure,
            error: if bits & 1 > 0 { 0.11 } else { 0.1 },
            breached: bits & 2 > 0,
            refused: if bits & 4 > 0 { 0.06 } else { 0.05 },
            correcting: bits & 8 > 0,
            in_debt: bits & 16 > 0,
        })
    })
}

/// Where a regime comes to rest, by the table at the top of the parent module.
fn rest(from: Regime, seen: &Signals) -> Regime {
    let critical = seen.pressure > 2.0 || seen.error > 0.1 || seen.breached || seen.refused > 0.05;
    let strained = seen.pressure > 1.3 || seen.correcting;
    let calm = !strained && seen.pressure < 1.195;
    match from {
        _ if critical => Regime::Crisis,
        Regime::Laminar if strained => Regime::Transition,
        Regime::Laminar => Regime::Laminar,
        Regime::Crisis if seen.pressure >= 1.65 => Regime::Crisis,
        _ if calm => Regime::Laminar,
        Regime::Transition => Regime::Transition,
        Regime::Crisis | Regime::Recovery => Regime::Recovery,
    }
}

fn machine(regime: Regime) -> Machine {
    Machine {
        regime,
        ..Machine::default()
    }
}

/// The turns of `looks` looks at the same signals, each with when it came.
fn turns(machine: &mut Machine, seen: &Signals, looks: u64) -> Vec<(u64, Turn)> {
    let config = SetConfig::default().regimes;
    let turn = |look: u64| {
        let at = LOOK * look;
        machine
            .look(seen, &config, Nanos::from_millis(at))
            .map(|turn| (at, turn))
    };
    (0..looks).filter_map(turn).collect()
}

#[test]
fn every_regime_comes_to_rest_where_the_table_says() {
    let mut rows = 0;
    for from in REGIMES {
        for seen in signals() {
            let mut machine = machine(from);
            let all = turns(&mut machine, &seen, 600);
            assert_eq!(machine.regime, rest(from, &seen), "{from} {seen:?} {all:?}");
            let mut before = from;
            for (_, (left, entered)) in &all {
                assert!(*left == before && left != entered, "{all:?}");
                before = *entered;
            }
            assert!(all.len() <= 2, "straight there: {all:?}");
            rows += 1;
        }
    }
    assert_eq!(rows, 640);
}

#[test]
fn worse_comes_at_the_third_look_and_a_correction_at_the_first() {
    for from in REGIMES {
        for seen in signals().filter(|seen| rest(from, seen) == Regime::Crisis && from != Regime::Crisis) {
            let mut machine = machine(from);
            turns(&mut machine, &seen, 3);
            assert_eq!(machine.regime, Regime::Crisis, "{from} {seen:?}");
        }
    }
    for seen in signals().filter(|seen| rest(Regime::Laminar, seen) == Regime::Transition) {
        let expected = if seen.correcting { 0 } else { 2 * LOOK };
        let all = turns(&mut machine(Regime::Laminar), &seen, 10);
        assert_eq!(
            all,
            [(expected, (Regime::Laminar, Regime::Transition))],
            "{seen:?}"
        );
    }
}

#[test]
fn better_comes_after_the_dwell_and_no_sooner() {
    let calm = Signals {
        pressure: 1.0,
        ..Signals::default()
    };
    let owing = Signals {
        in_debt: true,
        ..calm
    };
    let table = [
        (Regime::Transition, calm, vec![(2_000, Regime::Laminar)]),
        (Regime::Transition, owing, vec![(2_000, Regime::Laminar)]),
        (
            Regime::Crisis,
            calm,
            vec![(10_000, Regime::Recovery), (30_200, Regime::Laminar)],
        ),
        (Regime::Recovery, calm, vec![(20_000, Regime::Laminar)]),
        // A debt counts for three dwells.
        (Regime::Recovery, owing, vec![(80_000, Regime::Laminar)]),
    ];
    for (from, seen, expected) in table {
        let found = turns(&mut machine(from), &seen, 600);
        let found: Vec<(u64, Regime)> = found.into_iter().map(|(at, (_, to))| (at, to)).collect();
        assert_eq!(found, expected, "{from}");
    }
}

#[test]
fn a_threshold_is_left_below_it_and_not_at_it() {
    for (from, pressure, stays) in [
        (Regime::Transition, 1.194, false),
        (Regime::Transition, 1.196, true),
        (Regime::Transition, 1.3, true),
        (Regime::Crisis, 1.649, false),
        (Regime::Crisis, 1.651, true),
        (Regime::Crisis, 2.0, true),
    ] {
        let seen = Signals {
            pressure,
            ..Signals::default()
        };
        let mut machine = machine(from);
        turns(&mut machine, &seen, 100);
        assert_eq!(machine.regime == from, stays, "{from} at {pressure}");
    }
}
