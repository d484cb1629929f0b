use std::net::SocketAddr;

use continuity_dataplane::{BackendIndex, BackendView, Dataplane, MemoryDataplane, SetCounters};
use continuity_field::histogram::{AGE_BUCKETS, bucket};

use super::*;
use crate::fixture::{address, desired, lane_key, node_loop, three};
use crate::lane::Lane;

/// A twin that holds the fixture's lane, and the lane.
fn held(mode: Mode) -> (MemoryDataplane, std::sync::Arc<Lane>) {
    let mut node = node_loop();
    let desired = desired(mode, three());
    node.adopt(std::sync::Arc::clone(&desired), crate::fixture::WALL)
        .expect("adopted");
    (
        node.into_plane(),
        std::sync::Arc::clone(&desired.lanes[&lane_key()]),
    )
}

fn counters(plane: &mut MemoryDataplane, of: SocketAddr) -> BackendCounters {
    let SetCounters { backends, .. } = plane.read(&lane_key().id()).expect("read");
    backends
        .into_iter()
        .find(|known| known.backend.address == of)
        .expect("the backend")
}

fn count(plane: &mut MemoryDataplane, change: impl FnOnce(&mut Traffic, &mut Record)) {
    plane
        .count_client(&lane_key().id(), address(2, 2), change)
        .expect("counted");
}

#[test]
fn the_first_read_sets_the_mark_and_the_second_gives_deltas() {
    let (mut plane, lane) = held(Mode::Enforce);
    let backend = &lane.backends[1];
    let mut meter = Meter::default();
    count(&mut plane, |traffic, _| traffic.attempts = 1_000_000);
    let first = meter.sample(
        backend,
        Some(&counters(&mut plane, backend.address)),
        Mode::Enforce,
        plane.now(),
    );
    assert_eq!(first.attempts, 0);
    count(&mut plane, |traffic, _| {
        traffic.attempts += 10;
        traffic.established += 7;
        traffic.refused += 1;
        traffic.timed_out += 1;
        traffic.unreachable += 1;
        traffic.turnaround[bucket(20_000)] += 7;
        traffic.closed += 4;
        traffic.waiting[5] = 2;
    });
    let second = meter.sample(
        backend,
        Some(&counters(&mut plane, backend.address)),
        Mode::Enforce,
        plane.now(),
    );
    assert_eq!(
        (
            second.attempts,
            second.established,
            second.refused,
            second.timed_out
        ),
        (10, 7, 1, 2)
    );
    assert_eq!(second.turnaround[bucket(20_000)], 7);
    assert_eq!((second.in_flight, meter.open()), (2, 3));
}

#[test]
fn a_wrap_is_a_small_step_and_a_new_generation_is_none() {
    let (mut plane, lane) = held(Mode::Enforce);
    let backend = &lane.backends[1];
    let mut meter = Meter::default();
    count(&mut plane, |traffic, _| traffic.answered = u64::MAX - 1);
    let mut seen = counters(&mut plane, backend.address);
    meter.sample(backend, Some(&seen), Mode::Enforce, plane.now());
    seen.client.answered = 3;
    assert_eq!(
        meter
            .sample(backend, Some(&seen), Mode::Enforce, plane.now())
            .answered,
        5
    );
    seen.backend = BackendView {
        index: BackendIndex(9),
        generation: seen.backend.generation + 1,
        ..seen.backend
    };
    seen.client.answered = 900;
    assert_eq!(
        meter
            .sample(backend, Some(&seen), Mode::Enforce, plane.now())
            .answered,
        0
    );
}

#[test]
fn waiting_requests_come_by_age() {
    let (mut plane, lane) = held(Mode::Enforce);
    let backend = &lane.backends[1];
    let mut meter = Meter::default();
    let start = plane.now() >> 26;
    let slot = usize::try_from(start % 64).expect("a slot");
    count(&mut plane, |traffic, _| traffic.waiting[slot] = 5);
    plane.advance(std::time::Duration::from_millis(700));
    let sample = meter.sample(
        backend,
        Some(&counters(&mut plane, backend.address)),
        Mode::Enforce,
        plane.now(),
    );
    assert_eq!(sample.unanswered.iter().sum::<u32>(), 5);
    assert!(
        sample.unanswered.iter().take(9).all(|count| *count == 0),
        "{:?}",
        sample.unanswered
    );
    assert_eq!(sample.unanswered.len(), AGE_BUCKETS);
}

#[test]
fn the_kernels_level_and_penalty_are_read_with_their_age() {
    let (mut plane, lane) = held(Mode::Enforce);
    let backend = &lane.backends[1];
    let kms = u32::try_from((plane.now() >> 20) & u64::from(u32::MAX)).expect("kms");
    count(&mut plane, |_, record| {
        record.lw = 3_671;
        record.pen = 1_024;
        record.pts = kms;
    });
    let sample = |plane: &mut MemoryDataplane| {
        let seen = counters(plane, backend.address);
        Meter::default().sample(backend, Some(&seen), Mode::Enforce, plane.now())
    };
    assert_eq!(
        (sample(&mut plane).level, sample(&mut plane).penalty),
        (Some(3_671), 1_024)
    );
    plane.advance(std::time::Duration::from_secs(1));
    let faded = sample(&mut plane).penalty;
    assert!((760..=790).contains(&faded), "one octave (256) a second: {faded}");
}

#[test]
fn observe_reads_the_servers_side_and_nothing_of_remote_backends() {
    let (mut plane, lane) = held(Mode::Observe);
    let (local, remote) = (&lane.backends[0], &lane.backends[1]);
    let mut meter = Meter::default();
    meter.sample(
        local,
        Some(&counters(&mut plane, local.address)),
        Mode::Observe,
        plane.now(),
    );
    plane
        .count_server(local.address, |traffic| {
            traffic.established += 4;
            traffic.answered += 3;
        })
        .expect("counted");
    let seen = meter.sample(
        local,
        Some(&counters(&mut plane, local.address)),
        Mode::Observe,
        plane.now(),
    );
    assert_eq!(
        (seen.attempts, seen.established, seen.answered, seen.level),
        (4, 4, 3, None)
    );
    count(&mut plane, |traffic, _| traffic.attempts = 5);
    let unseen = Meter::default().sample(
        remote,
        Some(&counters(&mut plane, remote.address)),
        Mode::Observe,
        plane.now(),
    );
    assert_eq!((unseen.attempts, unseen.in_service), (0, true));
}

#[test]
fn a_backend_that_left_the_maps_starts_over_when_it_returns() {
    let (mut plane, lane) = held(Mode::Enforce);
    let backend = &lane.backends[1];
    let mut meter = Meter::default();
    let seen = counters(&mut plane, backend.address);
    meter.sample(backend, Some(&seen), Mode::Enforce, plane.now());
    assert_eq!(
        meter.sample(backend, None, Mode::Enforce, plane.now()).attempts,
        0
    );
    let mut back = seen;
    back.client.attempts = 500;
    assert_eq!(
        meter
            .sample(backend, Some(&back), Mode::Enforce, plane.now())
            .attempts,
        0
    );
}
