//! A step allocates nothing once its buffers have their size, whatever happens meanwhile; and what those buffers take.

use continuity_field::histogram::{age_bucket, bucket};
use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, Distress, Gauge, HostSample, Nanos, Regression, Samples,
    SetConfig, SetState, step,
};

const TICK: Nanos = Nanos::from_millis(100);

/// A fault of backend 1 in every second half minute: late, then failing, so that it is isolated, tested and returns.
fn fill(backends: &mut [BackendSample], tick: u64, now: Nanos) {
    let sick = tick / 300 % 2 == 1;
    for sample in backends.iter_mut() {
        let faulty = sick && sample.id == BackendId(1);
        sample.turnaround.fill(0);
        sample.unanswered.fill(0);
        sample.attempts = 6;
        sample.answered = 6;
        sample.refused = if faulty && tick / 600 % 2 == 1 { 3 } else { 0 };
        let micros = if faulty {
            700_000
        } else {
            20_000 + 900 * (tick % 7)
        };
        sample.turnaround[bucket(micros)] = 6;
        sample.unanswered[age_bucket(Nanos(now.0 - micros * 1_000), now)] = 1;
        let drowning = tick / 200 % 3 == 2 && sample.id == BackendId(2);
        sample.host = Some(HostSample {
            memory_stall_permille: Some(if drowning { 400 } else { 0 }),
            io_stall_permille: None,
            distress: if drowning {
                Distress::Drowning
            } else {
                Distress::Well
            },
        });
        // It leaks for a minute and is cut back in the next.
        sample.memory = Some(Gauge {
            used: 500 + tick % 1_200 / 3,
            bound: 1_000,
        });
        sample.leases.held = 1;
    }
}

#[test]
fn a_step_allocates_nothing_after_the_warm_up() {
    let mut backends: Vec<BackendSample> = (0..8).map(|id| BackendSample::new(BackendId(id))).collect();
    let mut state = SetState::default();
    let config = SetConfig {
        regret_overlay: true,
        ..SetConfig::default()
    };
    let mut now = Nanos::from_secs(1_000);
    let mut isolated = 0;
    for tick in 0..3_600 {
        now = now + TICK;
        fill(&mut backends, tick, now);
        let samples = Samples {
            interval: TICK,
            backends: &backends,
            advice: Advice::default(),
            regression: Regression::default(),
        };
        let used = allocation_counter::measure(|| {
            step(&mut state, &samples, &config, now);
        });
        let view = state.outcome().backends[1];
        isolated += u32::from(tick >= 1_200 && view.state == BackendState::Isolated);
        assert!(tick < 1_200 || used.count_total == 0, "tick {tick}: {used:?}");
    }
    assert!(isolated > 0, "the fault was seen after the warm-up too");
}

/// Bytes that a set of so many backends holds after a minute, the state itself included.
fn bytes(count: u64) -> u64 {
    let mut kept = None;
    let used = allocation_counter::measure(|| {
        let mut state = SetState::default();
        let mut now = Nanos::from_secs(1_000);
        for tick in 0..600 {
            now = now + TICK;
            let mut backends = Vec::new();
            // The samples are the caller's.
            allocation_counter::opt_out(|| {
                backends = (0..count).map(|id| BackendSample::new(BackendId(id))).collect();
                fill(&mut backends, tick, now);
            });
            let samples = Samples {
                interval: TICK,
                backends: &backends,
                advice: Advice::default(),
                regression: Regression::default(),
            };
            step(&mut state, &samples, &SetConfig::default(), now);
            allocation_counter::opt_out(|| drop(backends));
        }
        kept = Some(state);
    });
    let heap = u64::try_from(used.bytes_current).unwrap_or(u64::MAX >> 1);
    drop(kept);
    heap + std::mem::size_of::<SetState>() as u64
}

#[test]
fn a_set_takes_five_kibibytes_and_a_backend_less_than_two() {
    let (few, many) = (bytes(4), bytes(64));
    let each = (many - few) / 60;
    let set = few - 4 * each;
    println!(
        "memory: {set} bytes a set and {each} a backend; the caller's sample of a backend {}",
        std::mem::size_of::<BackendSample>()
    );
    assert!(set <= 5 << 10, "{set} bytes a set");
    assert!(each <= 2 << 10, "{each} bytes a backend");
}
