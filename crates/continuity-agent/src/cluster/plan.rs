//! What the agent keeps of an EquivalencePlan: the law's constants, the failsafe and the slow advice, in the units of the node.
//!
//! A plan that the CRD would not accept (a number out of range, an address that is none) is clamped or dropped piece by
//! piece, never guessed at: the law clamps its own constants too, and a missing verdict only means deciding alone.

use std::net::SocketAddr;
use std::time::Duration;

use continuity_api::plan::{
    Advice, Candidate, CompiledAdmission, CompiledIsolation, CompiledObjectives, CompiledPolicy,
    VerdictAction,
};
use continuity_api::policy::{AdmissionMode, Fallback, Mode, Priority, Topology};
use continuity_api::record::{ANNOTATION, Wish};
use continuity_api::target::Protocol;
use continuity_api::{EquivalencePlan, plan};
use continuity_dataplane as dataplane;
use continuity_field as field;
use continuity_field::admission::Class;
use continuity_field::{BackendId, Nanos, SetConfig, VerdictKind, WorkloadProfile};

use super::inventory::ObjectKey;
use super::service::{ServiceKey, Transport};
use crate::gate::{GatePolicy, MOST_RULES, Rule};
use crate::lane::{SharedVerdict, SlowAdvice, backend_id};
use crate::select::Vantage;

/// One policy as the node runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePolicy {
    /// Steers or watches.
    pub mode: dataplane::Mode,
    /// Constants of the law; the seed is the lane's.
    pub law: SetConfig,
    /// When the kernel stops trusting a silent agent.
    pub failsafe: dataplane::FailsafeTimes,
    /// What it does then.
    pub fallback: dataplane::Fallback,
    /// Admission, where it is asked for.
    pub gate: Option<GatePolicy>,
}

/// A policy that some nodes try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    policy: NodePolicy,
    nodes: Box<[Box<str>]>,
    zones: Box<[Box<str>]>,
}

/// The compact form of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRecord {
    /// The Service.
    pub service: ServiceKey,
    /// UID of the Service that the plan was made for.
    pub service_uid: Box<str>,
    /// Service port.
    pub port: u16,
    /// What people call the port.
    pub label: Box<str>,
    /// Its transport.
    pub transport: Transport,
    /// Digest of what must be applied.
    pub digest: Box<str>,
    /// Generation of the plan.
    pub generation: i64,
    /// Fencing epoch of its writer.
    pub epoch: i64,
    /// Policy of most nodes.
    pub stable: NodePolicy,
    /// Policy that is being rolled out.
    pub trial: Option<Trial>,
    /// Advice.
    pub advice: SlowAdvice,
    /// Somebody wants a record of what is decided.
    pub record: Option<Wish>,
}

impl PlanRecord {
    /// The record of a plan; `None` when it lacks what every stored object has, or names no port.
    #[must_use]
    pub fn compact(plan: &EquivalencePlan) -> Option<(ObjectKey, Self)> {
        let namespace = plan.metadata.namespace.as_deref()?;
        let name = plan.metadata.name.as_deref()?;
        let spec = &plan.spec;
        let transport = match spec.port.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Sctp => Transport::Sctp,
        };
        let record = Self {
            service: ServiceKey::new(namespace, &spec.service.name),
            service_uid: spec.service.uid.as_str().into(),
            port: u16::try_from(spec.port.number)
                .ok()
                .filter(|number| *number > 0)?,
            label: spec.port.label.as_str().into(),
            transport,
            digest: spec.digest.as_str().into(),
            generation: plan.metadata.generation.unwrap_or_default(),
            epoch: spec.writer_epoch,
            stable: policy(&spec.stable),
            trial: spec.candidate.as_ref().map(trial),
            advice: advice(&spec.advice),
            record: plan
                .metadata
                .annotations
                .as_ref()
                .and_then(|annotations| Wish::parse(annotations.get(ANNOTATION)?)),
        };
        Some(((namespace.into(), name.into()), record))
    }

    /// Its policy, or the one on trial, asks for admission.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        let trial = self.trial.as_ref().and_then(|trial| trial.policy.gate.as_ref());
        self.stable.gate.is_some() || trial.is_some()
    }

    /// The policy that this node runs.
    #[must_use]
    pub fn policy_for(&self, vantage: Vantage<'_>) -> &NodePolicy {
        let chosen = |trial: &&Trial| {
            let zone = |here: &str| trial.zones.iter().any(|zone| **zone == *here);
            trial.nodes.iter().any(|node| **node == *vantage.node) || vantage.zone.is_some_and(zone)
        };
        self.trial
            .as_ref()
            .filter(chosen)
            .map_or(&self.stable, |trial| &trial.policy)
    }
}

impl Trial {
    /// A policy on trial on these nodes and in these zones.
    #[must_use]
    pub fn of<S: AsRef<str>>(policy: NodePolicy, nodes: &[S], zones: &[S]) -> Self {
        let boxed = |names: &[S]| names.iter().map(|name| name.as_ref().into()).collect();
        Self {
            policy,
            nodes: boxed(nodes),
            zones: boxed(zones),
        }
    }
}

fn trial(candidate: &Candidate) -> Trial {
    Trial::of(policy(&candidate.policy), &candidate.nodes, &candidate.domains)
}

fn policy(compiled: &CompiledPolicy) -> NodePolicy {
    let hold = millis(compiled.failsafe.hold_after_millis.max(1_000));
    let fallback = millis(compiled.failsafe.fallback_after_millis);
    NodePolicy {
        mode: match compiled.mode {
            Mode::Observe => dataplane::Mode::Observe,
            Mode::Enforce => dataplane::Mode::Enforce,
        },
        law: law(compiled),
        failsafe: dataplane::FailsafeTimes {
            hold_after: hold,
            fallback_after: fallback.max(hold + Duration::from_secs(1)),
        },
        fallback: match compiled.failsafe.fallback {
            Fallback::PassThrough => dataplane::Fallback::PassThrough,
            Fallback::LastKnownAlive => dataplane::Fallback::LastKnownAlive,
        },
        gate: gate(&compiled.admission),
    }
}

/// Admission, where it is asked for. A plan with Auto and without a target is from an operator for which the field did not
/// act, and whose default it was: nobody asked.
fn gate(compiled: &CompiledAdmission) -> Option<GatePolicy> {
    let target = compiled
        .target_milli
        .filter(|_| compiled.mode == AdmissionMode::Auto)?;
    let rules = compiled.callers.iter().take(MOST_RULES).map(|caller| Rule {
        pods: caller.pod_selector.clone(),
        namespaces: caller.namespace_selector.clone(),
        class: class(caller.priority),
        weight: count(caller.share).max(1),
    });
    Some(GatePolicy {
        config: field::admission::Config {
            target_milli: count(target).max(1),
            survival_permille: count(compiled.survival_permille),
            retry_budget_permille: count(compiled.retry_budget_permille),
            ..field::admission::Config::default()
        },
        class: class(compiled.default_priority.unwrap_or_default()),
        rules: rules.collect(),
    })
}

const fn class(priority: Priority) -> Class {
    match priority {
        Priority::Critical => Class::Critical,
        Priority::High => Class::High,
        Priority::Normal => Class::Normal,
        Priority::Low => Class::Low,
        Priority::Bulk => Class::Bulk,
    }
}

/// The constants of the law. What a plan does not carry is the Balanced preset's.
fn law(compiled: &CompiledPolicy) -> SetConfig {
    let preset = SetConfig::preset(
        field::Response::Balanced,
        profile(compiled.pressure.time_scale_micros),
    );
    let share = &compiled.share;
    let regime = &compiled.regime;
    let admission = &compiled.admission;
    SetConfig {
        max_share_permille: count(share.max_permille),
        slow_start: Nanos::from_secs(u64::from(count(share.slow_start_seconds))),
        topology: match compiled.topology {
            Topology::Follow => field::Topology::Follow,
            Topology::Ignore => field::Topology::Ignore,
        },
        regret_overlay: share.regret_overlay,
        isolation: isolation(
            &compiled.isolation,
            nanos(compiled.pressure.failure_penalty_millis),
        ),
        slew: field::SlewConfig {
            rebalance_slots: count(share.rebalance_slots_per_tick),
            drain_ticks: count(share.drain_ticks),
            return_start_permille: count(compiled.isolation.return_start_permille),
            slow_gain_permille: count(share.gain_per_million_per_second) / 1_000,
            ..preset.slew
        },
        regimes: field::RegimeConfig {
            transition_milli: count(regime.transition_enter_milli),
            crisis_milli: count(regime.crisis_enter_milli),
            exit_permille: count(regime.leave_permille),
            transition_dwell: nanos(regime.transition_dwell_millis),
            crisis_dwell: nanos(regime.crisis_dwell_millis),
            recovery_dwell: nanos(regime.recovery_dwell_millis),
            ..preset.regimes
        },
        admission: field::AdmissionConfig {
            mode: match admission.mode {
                AdmissionMode::Off => field::AdmissionMode::Off,
                AdmissionMode::Auto => field::AdmissionMode::Auto,
            },
            survival_permille: count(admission.survival_permille),
            retry_budget_permille: count(admission.retry_budget_permille),
        },
        objectives: objectives(&compiled.objectives),
        ..preset
    }
}

fn isolation(compiled: &CompiledIsolation, error_as: Nanos) -> field::IsolationConfig {
    field::IsolationConfig {
        enabled: compiled.enabled,
        max_isolated_permille: count(compiled.max_permille),
        hold: nanos(compiled.hold_millis),
        hold_most: nanos(compiled.hold_max_millis),
        drip_per_million: count(compiled.drip_per_million),
        latency_ratio_milli: count(compiled.latency_ratio_milli),
        window_ticks: count(compiled.window_ticks),
        hits: count(compiled.evidence_ticks),
        error_permille: count(compiled.error_permille),
        consecutive_failures: count(compiled.consecutive_failures),
        error_as,
    }
}

/// Zero means "no objective".
fn objectives(compiled: &CompiledObjectives) -> field::Objectives {
    let latency = u64::try_from(compiled.latency_p99_micros).unwrap_or(0);
    let errors = count(compiled.error_budget_per_million);
    field::Objectives {
        latency_p99: (latency > 0).then(|| Nanos::from_micros(latency)),
        error_budget_per_million: (errors > 0).then_some(errors),
    }
}

/// The profile whose time scale is nearest, on a log scale.
const fn profile(time_scale_micros: i64) -> WorkloadProfile {
    match time_scale_micros {
        i64::MIN..=31_622 => WorkloadProfile::Light,
        31_623..=707_106 => WorkloadProfile::Standard,
        707_107..=17_320_508 => WorkloadProfile::Heavy,
        17_320_509.. => WorkloadProfile::Extreme,
    }
}

fn advice(advice: &Advice) -> SlowAdvice {
    SlowAdvice {
        active_nodes: count(advice.active_nodes).max(1),
        offered_milli_per_second: u64::try_from(advice.offered_milli_per_second).unwrap_or(0),
        report_spacing: millis(advice.report_spacing_millis),
        verdicts: advice
            .verdicts
            .iter()
            .take(plan::VERDICTS_MAX)
            .filter_map(verdict)
            .collect(),
        distress: advice
            .distress
            .iter()
            .take(plan::DISTRESS_MAX)
            .filter_map(distress)
            .collect(),
    }
}

fn distress(distress: &plan::Distress) -> Option<(BackendId, u32)> {
    let address: SocketAddr = distress.address.parse().ok()?;
    Some((backend_id(address), count(distress.stall_permille).min(1_000)))
}

fn verdict(verdict: &plan::SharedVerdict) -> Option<SharedVerdict> {
    let address: SocketAddr = verdict.address.parse().ok()?;
    Some(SharedVerdict {
        backend: backend_id(address),
        kind: match verdict.action {
            VerdictAction::Isolate => VerdictKind::Isolate,
            VerdictAction::Release => VerdictKind::Release,
        },
        expires_millis: verdict.expires.0.as_millisecond(),
    })
}

fn count(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::from(count(value)))
}

fn nanos(value: i32) -> Nanos {
    Nanos::from_millis(u64::from(count(value)))
}

#[cfg(test)]
mod tests;
