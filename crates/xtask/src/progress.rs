//! Long work made visible: which step runs, for how long, and what it waits for.
//!
//! On a terminal one line is redrawn; in a log each step writes a line when it begins, every 15 s while it lasts
//! and when it ends. Steps may overlap; a step that is dropped without `done` is reported as failed.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the line on a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a running step repeats itself in a log.
const REPEAT: Duration = Duration::from_secs(15);
/// Characters of the redrawn line: more would wrap on a narrow terminal and could not be erased.
const LINE: usize = 100;

/// Reporter of steps; clones report to the same place.
#[derive(Debug, Clone)]
pub struct Progress {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug)]
struct Board {
    terminal: bool,
    next: u64,
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    id: u64,
    name: String,
    begun: Instant,
    waits: Option<String>,
    spoke: Instant,
}

/// A step that runs; tell it when it is done.
#[derive(Debug)]
#[must_use = "a step that is dropped counts as failed"]
pub struct Step {
    board: Arc<Mutex<Board>>,
    id: u64,
    open: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Reports to standard error.
    pub fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        let board = Arc::new(Mutex::new(Board {
            terminal,
            next: 0,
            active: Vec::new(),
        }));
        let weak = Arc::downgrade(&board);
        thread::spawn(move || {
            while let Some(board) = weak.upgrade() {
                lock(&board).tick(Instant::now());
                drop(board);
                thread::sleep(REDRAW);
            }
        });
        Self { board }
    }

    /// Begins a step.
    pub fn step(&self, name: impl Into<String>) -> Step {
        let mut board = lock(&self.board);
        let (id, now) = (board.next, Instant::now());
        board.next += 1;
        let name = name.into();
        if !board.terminal {
            eprintln!("  ..      {name}");
        }
        board.active.push(Active {
            id,
            name,
            begun: now,
            waits: None,
            spoke: now,
        });
        Step {
            board: Arc::clone(&self.board),
            id,
            open: true,
        }
    }

    /// Writes a line of its own between the steps.
    pub fn note(&self, line: &str) {
        lock(&self.board).say(line);
    }
}

impl Step {
    /// Says what the step waits for now.
    pub fn waiting(&self, what: impl Into<String>) {
        let mut board = lock(&self.board);
        if let Some(step) = board.active.iter_mut().find(|step| step.id == self.id) {
            step.waits = Some(what.into());
        }
    }

    /// The step has reached its end.
    pub fn done(mut self) {
        self.close("ok");
    }

    /// The step had nothing to do.
    pub fn unchanged(mut self) {
        self.close("same");
    }

    fn close(&mut self, verdict: &str) {
        self.open = false;
        let mut board = lock(&self.board);
        let Some(at) = board.active.iter().position(|step| step.id == self.id) else {
            return;
        };
        let step = board.active.remove(at);
        let line = format!(
            "  {verdict:<6}  {} ({})",
            step.name,
            seconds(step.begun.elapsed())
        );
        board.say(&line);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.open {
            self.close("failed");
        }
    }
}

impl Board {
    fn say(&self, line: &str) {
        let erase = if self.terminal { "\r\x1b[2K" } else { "" };
        eprintln!("{erase}{line}");
    }

    fn tick(&mut self, now: Instant) {
        if self.active.is_empty() {
            return;
        }
        if self.terminal {
            let mut line = String::new();
            for step in &self.active {
                let _ = write!(line, "{}   ", describe(step, now));
            }
            let line: String = line.chars().take(LINE).collect();
            eprint!("\r\x1b[2K  ..      {line}");
            let _ = io::stderr().flush();
            return;
        }
        for step in &mut self.active {
            if now.duration_since(step.spoke) >= REPEAT {
                step.spoke = now;
                eprintln!("  ..      {}", describe(step, now));
            }
        }
    }
}

fn describe(step: &Active, now: Instant) -> String {
    let waits = step
        .waits
        .as_ref()
        .map(|what| format!(", waits for {what}"))
        .unwrap_or_default();
    format!(
        "{} ({}{waits})",
        step.name,
        seconds(now.duration_since(step.begun))
    )
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_step_says_what_it_waits_for_and_since_when() {
        let begun = Instant::now();
        let step = Active {
            id: 0,
            name: "start".into(),
            begun,
            waits: Some("readiness".into()),
            spoke: begun,
        };
        let line = describe(&step, begun + Duration::from_millis(1500));
        assert_eq!(line, "start (1.5 s, waits for readiness)");
    }

    #[test]
    fn a_step_leaves_the_board_when_it_ends_either_way() {
        let progress = Progress::new();
        progress.step("one").done();
        drop(progress.step("two"));
        assert!(lock(&progress.board).active.is_empty());
    }
}
