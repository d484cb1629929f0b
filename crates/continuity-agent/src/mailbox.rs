//! A place for one letter between the network side and the node loop: the newest replaces an unread one and rings a bell.
//!
//! The loop sleeps on the bell until its next tick, so a changed desired state is acted on at once, and a slow loop never
//! has a queue to work off.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What woke the reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake<T> {
    /// A letter.
    Letter(T),
    /// The deadline passed.
    Tick,
    /// The sender asked to stop.
    Stop,
}

#[derive(Debug)]
struct Inside<T> {
    letter: Option<T>,
    stopped: bool,
}

/// The mailbox; share it by `Arc`.
#[derive(Debug)]
pub struct Mailbox<T> {
    inside: Mutex<Inside<T>>,
    bell: Condvar,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            inside: Mutex::new(Inside {
                letter: None,
                stopped: false,
            }),
            bell: Condvar::new(),
        }
    }
}

impl<T> Mailbox<T> {
    /// Puts a letter in, over an unread one.
    pub fn post(&self, letter: T) {
        self.lock().letter = Some(letter);
        self.bell.notify_one();
    }

    /// Tells the reader to stop.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.bell.notify_one();
    }

    /// Waits for a letter, a stop, or the deadline.
    pub fn wait(&self, deadline: Instant) -> Wake<T> {
        let mut inside = self.lock();
        loop {
            if inside.stopped {
                return Wake::Stop;
            }
            if let Some(letter) = inside.letter.take() {
                return Wake::Letter(letter);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Wake::Tick;
            }
            inside = self
                .bell
                .wait_timeout(inside, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A poisoned lock means a writer died between two plain stores; the content is whole either way.
    fn lock(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_newest_letter_replaces_an_unread_one() {
        let mailbox = Mailbox::default();
        mailbox.post(1);
        mailbox.post(2);
        let soon = Instant::now();
        assert_eq!(mailbox.wait(soon), Wake::Letter(2));
        assert_eq!(mailbox.wait(soon), Wake::Tick);
    }

    #[test]
    fn a_letter_wakes_the_reader_before_the_deadline() {
        let mailbox = Arc::new(Mailbox::default());
        let sender = Arc::clone(&mailbox);
        let far = Instant::now() + Duration::from_secs(60);
        let reader = thread::spawn(move || mailbox.wait(far));
        sender.post("news");
        assert_eq!(reader.join().expect("the reader ends"), Wake::Letter("news"));
        assert!(Instant::now() < far);
    }

    #[test]
    fn a_stop_comes_before_letters() {
        let mailbox = Mailbox::default();
        mailbox.post(());
        mailbox.stop();
        assert_eq!(mailbox.wait(Instant::now()), Wake::Stop);
    }
}
