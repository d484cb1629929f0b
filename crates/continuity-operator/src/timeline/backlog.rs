//! Whose past has to be looked at: all policies and nodes once under each leadership, and nodes as they change.
//!
//! To learn whether something happened while nobody led costs one read of a timeline. Ten thousand at once would be a
//! storm right after a change of leader, so they are handed over a few a second, those that just changed first.

use crate::world::Key;
use std::collections::BTreeSet;
use std::time::Duration;

/// Handed over in one second: 10,000 nodes take two and a half minutes, at less than two tenths of the requests that the API
/// server grants the operator.
const EACH_SECOND: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

/// Whose past.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Of a policy.
    Policy(Key),
    /// Of a node.
    Node(String),
}

/// What waits; at most two entries for each policy and node.
#[derive(Debug, Default)]
pub struct Backlog {
    stirred: BTreeSet<Topic>,
    unseen: BTreeSet<Topic>,
    began: Duration,
    given: usize,
}

impl Backlog {
    /// A new leadership: everything is looked at once.
    pub fn begin(&mut self, all: impl Iterator<Item = Topic>) {
        self.stirred.clear();
        self.unseen = all.collect();
    }

    /// Something changed.
    pub fn stir(&mut self, topic: Topic) {
        self.unseen.remove(&topic);
        self.stirred.insert(topic);
    }

    /// The next one, unless this second's are through.
    pub fn next(&mut self, now: Duration) -> Option<Topic> {
        if now.saturating_sub(self.began) >= SECOND {
            (self.began, self.given) = (now, 0);
        }
        if self.given >= EACH_SECOND {
            return None;
        }
        let topic = self.stirred.pop_first().or_else(|| self.unseen.pop_first())?;
        self.given += 1;
        Some(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_just_changed_goes_first_and_a_new_leadership_makes_no_storm() {
        let mut backlog = Backlog::default();
        backlog.begin((0..1_000).map(|index| Topic::Node(format!("node-{index:04}"))));
        backlog.stir(Topic::Node("node-0999".into()));
        let now = Duration::from_secs(5);
        assert_eq!(backlog.next(now), Some(Topic::Node("node-0999".into())));
        let rest = std::iter::from_fn(|| backlog.next(now)).count();
        assert_eq!(rest, EACH_SECOND - 1);
        let mut seconds = 0;
        let mut total = rest + 1;
        while total < 1_000 {
            seconds += 1;
            let later = now + SECOND * seconds;
            total += std::iter::from_fn(|| backlog.next(later)).count();
        }
        assert_eq!((total, seconds), (1_000, 15), "each once");
        assert_eq!(backlog.next(now + SECOND * 99), None);
    }
}
