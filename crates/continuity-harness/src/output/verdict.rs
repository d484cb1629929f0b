//! Targets and gates as tables, what falls short first.

use std::fmt::Write;

use super::markdown::entry;
use crate::gate::Gate;
use crate::target::{Bound, Judgement};

fn verdict(reached: bool, certain: bool, answered: Option<(f64, bool)>) -> String {
    let plain = match (reached, certain) {
        (true, true) => "reached",
        (true, false) => "reached, within noise",
        (false, false) => "**short**, within noise",
        (false, true) => "**short**",
    };
    match answered {
        None => plain.to_owned(),
        Some((bound, true)) => format!("short; at the bound of {}", digits(bound)),
        Some((bound, false)) => format!("{plain}, and misses the bound of {}", digits(bound)),
    }
}

fn bound(judgement: &Judgement) -> String {
    let target = &judgement.target;
    let sign = if target.at_most.is_some() { "≤" } else { "≥" };
    let of = match target.at_most.as_ref().or(target.at_least.as_ref()) {
        Some(Bound::Other(other)) => {
            let mut words = vec![format!("{} ×", other.factor)];
            words.extend(other.row.clone());
            words.extend(other.scenario.clone());
            words.extend(other.nodes.map(|nodes| format!("N={nodes}")));
            words.extend(other.figure.clone());
            if other.plus != 0.0 {
                words.push(format!("{:+}", other.plus));
            }
            format!(" ({})", words.join(" "))
        }
        _ => String::new(),
    };
    format!("{sign} {}{of}", digits(judgement.bound))
}

fn digits(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The targets: those that fall short first.
#[must_use]
pub fn targets(judged: &[Judgement]) -> String {
    let mut text = String::from(
        "| scenario | N | row | figure | goal | found | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for wanted in [false, true] {
        for one in judged.iter().filter(|one| one.reached == wanted) {
            let target = &one.target;
            let found = match one.found {
                None => "never".to_owned(),
                found => entry(found, 3),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {found} | {} |",
                target.scenario,
                target.nodes,
                target.row,
                target.figure,
                bound(one),
                verdict(one.reached, one.certain, one.answered)
            );
        }
    }
    text
}

/// The gates: those that are closed first.
#[must_use]
pub fn gates(judged: &[Gate]) -> String {
    let mut text = String::from(
        "| scenario | N | B | gate | beside | found | at most | |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for wanted in [false, true] {
        for gate in judged.iter().filter(|gate| gate.reached == wanted) {
            let unit = if gate.gate == "rates" { " points" } else { " ×" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {}{unit} | {} | {} |",
                gate.scenario,
                gate.nodes,
                gate.backends,
                gate.gate,
                gate.rival,
                entry(Some(gate.found), 3),
                gate.at_most,
                verdict(gate.reached, gate.certain, gate.answered)
            );
        }
    }
    text
}
