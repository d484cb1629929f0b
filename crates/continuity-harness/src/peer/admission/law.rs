//! Continuity's admission: on every node the kernel's rule on its words, under the agent's step.
//!
//! The counters here are what the hooks keep; the rest is `continuity_field::admission` as it ships.

use std::collections::BTreeMap;

use continuity_field::Nanos;
use continuity_field::admission::{
    Config, Connect, LEVELS, Live, Reported, Samples, State, admit, end, step,
};
use continuity_field::caller::{CallerId, CallerLive, CallerSample, CallerWords};

use super::each;
use crate::admission::{Admission, Class, Closed, Decision, Offer};
use crate::choice::Report;
use crate::law::BOOT;
use crate::policy::{End, Truth};
use crate::scenario::Scenario;
use crate::span::{MILLI, SECOND};

/// A report older than this says nothing about turnaround: ten periods.
const FRESH: u64 = 2 * SECOND;
/// A report older than this blows no fuse.
const PROMPT: u64 = 500 * MILLI;

#[derive(Debug, Default)]
struct Caller {
    class: Class,
    words: CallerWords,
    live: CallerLive,
    read: (u64, u64),
}

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    at: u64,
    micros: f64,
    in_flight: u32,
}

/// Counters since the last tick.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    offered: [u64; LEVELS],
    refused: [u64; LEVELS],
    ended: u64,
    aborted: u64,
    waited: u64,
    most: u64,
}

#[derive(Debug, Default)]
struct Node {
    state: State,
    live: Live,
    counts: Counts,
    callers: BTreeMap<u32, Caller>,
    /// Starts of what is in flight, with the number of requests that started then.
    open: BTreeMap<u64, u32>,
    heard: Vec<Heard>,
    samples: Vec<CallerSample>,
    last: u64,
}

impl Node {
    fn offer(&mut self, offer: &Offer, now: u64) -> bool {
        let reported = self
            .reported(PROMPT, now)
            .map_or(0, |reported| reported.most_in_flight);
        let caller = self.callers.entry(offer.caller).or_default();
        caller.class = offer.class;
        let connect = Connect {
            class: offer.class,
            reported,
            now: Nanos(now),
        };
        let words = &self.state.outcome().words;
        let verdict = admit(
            words,
            &mut self.live,
            Some((&caller.words, &mut caller.live)),
            &connect,
        );
        let level = verdict.level.index();
        count(&mut self.counts.offered, level);
        if verdict.admitted() {
            *self.open.entry(now).or_default() += 1;
        } else {
            count(&mut self.counts.refused, level);
            caller.live.failed(Nanos(now));
        }
        let in_flight = u64::try_from(self.live.in_flight).unwrap_or(0);
        self.counts.most = self.counts.most.max(in_flight);
        verdict.admitted()
    }

    fn done(&mut self, closed: &Closed, now: u64) {
        let sent = closed.sent + BOOT;
        if let Some(left) = self.open.get_mut(&sent) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(&sent);
            }
        }
        end(&mut self.live);
        self.counts.ended += 1;
        let cut = match self.state.outcome().words.cut {
            0 => u64::MAX,
            cut => cut,
        };
        self.counts.waited += (now - sent).min(cut);
        if closed.end != End::Answered {
            self.counts.aborted += 1;
            if let Some(caller) = self.callers.get_mut(&closed.caller) {
                caller.live.failed(Nanos(now));
            }
        }
        if let Some(report) = &closed.report {
            self.hear(closed.backend, report, now);
        }
    }

    fn hear(&mut self, backend: usize, report: &Report, now: u64) {
        if self.heard.len() <= backend {
            self.heard.resize(backend + 1, Heard::default());
        }
        if let Some(heard) = self.heard.get_mut(backend) {
            *heard = Heard {
                at: now,
                micros: libm::exp2(f64::from(report.l) / 8.0),
                in_flight: u32::from(report.rif) >> 4,
            };
        }
    }

    /// What the backends' nodes said within `life`.
    fn reported(&self, life: u64, now: u64) -> Option<Reported> {
        let fresh = || {
            self.heard
                .iter()
                .filter(|heard| heard.at > 0 && now - heard.at <= life)
        };
        let count = fresh().count();
        (count > 0).then(|| Reported {
            turnaround: Nanos::from_micros(whole(
                fresh().map(|heard| heard.micros).sum::<f64>() / count as f64,
            )),
            most_in_flight: fresh().map(|heard| heard.in_flight).max().unwrap_or(0),
        })
    }

    fn tick(&mut self, config: &Config, now: u64) {
        self.samples.clear();
        for (&id, caller) in &mut self.callers {
            let (offered, retries) = caller.read;
            caller.read = (caller.live.offered, caller.live.retries);
            self.samples.push(CallerSample {
                id: CallerId(u64::from(id)),
                class: caller.class,
                weight: 1,
                offered: caller.live.offered - offered,
                retries: caller.live.retries - retries,
            });
        }
        let outcome = self.state.outcome();
        let old = now.saturating_sub(outcome.park_after.0);
        let overdue: u32 = self.open.range(..old).map(|(_, count)| *count).sum();
        let counts = std::mem::take(&mut self.counts);
        let in_flight = u64::try_from(self.live.in_flight).unwrap_or(0);
        self.counts.most = in_flight;
        let samples = Samples {
            interval: Nanos(now - self.last),
            offered: counts.offered,
            refused: counts.refused,
            ended: counts.ended,
            aborted: counts.aborted,
            waited: Nanos(counts.waited),
            in_flight,
            most_in_flight: counts.most,
            overdue: u64::from(overdue),
            reported: self.reported(FRESH, now),
            callers: &self.samples,
        };
        self.last = now;
        let outcome = step(&mut self.state, &samples, config, Nanos(now));
        for share in &outcome.callers {
            let caller = u32::try_from(share.id.0)
                .ok()
                .and_then(|id| self.callers.get_mut(&id));
            if let Some(caller) = caller {
                caller.words = share.words;
            }
        }
    }
}

fn count(counts: &mut [u64; LEVELS], level: usize) {
    if let Some(count) = counts.get_mut(level) {
        *count += 1;
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, which is what is wanted at both ends"
)]
fn whole(value: f64) -> u64 {
    (value + 0.5) as u64
}

struct Law {
    nodes: Vec<Node>,
    config: Config,
}

impl Admission for Law {
    fn offer(&mut self, offer: &Offer, _: &Truth<'_>) -> Decision {
        let node = self.nodes.get_mut(offer.node);
        if node.is_none_or(|node| node.offer(offer, offer.now + BOOT)) {
            Decision::Admit(0)
        } else {
            Decision::Refuse
        }
    }

    fn done(&mut self, closed: &Closed) {
        if let Some(node) = self.nodes.get_mut(closed.node) {
            node.done(closed, closed.now + BOOT);
        }
    }

    fn tick(&mut self, node: usize, now: u64) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.tick(&self.config, now + BOOT);
        }
    }

    fn mode(&self, node: usize) -> u8 {
        self.nodes
            .get(node)
            .map_or(0, |node| node.state.outcome().mode as u8)
    }
}

/// Continuity's own.
#[must_use]
pub fn law(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    let node = |_| Node {
        last: BOOT,
        ..Node::default()
    };
    Box::new(Law {
        nodes: each(scenario, node),
        config: Config::default(),
    })
}
