//! From facts to sentences. Pure: the same facts and the same moment give the same account.

mod deed;
mod note;
mod outlook;
mod past;

use super::Clock;
use super::facts::Facts;
use super::sick::{Sick, sick};
use crate::number::{age, count, micros, moment, rate, span};
use continuity_api::node::{NEW_BACKEND, Regime};
use continuity_api::policy::Mode;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

/// Backends spoken of one by one; the rest is counted. More than four do not fit on one screen with everything else.
const SPOKEN: usize = 4;

/// The answer to "what is going on with this Service".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Namespace of the set.
    pub namespace: String,
    /// Name of the set.
    pub set: String,
    /// The Service.
    pub service: String,
    /// Port name or number.
    pub port: String,
    /// Number of the Service port.
    pub port_number: i32,
    /// Observe or Enforce.
    pub mode: Mode,
    /// Worst regime that counts.
    pub regime: Regime,
    /// When it began.
    pub since: Option<Timestamp>,
    /// All of the above, and who agrees.
    pub headline: String,
    /// What happened in the last 24 h, eldest first: when, what, why, and what was done.
    pub past: Vec<String>,
    /// What is wrong, with the figures that say so.
    pub why: Vec<String>,
    /// What was done about it, or would have been.
    pub did: Vec<String>,
    /// How it stands.
    pub now: Vec<String>,
    /// What comes by itself.
    pub next: Vec<String>,
    /// What a person can do.
    pub you: Vec<String>,
    /// What limits this account or the protection.
    pub note: Vec<String>,
}

/// Everything the sentences are made of.
struct Scene<'a> {
    facts: &'a Facts,
    clock: &'a Clock,
    /// Backends out of rotation, or on their way back.
    sick: Vec<Sick>,
    /// Backends that are new and not at their full share yet.
    young: Vec<Sick>,
    /// Backends that serve.
    ready: i64,
    mode: Mode,
    regime: Regime,
}

/// The account of one set.
#[must_use]
pub fn account(facts: &Facts, clock: &Clock) -> Account {
    let status = facts.set.status.clone().unwrap_or_default();
    let (young, sick) = sick(facts).into_iter().partition(Sick::is_new);
    let scene = Scene {
        facts,
        clock,
        sick,
        young,
        ready: i64::from(status.backends.ready),
        mode: facts.set.spec.mode,
        regime: status.regime,
    };
    let since = status.regime_since.as_ref().map(|time| time.0);
    Account {
        namespace: facts.set.namespace().unwrap_or_default(),
        set: facts.set.name_any(),
        service: facts.set.spec.service.name.clone(),
        port: facts.set.spec.port.label.clone(),
        port_number: facts.set.spec.port.number,
        mode: scene.mode,
        regime: scene.regime,
        since,
        headline: scene.headline(since),
        past: past::past(&scene),
        why: scene.why(),
        did: deed::did(&scene),
        now: scene.now(),
        next: outlook::next(&scene),
        you: outlook::you(&scene),
        note: note::note(&scene),
    }
}

impl Scene<'_> {
    fn headline(&self, since: Option<Timestamp>) -> String {
        let spec = &self.facts.set.spec;
        let namespace = self.facts.set.namespace().unwrap_or_default();
        let place = format!("{namespace}/{}:{}", spec.service.name, spec.port.number);
        let regime = match since {
            Some(at) => format!(
                "{:?} since {} ({})",
                self.regime,
                self.at(at),
                span(age(at, self.clock.now))
            ),
            None => format!("{:?}", self.regime),
        };
        let mut parts = vec![
            format!("{} {}", spec.service.name, spec.port.label),
            place,
            regime,
            self.agreement(),
        ];
        if self.mode == Mode::Observe {
            parts.push("Observe: nothing is touched".to_owned());
        }
        parts.join("   ")
    }

    /// How many of the reporting nodes are in the headline's regime.
    fn agreement(&self) -> String {
        let nodes = self.facts.set.status.clone().unwrap_or_default().nodes;
        if nodes.reporting == 0 {
            return "no node reports it".to_owned();
        }
        let same = match self.regime {
            Regime::Laminar => nodes.laminar,
            Regime::Recovery => nodes.recovery,
            Regime::Transition => nodes.transition,
            Regime::Crisis => nodes.crisis,
        };
        format!("{same} of {} nodes agree", nodes.reporting)
    }

    fn at(&self, at: Timestamp) -> String {
        moment(at, self.clock.now, &self.clock.zone)
    }

    fn why(&self) -> Vec<String> {
        let status = self.facts.set.status.clone().unwrap_or_default();
        if status.observed_generation.is_none() {
            return vec!["the operator has not written a status yet".to_owned()];
        }
        if self.ready == 0 {
            return vec![format!(
                "the Service has no ready backend (0 of {}): clients get ECONNREFUSED",
                status.backends.total
            )];
        }
        let mut lines: Vec<String> = self.sick.iter().take(SPOKEN).map(Sick::complaint).collect();
        if let Some(rest) = self.sick.len().checked_sub(SPOKEN).filter(|rest| *rest > 0) {
            lines.push(format!("and {rest} more"));
        }
        // In a crisis the set as a whole does not carry; one sick backend is not all there is to say.
        let told = |lines: &[String]| lines.iter().any(|line| line.contains(&status.reason));
        if self.regime == Regime::Crisis && !status.reason.is_empty() && !told(&lines) {
            lines.insert(0, status.reason.clone());
        }
        lines.extend(self.warnings());
        if !lines.is_empty() {
            return lines;
        }
        let about_new = status.reason.ends_with(NEW_BACKEND);
        if !status.reason.is_empty() && !about_new {
            return vec![status.reason];
        }
        match self.regime {
            Regime::Laminar if self.ready == 1 => {
                vec!["nothing is wrong; there is one backend, and none to prefer".to_owned()]
            }
            Regime::Laminar => match deed::stands_out(self) {
                0 => vec![format!("nothing is wrong: {} backends answer alike", self.ready)],
                1 => vec![format!(
                    "1 of {} backends stands out beside its peers",
                    self.ready
                )],
                late => vec![format!(
                    "{late} of {} backends stand out beside their peers",
                    self.ready
                )],
            },
            _ => vec!["the nodes gave no reason".to_owned()],
        }
    }

    /// What has not failed yet, in the words of the node that foresees it.
    fn warnings(&self) -> Vec<String> {
        let status = self.facts.set.status.clone().unwrap_or_default();
        let told = status.warnings.iter().take(SPOKEN).map(|warning| {
            let place = [warning.pod.as_str(), warning.node.as_str()];
            let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
            let since = warning
                .since
                .as_ref()
                .map(|since| format!("since {}: ", self.at(since.0)));
            format!(
                "{} ({}) carries still; {}{}",
                warning.address,
                place.join(", "),
                since.unwrap_or_default(),
                warning.message
            )
        });
        told.collect()
    }

    fn now(&self) -> Vec<String> {
        let status = self.facts.set.status.clone().unwrap_or_default();
        let traffic = status.traffic;
        let mut parts = Vec::new();
        if traffic.p50_micros > 0 {
            parts.push(match self.calm() {
                Some(calm) => format!(
                    "p50 {} ({} when last calm)",
                    micros(traffic.p50_micros),
                    micros(calm)
                ),
                None => format!("p50 {}", micros(traffic.p50_micros)),
            });
        }
        if traffic.p99_micros > 0 {
            parts.push(format!("p99 {}", micros(traffic.p99_micros)));
        }
        parts.push(format!(
            "{} new connections",
            rate(traffic.offered_milli_per_second)
        ));
        parts.push(format!("{} failed", rate(traffic.failed_milli_per_second)));
        if traffic.refused_milli_per_second > 0 {
            parts.push(format!(
                "{} refused by us",
                rate(traffic.refused_milli_per_second)
            ));
        }
        if let Some(seconds) = status.ttf_seconds {
            parts.push(format!("headroom gone in {} at this trend", span(seconds)));
        }
        let mut lines = vec![parts.join(", ")];
        let stuck: i64 = self.sick.iter().map(|sick| sick.keep_alive).sum();
        if stuck > 0 {
            let held = count(stuck, "keep-alive connection", "keep-alive connections");
            lines.push(format!(
                "{held} still on {}, out of our reach",
                if self.sick.len() == 1 { "it" } else { "them" }
            ));
        }
        if let Some(hint) = &status.scale_hint
            && hint.desired_replicas != hint.current_replicas
        {
            lines.push(format!("scale hint {}: {}", hint.summary, hint.message));
        }
        lines
    }

    /// Median answer time while the set was last calm, mean over nodes by their traffic.
    fn calm(&self) -> Option<i64> {
        let reports = self.facts.nodes.iter().filter_map(|node| node.report.as_ref());
        let (mut sum, mut total) = (0_i128, 0_i128);
        for report in reports.filter(|report| report.demand.calm_micros > 0) {
            let weight = i128::from(report.offered_milli_per_second.max(1));
            sum += weight * i128::from(report.demand.calm_micros);
            total += weight;
        }
        (total > 0).then(|| i64::try_from(sum / total).unwrap_or(i64::MAX))
    }
}

impl Sick {
    /// `10.244.2.7:8080 (checkout-5d9f-x7k, node-2) answers in 512 ms, …`
    fn complaint(&self) -> String {
        let place: Vec<&str> = [self.pod.as_str(), self.node.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let place = if place.is_empty() {
            String::new()
        } else {
            format!(" ({})", place.join(", "))
        };
        let reason = if self.reason.is_empty() {
            "was taken out; its node gave no reason"
        } else {
            &self.reason
        };
        let addresses = [&self.address].into_iter().chain(&self.also);
        let addresses: Vec<&str> = addresses.map(String::as_str).collect();
        format!("{}{place} {reason}", addresses.join(" and "))
    }
}
