//! The bound of a node's report in bytes.
//!
//! Item counts alone do not bound it: 256 sets × 64 backends × 300 B would be 5 MB, and etcd refuses 1.5 MiB. So what
//! does not fit is left out from the end (the callers order worst first), plain backends before sets, and said.

use super::{BackendState, ContinuityNodeStatus, SETS_MAX};
use serde::Serialize;
use std::io;

/// Largest serialised status. 10,000 nodes × 64 kB are 640 MB in the worst case of a storm on every node at once, which a
/// default etcd of 2 GiB still holds.
pub const STATUS_BYTES_MAX: usize = 64 * 1024 - 4 * 1024;

impl ContinuityNodeStatus {
    /// Cuts the status to the bound and says so in `truncated` and `omittedSets`.
    ///
    /// Backends in plain rotation go first, from the last set on; then whole sets from the end.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let before = self.sets.len();
        self.sets.truncate(SETS_MAX);
        let mut size = bytes(&self);
        for set in self.sets.iter_mut().rev() {
            if size <= STATUS_BYTES_MAX {
                break;
            }
            let was = bytes(set);
            let count = set.backends.len();
            set.backends
                .retain(|backend| backend.state != BackendState::Active || backend.warning.is_some());
            self.truncated |= set.backends.len() < count;
            size = size.saturating_sub(was.saturating_sub(bytes(set)));
        }
        while size > STATUS_BYTES_MAX {
            let Some(set) = self.sets.pop() else { break };
            size = size.saturating_sub(bytes(&set) + 1);
        }
        let omitted = before - self.sets.len();
        self.truncated |= omitted > 0;
        self.omitted_sets = self
            .omitted_sets
            .saturating_add(i32::try_from(omitted).unwrap_or(i32::MAX));
        self
    }
}

/// Serialised size without keeping the bytes.
fn bytes<T: Serialize>(value: &T) -> usize {
    let mut count = Count(0);
    // Counting can not fail; a value that does not serialise is caught where it is written.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0 += buffer.len();
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{BackendReport, SetReport};

    fn backend(index: usize, state: BackendState) -> BackendReport {
        BackendReport {
            address: format!("[fd00::{index:x}]:8080"),
            pod: "p".repeat(60),
            reason: "r".repeat(256),
            state,
            ..BackendReport::default()
        }
    }

    fn storm(sets: usize) -> ContinuityNodeStatus {
        let set = |index: usize| SetReport {
            namespace: "shop".into(),
            set: format!("set-{index}"),
            backends: (0..64)
                .map(|at| {
                    backend(
                        at,
                        if at < 2 {
                            BackendState::Isolated
                        } else {
                            BackendState::Active
                        },
                    )
                })
                .collect(),
            ..SetReport::default()
        };
        ContinuityNodeStatus {
            sets: (0..sets).map(set).collect(),
            ..ContinuityNodeStatus::default()
        }
    }

    #[test]
    fn the_worst_report_stays_under_64_kb_and_says_what_is_missing() {
        let status = storm(300).bounded();
        assert!(bytes(&status) <= STATUS_BYTES_MAX);
        assert!(status.truncated);
        assert_eq!(
            status.sets.len() + usize::try_from(status.omitted_sets).unwrap(),
            300
        );
    }

    #[test]
    fn isolated_backends_of_the_worst_set_outlive_plain_ones() {
        let status = storm(20).bounded();
        assert_eq!(status.sets.len(), 20);
        assert!(status.sets.iter().all(|set| set.backends.len() >= 2));
        assert_eq!(status.omitted_sets, 0);
    }

    #[test]
    fn a_small_report_is_left_alone() {
        let status = storm(1);
        assert_eq!(status.clone().bounded(), status);
    }
}
