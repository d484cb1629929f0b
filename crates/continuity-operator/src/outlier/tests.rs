use super::*;
use crate::sample::report;
use continuity_api::compile;
use continuity_api::node::WouldHave;
use continuity_api::policy::ContinuityPolicySpec;

/// Long enough ago that a node would have told anything new at once.
const LONG_AGO: Duration = Duration::from_secs(100);
const NOW: Duration = Duration::from_secs(1_000);
const SPACING: Duration = Duration::from_secs(5);

/// Nodes in Observe, each with the pods that run there.
struct Fleet {
    policy: CompiledPolicy,
    nodes: Vec<(String, SetReport)>,
    heard: BTreeMap<String, Duration>,
    ready: usize,
    stored: Vec<String>,
    memory: Memory,
}

fn pod(node: &str, index: usize, millis: i64) -> BackendReport {
    BackendReport {
        address: format!("10.0.0.{index}:80"),
        pod: format!("web-{index}"),
        node: node.to_owned(),
        median_micros: millis * 1_000,
        ..BackendReport::default()
    }
}

impl Fleet {
    /// One pod a node, with these medians in milliseconds.
    fn spread(medians: &[i64]) -> Self {
        let mut fleet = Self {
            policy: compile(&ContinuityPolicySpec::default()),
            nodes: Vec::new(),
            heard: BTreeMap::new(),
            ready: medians.len(),
            stored: Vec::new(),
            memory: Memory::default(),
        };
        for (index, millis) in medians.iter().enumerate() {
            let node = format!("node-{index}");
            fleet.heard.insert(node.clone(), LONG_AGO);
            let observed = SetReport {
                mode: Mode::Observe,
                backends: vec![pod(&node, index, *millis)],
                would_have: Some(WouldHave::default()),
                ..report(50)
            };
            fleet.nodes.push((node, observed));
        }
        fleet
    }

    fn tell(&mut self, index: usize, millis: i64, at: Duration) {
        let (node, report) = &mut self.nodes[index];
        report.backends[0].median_micros = millis * 1_000;
        self.heard.insert(node.clone(), at);
    }

    fn outliers(&mut self, now: Duration) -> Vec<Outlier> {
        let reports: Vec<(&str, &SetReport)> = self
            .nodes
            .iter()
            .map(|(node, report)| (&**node, report))
            .collect();
        let view = View {
            policy: &self.policy,
            reports: &reports,
            heard: self.heard.iter().map(|(node, at)| (&**node, *at)).collect(),
            ready: self.ready,
            spacing: SPACING,
            stored: &self.stored,
        };
        decide(&mut self.memory, &view, now)
    }

    fn named(&mut self, now: Duration) -> Vec<String> {
        self.outliers(now).into_iter().map(|one| one.pod).collect()
    }

    /// What is named once everybody has had the time to speak.
    fn settled(&mut self) -> Vec<String> {
        self.named(NOW);
        self.named(NOW + ON_THE_WAY)
    }
}

#[test]
fn a_backend_alone_on_its_node_is_judged_by_those_of_other_nodes() {
    let mut fleet = Fleet::spread(&[20, 21, 520, 22, 20]);
    fleet.named(NOW);
    let outliers = fleet.outliers(NOW + ON_THE_WAY);
    assert_eq!((outliers.len(), &*outliers[0].node), (1, "node-2"));
    let told = outliers[0].to_string();
    assert_eq!(
        told,
        "10.0.0.2:80 (web-2) answers in 520 ms, its peers on all nodes in 20 ms: 25.3 ×"
    );
}

#[test]
fn of_two_lone_backends_the_late_one_is_named() {
    assert_eq!(Fleet::spread(&[500, 20]).settled(), ["web-0"]);
}

#[test]
fn backends_that_answer_alike_are_left_alone_and_nothing_waits() {
    let mut fleet = Fleet::spread(&[20, 35, 28, 22]);
    assert!(fleet.settled().is_empty());
    assert!(!fleet.memory.waits());
    assert!(
        Fleet::spread(&[500]).settled().is_empty(),
        "nobody to compare with"
    );
}

#[test]
fn what_lies_below_the_laws_floor_is_not_late() {
    // 40 × as late, but by 39 ms of a service whose typical request takes 100 ms.
    assert!(Fleet::spread(&[1, 1, 40]).settled().is_empty());
    assert_eq!(Fleet::spread(&[1, 1, 52]).settled(), ["web-2"]);
}

#[test]
fn the_ratio_is_the_policys() {
    let mut gentle = Fleet::spread(&[50, 50, 500]);
    gentle.policy.isolation.latency_ratio_milli = 16_000;
    assert!(gentle.settled().is_empty());
    assert_eq!(Fleet::spread(&[50, 50, 500]).settled(), ["web-2"]);
}

#[test]
fn a_slowness_that_all_share_names_nobody_while_the_news_comes_in() {
    let mut fleet = Fleet::spread(&[20, 20, 20]);
    fleet
        .heard
        .values_mut()
        .for_each(|at| *at = NOW - Duration::from_secs(1));
    for (index, at) in [(0, 0), (1, 3), (2, 4)] {
        let at = NOW + Duration::from_secs(at);
        fleet.tell(index, 500, at);
        assert!(fleet.named(at).is_empty());
        assert!(fleet.named(at + Duration::from_millis(900)).is_empty());
    }
    assert!(fleet.named(NOW + Duration::from_secs(60)).is_empty());
}

#[test]
fn it_waits_for_those_that_may_not_speak_yet_and_no_longer() {
    let mut fleet = Fleet::spread(&[20, 20, 500]);
    fleet.heard.insert("node-0".into(), NOW - Duration::from_secs(1));
    assert!(fleet.named(NOW).is_empty());
    assert!(fleet.memory.waits());
    let free = NOW + SPACING - Duration::from_secs(1) + ON_THE_WAY;
    assert!(fleet.named(free - Duration::from_millis(1)).is_empty());
    assert_eq!(fleet.named(free), ["web-2"]);
    // Whoever has spoken since need not be waited for.
    let mut told = Fleet::spread(&[20, 20, 500]);
    told.named(NOW);
    let spoken = NOW + ON_THE_WAY;
    told.heard.values_mut().for_each(|at| *at = spoken);
    assert_eq!(told.named(spoken), ["web-2"]);
}

#[test]
fn it_stays_named_until_it_is_as_near_as_a_return_asks_for() {
    let mut fleet = Fleet::spread(&[50, 50, 500]);
    assert_eq!(fleet.settled(), ["web-2"]);
    let mut later = NOW + Duration::from_secs(10);
    for (millis, named) in [(300, true), (420, true), (160, true), (140, false), (300, false)] {
        fleet.tell(2, millis, later);
        later += Duration::from_secs(30);
        fleet.named(later);
        later += Duration::from_secs(30);
        assert_eq!(!fleet.named(later).is_empty(), named, "{millis} ms");
    }
}

#[test]
fn a_new_operator_goes_on_with_what_is_stored() {
    let mut fleet = Fleet::spread(&[50, 50, 300]);
    assert!(fleet.settled().is_empty());
    fleet.memory = Memory::default();
    fleet.stored = vec!["10.0.0.2:80".into(), "10.9.9.9:80".into()];
    assert_eq!(fleet.named(NOW), ["web-2"]);
}

#[test]
fn a_node_that_is_no_longer_heard_takes_its_backend_along() {
    let mut fleet = Fleet::spread(&[20, 20, 500]);
    assert_eq!(fleet.settled(), ["web-2"]);
    // Reports that are not fresh never come here.
    fleet.nodes.pop();
    assert!(fleet.settled().is_empty());
}

#[test]
fn a_backend_that_its_own_node_names_is_not_named_twice_nor_compared_with() {
    let mut fleet = Fleet::spread(&[20, 500]);
    let (_, report) = &mut fleet.nodes[1];
    report.would_have = Some(WouldHave {
        isolated: vec!["10.0.0.1:80".into()],
        ..WouldHave::default()
    });
    assert!(fleet.settled().is_empty());
}

#[test]
fn only_the_word_of_a_backends_own_node_counts() {
    let mut fleet = Fleet::spread(&[20, 20]);
    let hearsay = pod("node-7", 7, 900);
    fleet.nodes[0].1.backends.push(hearsay);
    fleet.ready = 3;
    assert!(fleet.settled().is_empty());
    let mut enforced = Fleet::spread(&[20, 500]);
    enforced.nodes[1].1.mode = Mode::Enforce;
    assert!(enforced.settled().is_empty());
}

#[test]
fn a_backend_whose_answers_are_too_few_to_tell_is_no_peer_and_no_outlier() {
    assert!(Fleet::spread(&[0, 500]).settled().is_empty());
    assert!(Fleet::spread(&[0, 20, 20]).settled().is_empty());
}

#[test]
fn a_pod_of_both_families_is_one_outlier_and_compared_within_each() {
    let mut fleet = Fleet::spread(&[20, 20, 500]);
    for (_, report) in &mut fleet.nodes {
        let mut six = report.backends[0].clone();
        six.address = format!("[fd00::{}]:80", six.pod.trim_start_matches("web-"));
        report.backends.push(six);
    }
    fleet.named(NOW);
    let outliers = fleet.outliers(NOW + ON_THE_WAY);
    assert_eq!((outliers.len(), &*outliers[0].address), (1, "10.0.0.2:80"));
}

#[test]
fn no_more_are_named_than_may_be_isolated_and_none_where_isolation_is_off() {
    // Three of eight are late, and two of eight may go.
    let medians = [20, 20, 20, 20, 20, 900, 700, 800];
    let mut fleet = Fleet::spread(&medians);
    fleet.policy.isolation.max_permille = 250;
    assert_eq!(fleet.settled(), ["web-5", "web-7"]);
    let mut off = Fleet::spread(&medians);
    off.policy.isolation.enabled = false;
    assert!(off.settled().is_empty());
    // Where most are late it is not them.
    assert!(Fleet::spread(&[20, 900, 30_000]).settled().is_empty());
}
