//! Ctrl-C and SIGTERM: end the children, run the clean-up of whatever is half made, leave with 128 + signal.
//!
//! One handler thread for the whole program; a guard registers a clean-up for as long as it lives, the last
//! registered runs first. The main thread may fail first, because its child died of the same Ctrl-C: `settle` at
//! its end lets the clean-up finish.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

type Action = Box<dyn FnOnce() + Send>;

struct Registry {
    next: u64,
    children: Vec<(u64, u32)>,
    actions: Vec<(u64, Action)>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    next: 0,
    children: Vec::new(),
    actions: Vec::new(),
});
static CLEANER: OnceLock<ThreadId> = OnceLock::new();
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Keeps a child or a clean-up registered while it lives.
#[derive(Debug)]
#[must_use = "dropping the guard takes the registration back"]
pub struct Guard {
    id: u64,
}

/// Registers a child that an interrupt must end.
pub fn child(pid: u32) -> Guard {
    INTERRUPTED.get_or_init(listen);
    register(|registry, id| registry.children.push((id, pid)))
}

/// Registers what an interrupt must clean up.
pub fn on_interrupt(action: impl FnOnce() + Send + 'static) -> Guard {
    INTERRUPTED.get_or_init(listen);
    register(|registry, id| registry.actions.push((id, Box::new(action))))
}

/// Call before anything is made and before the program ends: while an interrupt is being handled, nobody but its
/// clean-up goes on, and that ends the program.
pub fn settle() {
    while interrupted() && CLEANER.get() != Some(&thread::current().id()) {
        thread::park();
    }
}

fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}

fn register(add: impl FnOnce(&mut Registry, u64)) -> Guard {
    let mut registry = lock();
    let id = registry.next;
    registry.next += 1;
    add(&mut registry, id);
    Guard { id }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut registry = lock();
        registry.children.retain(|(id, _)| *id != self.id);
        if !interrupted() {
            registry.actions.retain(|(id, _)| *id != self.id);
        }
    }
}

/// Before the first clean-up is registered, the default action ends this program, which is right.
fn listen() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if flag::register(signal, Arc::clone(&interrupted)).is_err() {
            return interrupted;
        }
    }
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) {
        thread::spawn(move || signals.forever().next().map(clean_up));
    }
    interrupted
}

fn clean_up(signal: i32) {
    CLEANER.get_or_init(|| thread::current().id());
    eprintln!("\ninterrupted: cleaning up");
    let (children, mut actions) = {
        let mut registry = lock();
        (
            std::mem::take(&mut registry.children),
            std::mem::take(&mut registry.actions),
        )
    };
    for (_, pid) in children {
        if let Ok(pid) = i32::try_from(pid) {
            // It may have died of the same Ctrl-C.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
    while let Some((_, action)) = actions.pop() {
        action();
    }
    process::exit(128 + signal);
}

fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}
