use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use continuity_dataplane::{MemoryDataplane, Mode};

use super::*;
use crate::fixture::{desired, endpoint, three, twin};

/// Longest time a test waits for the thread; the waits end as soon as the thing is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tick so long that nothing in these tests can be its doing.
const NEVER: Duration = Duration::from_secs(3_600);

struct Running {
    inbox: Arc<Mailbox<Arc<Desired>>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    board: Arc<Board>,
    thread: thread::JoinHandle<()>,
}

impl Running {
    fn start(
        open: impl FnMut() -> Result<MemoryDataplane, Refused> + Send + 'static,
        tick: Duration,
    ) -> Self {
        let inbox = Arc::new(Mailbox::default());
        let board = Arc::new(Board::default());
        let (outbox, snapshots) = watch::channel(Arc::default());
        let driver = Driver::new(open, Arc::clone(&inbox), outbox, Arc::clone(&board), tick);
        Self {
            inbox,
            snapshots,
            board,
            thread: thread::spawn(move || driver.run()),
        }
    }

    fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = Arc::clone(&self.snapshots.borrow());
            if holds(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < deadline, "{what}: {snapshot:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn stop(self) {
        self.inbox.stop();
        self.thread.join().expect("the thread ends in peace");
    }
}

fn lacking() -> Refused {
    Refused {
        state: PlaneState::Detached,
        message: "Bpffs is missing".to_owned(),
        capabilities: CapabilityReport::default(),
    }
}

#[test]
fn endpoint_changes_are_projected_between_two_ticks() {
    let running = Running::start(|| Ok(twin()), NEVER);
    running.inbox.post(desired(Mode::Enforce, three()));
    let first = running.until("first field", |snapshot| {
        snapshot.lanes.iter().any(|lane| lane.epoch > 0)
    });
    running
        .inbox
        .post(desired(Mode::Enforce, vec![endpoint(1, 2), endpoint(2, 2)]));
    let epoch = first.lanes[0].epoch;
    let second = running.until("second field", |snapshot| {
        snapshot.lanes.iter().any(|lane| lane.epoch > epoch)
    });
    assert_eq!(second.lanes[0].lane.backends.len(), 2);
    assert!(second.tally.ticks <= 1, "{:?}", second.tally);
    running.stop();
}

#[test]
fn a_node_that_lacks_something_is_reported_and_tried_again_and_nothing_panics() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let open = move || {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            Err(lacking())
        } else {
            Ok(twin())
        }
    };
    let running = Running::start(open, Duration::from_millis(100));
    running.inbox.post(desired(Mode::Enforce, three()));
    let refused = running.until("the refusal", |snapshot| {
        snapshot.plane.state == PlaneState::Detached
    });
    assert_eq!(refused.plane.message, "Bpffs is missing");
    let healed = running.until("the return", |snapshot| snapshot.adopted);
    assert_eq!(healed.plane.state, PlaneState::Attached);
    assert_eq!(healed.lanes.len(), 1, "the wish of before is acted on");
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    running.stop();
}

#[test]
fn the_loop_goes_on_without_letters_and_stops_when_told() {
    let running = Running::start(|| Ok(twin()), Duration::from_millis(100));
    running.inbox.post(desired(Mode::Enforce, three()));
    let some = running.until("ticks", |snapshot| snapshot.tally.ticks > 2);
    running.until("more ticks", |snapshot| {
        snapshot.tally.ticks > some.tally.ticks + 2
    });
    assert_eq!(running.board.snapshot().lanes.len(), 1);
    running.stop();
}
