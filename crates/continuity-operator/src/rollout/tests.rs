use super::*;
use crate::sample::at;
use continuity_api::ContinuityPolicySpec;
use continuity_api::compile;
use proptest::prelude::*;

fn policy(hold_seconds: i32) -> CompiledPolicy {
    let mut spec = ContinuityPolicySpec {
        mode: Mode::Enforce,
        ..ContinuityPolicySpec::default()
    };
    spec.isolation.hold_seconds = Some(hold_seconds);
    compile(&spec)
}

fn busy(failed: i128) -> Figures {
    Figures {
        offered: 100_000,
        failed,
        p99_weighted: 70_000 * 100_000,
        p99_offered: 100_000,
        in_crisis: 0,
    }
}

type Harm = fn(&mut NodeView);

/// A fleet that does what the plan says, and an operator that decides every second.
struct Fleet {
    stable: CompiledPolicy,
    wanted: CompiledPolicy,
    candidate: Option<Candidate>,
    record: Option<RolloutRecord>,
    nodes: Vec<NodeView>,
    rollout: Rollout,
    wish: Wish,
    memory: Memory,
    second: u64,
    /// What the nodes that run the candidate suffer from it.
    harm: Harm,
    most: usize,
}

impl Fleet {
    fn new(zones: usize, each: usize) -> Self {
        let node = |index: usize| NodeView {
            name: format!("node-{index}"),
            zone: format!("zone-{}", index % zones),
            sound: true,
            figures: busy(0),
            ..NodeView::default()
        };
        Self {
            stable: policy(2),
            wanted: policy(9),
            candidate: None,
            record: None,
            nodes: (0..zones * each).map(node).collect(),
            rollout: Rollout::default(),
            wish: Wish::default(),
            memory: Memory::default(),
            second: 0,
            harm: |_| {},
            most: 0,
        }
    }

    fn digest(&self) -> String {
        format!(
            "{}-{:?}",
            target(&self.stable),
            self.candidate.as_ref().map(|c| (&c.nodes, &c.domains))
        )
    }

    fn running(&self) -> usize {
        let names = |node: &&NodeView| self.candidate.as_ref().is_some_and(|c| widen::names(c, node));
        self.nodes.iter().filter(names).count()
    }

    fn step(&mut self) {
        self.second += 1;
        let digest = self.digest();
        let facts = Facts {
            stable: Some(&self.stable),
            wanted: &self.wanted,
            generation: 2,
            candidate: self.candidate.as_ref(),
            record: self.record.as_ref(),
            digest: &digest,
            rollout: self.rollout,
            wish: self.wish,
            nodes: &self.nodes,
            others: 0,
        };
        let step = decide(&mut self.memory, &facts, at(self.second));
        (self.stable, self.candidate, self.record) = (step.stable, step.candidate, step.record);
        self.most = self.most.max(self.running());
        let digest = self.digest();
        for node in &mut self.nodes {
            node.digest.clone_from(&digest);
            node.figures = busy(0);
            if self.candidate.as_ref().is_some_and(|c| widen::names(c, node)) {
                (self.harm)(node);
            }
        }
    }

    fn phase(&self) -> Option<RolloutPhase> {
        self.record.as_ref().map(|record| record.phase)
    }

    fn run(&mut self, seconds: u64) -> Option<RolloutPhase> {
        for _ in 0..seconds {
            self.step();
        }
        self.phase()
    }
}

#[test]
fn a_good_change_goes_from_canaries_to_their_domain_and_then_to_all() {
    let mut fleet = Fleet::new(3, 3);
    assert_eq!(fleet.run(1), Some(RolloutPhase::Canary));
    assert_eq!(fleet.running(), 3);
    let zones: std::collections::BTreeSet<&str> = fleet
        .nodes
        .iter()
        .filter(|node| widen::names(fleet.candidate.as_ref().unwrap(), node))
        .map(|node| &*node.zone)
        .collect();
    assert_eq!(zones.len(), 1, "one failure domain");
    assert_eq!(fleet.run(62), Some(RolloutPhase::Domain));
    assert_eq!(fleet.run(62), Some(RolloutPhase::Widening));
    assert_eq!(fleet.running(), 6);
    assert_eq!(fleet.run(62), None);
    assert_eq!((fleet.stable.clone(), fleet.candidate.clone()), (policy(9), None));
}

#[test]
fn a_change_that_fails_connections_stops_at_the_canaries_and_is_not_tried_again() {
    let mut fleet = Fleet::new(3, 3);
    fleet.harm = |node| node.figures = busy(5_000);
    assert_eq!(fleet.run(20), Some(RolloutPhase::Halted));
    assert_eq!((fleet.most, fleet.running()), (3, 0));
    assert_eq!(fleet.stable, policy(2));
    let why = fleet.record.clone().unwrap().reason;
    assert!(
        why.contains("50 of 1000 connections fail there, 0 of 1000 elsewhere"),
        "{why}"
    );
    assert_eq!(fleet.run(600), Some(RolloutPhase::Halted));
    assert_eq!(fleet.most, 3);
    fleet.harm = |_| {};
    fleet.wanted = policy(5);
    assert_eq!(
        fleet.run(1),
        Some(RolloutPhase::Canary),
        "another change is another matter"
    );
}

#[test]
fn harm_that_a_short_soak_is_too_short_to_believe_does_not_widen() {
    for soak in [1, 5, 6, 7] {
        let mut fleet = Fleet::new(3, 3);
        fleet.rollout.soak_seconds = soak;
        fleet.harm = |node| node.figures = busy(5_000);
        assert_eq!(fleet.run(20), Some(RolloutPhase::Halted), "soak of {soak} s");
        assert_eq!(fleet.most, 3, "soak of {soak} s");
    }
}

#[test]
fn a_change_that_makes_answers_slow_stops_too() {
    let mut fleet = Fleet::new(3, 3);
    fleet.harm = |node| node.figures.p99_weighted *= 3;
    assert_eq!(fleet.run(20), Some(RolloutPhase::Halted));
}

#[test]
fn agents_that_restart_refuse_or_never_confirm_stop_it_at_three_nodes() {
    let harms: [(Harm, &str); 4] = [
        (|node| node.restarts += 1, "agents restarted"),
        (
            |node| node.refusal = "no such constant".into(),
            "refuses it: no such constant",
        ),
        (|node| node.digest = "old".into(), "did not confirm it in 120 s"),
        (|node| node.sound = false, "no longer works under it"),
    ];
    for (harm, why) in harms {
        let mut fleet = Fleet::new(3, 3);
        fleet.harm = harm;
        assert_eq!(fleet.run(125), Some(RolloutPhase::Halted), "{why}");
        assert_eq!(fleet.most, 3);
        let reason = fleet.record.unwrap().reason;
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn one_restart_of_one_agent_is_an_accident() {
    let mut fleet = Fleet::new(3, 3);
    fleet.run(10);
    fleet.nodes[0].restarts += 1;
    assert_eq!(fleet.run(10), Some(RolloutPhase::Canary));
}

#[test]
fn the_first_policy_small_clusters_zero_canaries_and_observe_are_never_staged() {
    let mut small = Fleet::new(1, 3);
    assert_eq!((small.run(1), small.stable.clone()), (None, policy(9)));
    let mut unstaged = Fleet::new(3, 3);
    unstaged.rollout.canary_nodes = 0;
    assert_eq!((unstaged.run(1), unstaged.stable.clone()), (None, policy(9)));
    let mut off = Fleet::new(3, 3);
    off.wanted.mode = Mode::Observe;
    assert_eq!((off.run(1), off.stable.mode), (None, Mode::Observe));
    let first = Facts {
        stable: None,
        wanted: &policy(9),
        generation: 1,
        candidate: None,
        record: None,
        digest: "",
        rollout: Rollout::default(),
        wish: Wish::default(),
        nodes: &unstaged.nodes,
        others: ACTIVE_MAX,
    };
    assert_eq!(decide(&mut Memory::default(), &first, at(1)).stable, policy(9));
}

#[test]
fn what_halted_stays_back_when_its_victims_leave_a_small_cluster() {
    let mut fleet = Fleet::new(2, 2);
    fleet.harm = |node| node.sound = false;
    assert_eq!(fleet.run(5), Some(RolloutPhase::Halted));
    fleet.nodes.truncate(2);
    assert_eq!(
        (fleet.run(5), fleet.stable.clone()),
        (Some(RolloutPhase::Halted), policy(2))
    );
}

#[test]
fn a_person_pauses_resumes_aborts_and_tries_again() {
    let mut fleet = Fleet::new(3, 3);
    fleet.run(5);
    fleet.wish.paused = true;
    assert_eq!(fleet.run(600), Some(RolloutPhase::Canary));
    fleet.wish.paused = false;
    assert_eq!(fleet.run(2), Some(RolloutPhase::Domain));
    fleet.wish.aborted = true;
    assert_eq!(fleet.run(2), Some(RolloutPhase::Aborted));
    assert_eq!((fleet.running(), fleet.stable.clone()), (0, policy(2)));
    fleet.wish.aborted = false;
    assert_eq!(fleet.run(2), Some(RolloutPhase::Canary));
}

#[test]
fn a_paused_change_that_does_harm_is_taken_back_all_the_same() {
    let mut fleet = Fleet::new(3, 3);
    fleet.wish.paused = false;
    fleet.run(2);
    fleet.wish.paused = true;
    fleet.harm = |node| node.figures = busy(50_000);
    assert_eq!(fleet.run(20), Some(RolloutPhase::Halted));
}

#[test]
fn going_back_to_the_policy_in_force_ends_it_at_once() {
    let mut fleet = Fleet::new(3, 3);
    fleet.run(70);
    fleet.wanted = policy(2);
    assert_eq!((fleet.run(1), fleet.running()), (None, 0));
}

#[test]
fn nodes_without_a_zone_are_widened_by_number() {
    let mut fleet = Fleet::new(1, 40);
    for node in &mut fleet.nodes {
        node.zone.clear();
    }
    let mut reached = vec![0];
    for _ in 0..800 {
        fleet.step();
        if fleet.running() != *reached.last().unwrap() {
            reached.push(fleet.running());
        }
    }
    assert_eq!(reached, [0, 3, 6, 12, 24, 0]);
    assert_eq!(fleet.stable, policy(9));
}

proptest! {
    // 2,000 decisions each.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn it_ends_the_same_whenever_the_leader_changes(
        changes in prop::collection::vec(1_u64..500, 0..6),
        harmful in any::<bool>(),
        zones in 2_usize..6,
    ) {
        let mut fleet = Fleet::new(zones, 4);
        if harmful {
            fleet.harm = |node| node.figures = busy(9_000);
        }
        for second in 0..2_000 {
            if changes.contains(&second) {
                fleet.memory = Memory::default();
            }
            fleet.step();
            if let Some(candidate) = &fleet.candidate {
                prop_assert!(candidate.nodes.len() <= 256 && candidate.domains.len() <= 64);
                prop_assert!(fleet.phase().is_some_and(RolloutPhase::active));
            }
        }
        if harmful {
            prop_assert_eq!(fleet.phase(), Some(RolloutPhase::Halted));
            prop_assert_eq!((fleet.stable.clone(), fleet.most), (policy(2), 3));
        } else {
            prop_assert_eq!(fleet.phase(), None);
            prop_assert_eq!(fleet.stable.clone(), policy(9));
        }
    }
}
