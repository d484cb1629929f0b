//! `explain` for every fault of the demo: objects as they stood at its worst moment, and what each row must say of them.
//!
//! Sentences, shares and counts of the objects are those that a run of the demo wrote into its report. What is asserted is
//! what a person needs: the sick pod with its figures, what was done about it, how it stands, what comes by itself, and a
//! command; all of it on one screen.

#![allow(
    clippy::expect_used,
    reason = "fixed times in a test; a wrong one should end it"
)]

use continuity_api::node::{
    BackendReport, BackendState, DataplaneState, FailsafeState, NEW_BACKEND, Regime, SetReport,
};
use continuity_api::policy::Mode;
use continuity_api::set::{BackendCounts, EquivalenceSetStatus, HintStatus, NodeCounts};
use continuity_api::target::{PolicyIdentity, PortIdentity, ServiceIdentity};
use continuity_api::{
    ContinuityPolicy, ContinuityPolicySpec, EquivalencePlan, EquivalencePlanSpec, EquivalenceSet,
    EquivalenceSetSpec, Time, compile, set_name,
};
use continuity_cli::explain::{Clock, Facts, NodeView, account, text};
use jiff::tz::TimeZone;

/// A screen of 24 lines holds an account and the prompt.
const LINES: usize = 23;

/// One backend that is not plainly in rotation.
struct Trouble {
    address: &'static str,
    pod: &'static str,
    state: BackendState,
    reason: &'static str,
    share_ppm: i32,
    keep_alive: i64,
}

/// What stood in the API, and what the rows must hold.
struct Fault {
    name: &'static str,
    regime: Regime,
    reason: &'static str,
    troubles: Vec<Trouble>,
    hint: Option<(i32, i32, &'static str)>,
    failsafe: FailsafeState,
    rows: &'static [(&'static str, &'static str)],
    /// What would be wrong to say.
    never: &'static [&'static str],
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            name: "",
            regime: Regime::Transition,
            reason: "",
            troubles: Vec::new(),
            hint: None,
            failsafe: FailsafeState::Normal,
            rows: &[],
            never: &[],
        }
    }
}

fn out(address: &'static str, pod: &'static str, reason: &'static str) -> Trouble {
    Trouble {
        address,
        pod,
        state: BackendState::Isolated,
        reason,
        share_ppm: 400,
        keep_alive: 0,
    }
}

const GRAY: &str = "answers in 586 ms, its peers in 26 ms: 22 × for 1 of 5 ticks";
const ONE: &str = "10.244.2.5:8080";
const ONE_POD: &str = "checkout-b6d779d8-2qm4r";

fn steered() -> Vec<Fault> {
    vec![
        Fault {
            name: "gray",
            troubles: vec![
                Trouble {
                    keep_alive: 2,
                    ..out(ONE, ONE_POD, GRAY)
                },
                out("[fd00:10:244:2::5]:8080", ONE_POD, GRAY),
            ],
            rows: &[
                (
                    "why",
                    "10.244.2.5:8080 and [fd00:10:244:2::5]:8080 (checkout-b6d779d8-2qm4r, node-2) answers in 586 ms, its peers in 26 ms: 22 ×",
                ),
                (
                    "did",
                    "14:37:14  isolated it: share of new connections 20.0 % → 0.04 %; the other 4 20.0 % → 25.0 %",
                ),
                ("now", "p99 540 ms"),
                ("now", "6 keep-alive connections still on it, out of our reach"),
                (
                    "next",
                    "one real connection every 12 s a node tests it; one good answer starts its return",
                ),
                ("you", "kubectl describe pod checkout-b6d779d8-2qm4r -n shop"),
            ],
            ..Fault::default()
        },
        Fault {
            name: "fast-fail",
            troubles: vec![out(
                "10.244.1.7:8080",
                "checkout-b6d779d8-cvgvc",
                "failed 3 connections in a row",
            )],
            rows: &[
                (
                    "why",
                    "(checkout-b6d779d8-cvgvc, node-2) failed 3 connections in a row",
                ),
                ("did", "isolated it"),
                ("next", "tests it"),
                ("you", "kubectl describe pod checkout-b6d779d8-cvgvc -n shop"),
            ],
            ..Fault::default()
        },
        Fault {
            name: "refused",
            troubles: vec![out(
                "10.244.2.7:8080",
                "checkout-b6d779d8-jrw6d",
                "failed a connection while all others were well",
            )],
            rows: &[
                ("why", "failed a connection while all others were well"),
                ("did", "isolated it"),
                ("you", "kubectl describe pod checkout-b6d779d8-jrw6d -n shop"),
            ],
            ..Fault::default()
        },
        Fault {
            name: "hang",
            troubles: vec![out(
                "10.244.3.3:8080",
                "checkout-b6d779d8-qwz2j",
                "leaves 2 requests without an answer, the oldest for 554 ms; its peers answer within 429 ms",
            )],
            rows: &[
                (
                    "why",
                    "leaves 2 requests without an answer, the oldest for 554 ms; its peers answer within 429 ms",
                ),
                ("did", "isolated it"),
                ("you", "kubectl describe pod checkout-b6d779d8-qwz2j -n shop"),
            ],
            ..Fault::default()
        },
        Fault {
            name: "two-gray",
            troubles: vec![
                out(ONE, ONE_POD, GRAY),
                out(
                    "10.244.1.7:8080",
                    "checkout-b6d779d8-cvgvc",
                    "answers in 560 ms, its peers in 31 ms: 18 × for 1 of 5 ticks",
                ),
            ],
            rows: &[
                (
                    "why",
                    "10.244.1.7:8080 (checkout-b6d779d8-cvgvc, node-2) answers in 560 ms",
                ),
                (
                    "did",
                    "isolated 10.244.2.5:8080: share of new connections 20.0 % → 0.04 %; the other 3 20.0 % → 33.3 %",
                ),
                ("you", "kubectl describe pod checkout-b6d779d8-cvgvc -n shop"),
                ("you", "kubectl describe pod checkout-b6d779d8-2qm4r -n shop"),
            ],
            ..Fault::default()
        },
        Fault {
            name: "alternate, on its way back",
            troubles: vec![Trouble {
                state: BackendState::Returning,
                share_ppm: 56_000,
                ..out(
                    "10.244.2.7:8080",
                    "checkout-b6d779d8-jrw6d",
                    "answered in 27 ms after 8 s out of rotation: its share doubles every second",
                )
            }],
            rows: &[
                ("why", "answered in 27 ms"),
                (
                    "did",
                    "lets it return: 5.6 % of new connections by now, 20.0 % is its part",
                ),
                (
                    "next",
                    "a returning share doubles about every second until it is 20.0 %",
                ),
            ],
            ..Fault::default()
        },
    ]
}

fn others() -> Vec<Fault> {
    let young = |address, pod, share_ppm| Trouble {
        state: BackendState::Returning,
        share_ppm,
        ..out(address, pod, NEW_BACKEND)
    };
    vec![
        Fault {
            name: "rolling update during a gray fault",
            troubles: vec![
                out(
                    "10.244.3.9:8080",
                    "checkout-588cdb9c76-2p688",
                    "answers in 552 ms, its peers in 29 ms: 18 × for 1 of 5 ticks",
                ),
                young("10.244.2.13:8080", "checkout-588cdb9c76-4q8bp", 120_000),
            ],
            rows: &[
                (
                    "why",
                    "10.244.3.9:8080 (checkout-588cdb9c76-2p688, node-2) answers in 552 ms",
                ),
                ("did", "isolated it"),
                (
                    "did",
                    "lets 10.244.2.13:8080, which is new, grow: 12.0 % of new connections by now, 20.0 % is its part",
                ),
                ("next", "a new backend has its full share 30 s after it came"),
                ("you", "kubectl describe pod checkout-588cdb9c76-2p688 -n shop"),
            ],
            never: &[
                "describe pod checkout-588cdb9c76-4q8bp",
                "10.244.2.13:8080 return",
            ],
            ..Fault::default()
        },
        Fault {
            name: "surge",
            regime: Regime::Crisis,
            reason: "p99 of 320 ms is beyond the objective of 250 ms: crisis",
            troubles: vec![
                young("10.244.1.14:8080", "surge-678476cbfb-zb5vr", 94_000),
                young("10.244.2.14:8080", "surge-678476cbfb-hrw4n", 90_000),
            ],
            hint: Some((5, 12, "14 would be needed; maxReplicas holds")),
            rows: &[
                ("why", "p99 of 320 ms is beyond the objective of 250 ms"),
                (
                    "did",
                    "lets 2 new backends grow: 9.2 % of new connections each by now, 20.0 % is their part",
                ),
                ("now", "scale hint 5→12: 14 would be needed; maxReplicas holds"),
                ("next", "a new backend has its full share 30 s after it came"),
                (
                    "you",
                    "let an autoscaler follow the hint, or scale the workload to 12 replicas",
                ),
            ],
            never: &[
                "describe pod",
                "out of our reach",
                "is new: its share still grows",
            ],
            ..Fault::default()
        },
        Fault {
            name: "agent killed and kept away",
            regime: Regime::Laminar,
            failsafe: FailsafeState::Fallback,
            rows: &[
                ("why", "nothing is wrong: 5 backends answer alike"),
                (
                    "did",
                    "nothing: each of 5 backends has about 20.0 % of new connections",
                ),
                ("note", "node-1: the agent is silent, kube-proxy serves"),
                ("you", "nothing to do"),
            ],
            ..Fault::default()
        },
        Fault {
            name: "none",
            regime: Regime::Laminar,
            rows: &[
                ("why", "nothing is wrong: 5 backends answer alike"),
                ("did", "nothing"),
                ("now", "500/s new connections, 0/s failed"),
                ("next", "isolates a backend that answers"),
                ("you", "nothing to do"),
            ],
            ..Fault::default()
        },
    ]
}

fn time(text: &str) -> Option<Time> {
    Some(Time(text.parse().expect("a time")))
}

fn facts(fault: &Fault) -> Facts {
    let name = set_name("checkout", "http");
    let spec = ContinuityPolicySpec {
        mode: Mode::Enforce,
        ..ContinuityPolicySpec::default()
    };
    let service = ServiceIdentity {
        name: "checkout".into(),
        uid: "u".into(),
    };
    let port = PortIdentity {
        name: Some("http".into()),
        number: 80,
        label: "http".into(),
        ..PortIdentity::default()
    };
    let policy = PolicyIdentity {
        name: "checkout".into(),
        uid: "p".into(),
        generation: 1,
    };
    let mut plan = EquivalencePlanSpec {
        service: service.clone(),
        port: port.clone(),
        policy: policy.clone(),
        stable: compile(&spec),
        ..EquivalencePlanSpec::default()
    };
    plan.advice.active_nodes = 3;
    plan.advice.offered_milli_per_second = 500_000;
    let set = EquivalenceSetSpec {
        service,
        port,
        policy,
        mode: Mode::Enforce,
        ..EquivalenceSetSpec::default()
    };
    let mut set = EquivalenceSet::new(&name, set);
    set.metadata.namespace = Some("shop".into());
    set.status = Some(status(fault));
    let mut policy = ContinuityPolicy::new("checkout", spec);
    policy.metadata.generation = Some(1);
    Facts {
        set,
        plan: Some(EquivalencePlan::new(&name, plan)),
        policy: Some(policy),
        timeline: None,
        nodes: (1..=3).map(|index| node(index, &name, fault)).collect(),
        blind: None,
    }
}

fn status(fault: &Fault) -> EquivalenceSetStatus {
    let mut status = EquivalenceSetStatus {
        observed_generation: Some(1),
        regime: fault.regime,
        regime_since: time("2026-11-21T14:37:14Z"),
        reason: fault.reason.to_owned(),
        nodes: NodeCounts {
            reporting: 3,
            programmed: 3,
            total: 3,
            laminar: if fault.regime == Regime::Laminar { 3 } else { 0 },
            transition: if fault.regime == Regime::Transition { 3 } else { 0 },
            crisis: if fault.regime == Regime::Crisis { 3 } else { 0 },
            ..NodeCounts::default()
        },
        backends: BackendCounts {
            ready: 5,
            total: 5,
            summary: "5/5".into(),
            ..BackendCounts::default()
        },
        ..EquivalenceSetStatus::default()
    };
    status.traffic.offered_milli_per_second = 500_000;
    status.traffic.p50_micros = 29_000;
    status.traffic.p99_micros = 540_000;
    status.scale_hint = fault.hint.map(|(current, desired, message)| HintStatus {
        current_replicas: current,
        desired_replicas: desired,
        summary: format!("{current}→{desired}"),
        message: message.to_owned(),
        ..HintStatus::default()
    });
    status
}

fn node(index: u8, set: &str, fault: &Fault) -> NodeView {
    let backends = fault.troubles.iter().map(|trouble| BackendReport {
        address: trouble.address.to_owned(),
        pod: trouble.pod.to_owned(),
        node: "node-2".to_owned(),
        share_ppm: trouble.share_ppm,
        state: trouble.state,
        reason: trouble.reason.to_owned(),
        since: time("2026-11-21T14:37:14Z"),
        keep_alive: trouble.keep_alive,
        ..BackendReport::default()
    });
    NodeView {
        name: format!("node-{index}"),
        dataplane: DataplaneState::Attached,
        failsafe: if index == 1 {
            fault.failsafe
        } else {
            FailsafeState::Normal
        },
        report: Some(SetReport {
            namespace: "shop".into(),
            set: set.to_owned(),
            offered_milli_per_second: 166_000,
            backends: backends.collect(),
            ..SetReport::default()
        }),
    }
}

/// Lines of a row: the one with its name and those below it without one.
fn row(screen: &str, name: &str) -> String {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in screen.lines().skip(1) {
        let head = line.get(2..9).unwrap_or_default().trim();
        if !head.is_empty() {
            inside = head == name;
        }
        if inside {
            lines.push(line.get(9..).unwrap_or_default());
        }
    }
    lines.join("\n")
}

#[test]
fn each_fault_of_the_demo_is_explained_on_one_screen() {
    let clock = Clock {
        now: "2026-11-21T14:37:21Z".parse().expect("a time"),
        zone: TimeZone::UTC,
    };
    for fault in steered().into_iter().chain(others()) {
        let screen = text(&vec![account(&facts(&fault), &clock)]);
        let name = fault.name;
        for required in ["why", "did", "now", "next", "you"] {
            assert!(
                !row(&screen, required).is_empty(),
                "{name} has no {required}:\n{screen}"
            );
        }
        for (place, expected) in fault.rows {
            assert!(
                row(&screen, place).contains(expected),
                "{name}: {place} does not say {expected:?}:\n{screen}"
            );
        }
        for wrong in fault.never {
            assert!(!screen.contains(wrong), "{name} says {wrong:?}:\n{screen}");
        }
        assert!(screen.lines().count() <= LINES, "{name}:\n{screen}");
    }
}
