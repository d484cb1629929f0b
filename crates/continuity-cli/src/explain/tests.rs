//! Golden screens: the text a person sees in each situation that matters.

use super::*;

mod story;
use continuity_api::node::{
    BackendReport, BackendState, DataplaneState, DemandReport, FailsafeState, Regime, SetReport,
};
use continuity_api::policy::Mode;
use continuity_api::set::{BackendCounts, EquivalenceSetStatus, HintStatus, NodeCounts, WouldHaveStatus};
use continuity_api::target::{PolicyIdentity, PortIdentity, ServiceIdentity};
use continuity_api::timeline::TimelineEntry;
use continuity_api::{
    ContinuityPolicy, ContinuityPolicySpec, EquivalencePlan, EquivalencePlanSpec, EquivalenceSet,
    EquivalenceSetSpec, EquivalenceTimelineSpec, Time, compile, set_name,
};

const SINCE: &str = "2026-11-21T12:04:31Z";
const ISOLATED: &str = "2026-11-21T12:04:32Z";

fn clock() -> Clock {
    Clock {
        now: "2026-11-21T12:05:13Z".parse().expect("a time"),
        zone: TimeZone::UTC,
    }
}

fn time(text: &str) -> Option<Time> {
    Some(Time(text.parse().expect("a time")))
}

/// shop/checkout, port http, five backends on three nodes, all well.
fn calm(mode: Mode) -> Facts {
    let name = set_name("checkout", "http");
    let spec = ContinuityPolicySpec {
        mode,
        ..Default::default()
    };
    let plan = plan(&name, &spec);
    let spec_of_set = EquivalenceSetSpec {
        service: plan.spec.service.clone(),
        port: plan.spec.port.clone(),
        policy: plan.spec.policy.clone(),
        mode,
        ..Default::default()
    };
    let mut set = EquivalenceSet::new(&name, spec_of_set);
    set.metadata.namespace = Some("shop".into());
    set.status = Some(calm_status());
    let mut policy = ContinuityPolicy::new("checkout", spec);
    policy.metadata.generation = Some(1);
    let nodes = (1..=3)
        .map(|index| node(&format!("node-{index}"), &name))
        .collect();
    Facts {
        set,
        plan: Some(plan),
        policy: Some(policy),
        timeline: None,
        nodes,
        blind: None,
    }
}

fn calm_status() -> EquivalenceSetStatus {
    let mut status = EquivalenceSetStatus {
        observed_generation: Some(1),
        regime_since: time(SINCE),
        ..Default::default()
    };
    status.nodes = NodeCounts {
        reporting: 3,
        programmed: 3,
        total: 3,
        laminar: 3,
        ..NodeCounts::default()
    };
    status.backends = BackendCounts {
        ready: 5,
        total: 5,
        summary: "5/5".into(),
        ..BackendCounts::default()
    };
    status.traffic.offered_milli_per_second = 500_000;
    status.traffic.p50_micros = 21_300;
    status.traffic.p99_micros = 71_000;
    status
}

/// The plan with constants of its own, so that the screens do not change with the law's.
fn plan(name: &str, policy: &ContinuityPolicySpec) -> EquivalencePlan {
    let mut spec = EquivalencePlanSpec {
        service: ServiceIdentity {
            name: "checkout".into(),
            uid: "u".into(),
        },
        port: PortIdentity {
            name: Some("http".into()),
            number: 80,
            label: "http".into(),
            ..PortIdentity::default()
        },
        policy: PolicyIdentity {
            name: "checkout".into(),
            uid: "p".into(),
            generation: 1,
        },
        stable: compile(policy),
        ..Default::default()
    };
    let isolation = &mut spec.stable.isolation;
    isolation.latency_ratio_milli = 8_000;
    isolation.evidence_ticks = 3;
    isolation.window_ticks = 5;
    isolation.consecutive_failures = 5;
    isolation.return_start_permille = 20;
    isolation.drip_per_million = 500;
    spec.advice.active_nodes = 3;
    spec.advice.offered_milli_per_second = 500_000;
    EquivalencePlan::new(name, spec)
}

fn node(name: &str, set: &str) -> NodeView {
    let report = SetReport {
        namespace: "shop".into(),
        set: set.into(),
        offered_milli_per_second: 166_000,
        demand: DemandReport {
            calm_micros: 21_000,
            ..DemandReport::default()
        },
        ..SetReport::default()
    };
    NodeView {
        name: name.into(),
        dataplane: DataplaneState::Attached,
        report: Some(report),
        ..NodeView::default()
    }
}

/// The design's own example: one backend answers in 512 ms.
fn gray(mode: Mode) -> Facts {
    let mut facts = calm(mode);
    let backend = BackendReport {
        address: "10.244.2.7:8080".into(),
        pod: "checkout-5d9f-x7k".into(),
        node: "node-2".into(),
        share_ppm: 300,
        state: BackendState::Isolated,
        reason: "answers in 512 ms, its peers in 21 ms: 24 × for 3 of 5 ticks".into(),
        since: time(ISOLATED),
        keep_alive: 4,
        ..BackendReport::default()
    };
    for node in &mut facts.nodes {
        if let Some(report) = &mut node.report {
            report.backends = vec![backend.clone()];
        }
    }
    if let Some(status) = &mut facts.set.status {
        status.regime = Regime::Transition;
        status.nodes = NodeCounts {
            transition: 3,
            laminar: 0,
            ..status.nodes
        };
        status.traffic.p99_micros = 74_000;
    }
    facts
}

fn screen(facts: &Facts) -> String {
    text(&vec![account(facts, &clock())])
}

fn status(facts: &mut Facts) -> &mut EquivalenceSetStatus {
    facts.set.status.as_mut().expect("a status")
}

#[test]
fn a_gray_backend_is_told_with_its_figures() {
    assert_eq!(
        screen(&gray(Mode::Enforce)),
        "\
checkout http   shop/checkout:80   Transition since 12:04:31 (42 s)   3 of 3 nodes agree
  why    10.244.2.7:8080 (checkout-5d9f-x7k, node-2) answers in 512 ms, its peers in 21 ms: 24 × for 3 of 5 ticks
  did    12:04:32  isolated it: share of new connections 20.0 % → 0.03 %; the other 4 20.0 % → 25.0 %
  now    p50 21 ms (21 ms when last calm), p99 74 ms, 500/s new connections, 0/s failed
         12 keep-alive connections still on it, out of our reach
  next   one real connection every 12 s a node tests it; one good answer starts its return, about 6 s to full share
  you    kubectl describe pod checkout-5d9f-x7k -n shop
"
    );
}

#[test]
fn a_calm_set_says_what_would_make_it_act() {
    assert_eq!(
        screen(&calm(Mode::Enforce)),
        "\
checkout http   shop/checkout:80   Laminar since 12:04:31 (42 s)   3 of 3 nodes agree
  why    nothing is wrong: 5 backends answer alike
  did    nothing: each of 5 backends has about 20.0 % of new connections
  now    p50 21 ms (21 ms when last calm), p99 71 ms, 500/s new connections, 0/s failed
  next   isolates a backend that answers 8.0 × later than its peers for 3 of 5 ticks, or fails 5 times in a row
  you    nothing to do
"
    );
}

#[test]
fn observe_says_what_enforce_would_have_done_and_how_to_let_it() {
    let mut facts = calm(Mode::Observe);
    status(&mut facts).would_have = Some(WouldHaveStatus {
        regime: Regime::Transition,
        isolated: vec!["10.244.2.7:8080".into()],
        nodes: 1,
        message: "10.244.2.7:8080 answers in 512 ms, its peers in 21 ms".into(),
    });
    let screen = screen(&facts);
    for line in [
        "  why    1 of 5 backends stands out beside its peers\n",
        "   Observe: nothing is touched\n",
        "  did    nothing; Enforce would have isolated 10.244.2.7:8080 on 1 node\n",
        "         10.244.2.7:8080 answers in 512 ms, its peers in 21 ms\n",
        "  next   goes on measuring; no connection is touched\n",
        "  you    set spec.mode: Enforce in ContinuityPolicy checkout to let it act\n",
    ] {
        assert!(screen.contains(line), "missing {line:?} in\n{screen}");
    }
}

#[test]
fn a_quiet_service_is_told_the_laws_longest_wait() {
    let mut facts = gray(Mode::Enforce);
    if let Some(plan) = &mut facts.plan {
        plan.spec.advice.offered_milli_per_second = 340;
    }
    let screen = screen(&facts);
    assert!(
        screen.contains("one real connection every 60 s a node tests it"),
        "{screen}"
    );
}

#[test]
fn a_pod_of_two_families_is_one_trouble() {
    let mut facts = gray(Mode::Enforce);
    let nodes = facts.nodes.iter_mut().filter_map(|node| node.report.as_mut());
    for report in nodes.take(1) {
        let mut second = report.backends[0].clone();
        second.address = "[fd00:10:244:2::7]:8080".into();
        second.keep_alive = 1;
        report.backends.push(second);
    }
    let screen = screen(&facts);
    let why = "why    10.244.2.7:8080 and [fd00:10:244:2::7]:8080 (checkout-5d9f-x7k, node-2) answers";
    assert!(screen.contains(why), "{screen}");
    assert!(
        screen.contains("isolated it: share of new connections 20.0 % → 0.03 %; the other 4 20.0 % → 25.0 %"),
        "{screen}"
    );
    assert!(
        screen.contains("13 keep-alive connections still on it"),
        "{screen}"
    );
    assert_eq!(screen.matches("kubectl describe pod").count(), 1, "{screen}");
}

#[test]
fn a_returning_backend_shows_how_far_it_is() {
    let mut facts = gray(Mode::Enforce);
    for report in facts.nodes.iter_mut().filter_map(|node| node.report.as_mut()) {
        for backend in &mut report.backends {
            backend.state = BackendState::Returning;
            backend.share_ppm = 78_125;
        }
    }
    let screen = screen(&facts);
    assert!(
        screen.contains("lets it return: 7.8 % of new connections by now, 20.0 % is its part"),
        "{screen}"
    );
    assert!(
        screen.contains("a returning share doubles about every second until it is 20.0 %"),
        "{screen}"
    );
}

#[test]
fn nodes_that_disagree_are_counted() {
    let mut facts = gray(Mode::Enforce);
    if let Some(report) = facts.nodes.get_mut(2).and_then(|node| node.report.as_mut()) {
        report.backends.clear();
    }
    let nodes = &mut status(&mut facts).nodes;
    (nodes.transition, nodes.laminar) = (2, 1);
    let screen = screen(&facts);
    assert!(screen.contains("2 of 3 nodes agree"), "{screen}");
    assert!(screen.contains("isolated it on 2 of 3 nodes"), "{screen}");
}

#[test]
fn without_the_right_to_read_nodes_the_sets_own_status_speaks() {
    let mut facts = gray(Mode::Enforce);
    facts.nodes.clear();
    facts.blind = Some("you may not read continuitynodes; figures per node are missing".into());
    status(&mut facts).isolated = vec![continuity_api::set::IsolatedBackend {
        address: "10.244.2.7:8080".into(),
        pod: "checkout-5d9f-x7k".into(),
        reason: "answers in 512 ms".into(),
        since: time(ISOLATED),
        agreeing_nodes: 3,
        reporting_nodes: 3,
        ..Default::default()
    }];
    let screen = screen(&facts);
    assert!(
        screen.contains("why    10.244.2.7:8080 (checkout-5d9f-x7k) answers in 512 ms\n"),
        "{screen}"
    );
    assert!(screen.contains("did    12:04:32  isolated it\n"), "{screen}");
    assert!(
        screen.contains("note   you may not read continuitynodes"),
        "{screen}"
    );
}

#[test]
fn a_service_without_backends_says_what_clients_get() {
    let mut facts = calm(Mode::Enforce);
    status(&mut facts).backends.ready = 0;
    let screen = screen(&facts);
    assert!(
        screen.contains("why    the Service has no ready backend (0 of 5): clients get ECONNREFUSED\n"),
        "{screen}"
    );
    assert!(
        screen.contains("you    kubectl get endpointslices -n shop -l kubernetes.io/service-name=checkout\n"),
        "{screen}"
    );
}

#[test]
fn a_surge_points_at_the_hint() {
    let mut facts = calm(Mode::Enforce);
    let status = status(&mut facts);
    status.regime = Regime::Crisis;
    status.reason = "answers take 3.1 × the calm time everywhere".into();
    status.scale_hint = Some(HintStatus {
        desired_replicas: 9,
        current_replicas: 5,
        summary: "5→9".into(),
        message: "880/s need 9 replicas of 110/s each".into(),
        ..HintStatus::default()
    });
    let screen = screen(&facts);
    assert!(
        screen.contains("why    answers take 3.1 × the calm time everywhere\n"),
        "{screen}"
    );
    assert!(
        screen.contains("scale hint 5→9: 880/s need 9 replicas of 110/s each"),
        "{screen}"
    );
    assert!(
        screen.contains("you    let an autoscaler follow the hint, or scale the workload to 9 replicas\n"),
        "{screen}"
    );
}

#[test]
fn what_limits_the_protection_is_said_even_when_all_is_well() {
    let mut facts = calm(Mode::Enforce);
    facts.nodes[1].failsafe = FailsafeState::Fallback;
    status(&mut facts).reach.permille = Some(310);
    status(&mut facts).nodes.programmed = 2;
    if let Some(policy) = &mut facts.policy {
        policy.metadata.generation = Some(2);
    }
    let screen = screen(&facts);
    for line in [
        "generation 2 of ContinuityPolicy checkout is not compiled yet; 1 is in force",
        "2 of 3 nodes run the present plan",
        "node-2: the agent is silent, kube-proxy serves",
        "only 31 % of new connections pass our hook",
    ] {
        assert!(screen.contains(line), "missing {line:?} in\n{screen}");
    }
}

#[test]
fn a_hundred_sick_backends_still_fit_on_one_screen() {
    let mut facts = gray(Mode::Enforce);
    for report in facts.nodes.iter_mut().filter_map(|node| node.report.as_mut()) {
        let one = report.backends[0].clone();
        report.backends = (0..100)
            .map(|index| BackendReport {
                address: format!("10.244.2.{index}:8080"),
                pod: format!("checkout-{index}"),
                ..one.clone()
            })
            .collect();
    }
    let screen = screen(&facts);
    assert!(screen.lines().count() <= 24, "{screen}");
    assert!(screen.contains("and 96 more"), "{screen}");
}

#[test]
fn targets_are_read_as_kubectl_reads_them() {
    let service = |name: &str, port: Option<&str>| Target::Service {
        name: name.into(),
        port: port.map(str::to_owned),
    };
    assert_eq!(
        "svc/checkout".parse::<Target>().expect("a target"),
        service("checkout", None)
    );
    assert_eq!(
        "service/checkout:http".parse::<Target>().expect("a target"),
        service("checkout", Some("http"))
    );
    assert_eq!(
        "checkout-http-7f3ac".parse::<Target>().expect("a target"),
        Target::Set("checkout-http-7f3ac".into())
    );
    for (text, target) in [
        ("policy/checkout", Target::Policy("checkout".into())),
        ("node/node-1", Target::Node("node-1".into())),
    ] {
        assert_eq!(text.parse::<Target>().expect("a target"), target);
    }
    for wrong in ["", "svc/", "pod/x", "svc/a/b", "node/"] {
        assert!(wrong.parse::<Target>().is_err(), "{wrong}");
    }
}

fn entry(at: &str, what: &str, subject: &str, cause: &str, action: &str) -> TimelineEntry {
    TimelineEntry {
        at: time(at).expect("a time"),
        what: what.into(),
        subject: subject.into(),
        cause: cause.into(),
        action: action.into(),
    }
}

#[test]
fn what_happened_is_told_with_cause_and_action_and_leads_on_when_all_is_calm_again() {
    let mut facts = calm(Mode::Enforce);
    let subject = "10.244.2.7:8080 (checkout-x7k, node-2)";
    facts.timeline = Some(EquivalenceTimelineSpec {
        entries: vec![
            entry("2026-11-19T08:00:00Z", "RegimeWorsened", "", "too long ago", ""),
            entry(
                "2026-11-21T11:50:01Z",
                "BackendIsolated",
                subject,
                "answers in 512 ms",
                "taken out",
            ),
            entry(
                "2026-11-21T11:55:00Z",
                "BackendReturned",
                "10.244.2.7:8080",
                "it answered its tests",
                "",
            ),
        ],
        ..EquivalenceTimelineSpec::default()
    });
    let account = account(&facts, &clock());
    assert_eq!(
        account.past,
        [
            "11:50:01  BackendIsolated 10.244.2.7:8080 (checkout-x7k, node-2): answers in 512 ms – taken out",
            "11:55:00  BackendReturned 10.244.2.7:8080: it answered its tests",
        ]
    );
    assert!(
        account.you[0].starts_with("kubectl logs checkout-x7k -n shop --since-time=2026-11-21T11:50:01Z"),
        "{:?}",
        account.you
    );
}

#[test]
fn a_long_past_is_cut_to_its_end_and_says_where_the_rest_is() {
    let mut facts = calm(Mode::Enforce);
    let entries = (10..30).map(|minute| {
        entry(
            &format!("2026-11-21T11:{minute}:00Z"),
            "ScaleHintChanged",
            "",
            "",
            "",
        )
    });
    facts.timeline = Some(EquivalenceTimelineSpec {
        entries: entries.collect(),
        ..EquivalenceTimelineSpec::default()
    });
    let past = account(&facts, &clock()).past;
    assert_eq!(past.len(), 7);
    assert!(
        past[0].starts_with("and 14 before: kubectl get eqt checkout-http-"),
        "{past:?}"
    );
    assert_eq!(past[6], "11:29:00  ScaleHintChanged");
}

#[test]
fn a_snapshot_explains_what_the_cluster_would_have_at_its_moment() {
    let live = gray(Mode::Enforce);
    let mut plan = live.plan.clone().expect("a plan");
    plan.metadata.namespace = Some("shop".into());
    let mut policy = live.policy.clone().expect("a policy");
    policy.metadata.namespace = Some("shop".into());
    let snapshot = crate::snapshot::Snapshot {
        form: crate::snapshot::FORM,
        sets: vec![live.set.clone()],
        plans: vec![plan],
        policies: vec![policy],
        ..Default::default()
    };
    let text = serde_json::to_vec(&snapshot).expect("JSON");
    let read: crate::snapshot::Snapshot = serde_json::from_slice(&text).expect("a snapshot");
    let offline = from_snapshot(read.clone(), "shop", "svc/checkout:http", &clock()).expect("an account");
    let there = account(
        &Facts {
            nodes: Vec::new(),
            ..live
        },
        &clock(),
    );
    assert_eq!(offline, Answer::Sets(vec![there]));
    let elsewhere = from_snapshot(read, "default", "svc/checkout", &clock()).expect_err("no such set");
    assert!(elsewhere.to_string().contains("pass -n NAMESPACE"), "{elsewhere}");
}

#[test]
fn a_backend_that_will_fail_is_told_before_it_does_with_its_time_and_what_to_do() {
    let mut facts = calm(Mode::Enforce);
    let now = clock().now;
    let at = |seconds: i64| {
        Some(continuity_api::Time(
            now + jiff::SignedDuration::from_secs(seconds),
        ))
    };
    status(&mut facts).warnings = vec![continuity_api::set::BackendWarning {
        address: "10.244.2.7:8080".into(),
        pod: "checkout-5d9f-x7k".into(),
        node: "node-2".into(),
        resource: "pod-memory".into(),
        message:
            "its memory grows by 2 MiB a second; at this rate 300 MiB of 512 MiB are used up in about 150 s"
                .into(),
        since: at(-20),
        expected: at(130),
    }];
    let screen = screen(&facts);
    for part in [
        "why    10.244.2.7:8080 (checkout-5d9f-x7k, node-2) carries still; since ",
        "its memory grows by 2 MiB a second",
        "at this rate checkout-5d9f-x7k is killed in about 2 min 10 s",
        "kubectl delete pod checkout-5d9f-x7k -n shop",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(
        !screen.contains("nothing is wrong") && !screen.contains("nothing to do"),
        "{screen}"
    );
}
