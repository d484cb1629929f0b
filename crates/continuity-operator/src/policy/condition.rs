//! One condition: its standing, and how it carries its transition time on.

use crate::moment::Moment;
use continuity_api::{Condition, conditions};

/// Longest message we write; people read a sentence, and the schema would take 32 kB.
const MESSAGE_MAX: usize = 1_024;

/// What a condition says, before it has a type and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// True, False or Unknown.
    pub status: &'static str,
    /// One word for machines.
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl Standing {
    /// It holds.
    #[must_use]
    pub const fn yes(reason: &'static str, message: String) -> Self {
        Self {
            status: conditions::TRUE,
            reason,
            message,
        }
    }

    /// It does not hold.
    #[must_use]
    pub const fn no(reason: &'static str, message: String) -> Self {
        Self {
            status: conditions::FALSE,
            reason,
            message,
        }
    }

    /// Nobody knows.
    #[must_use]
    pub const fn unknown(reason: &'static str, message: String) -> Self {
        Self {
            status: conditions::UNKNOWN,
            reason,
            message,
        }
    }

    /// The condition of type `kind`; its transition time moves only when the status does.
    #[must_use]
    pub fn condition(
        &self,
        kind: &str,
        generation: Option<i64>,
        previous: &[Condition],
        now: Moment,
    ) -> Condition {
        let known = previous
            .iter()
            .find(|condition| condition.type_ == kind && condition.status == self.status);
        Condition {
            type_: kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.chars().take(MESSAGE_MAX).collect(),
            observed_generation: generation,
            last_transition_time: known
                .map_or_else(|| now.time(), |condition| condition.last_transition_time.clone()),
        }
    }
}
