//! All callers of one set on one node: demand in calm and now, verdicts, reputation, words.

use super::fair::{Claim, lower_median, multiple};
use super::{CallerId, CallerWords};
use crate::admission::{Class, Reason, pace};
use crate::number::to_u32;

/// Most callers of one set on one node: a kubelet runs at most 250 pods by any common setting. Others are not limited.
pub(crate) const MOST: usize = 256;
/// Memory of the calm demand, s.
const CALM: f64 = 30.0;
/// Beyond its peers' growth by this factor is bad.
const BEYOND: f64 = 1.5;
/// And beyond its own weight by this one.
const GROWN: f64 = 1.25;
/// A share is this multiple of the weight: never a ban, and no more than a quarter beyond what is usual.
const SHARE_LEAST: f64 = 0.2;
const SHARE_MOST: f64 = 1.25;
/// Bad in so many of the last five periods acts.
const HITS: u32 = 3;
/// Cost of a period beyond the peers' growth, and of one beyond the retry budget.
const COST: f64 = 0.02;
const RETRY_COST: f64 = 0.01;
/// Reputation never falls below.
const REPUTATION_LEAST: f64 = 0.4;
/// Half-life of forgiveness, s.
const FORGIVEN: f64 = 10.0;
/// Smallest calm demand that counts: this part of the mean, and this rate, 1/s.
const CALM_LEAST: f64 = 0.1;
const RATE_LEAST: f64 = 1.0;
/// The policy's shares count within these multiples of their mean.
const SHARES: (f64, f64) = (0.1, 10.0);
/// Retries a second that anybody may make.
const RETRY_FLOOR: f64 = 1.0;
/// Retry ratio that peers leave unexplained.
const RETRY_SLACK: f64 = 0.1;
/// A caller below this part of its weight says nothing about its peers' growth.
const ACTIVE: f64 = 0.2;
/// A caller that long without a connect is forgotten, s.
const IDLE: f64 = 300.0;
/// A count of one step, cut where none can be.
const COUNT_MOST: u64 = 1_000_000_000;

/// One caller's connects since the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallerSample {
    /// Which.
    pub id: CallerId,
    /// Its class.
    pub class: Class,
    /// `share` of the caller's rule in the policy; 0 counts as 1.
    pub weight: u32,
    /// Connects that asked.
    pub offered: u64,
    /// Of those, taken for retries.
    pub retries: u64,
}

/// What a caller is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerShare {
    /// Which.
    pub id: CallerId,
    /// Its class.
    pub class: Class,
    /// For the kernel.
    pub words: CallerWords,
    /// 400 ..= 1 000.
    pub reputation_milli: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: CallerId,
    class: Class,
    share: f64,
    asked: f64,
    retried: f64,
    rate: f64,
    retries: f64,
    calm: f64,
    calm_age: f64,
    idle: f64,
    reputation: f64,
    bad: u32,
    wasteful: u32,
    words: CallerWords,
}

/// Means over all callers.
#[derive(Debug, Clone, Copy)]
struct Mean {
    /// Calm demand, 1/s.
    calm: f64,
    /// Share of the policy.
    share: f64,
}

/// What a period needs to know of the set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// Its length, s.
    pub span: f64,
    /// Steps of 200 ms it counts as.
    pub step: f64,
    /// Whether calm figures are learned.
    pub calm: bool,
    /// Whether shares are enforced.
    pub enforced: bool,
    /// What completes, 1/s.
    pub capacity: f64,
    /// Retries per fresh connect that are allowed.
    pub retry_budget: f64,
}

/// All callers, ordered by identity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    entries: Vec<Entry>,
    claims: Vec<Claim>,
    ratios: Vec<f64>,
}

impl Book {
    /// Adds a step's counts; a caller beyond the bound is not followed.
    pub(crate) fn add(&mut self, samples: &[CallerSample]) {
        for sample in samples {
            let place = self.entries.binary_search_by_key(&sample.id, |entry| entry.id);
            let entry = match place {
                Ok(place) => self.entries.get_mut(place),
                Err(_) if self.entries.len() >= MOST => None,
                Err(place) => {
                    self.entries.insert(place, Entry::new(sample.id));
                    self.entries.get_mut(place)
                }
            };
            let Some(entry) = entry else { continue };
            let asked = sample.offered.min(COUNT_MOST);
            entry.class = sample.class;
            entry.share = f64::from(sample.weight.clamp(1, 1_000));
            entry.asked += asked as f64;
            entry.retried += sample.retries.min(asked) as f64;
        }
    }

    /// Ends a period; returns the retries in it.
    pub(crate) fn turn(&mut self, pass: &Pass, reasons: &mut Vec<Reason>) -> f64 {
        let retries = self.entries.iter().map(|entry| entry.retried).sum();
        for entry in &mut self.entries {
            entry.measure(pass);
        }
        self.entries.retain(|entry| entry.idle < IDLE);
        if pass.enforced {
            self.judge(pass, reasons);
        } else {
            for entry in &mut self.entries {
                entry.release(pass, reasons);
                (entry.bad, entry.wasteful) = (0, 0);
            }
        }
        retries
    }

    /// Shares of all callers, by identity.
    pub(crate) fn shares(&self, out: &mut Vec<CallerShare>) {
        out.clear();
        out.extend(self.entries.iter().map(|entry| CallerShare {
            id: entry.id,
            class: entry.class,
            words: entry.words,
            reputation_milli: to_u32(1e3 * entry.reputation),
        }));
    }

    fn judge(&mut self, pass: &Pass, reasons: &mut Vec<Reason>) {
        let count = self.entries.len().max(1) as f64;
        let mean = Mean {
            calm: self.entries.iter().map(|entry| entry.calm).sum::<f64>() / count,
            share: self.entries.iter().map(|entry| entry.share).sum::<f64>() / count,
        };
        self.claims.clear();
        let claims = self.entries.iter().map(|entry| entry.claim(mean));
        self.claims.extend(claims);
        let multiple = multiple(&mut self.claims, pass.capacity).clamp(SHARE_LEAST, SHARE_MOST);
        for class in Class::ALL {
            let growth = self.median(class, mean, Entry::growth);
            let retries = self.median(class, mean, |entry, _| entry.retry_ratio());
            let members = self.entries.iter_mut().filter(|entry| entry.class == class);
            for entry in members {
                entry.judge(mean, multiple, growth, retries, pass, reasons);
            }
        }
    }

    /// Lower median over the active callers of a class; `None` if there are not two to compare.
    fn median(&mut self, class: Class, mean: Mean, of: fn(&Entry, Mean) -> f64) -> Option<f64> {
        self.ratios.clear();
        let peers = self.entries.iter().filter(|entry| entry.class == class);
        let active = peers.filter(|entry| entry.growth(mean) >= ACTIVE);
        self.ratios.extend(active.map(|entry| of(entry, mean)));
        if self.ratios.len() < 2 {
            return None;
        }
        lower_median(&mut self.ratios)
    }
}

impl Entry {
    const fn new(id: CallerId) -> Self {
        Self {
            id,
            class: Class::Normal,
            share: 1.0,
            asked: 0.0,
            retried: 0.0,
            rate: 0.0,
            retries: 0.0,
            calm: 0.0,
            calm_age: 0.0,
            idle: 0.0,
            reputation: 1.0,
            bad: 0,
            wasteful: 0,
            words: CallerWords {
                interval: 0,
                retry_interval: 0,
            },
        }
    }

    fn measure(&mut self, pass: &Pass) {
        let span = pass.span.max(1e-3);
        let gain = (0.4 * pass.step).min(1.0);
        self.rate += gain * (self.asked / span - self.rate);
        self.retries += gain * (self.retried / span - self.retries);
        self.idle = if self.asked > 0.0 { 0.0 } else { self.idle + span };
        if pass.calm {
            // While young it is the plain mean.
            self.calm_age += span;
            self.calm += (span / self.calm_age.min(CALM).max(span)) * (self.asked / span - self.calm);
        }
        (self.asked, self.retried) = (0.0, 0.0);
    }

    fn usual(&self, mean: Mean) -> f64 {
        self.calm.max(CALM_LEAST * mean.calm).max(RATE_LEAST)
    }

    /// What it asks now, beside what it usually asks; reputation stays out, or a low one would prove itself right.
    fn growth(&self, mean: Mean) -> f64 {
        self.rate / self.usual(mean)
    }

    fn claim(&self, mean: Mean) -> Claim {
        let (least, most) = SHARES;
        let share = (self.share / mean.share.max(1e-6)).clamp(least, most);
        Claim {
            asked: self.rate,
            weight: self.usual(mean) * share * self.reputation,
        }
    }

    fn retry_ratio(&self) -> f64 {
        self.retries / (self.rate - self.retries).max(1e-3)
    }

    fn judge(
        &mut self,
        mean: Mean,
        multiple: f64,
        growth: Option<f64>,
        retries: Option<f64>,
        pass: &Pass,
        reasons: &mut Vec<Reason>,
    ) {
        let own = self.growth(mean);
        let bad = growth.is_some_and(|peers| own > BEYOND * peers && own > GROWN);
        let peers = retries.map_or(f64::INFINITY, |peers| BEYOND * peers + RETRY_SLACK);
        let wasteful = self.retry_ratio() > pass.retry_budget.max(peers) && self.retries > RETRY_FLOOR;
        self.bad = self.bad << 1 | u32::from(bad);
        self.wasteful = self.wasteful << 1 | u32::from(wasteful);
        let bad = bad && (self.bad & 0x1f).count_ones() >= HITS;
        let wasteful = wasteful && (self.wasteful & 0x1f).count_ones() >= HITS;
        if !bad && !wasteful {
            return self.release(pass, reasons);
        }
        let before = self.words;
        self.words = CallerWords::default();
        if bad {
            let share = multiple * self.claim(mean).weight;
            self.words.interval = pace(1.0 / share);
            self.reputation -= COST * pass.step;
            if before.interval == 0 {
                reasons.push(Reason::CallerLimited {
                    caller: self.id,
                    growth_milli: to_u32(1e3 * own),
                    peers_milli: to_u32(1e3 * growth.unwrap_or(0.0)),
                    share_milli: to_u32(1e3 * share),
                });
            }
        }
        if wasteful {
            let allowed = pass.retry_budget * (self.rate - self.retries).max(0.0) + RETRY_FLOOR;
            self.words.retry_interval = pace(1.0 / allowed);
            self.reputation -= RETRY_COST * pass.step;
            if before.retry_interval == 0 {
                reasons.push(Reason::RetriesLimited {
                    caller: self.id,
                    retries_milli: to_u32(1e3 * self.retry_ratio()),
                    budget_milli: to_u32(1e3 * pass.retry_budget),
                });
            }
        }
        self.reputation = self.reputation.max(REPUTATION_LEAST);
    }

    /// Free at once, forgiven with time.
    fn release(&mut self, pass: &Pass, reasons: &mut Vec<Reason>) {
        self.reputation = 1.0 - (1.0 - self.reputation) * libm::exp2(-pass.span / FORGIVEN);
        if self.words != CallerWords::default() {
            self.words = CallerWords::default();
            reasons.push(Reason::CallerReleased {
                caller: self.id,
                reputation_milli: to_u32(1e3 * self.reputation),
            });
        }
    }
}
