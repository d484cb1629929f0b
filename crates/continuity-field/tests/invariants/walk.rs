//! A million ticks of a random walk: members come and go, faults begin and end, counters are absurd now and then, the clock
//! leaps. After every tick all invariants are checked; the same seed walks the same way on every machine.

use continuity_field::histogram::{AGE_BUCKETS, BUCKETS};
use continuity_field::{BackendId, BackendSample, Nanos, Response, SetConfig, SetState, WorkloadProfile};

use crate::input::{Tick, check, play};

/// xorshift64*: small, known, and never changes.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below.max(1)
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.next(below as u64)).unwrap_or(0)
    }

    fn small(&mut self, below: u64) -> u32 {
        u32::try_from(self.next(below)).unwrap_or(0)
    }
}

/// What a backend does for a while.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Late,
    Failing,
    Silent,
    Idle,
    Absurd,
}

struct Walk {
    chance: Chance,
    members: Vec<(BackendSample, Mood)>,
    born: u64,
}

impl Walk {
    fn mood(&mut self) -> Mood {
        const MOODS: [Mood; 10] = [
            Mood::Well,
            Mood::Well,
            Mood::Well,
            Mood::Well,
            Mood::Well,
            Mood::Late,
            Mood::Failing,
            Mood::Silent,
            Mood::Idle,
            Mood::Absurd,
        ];
        MOODS[self.chance.index(MOODS.len())]
    }

    fn turn(&mut self) {
        match self.chance.next(400) {
            0 if self.members.len() < 12 => {
                self.born += 1;
                let mood = self.mood();
                self.members
                    .push((BackendSample::new(BackendId(self.born)), mood));
            }
            1 if !self.members.is_empty() => {
                let at = self.chance.index(self.members.len());
                self.members.swap_remove(at);
            }
            2..12 if !self.members.is_empty() => {
                let (at, mood) = (self.chance.index(self.members.len()), self.mood());
                self.members[at].1 = mood;
            }
            12 if !self.members.is_empty() => {
                let at = self.chance.index(self.members.len());
                self.members[at].0.in_service ^= true;
            }
            _ => {}
        }
        let chance = &mut self.chance;
        self.members
            .iter_mut()
            .for_each(|(sample, mood)| fill(sample, *mood, chance));
    }
}

fn fill(sample: &mut BackendSample, mood: Mood, chance: &mut Chance) {
    let mut fresh = BackendSample::new(sample.id);
    fresh.in_service = sample.in_service;
    let n = chance.small(8);
    fresh.attempts = u64::from(n);
    let waits = &mut fresh.unanswered[chance.index(3)];
    match mood {
        Mood::Well | Mood::Late => {
            *waits = n / 3;
            fresh.answered = u64::from(n);
            let base = if mood == Mood::Late { 74 } else { 56 };
            fresh.turnaround[base + chance.index(5)] = n;
        }
        Mood::Failing => (fresh.refused, fresh.penalty) = (u64::from(n), 900 * n.min(1)),
        Mood::Silent => fresh.unanswered[chance.index(AGE_BUCKETS)] = n,
        Mood::Idle => fresh.attempts = 0,
        Mood::Absurd => {
            fresh.capacity = chance.small(u64::MAX >> 32);
            fresh.answered = u64::MAX >> chance.next(64);
            fresh.refused = u64::MAX >> chance.next(64);
            fresh.abandoned = u64::MAX >> chance.next(64);
            fresh.turnaround[chance.index(BUCKETS)] = u32::MAX;
            fresh.unanswered[chance.index(AGE_BUCKETS)] = u32::MAX;
            fresh.in_flight = u32::MAX;
            fresh.level = Some(i32::MIN);
            fresh.stall_permille = Some(u32::MAX);
        }
    }
    *sample = fresh;
}

fn walk(ticks: u64, seed: u64) -> u64 {
    let profiles = [
        WorkloadProfile::Light,
        WorkloadProfile::Standard,
        WorkloadProfile::Heavy,
    ];
    let responses = [Response::Gentle, Response::Balanced, Response::Strict];
    let mut walk = Walk {
        chance: Chance(seed | 1),
        members: Vec::new(),
        born: 0,
    };
    let (mut state, mut now, mut isolations) = (SetState::default(), Nanos::from_secs(1_000), 0);
    let mut config = SetConfig::default();
    for at in 0..ticks {
        if at % 10_000 == 0 {
            let (response, profile) = (responses[walk.chance.index(3)], profiles[walk.chance.index(3)]);
            config = SetConfig::preset(response, profile);
            config.seed = walk.chance.next(u64::MAX);
        }
        walk.turn();
        let leap = if walk.chance.next(5_000) == 0 { 60_000 } else { 100 };
        let tick = Tick {
            interval: leap * 1_000_000,
            backends: walk.members.iter().map(|(sample, _)| sample.clone()).collect(),
            verdicts: if walk.chance.next(200) == 0 {
                vec![(walk.chance.next(walk.born + 1), walk.chance.next(2) == 0)]
            } else {
                Vec::new()
            },
        };
        now = now + Nanos(tick.interval);
        let outcome = play(&mut state, &tick, &config, now);
        check(outcome, &tick.backends, &config);
        isolations += outcome
            .reasons
            .iter()
            .filter(|reason| matches!(reason, continuity_field::Reason::Isolated { .. }))
            .count() as u64;
    }
    isolations
}

#[test]
fn fifty_thousand_ticks_of_a_random_walk_keep_the_invariants() {
    let isolations = walk(50_000, 7);
    assert!(isolations > 100, "the walk meets faults: {isolations}");
}

#[test]
#[ignore = "a million ticks: `cargo test -p continuity-field --test invariants -- --ignored`"]
fn a_million_ticks_of_a_random_walk_keep_the_invariants() {
    for seed in 1..=4 {
        walk(250_000, seed);
    }
}
