//! Why admission changed, with the numbers that decided; `Display` is the sentence for a person.

use std::fmt;

use crate::caller::CallerId;
use crate::{Enforcement, Nanos};

/// Why admission changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Normal → soft: answers are late and too many requests are in flight.
    Overloaded {
        /// Turnaround beside calm, thousandths.
        latency_milli: u32,
        /// In flight beside the proven, thousandths.
        in_flight_milli: u32,
        /// Answers that showed it.
        answers: u32,
    },
    /// Normal → soft: the fuse refused while answers were late.
    Fused {
        /// Connects it refused.
        refused: u32,
        /// Turnaround beside calm, thousandths.
        latency_milli: u32,
    },
    /// Soft → normal.
    Calmed {
        /// Time in soft.
        after: Nanos,
        /// How long it has been calm.
        calm_for: Nanos,
    },
    /// Soft → hard: most of what is admitted ends without an answer.
    Drowning {
        /// Requests that did.
        aborted: u32,
        /// Turnaround beside calm, thousandths.
        latency_milli: u32,
    },
    /// Hard → soft: answers come again.
    Answering {
        /// How many.
        answers: u64,
        /// Time in hard.
        after: Nanos,
    },
    /// Hard → soft: it has lasted long enough to try.
    Probing {
        /// Time in hard.
        after: Nanos,
    },
    /// Retries make up too much of what is asked.
    StormBegan {
        /// Retries per answer, thousandths.
        index_milli: u32,
    },
    /// They no longer do.
    StormEnded {
        /// Retries per answer, thousandths.
        index_milli: u32,
    },
    /// A caller grew far beyond its peers: what is above its share counts as excess.
    CallerLimited {
        /// Which.
        caller: CallerId,
        /// Its growth over its calm demand, thousandths.
        growth_milli: u32,
        /// The same of its peers.
        peers_milli: u32,
        /// Share it keeps in its class, connects per 1 000 s.
        share_milli: u32,
    },
    /// A caller retries far more than its peers and its budget: the rest counts as excess.
    RetriesLimited {
        /// Which.
        caller: CallerId,
        /// Retries per fresh connect, thousandths.
        retries_milli: u32,
        /// What its budget allows.
        budget_milli: u32,
    },
    /// A caller keeps to its share again.
    CallerReleased {
        /// Which.
        caller: CallerId,
        /// Its reputation, thousandths; heals with a half-life of 10 s.
        reputation_milli: u32,
    },
}

impl Reason {
    /// Name for events and metrics, CamelCase.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Overloaded { .. } => "AdmissionOverloaded",
            Self::Fused { .. } => "AdmissionFused",
            Self::Calmed { .. } => "AdmissionCalmed",
            Self::Drowning { .. } => "AdmissionDrowning",
            Self::Answering { .. } => "AdmissionAnswering",
            Self::Probing { .. } => "AdmissionProbing",
            Self::StormBegan { .. } => "RetryStormBegan",
            Self::StormEnded { .. } => "RetryStormEnded",
            Self::CallerLimited { .. } => "CallerLimited",
            Self::RetriesLimited { .. } => "CallerRetriesLimited",
            Self::CallerReleased { .. } => "CallerReleased",
        }
    }

    /// What is enforced after it, if that changed.
    pub const fn enforcement(&self) -> Option<Enforcement> {
        match self {
            Self::Overloaded { .. } | Self::Fused { .. } | Self::Answering { .. } | Self::Probing { .. } => {
                Some(Enforcement::Soft)
            }
            Self::Calmed { .. } => Some(Enforcement::Normal),
            Self::Drowning { .. } => Some(Enforcement::Hard),
            _ => None,
        }
    }
}

/// Thousandths as a person reads them.
struct Times(u32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} ×", self.0 / 1_000, self.0 % 1_000 / 100)
    }
}

impl fmt::Display for Reason {
    #[allow(clippy::too_many_lines, reason = "a table: one sentence for each reason")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Overloaded {
                latency_milli,
                in_flight_milli,
                answers,
            } => write!(
                f,
                "answers take {} and requests in flight are {} of calm over {answers} answers: the lowest classes are shed",
                Times(latency_milli),
                Times(in_flight_milli)
            ),
            Self::Fused {
                refused,
                latency_milli,
            } => write!(
                f,
                "more requests in flight than ever in calm while answers take {} of calm; the fuse refused {refused}: the lowest classes are shed",
                Times(latency_milli)
            ),
            Self::Calmed { after, calm_for } => write!(
                f,
                "calm for {calm_for} with nothing owed, after {after}: everybody is admitted"
            ),
            Self::Drowning {
                aborted,
                latency_milli,
            } => write!(
                f,
                "{aborted} requests ended without an answer, answers take {} of calm: only the top class and a trickle are admitted",
                Times(latency_milli)
            ),
            Self::Answering { answers, after } => {
                write!(f, "{answers} answers again after {after}: opens slowly")
            }
            Self::Probing { after } => write!(f, "only a trickle for {after}: opens slowly to see"),
            Self::StormBegan { index_milli } => {
                write!(
                    f,
                    "{} retries for every answer: a retry storm",
                    Times(index_milli)
                )
            }
            Self::StormEnded { index_milli } => {
                write!(
                    f,
                    "{} retries for every answer: the storm is over",
                    Times(index_milli)
                )
            }
            Self::CallerLimited {
                growth_milli,
                peers_milli,
                share_milli,
                ..
            } => write!(
                f,
                "asks {} its calm demand, its peers {}: above {}.{} connects a second it waits for room",
                Times(growth_milli),
                Times(peers_milli),
                share_milli / 1_000,
                share_milli % 1_000 / 100
            ),
            Self::RetriesLimited {
                retries_milli,
                budget_milli,
                ..
            } => write!(
                f,
                "makes {} retries for every fresh connect, {} are its budget: the others wait for room",
                Times(retries_milli),
                Times(budget_milli)
            ),
            Self::CallerReleased { reputation_milli, .. } => write!(
                f,
                "keeps to its share again (reputation {}.{:02})",
                reputation_milli / 1_000,
                reputation_milli % 1_000 / 10
            ),
        }
    }
}
