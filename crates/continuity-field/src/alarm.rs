//! Whether a single sign may isolate.
//!
//! One failure, or one request that is blatantly late, tells nearly everything about a backend in a service that never
//! shows such signs, and nothing in one that shows them for no reason. Which of the two a service is, it tells itself:
//! an isolation on a single sign that is followed by a calm half minute after the return was a false alarm, and single
//! signs then count for nothing for ten minutes, longer each time. Only one such alarm may be open at a time, so a shared
//! hiccup costs at most one short isolation.

use crate::{BackendId, Nanos};

/// Calm after the return that makes an alarm a false one.
const CALM: Nanos = Nanos::from_secs(30);
/// Single signs are ignored for this long after the first false alarm; doubles with each, up to 2^6 (11 h).
const IGNORED: Nanos = Nanos::from_secs(600);
const MOST_DOUBLINGS: u32 = 6;

/// Memory of the single signs of one set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alarm {
    /// Who was isolated on a single sign, and since when it has been back.
    open: Option<(BackendId, Option<Nanos>)>,
    ignored_until: Nanos,
    false_alarms: u32,
}

crate::save::code::stored! {
    Alarm { open, ignored_until, false_alarms }
}

impl Alarm {
    /// Single signs count now.
    pub(crate) fn armed(&self, now: Nanos) -> bool {
        self.open.is_none() && now >= self.ignored_until
    }

    /// A backend was isolated on a single sign.
    pub(crate) fn raise(&mut self, backend: BackendId) {
        self.open = Some((backend, None));
    }

    /// Follows the one that is open: `isolated`, and whether anything spoke against it in this step. `None` if it left.
    pub(crate) fn follow(&mut self, now: Nanos, look_up: impl FnOnce(BackendId) -> Option<(bool, bool)>) {
        let Some((backend, back)) = self.open else { return };
        let Some((isolated, accused)) = look_up(backend) else {
            self.open = None;
            return;
        };
        match (isolated, back) {
            (true, None) => {}
            // It was sick after all.
            (true, Some(_)) => self.confirm(),
            (false, Some(_)) if accused => self.confirm(),
            (false, None) => self.open = Some((backend, Some(now))),
            (false, Some(since)) if now.since(since) >= CALM => {
                self.open = None;
                let doubled = IGNORED
                    .0
                    .saturating_mul(1 << self.false_alarms.min(MOST_DOUBLINGS));
                self.ignored_until = now + Nanos(doubled);
                self.false_alarms = (self.false_alarms + 1).min(MOST_DOUBLINGS);
            }
            (false, Some(_)) => {}
        }
    }

    fn confirm(&mut self) {
        self.open = None;
        self.false_alarms = self.false_alarms.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SICK: BackendId = BackendId(1);

    #[test]
    fn a_false_alarm_silences_single_signs_for_ten_minutes_and_then_for_twenty() {
        let mut alarm = Alarm::default();
        let mut now = Nanos::from_secs(100);
        for minutes in [10, 20] {
            assert!(alarm.armed(now));
            alarm.raise(SICK);
            assert!(!alarm.armed(now), "one alarm at a time");
            alarm.follow(now, |_| Some((true, false)));
            alarm.follow(now + Nanos::from_secs(3), |_| Some((false, false)));
            now = now + Nanos::from_secs(33);
            alarm.follow(now, |_| Some((false, false)));
            assert!(!alarm.armed(now + Nanos::from_secs(minutes * 60 - 1)));
            now = now + Nanos::from_secs(minutes * 60);
        }
    }

    #[test]
    fn a_backend_that_fails_again_confirms_the_alarm() {
        let mut alarm = Alarm::default();
        let now = Nanos::from_secs(100);
        alarm.raise(SICK);
        alarm.follow(now, |_| Some((false, false)));
        alarm.follow(now + Nanos::from_secs(5), |_| Some((true, false)));
        assert!(alarm.armed(now + Nanos::from_secs(6)));
    }

    #[test]
    fn a_sign_within_the_calm_half_minute_confirms_the_alarm_too() {
        let mut alarm = Alarm::default();
        let now = Nanos::from_secs(100);
        let after = |seconds: u64| now + Nanos::from_secs(seconds);
        alarm.raise(SICK);
        alarm.follow(now, |_| Some((false, false)));
        alarm.follow(after(29), |_| Some((false, false)));
        assert!(!alarm.armed(after(29)), "not calm for long enough to tell");
        alarm.follow(after(30), |_| Some((false, true)));
        assert!(alarm.armed(after(30)));
    }

    #[test]
    fn an_alarm_of_a_backend_that_left_is_closed_without_a_judgement() {
        let mut alarm = Alarm::default();
        let now = Nanos::from_secs(100);
        alarm.raise(SICK);
        alarm.follow(now, |_| None);
        assert!(alarm.armed(now));
    }
}
