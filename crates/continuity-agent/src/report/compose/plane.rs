//! The kernel side in the API's words: state, programs, capabilities, conditions.

use continuity_api::node::{CapabilityReport, DataplaneReport, DataplaneState, FailsafeState, ProgramReport};
use continuity_api::{Condition, Time, conditions, reasons};
use continuity_dataplane::{Capability, CapabilityId, HOOKS, wire};
use continuity_sensors::NodeSample;

use crate::sense;
use crate::snapshot::{Plane, PlaneState, Worst};

/// Capabilities the API takes.
const CAPABILITIES_MAX: usize = 32;

pub(super) fn dataplane(plane: &Plane) -> DataplaneReport {
    DataplaneReport {
        state: match plane.state {
            PlaneState::Opening | PlaneState::Detached => DataplaneState::Detached,
            PlaneState::Attached if missing(plane).next().is_some() => DataplaneState::Degraded,
            PlaneState::Attached => DataplaneState::Attached,
            PlaneState::Refused => DataplaneState::Refused,
        },
        message: message(plane).chars().take(512).collect(),
        schema: i32::try_from(wire::SCHEMA_VERSION).unwrap_or(0),
        programs: HOOKS.iter().map(|hook| program(hook.name, plane)).collect(),
        failsafe: match plane.failsafe {
            Worst::Normal => FailsafeState::Normal,
            Worst::Hold => FailsafeState::Hold,
            Worst::Fallback => FailsafeState::Fallback,
        },
    }
}

/// A program; two kinds are left out where the kernel lacks the hook.
fn program(name: &str, plane: &Plane) -> ProgramReport {
    let possible = match name {
        "release" => plane.capabilities.has(CapabilityId::SockRelease),
        "getpeername4" | "getpeername6" => plane.capabilities.has(CapabilityId::Getpeername),
        _ => true,
    };
    ProgramReport {
        name: name.to_owned(),
        attached: possible && plane.state == PlaneState::Attached,
    }
}

/// What the kernel side offers, then the signals of the node.
pub(super) fn capabilities(plane: &Plane, sensed: &NodeSample) -> Vec<CapabilityReport> {
    let signals = sense::capabilities(sensed);
    let all = plane.capabilities.capabilities.iter();
    let kernel = all.map(|capability| {
        let met = capability.met == Some(true);
        let found = if capability.found.is_empty() {
            String::new()
        } else {
            format!(" (found: {})", capability.found)
        };
        CapabilityReport {
            name: capability.id.name().to_owned(),
            met,
            needs: format!("{}{found}", capability.needs).chars().take(256).collect(),
            fallback: if met {
                String::new()
            } else {
                capability.fallback.chars().take(256).collect()
            },
        }
    });
    kernel.chain(signals).take(CAPABILITIES_MAX).collect()
}

fn missing(plane: &Plane) -> impl Iterator<Item = &Capability> {
    plane
        .capabilities
        .capabilities
        .iter()
        .filter(|capability| capability.met == Some(false))
}

fn message(plane: &Plane) -> String {
    if !plane.message.is_empty() {
        return plane.message.clone();
    }
    let lost = missing(plane).map(|capability| format!("{}: {}", capability.id, capability.fallback));
    lost.collect::<Vec<_>>().join("; ")
}

pub(super) fn ready(plane: &Plane, adopted: bool) -> Condition {
    let (status, reason, text) = match plane.state {
        PlaneState::Attached if missing(plane).next().is_some() => {
            (conditions::TRUE, reasons::DEGRADED, message(plane))
        }
        PlaneState::Attached if adopted => (
            conditions::TRUE,
            reasons::ATTACHED,
            "programs are attached and the heartbeat is fresh".to_owned(),
        ),
        PlaneState::Attached => (
            conditions::UNKNOWN,
            reasons::ATTACHED,
            "programs are attached; the first complete lists are on their way".to_owned(),
        ),
        PlaneState::Opening => (
            conditions::UNKNOWN,
            reasons::DETACHED,
            "the dataplane is being opened".to_owned(),
        ),
        PlaneState::Detached => (conditions::FALSE, reasons::DETACHED, message(plane)),
        PlaneState::Refused => (conditions::FALSE, reasons::SCHEMA_MISMATCH, message(plane)),
    };
    condition(conditions::READY, status, reason, text)
}

pub(super) fn capable(plane: &Plane) -> Condition {
    let names: Vec<String> = missing(plane)
        .map(|capability| capability.id.to_string())
        .collect();
    if plane.capabilities.capabilities.is_empty() {
        let text = "the node was not probed yet".to_owned();
        condition(
            conditions::CAPABILITIES_MET,
            conditions::UNKNOWN,
            reasons::SOME_MISSING,
            text,
        )
    } else if names.is_empty() {
        let text = "the node has what every feature needs".to_owned();
        condition(
            conditions::CAPABILITIES_MET,
            conditions::TRUE,
            reasons::ALL_MET,
            text,
        )
    } else {
        let text = format!("missing: {}; see status.capabilities", names.join(", "));
        condition(
            conditions::CAPABILITIES_MET,
            conditions::FALSE,
            reasons::SOME_MISSING,
            text,
        )
    }
}

pub(super) fn condition(kind: &str, status: &str, reason: &str, message: String) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        observed_generation: None,
    }
}

/// A condition keeps its transition time while its status stays.
pub(super) fn dated(
    mut condition: Condition,
    before: &[Condition],
    now: &Time,
    generation: Option<i64>,
) -> Condition {
    let same = before
        .iter()
        .find(|old| old.type_ == condition.type_ && old.status == condition.status);
    condition.last_transition_time = same.map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
    condition.observed_generation = generation;
    condition
}
