use super::*;
use crate::distress::Fear;
use crate::{BackendId, Distress, Evidence, HostSample, Isolation, PathSample, ReportSample};

const LOOK: f64 = 0.2;
/// 20 ms.
const PEERS: f64 = 14.287_712;
const NOW: Nanos = Nanos::from_secs(100);

fn track() -> Track {
    let mut track = Track::new(BackendId(1), Phase::Normal, Nanos::ZERO);
    track.level = Some(PEERS);
    track.pressure.before = Some(PEERS);
    // So many answers that shrinking is over.
    track.known = 1e12;
    track
}

fn sample() -> BackendSample {
    BackendSample::new(BackendId(1))
}

fn weighed(mut track: Track, sample: &BackendSample) -> Pressure {
    let ground = Ground {
        in_flight: 1.0,
        wm: 3_600,
        dt: LOOK,
        now: NOW,
    };
    weigh(&mut track, sample, Some(PEERS), &ground);
    track.pressure
}

fn near(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() < 1e-3,
        "{what}: {found}, expected {expected}"
    );
}

#[test]
fn a_backend_like_its_peers_has_a_pressure_of_one() {
    let pressure = weighed(track(), &sample());
    assert_eq!((pressure.total(), pressure.slow()), (1.0, 1.0));
    let unknown = Track::new(BackendId(1), Phase::Normal, Nanos::ZERO);
    assert_eq!(weighed(unknown, &sample()).total(), 1.0, "missing is the median");
}

#[test]
fn latency_counts_beyond_fifteen_percent_as_far_as_it_is_known() {
    let table = [
        // octaves above the peers, answers known, looked gray, term
        (0.2, 1e12, false, 0.0),
        (3.0, 1e12, false, 1.929_4),
        (3.0, 20.0, false, 0.964_7),
        (3.0, 0.0, false, 0.0),
        (3.0, 0.0, true, 1.543_5),
        (-3.0, 1e12, false, 0.0),
        (40.0, 1e12, false, 20.0),
    ];
    for (octaves, known, gray, expected) in table {
        let mut track = track();
        track.level = Some(PEERS + octaves);
        track.known = known;
        track.look.hits = u32::from(gray);
        near(weighed(track, &sample()).latency, expected, "latency");
    }
}

#[test]
fn errors_double_the_pressure_at_five_percent_and_end_at_twenty() {
    for (failed, ended, expected) in [
        (0.0, 0.0, 0.0),
        (5.0, 95.0, 1.0),
        (1.0, 1.0, 3.333_3),
        (1e6, 1e6, 19.999_9),
    ] {
        let mut track = track();
        (track.failed, track.ended) = (failed, ended);
        near(weighed(track, &sample()).errors, expected, "errors");
    }
}

#[test]
fn a_queue_counts_a_quarter_an_octave_above_the_mean() {
    for (in_flight, expected) in [(0, 0.0), (1, 0.0), (7, 0.5), (31, 1.0), (u32::MAX, 4.0)] {
        let sample = BackendSample {
            in_flight,
            ..sample()
        };
        near(weighed(track(), &sample).queue, expected, "queue");
    }
}

#[test]
fn momentum_rises_with_the_level_and_never_rewards_a_fall() {
    for (octaves, expected) in [(0.0, 0.0), (1.0, 0.1), (4.0, 0.4), (-4.0, 0.0), (900.0, 2.0)] {
        let mut track = track();
        track.level = Some(PEERS + octaves);
        near(weighed(track, &sample()).momentum, expected, "momentum");
    }
}

#[test]
fn a_scar_is_a_quarter_of_what_is_left_and_heals_by_time_and_good_answers() {
    let mut track = track();
    track.run = 2;
    near(weighed(track.clone(), &sample()).scar, 0.25 * 0.996_672, "first");
    track.pressure.scar = 0.6;
    near(
        weighed(track.clone(), &sample()).scar,
        0.7 * 0.996_672,
        "saturating",
    );
    track.pressure.scarred = true;
    near(
        weighed(track.clone(), &sample()).scar,
        0.6 * 0.996_672,
        "one spell, one scar",
    );
    let good = BackendSample {
        answered: 69,
        ..sample()
    };
    near(
        weighed(track.clone(), &good).scar,
        0.6 * 0.996_672 * 0.499_8,
        "69 good answers",
    );
    track.run = 0;
    let evidence = Evidence::Consecutive { failures: 1 };
    track.pressure.scarred = false;
    track.phase = Phase::Isolated(Isolation {
        since: NOW,
        evidence,
        level: 0,
        hold_until: NOW,
    });
    near(weighed(track, &sample()).scar, 0.7 * 0.996_672, "an isolation");
}

#[test]
fn a_path_that_loses_segments_counts_beyond_two_percent() {
    let lossy = |segments, retransmitted| {
        let path = Some(PathSample {
            segments,
            retransmitted,
        });
        weighed(track(), &BackendSample { path, ..sample() }).path
    };
    near(lossy(950, 19), 0.0, "ordinary");
    near(lossy(950, 50), 0.3, "5 %");
    near(lossy(50, 50), 2.0, "half of what would be known, capped");
    near(lossy(4, 4), 0.540_7, "few segments say little");
    near(lossy(10, u32::MAX), lossy(10, 10), "no more than were sent");
    assert_eq!(weighed(track(), &sample()).path, 0.0, "not measured");
}

#[test]
fn a_lossy_path_is_forgotten_in_tens_of_seconds() {
    let mut track = track();
    track.segments = 950.0;
    track.resent = 50.0;
    let ground = Ground {
        in_flight: 1.0,
        wm: 0,
        dt: LOOK,
        now: NOW,
    };
    for _ in 0..900 {
        weigh(&mut track, &sample(), Some(PEERS), &ground);
    }
    assert_eq!((track.pressure.path, track.segments), (0.0, 0.0));
}

#[test]
fn a_node_that_stalls_or_drowns_weighs_at_most_three() {
    use Distress::{Drowning, Strained, Well};
    let table = [
        // CPU, memory, I/O stall in permille, distress, term
        (Some(100), None, None, Well, 0.0),
        (Some(600), None, None, Well, 1.0),
        (Some(1_000), None, None, Well, 1.8),
        (None, Some(50), None, Well, 0.0),
        (None, Some(250), None, Well, 0.6),
        (None, None, Some(1_000), Well, 2.85),
        (None, Some(250), Some(150), Well, 0.6),
        (Some(600), Some(250), None, Well, 1.6),
        (None, None, None, Strained, 0.5),
        (None, None, None, Drowning, 1.0),
        (Some(600), Some(250), None, Drowning, 2.6),
        (Some(u32::MAX), Some(u32::MAX), Some(u32::MAX), Drowning, 3.0),
        (None, None, None, Well, 0.0),
    ];
    for (cpu, memory, io, distress, expected) in table {
        let mut track = track();
        let mut fear = Fear::default();
        fear.look(distress, false, LOOK);
        track.fear = fear;
        let sample = BackendSample {
            stall_permille: cpu,
            host: Some(HostSample {
                memory_stall_permille: memory,
                io_stall_permille: io,
                distress,
            }),
            ..sample()
        };
        near(weighed(track, &sample).node, expected, "node");
    }
}

fn reporting(level: i32, errors: u8, age: Nanos) -> BackendSample {
    let report = ReportSample {
        level,
        errors,
        age,
        ..ReportSample::default()
    };
    BackendSample {
        report: Some(report),
        ..sample()
    }
}

#[test]
fn a_trusted_report_worsens_up_to_two_and_never_betters() {
    let table = [
        // level beside the median (Q8), errors of 255, age in s, term
        (0, 0, 0, 0.0),
        (512, 0, 0, 1.236_3),
        (512, 0, 4, 0.454_8),
        (-2_000, 0, 0, 0.0),
        (0, 13, 0, 1.019_6),
        (512, 255, 0, 2.0),
        (i32::MAX - 4_000, 255, 0, 2.0),
    ];
    for (level, errors, seconds, expected) in table {
        let sample = reporting(3_600 + level, errors, Nanos::from_secs(seconds));
        let mut track = track();
        assert_eq!(weighed(track.clone(), &sample).reported, 0.0, "not trusted yet");
        track.trust.observe(&sample, 1.0, LOOK, NOW);
        let pressure = weighed(track, &sample);
        near(pressure.reported, expected, "reported");
        assert!(pressure.total() >= 1.0);
        assert_eq!(pressure.slow(), 1.0, "slots follow reports by their lean alone");
    }
}

#[test]
fn the_median_with_unknown_ones_is_that_of_all_written_out() {
    for known in 0..6_usize {
        for unknown in 0..6_usize {
            for rest in [0.5, 2.0, 2.5, 9.0] {
                let sorted: Vec<f64> = (1..=known).map(|value| value as f64).collect();
                let mut all = sorted.clone();
                all.extend(std::iter::repeat_n(rest, unknown));
                all.sort_unstable_by(f64::total_cmp);
                let found = median_among(&sorted, known + unknown, rest);
                assert_eq!(found, median(&all), "{sorted:?} and {unknown} × {rest}");
            }
        }
    }
}
