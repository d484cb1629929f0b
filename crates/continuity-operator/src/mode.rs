//! How much the operator asks of the API server, decided from its own answers.
//!
//! | mode | entered | what goes |
//! | --- | --- | --- |
//! | NORMAL | by itself | everything |
//! | DEGRADED | 20 % of the last 10 s failed or were slow, at least 3 | priorities 0 to 5, two at a time; figures wait |
//! | READ_ONLY | 5 failures in a row, or 60 % of at least 8 | one probe every 2 s, which is a waiting write if there is one |
//! | DRAINING | the replica is told to stop | what waits, nothing new |
//!
//! Failures are 429, 5xx, no connection and no answer in time; slow is more than 1.5 s. A refusal of one body (4xx) is an
//! answer of a healthy server. Worse at once, better one step at a time: two probes in a row end READ_ONLY, five quiet
//! seconds with three good answers end DEGRADED. Nothing is lost on the way: what may not go waits in the scheduler, where
//! the latest content wins. Pure: takes `now`.

use crate::error::Category;
use crate::scheduler::{FLIGHTS_MAX, Gate};
use std::collections::VecDeque;
use std::time::Duration;

/// Time that answers count for.
const WINDOW: Duration = Duration::from_secs(10);
/// Answers kept: at 400 writes a second the last 640 ms, enough to see a storm; a quiet leader's whole window.
const ANSWERS_MAX: usize = 256;
/// An answer later than this is a bad one.
const SLOW: Duration = Duration::from_millis(1_500);
/// Least time in DEGRADED without a bad answer.
const QUIET: Duration = Duration::from_secs(5);
/// Good answers that end DEGRADED.
const GOOD_MIN: usize = 3;
/// Time between probes while they fail.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Time until the second probe after a good one.
const PROBE_AGAIN: Duration = Duration::from_millis(200);
/// Failures in a row that stop writes.
const STREAK: usize = 5;

/// The mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Everything goes.
    #[default]
    Normal,
    /// Figures wait.
    Degraded,
    /// Only probes go.
    ReadOnly,
    /// The replica is on its way out.
    Draining,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Degraded, Self::ReadOnly, Self::Draining];

    /// As people and metrics call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Degraded => "DEGRADED",
            Self::ReadOnly => "READ_ONLY",
            Self::Draining => "DRAINING",
        }
    }
}

/// One answer of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Good,
    Slow,
    Failed,
}

impl Answer {
    fn of(outcome: Result<(), Category>, took: Duration) -> Option<Self> {
        match outcome {
            Err(Category::Throttled | Category::Unavailable | Category::Timeout) => Some(Self::Failed),
            // Nothing was asked.
            Err(Category::NotLeading | Category::Internal) => None,
            _ if took > SLOW => Some(Self::Slow),
            _ => Some(Self::Good),
        }
    }
}

/// The mode and what it is decided from.
#[derive(Debug, Default)]
pub struct Machine {
    mode: Mode,
    since: Duration,
    answers: VecDeque<(Duration, Answer)>,
    probe_at: Duration,
    probes_good: usize,
}

impl Machine {
    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Duration {
        self.since
    }

    /// Takes an answer in; gives the new mode when it changes.
    pub fn hear(&mut self, outcome: Result<(), Category>, took: Duration, now: Duration) -> Option<Mode> {
        let answer = Answer::of(outcome, took)?;
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back((now, answer));
        match self.mode {
            Mode::Draining => None,
            Mode::ReadOnly => self.probed(answer, now),
            Mode::Normal | Mode::Degraded => self.judge(now),
        }
    }

    /// Lets time pass; gives the new mode when it changes.
    pub fn pass(&mut self, now: Duration) -> Option<Mode> {
        match self.mode {
            Mode::Normal | Mode::Degraded => self.judge(now),
            Mode::ReadOnly | Mode::Draining => None,
        }
    }

    /// The replica is told to stop.
    pub fn drain(&mut self, now: Duration) {
        self.enter(Mode::Draining, now);
    }

    /// How much may go now.
    #[must_use]
    pub fn gate(&self, now: Duration) -> Gate {
        match self.mode {
            Mode::Normal | Mode::Draining => Gate::OPEN,
            Mode::Degraded => Gate {
                flights: (FLIGHTS_MAX / 4).max(1),
                priority: Gate::URGENT,
            },
            // A probe may be any write: what is tried is the server, and whatever waits is worth it.
            Mode::ReadOnly => Gate {
                flights: usize::from(now >= self.probe_at),
                priority: 10,
            },
        }
    }

    /// Whether a read should be sent, if no write goes: else nothing would ever tell that the server is well again.
    #[must_use]
    pub fn wants_probe(&self, now: Duration) -> bool {
        matches!(self.mode, Mode::Degraded | Mode::ReadOnly) && now >= self.probe_at
    }

    /// When the gate or the probe opens next, if time alone brings it.
    #[must_use]
    pub const fn next_due(&self) -> Option<Duration> {
        match self.mode {
            Mode::Degraded | Mode::ReadOnly => Some(self.probe_at),
            Mode::Normal | Mode::Draining => None,
        }
    }

    /// Something was sent: the next probe waits.
    pub fn sent(&mut self, now: Duration) {
        self.probe_at = now + PROBE_EVERY;
    }

    fn probed(&mut self, answer: Answer, now: Duration) -> Option<Mode> {
        if answer == Answer::Failed {
            self.probes_good = 0;
            return None;
        }
        self.probes_good += 1;
        self.probe_at = self.probe_at.min(now + PROBE_AGAIN);
        (self.probes_good >= 2).then(|| self.enter(Mode::Degraded, now))
    }

    fn judge(&mut self, now: Duration) -> Option<Mode> {
        let from = now.saturating_sub(WINDOW);
        while self.answers.front().is_some_and(|(at, _)| *at < from) {
            self.answers.pop_front();
        }
        let count = |wanted: &dyn Fn(Answer) -> bool| {
            self.answers.iter().filter(|(_, answer)| wanted(*answer)).count()
        };
        let (total, failed) = (self.answers.len(), count(&|answer| answer == Answer::Failed));
        let bad = count(&|answer| answer != Answer::Good);
        let streak = self
            .answers
            .iter()
            .rev()
            .take_while(|(_, answer)| *answer == Answer::Failed)
            .count();
        if streak >= STREAK || (total >= 8 && failed * 10 >= total * 6) {
            return Some(self.enter(Mode::ReadOnly, now));
        }
        match self.mode {
            Mode::Normal if bad >= 3 && bad * 5 >= total => Some(self.enter(Mode::Degraded, now)),
            Mode::Degraded => self.better(now),
            _ => None,
        }
    }

    fn better(&mut self, now: Duration) -> Option<Mode> {
        let quiet = now.saturating_sub(QUIET);
        let recent = || self.answers.iter().filter(|(at, _)| *at >= quiet);
        let calm = recent().all(|(_, answer)| *answer == Answer::Good);
        let enough = self
            .answers
            .iter()
            .filter(|(_, answer)| *answer == Answer::Good)
            .count()
            >= GOOD_MIN;
        let stayed = now.saturating_sub(self.since) >= QUIET;
        (calm && enough && stayed).then(|| self.enter(Mode::Normal, now))
    }

    fn enter(&mut self, mode: Mode, now: Duration) -> Mode {
        if mode < self.mode {
            // What led to the worse mode is no evidence in the better one, or one storm would be counted twice.
            self.answers.clear();
        }
        self.mode = mode;
        self.since = now;
        self.probes_good = 0;
        self.probe_at = if mode == Mode::ReadOnly {
            now + PROBE_EVERY
        } else {
            now
        };
        mode
    }
}

#[cfg(test)]
mod tests;
