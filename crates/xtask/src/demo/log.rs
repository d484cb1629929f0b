//! The attempts of all clients, in one list.
//!
//! Every client numbers the backends it has seen in its own way; here they get one numbering. Times are
//! nanoseconds of `CLOCK_MONOTONIC`, which all pods and this program share.

use continuity_traffic::record::{NO_BACKEND, Outcome, Record};

/// A backend's number in [`Log`].
pub(super) type Backend = u16;

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// When it was due.
    pub(super) due_ns: u64,
    /// Set-up of the connection, µs; 0 on a kept one.
    pub(super) connect_us: u32,
    /// From due to its end, µs.
    pub(super) total_us: u32,
    /// Who answered.
    pub(super) backend: Option<Backend>,
    /// Which stream.
    pub(super) stream: u8,
    /// How it ended.
    pub(super) outcome: Outcome,
}

impl Attempt {
    /// Whether it failed.
    pub(super) fn failed(&self) -> bool {
        self.outcome != Outcome::Answered
    }
}

/// All attempts that were fetched, and the names of the backends.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// In no order.
    pub(super) attempts: Vec<Attempt>,
    /// Names by number.
    pub(super) names: Vec<String>,
    /// Records that a client had overwritten before they were fetched; anything but 0 makes the run worthless.
    pub(super) missed: u64,
}

impl Log {
    /// The number of this backend.
    pub(super) fn backend(&mut self, name: &str) -> Option<Backend> {
        let at = self
            .names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.names.len() - 1
            });
        Backend::try_from(at).ok()
    }

    /// Adds records of one client, whose numbering of backends is given.
    pub(super) fn extend(&mut self, records: &[Record], backends: &[String]) {
        let numbers: Vec<_> = backends.iter().map(|name| self.backend(name)).collect();
        self.attempts.extend(records.iter().map(|record| Attempt {
            due_ns: record.intended_ns,
            connect_us: record.connect_us,
            total_us: record.total_us,
            backend: match record.backend {
                NO_BACKEND => None,
                at => numbers.get(usize::from(at)).copied().flatten(),
            },
            stream: record.stream,
            outcome: record.outcome,
        }));
    }

    /// The attempts of one stream that were due in `[from_ns, to_ns)`, in the order of their due times.
    pub(super) fn window(&self, stream: u8, from_ns: u64, to_ns: u64) -> Vec<Attempt> {
        let due = |a: &&Attempt| a.stream == stream && (from_ns..to_ns).contains(&a.due_ns);
        let mut found: Vec<Attempt> = self.attempts.iter().filter(due).copied().collect();
        found.sort_by_key(|a| a.due_ns);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(backend: u16) -> Record {
        let outcome = if backend == NO_BACKEND {
            Outcome::Reset
        } else {
            Outcome::Answered
        };
        Record {
            intended_ns: 5,
            id: 1,
            late_us: 0,
            connect_us: 9,
            total_us: 10,
            backend,
            stream: 2,
            outcome,
        }
    }

    #[test]
    fn the_numberings_of_two_clients_become_one() {
        let mut log = Log::default();
        log.extend(&[record(0), record(1)], &["a".into(), "b".into()]);
        log.extend(&[record(0), record(NO_BACKEND)], &["b".into()]);
        let seen: Vec<_> = log.attempts.iter().map(|a| a.backend).collect();
        assert_eq!(seen, [Some(0), Some(1), Some(1), None]);
        assert_eq!(log.names, ["a", "b"]);
        assert_eq!(log.window(2, 0, 6).len(), 4);
        assert!(log.window(2, 0, 5).is_empty() && log.window(1, 0, 6).is_empty());
    }
}
