//! Times between ready and on its way, the last 1,024 of them.

use std::collections::VecDeque;
use std::time::Duration;

const KEPT: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Waits(VecDeque<Duration>);

impl Waits {
    pub(super) fn hear(&mut self, wait: Duration) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(wait);
    }

    pub(super) fn percentile_99(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * 99 / 100).copied().unwrap_or_default()
    }
}
