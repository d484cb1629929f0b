//! Scenarios that are in no file: drawn from a seed, so that the law meets plants nobody had in view.
//!
//! What is drawn: numbers of nodes and backends, workers, distribution and scale of the work, utilisation, unequal speeds,
//! kind, extent and time of a fault, how clients keep connections, how reports travel, agents that die or drown, verdicts.
//! Invariants: one seed, one scenario; it passes [`Scenario::check`]; what is left of the backends carries the load, so a
//! law can do well; each node makes about one connect a second or more to each backend, below which the gates do not judge.
//! Left out: admission and memory, whose targets are numbers of their own.

use super::{
    Agent, Backends, Client, Connections, Contest, Death, Fault, Gossip, Kind, Lie, Load, Network, Scenario,
    Service, Stall, Target, VERSION, Window,
};
use crate::random::Random;

/// Requests of one run: 12,000 a second are half a million in 40 s, a second and a half of one core.
const MOST_RATE: f64 = 12_000.0;
/// Workers of a backend that are tried.
const WORKERS: [u32; 7] = [1, 2, 4, 8, 16, 64, 256];
/// Backends and nodes; the small ones are common.
const BACKENDS: [u32; 12] = [3, 3, 4, 5, 5, 7, 10, 10, 20, 50, 2, 200];
const NODES: [u32; 10] = [1, 3, 3, 5, 10, 10, 20, 60, 60, 200];

/// Draws, named by what they mean.
struct Draw(Random);

impl Draw {
    fn of<T: Copy>(&mut self, list: &[T], otherwise: T) -> T {
        let which = self.0.below(list.len());
        list.get(which).copied().unwrap_or(otherwise)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.uniform()
    }

    /// Alike in every octave.
    fn scaled(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.between(libm::log(low), libm::log(high)))
    }

    fn whole(&mut self, low: f64, high: f64) -> u64 {
        crate::span::nanos(self.between(low, high) / 1e9)
    }

    fn permille(&mut self, low: f64, high: f64) -> u32 {
        u32::try_from(self.whole(low, high)).unwrap_or(0)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.0.uniform() < share
    }
}

/// The scenario of `seed`, for `heavy` or light machines: a light one asks at most a sixth of the rate.
#[must_use]
pub fn unseen(seed: u64, heavy: bool) -> Scenario {
    let mut draw = Draw(Random::new(seed, "unseen"));
    let most = if heavy { MOST_RATE } else { MOST_RATE / 6.0 };
    let (nodes, count, each) = size(&mut draw, most);
    let speeds = speeds(&mut draw);
    let from = draw.whole(10_000.0, 16_000.0);
    let to = from + draw.whole(10_000.0, 20_000.0);
    let window = Window {
        from_millis: from,
        to_millis: to,
    };
    let (target, hit) = whom(&mut draw, count);
    let (used, per_backend) = (draw.between(0.3, 0.8), each * f64::from(nodes));
    // What the fault takes away is taken away from the load before.
    let (workers, mean) = work(&mut draw, per_backend / used * left(&speeds, count));
    let patience = draw.scaled(1_000.0, 6_000.0).max(25.0 * mean);
    let what = fault(&mut draw, mean, patience, hit >= count);
    let carried = carried(&what, &speeds, count, hit);
    let alternate_millis = alternation(&mut draw, what.as_ref());
    let within = |what| Fault {
        what,
        target,
        from_millis: from,
        to_millis: to,
        alternate_millis,
    };
    let mut scenario = Scenario {
        version: VERSION,
        name: format!("R{seed}"),
        title: String::new(),
        duration_millis: to + 8_000,
        warm_up_millis: 4_000,
        window,
        nodes,
        backends: Backends {
            count,
            workers,
            speeds,
        },
        service: service(&mut draw, mean),
        load: Load::steady(per_backend * carried),
        client: client(&mut draw, patience, nodes, count),
        network: Network {
            one_way_micros: draw.whole(100.0, 3_000.0),
        },
        agent: agent(&mut draw, window),
        callers: Vec::new(),
        rogue: None,
        contest: Contest::Balance,
        memory: None,
        faults: what.map(within).into_iter().collect(),
        rollout: None,
        gossip: gossip(&mut draw, mean),
        sharing: None,
        zones: 1,
    };
    scenario.title = title(&scenario);
    scenario
}

/// The period of a fault that comes and goes, where it is of a kind that can.
fn alternation(draw: &mut Draw, what: Option<&Kind>) -> Option<u64> {
    let can = matches!(what, Some(Kind::Reset { .. } | Kind::Delay { .. } | Kind::Refuse));
    (can && draw.chance(0.25)).then(|| draw.whole(700.0, 6_000.0))
}

/// Nodes, backends, and connects a second of a node to a backend.
fn size(draw: &mut Draw, most: f64) -> (u32, u32, f64) {
    loop {
        let (nodes, count) = (draw.of(&NODES, 10), draw.of(&BACKENDS, 10));
        let room = most / f64::from(nodes * count);
        if room >= 1.3 {
            return (nodes, count, draw.scaled(1.3, room.clamp(1.4, 30.0)));
        }
    }
}

fn speeds(draw: &mut Draw) -> Vec<f64> {
    if draw.chance(0.7) {
        return vec![1.0];
    }
    let slow = draw.between(0.3, 0.8);
    if draw.chance(0.5) {
        vec![1.0, slow]
    } else {
        vec![1.0, 1.0, slow, 1.0, slow * 0.8]
    }
}

/// Mean speed of the backends, as a divisor of what one ordinary one must carry.
fn left(speeds: &[f64], count: u32) -> f64 {
    let all = speeds
        .iter()
        .copied()
        .cycle()
        .take(usize::try_from(count).unwrap_or(1));
    f64::from(count) / all.sum::<f64>().max(1e-3)
}

/// Workers and mean work (ms) of an ordinary backend that carries so many requests a second.
fn work(draw: &mut Draw, rate: f64) -> (u32, f64) {
    let fits = |workers: &u32| (1.0..=400.0).contains(&(1e3 * f64::from(*workers) / rate));
    let list: Vec<u32> = WORKERS.iter().copied().filter(fits).collect();
    let workers = draw.of(&list, 4);
    (workers, 1e3 * f64::from(workers) / rate)
}

fn service(draw: &mut Draw, mean: f64) -> Service {
    match draw.0.below(4) {
        0 => Service::Exponential { mean_millis: mean },
        1 => Service::Fixed { millis: mean },
        2 => {
            let part = draw.between(0.2, 0.9);
            Service::Uniform {
                low_millis: mean * (1.0 - part),
                high_millis: mean * (1.0 + part),
            }
        }
        _ => Service::Normal {
            // The cut raises the mean by a tenth where sigma is the mean.
            mean_millis: mean / 1.1,
            sigma_millis: mean / 1.1 * draw.between(0.3, 1.0),
            least_millis: mean / 11.0,
        },
    }
}

/// Whom a fault hits, and how many at once.
fn whom(draw: &mut Draw, count: u32) -> (Target, u32) {
    if draw.chance(0.1) {
        return (Target::All, count);
    }
    let most = (count / 4).max(1);
    let many = 1 + u32::try_from(draw.0.below(usize::try_from(most).unwrap_or(1))).unwrap_or(0);
    if count >= 4 && draw.chance(0.15) {
        let permille = (1_000 * many).div_ceil(count);
        let turn_millis = draw.whole(4_000.0, 9_000.0);
        return (
            Target::Moving {
                permille,
                turn_millis,
            },
            many,
        );
    }
    (Target::First { count: many }, many)
}

/// What breaks; nothing in one of ten. What hits everybody only slows them down.
fn fault(draw: &mut Draw, mean: f64, patience: f64, all: bool) -> Option<Kind> {
    if draw.chance(0.1) {
        return None;
    }
    let speed = draw.between(0.15, 0.6);
    if all {
        return Some(Kind::Slow { speed });
    }
    let late = draw.scaled(4.0, 60.0) * mean.max(5.0);
    Some(match draw.0.below(9) {
        0 | 1 => Kind::Delay {
            add_millis: late.min(0.5 * patience),
        },
        2 => Kind::Slow { speed },
        3 => Kind::Ramp { speed: 0.4 * speed },
        4 => Kind::Reset {
            after_millis: draw.scaled(0.3, 20.0),
        },
        5 => Kind::Refuse,
        6 => Kind::Hang,
        7 => Kind::Vanish,
        _ => Kind::Errors {
            permille: draw.permille(150.0, 800.0),
        },
    })
}

/// Part of the load that what is left carries: out for good is out, slowed is slowed.
fn carried(what: &Option<Kind>, speeds: &[f64], count: u32, hit: u32) -> f64 {
    let rest = match *what {
        None => 1.0,
        Some(Kind::Slow { speed } | Kind::Ramp { speed }) => speed,
        Some(_) => 0.0,
    };
    let all = || {
        speeds
            .iter()
            .copied()
            .cycle()
            .take(usize::try_from(count).unwrap_or(1))
    };
    let whole: f64 = all().sum();
    let gone: f64 = all().take(usize::try_from(hit).unwrap_or(0)).sum();
    ((whole - gone * (1.0 - rest)) / whole).max(0.1)
}

/// Clients; where connections carry many requests at once there are at least three for each backend, else nobody could
/// spread the load.
fn client(draw: &mut Draw, patience: f64, nodes: u32, count: u32) -> Client {
    let kept = draw.chance(0.2).then(|| {
        let streams = draw.of(&[1, 1, 20], 1);
        let least = if streams > 1 {
            (3 * count).div_ceil(nodes)
        } else {
            1
        };
        Connections {
            requests: draw.permille(2.0, 40.0),
            streams,
            pool: draw.permille(1.0, 8.0).max(least),
        }
    });
    Client {
        timeout_millis: crate::span::nanos(patience / 1e9),
        retries: None,
        connections: kept,
    }
}

fn agent(draw: &mut Draw, window: Window) -> Agent {
    let (from_millis, to_millis) = (window.from_millis, window.to_millis);
    let some = draw.permille(100.0, 1_000.0);
    let dies = draw.chance(0.1).then_some(Death {
        from_millis,
        to_millis: (from_millis + 8_000).min(to_millis),
        nodes_permille: some,
    });
    let stalls = draw.chance(0.1).then_some(Stall {
        from_millis,
        to_millis,
        nodes_permille: some,
        tick_millis: 1_500,
    });
    Agent {
        deaths: dies.into_iter().collect(),
        stalls: stalls.into_iter().collect(),
        verdicts_late_millis: draw.chance(0.5).then_some(2_000),
        ..Agent::default()
    }
}

fn gossip(draw: &mut Draw, mean: f64) -> Gossip {
    let mut gossip = Gossip::default();
    match draw.0.below(10) {
        0 => gossip.lost_permille = draw.permille(100.0, 950.0),
        1 => gossip.silent_permille = draw.permille(100.0, 900.0),
        2 => gossip.renew_millis = draw.whole(100.0, 2_000.0),
        3 => {
            gossip.lie = Some(Lie {
                target: Target::First { count: 1 },
                turnaround_millis: mean * 0.3,
                in_flight: 0,
            });
        }
        _ => {}
    }
    gossip
}

/// One sentence for the table.
fn title(scenario: &Scenario) -> String {
    let broken = scenario.faults.first().map_or_else(
        || "nothing breaks".to_owned(),
        |fault| {
            let turns = fault.alternate_millis.map_or("", |_| ", by turns");
            let whom = match &fault.target {
                Target::First { count } => format!("{count}"),
                Target::Moving { permille, .. } => format!("{permille} permille, moving"),
                _ => "all".to_owned(),
            };
            format!("{:?} at {whom}{turns}", fault.what)
        },
    );
    let kept = if scenario.client.connections.is_some() {
        ", kept connections"
    } else {
        ""
    };
    let used = 100.0 * scenario.rate() / scenario.capacity();
    format!("drawn: {broken}; {used:.0} % used{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_scenario_that_passes_its_own_checks_and_can_be_carried() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..500 {
            for heavy in [false, true] {
                let scenario = unseen(seed, heavy);
                scenario.check().unwrap();
                let again = Scenario::parse(&serde_yaml_ng::to_string(&scenario).unwrap()).unwrap();
                assert_eq!(again, unseen(seed, heavy), "R{seed} comes back from its file");
                let used = scenario.rate() / scenario.capacity();
                assert!((0.02..0.85).contains(&used), "R{seed}: {used}");
                kinds.insert(scenario.faults.first().map(|fault| {
                    format!("{:?}", fault.what)
                        .split([' ', '{'])
                        .next()
                        .map(str::to_owned)
                }));
            }
        }
        assert_eq!(kinds.len(), 9, "{kinds:?}");
    }
}
