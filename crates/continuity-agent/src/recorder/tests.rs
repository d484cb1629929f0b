use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use continuity_api::Time;
use continuity_dataplane::{MemoryDataplane, Mode};
use continuity_trace::{read, replay};

use super::*;
use crate::desire::Desired;
use crate::fixture::{WALL, address, desired, lane_key, node_loop, three};
use crate::node::NodeLoop;

const TICK_MILLIS: i64 = 200;

fn wish(seconds: i64) -> Wish {
    let until = jiff::Timestamp::from_millisecond(WALL + seconds * 1_000).expect("a time");
    Wish {
        id: "r-1".to_owned(),
        until: Time(until),
        nodes: vec!["node-1".to_owned()],
    }
}

/// Three backends, and somebody who wants a record.
fn wanted(wish: Option<Wish>) -> std::sync::Arc<Desired> {
    let mut desired = (*desired(Mode::Enforce, three())).clone();
    for lane in desired.lanes.values_mut() {
        std::sync::Arc::make_mut(lane).record.clone_from(&wish);
    }
    std::sync::Arc::new(desired)
}

fn recording(room: usize) -> (NodeLoop<MemoryDataplane>, Receiver<Envelope>) {
    let (sink, lines) = sync_channel(room);
    let mut node = node_loop().recording_to(Some(sink));
    node.adopt(wanted(None), WALL).expect("adopted");
    (node, lines)
}

/// Ticks from `from` on, in which the third backend answers late.
fn run(node: &mut NodeLoop<MemoryDataplane>, ticks: std::ops::Range<i64>) {
    for tick in ticks {
        for (host, micros) in [(1, 20_000), (2, 21_000), (3, 900_000)] {
            let bucket = continuity_field::histogram::bucket(micros);
            let counted = node
                .plane_mut()
                .count_client(&lane_key().id(), address(host, 2), |traffic, _| {
                    traffic.attempts += 20;
                    traffic.established += 20;
                    traffic.answered += 20;
                    traffic.turnaround[bucket] += 20;
                });
            counted.expect("counted");
        }
        node.plane_mut().advance(Duration::from_millis(200));
        node.tick(WALL + tick * TICK_MILLIS);
    }
}

fn file(lines: &[Envelope]) -> String {
    let text = lines.iter().filter_map(|line| match &line.body {
        Body::Trace(text) => Some(text.as_str()),
        Body::End(_) => None,
    });
    text.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_record_that_begins_in_the_middle_of_an_incident_is_decided_again_bit_for_bit() {
    let (mut node, lines) = recording(LINES);
    run(&mut node, 0..30);
    node.adopt(wanted(Some(wish(16))), WALL + 6_000).expect("adopted");
    run(&mut node, 30..100);
    let lines: Vec<Envelope> = lines.try_iter().collect();
    assert_eq!(
        lines.iter().map(|line| line.number).collect::<Vec<_>>(),
        (0..lines.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!(
        lines.last().map(|line| &line.body),
        Some(&Body::End("its time is over".to_owned()))
    );
    let (header, ticks) = read(file(&lines).as_bytes()).expect("a trace");
    assert!(
        header.source.contains("shop/checkout-http-1 over IPv4"),
        "{}",
        header.source
    );
    assert_eq!(header.backends.len(), 3);
    // One for the adoption, then those up to the end of the wish.
    assert_eq!(ticks.len(), 51);
    let found = replay(&header, &ticks).expect("replayed");
    assert_eq!(
        (found.ticks, &*found.gaps, &*found.differences),
        (51, &[][..], &[][..])
    );
    let mut other = ticks;
    other[20].decided ^= 1;
    assert_eq!(replay(&header, &other).expect("replayed").differences.len(), 1);
}

#[test]
fn what_found_no_room_is_counted_and_what_follows_is_decided_again_all_the_same() {
    let (mut node, lines) = recording(8);
    run(&mut node, 0..10);
    node.adopt(wanted(Some(wish(600))), WALL).expect("adopted");
    run(&mut node, 10..40);
    let mut kept: Vec<Envelope> = lines.try_iter().collect();
    assert_eq!(kept.len(), 8, "the loop did not wait for the reader");
    run(&mut node, 40..45);
    kept.extend(lines.try_iter());
    let (header, ticks) = read(file(&kept).as_bytes()).expect("a trace");
    let found = replay(&header, &ticks).expect("replayed");
    assert_eq!((found.dropped, found.gaps.len()), (24, 1));
    assert_eq!(found.differences, [], "the line after the gap carries the state");
}

#[test]
fn a_wish_that_is_taken_back_ends_the_record_and_off_nothing_is_written() {
    let (mut node, lines) = recording(LINES);
    run(&mut node, 0..5);
    assert_eq!(lines.try_iter().count(), 0);
    node.adopt(wanted(Some(wish(600))), WALL).expect("adopted");
    run(&mut node, 5..8);
    node.adopt(wanted(None), WALL).expect("adopted");
    run(&mut node, 8..12);
    let lines: Vec<Envelope> = lines.try_iter().collect();
    assert_eq!(
        lines.last().map(|line| &line.body),
        Some(&Body::End("the wish was taken back".to_owned()))
    );
    assert_eq!(lines.len(), 1 + 1 + 3 + 1);
}

#[test]
fn constants_that_change_in_the_middle_are_in_the_record() {
    let (mut node, lines) = recording(LINES);
    node.adopt(wanted(Some(wish(600))), WALL).expect("adopted");
    run(&mut node, 0..20);
    let mut changed = (*wanted(Some(wish(600)))).clone();
    for lane in changed.lanes.values_mut() {
        std::sync::Arc::make_mut(lane).law.isolation.latency_ratio_milli = 64_000;
    }
    node.adopt(std::sync::Arc::new(changed), WALL).expect("adopted");
    run(&mut node, 20..60);
    let lines: Vec<Envelope> = lines.try_iter().collect();
    let (header, ticks) = read(file(&lines).as_bytes()).expect("a trace");
    assert_eq!(ticks.iter().filter(|tick| tick.constants.is_some()).count(), 1);
    assert_eq!(replay(&header, &ticks).expect("replayed").differences, []);
}

#[test]
fn lines_are_written_as_they_come_and_a_reader_that_is_gone_ends_nothing() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (mut node, lines) = recording(LINES);
    node.adopt(wanted(Some(wish(1))), WALL).expect("adopted");
    run(&mut node, 0..10);
    drop(node);
    let all: Vec<Envelope> = lines.try_iter().collect();
    let (sink, lines) = sync_channel(LINES);
    all.iter()
        .cloned()
        .for_each(|line| sink.send(line).expect("room"));
    drop(sink);
    let mut text = Vec::new();
    write(&lines, &mut text);
    let text = String::from_utf8(text).expect("text");
    let read: Vec<Envelope> = text.lines().map(|line| line.parse().expect("a line")).collect();
    assert_eq!(read, all);
    let (sink, lines) = sync_channel(1);
    sink.send(all[0].clone()).expect("room");
    drop(sink);
    write(&lines, &mut Gone);
}
