//! The retry-storm index of a set: retries per answer.
//!
//! Retries are the dominant effect that keeps a collapse alive after its trigger. A connect counts as a retry if its
//! caller had an attempt fail within the last second that no connect has followed yet; of a busy caller that is an upper
//! bound, so the index never acts alone: it keeps soft from being left, and it is said.

use super::reason::Reason;
use crate::number::to_u32;

/// Index at which a storm begins, and at which it ends.
const BEGINS: f64 = 0.5;
const ENDS: f64 = 0.25;
/// Time for which it must be there.
const LASTS: f64 = 1.0;
/// Memory, s.
const MEMORY: f64 = 2.0;

/// Index of one set on one node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Storm {
    retries: f64,
    answers: f64,
    high: f64,
    /// Whether there is a storm.
    pub on: bool,
}

impl Storm {
    /// One period: retries and answers in `span` s.
    pub(super) fn observe(&mut self, retries: f64, answers: f64, span: f64) -> Option<Reason> {
        let keep = libm::exp(-span / MEMORY);
        self.retries = self.retries * keep + retries;
        self.answers = self.answers * keep + answers;
        let index = self.index();
        // A few retries against no answers at all are no storm yet.
        let high = index >= BEGINS && self.retries >= 10.0;
        self.high = if high { self.high + span } else { 0.0 };
        let index_milli = to_u32(1e3 * index);
        if !self.on && self.high >= LASTS {
            self.on = true;
            return Some(Reason::StormBegan { index_milli });
        }
        if self.on && index < ENDS {
            self.on = false;
            return Some(Reason::StormEnded { index_milli });
        }
        None
    }

    /// Retries per answer; the 1 keeps an idle set at 0.
    pub(super) fn index(&self) -> f64 {
        self.retries / (self.answers + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_retries_that_outweigh_half_the_answers_for_a_second() {
        let mut storm = Storm::default();
        assert_eq!(storm.observe(40.0, 20.0, 0.2), None);
        let began = (0..5).find_map(|_| storm.observe(40.0, 20.0, 0.2));
        assert!(matches!(began, Some(Reason::StormBegan { index_milli }) if index_milli > 1_500));
        let ended = (0..50).find_map(|_| storm.observe(0.0, 20.0, 0.2));
        assert!(matches!(ended, Some(Reason::StormEnded { .. })));
    }

    #[test]
    fn an_idle_set_and_a_few_failures_are_no_storm() {
        let mut storm = Storm::default();
        assert!((0..100).all(|_| storm.observe(0.1, 0.0, 0.2).is_none()));
    }

    #[test]
    fn it_begins_at_half_a_retry_per_answer_and_ten_of_them() {
        let begins = |retries, answers| Storm::default().observe(retries, answers, LASTS).is_some();
        // The 1 counts as an answer.
        assert!(begins(10.0, 19.0));
        assert!(!begins(10.0, 19.1));
        assert!(!begins(9.9, 0.0));
    }

    #[test]
    fn a_pause_begins_the_second_anew() {
        let mut storm = Storm::default();
        assert_eq!(storm.observe(20.0, 0.0, 0.9), None);
        assert_eq!(storm.observe(0.0, 1_000.0, 0.1), None);
        assert_eq!(storm.observe(2_000.0, 0.0, 0.9), None);
        assert!(storm.observe(2_000.0, 0.0, 0.1).is_some());
    }

    #[test]
    fn it_ends_below_a_quarter_and_not_at_it() {
        let mut storm = Storm::default();
        assert!(storm.observe(10.0, 0.0, LASTS).is_some() && storm.on);
        assert_eq!(storm.observe(0.0, 39.0, 0.0), None);
        assert!(storm.on);
        assert!(storm.observe(0.0, 0.1, 0.0).is_some() && !storm.on);
    }

    #[test]
    fn half_of_both_is_forgotten_in_the_half_life_of_two_seconds_memory() {
        let mut storm = Storm::default();
        storm.observe(10.0, 19.0, 0.2);
        storm.observe(0.0, 0.0, MEMORY * libm::log(2.0));
        assert!((storm.index() - 5.0 / 10.5).abs() < 1e-12, "{}", storm.index());
    }
}
