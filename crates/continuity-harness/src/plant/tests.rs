use super::*;
use crate::policy::{Done, Pick, Truth};
use crate::scenario::{Window, shipped};

/// Sends everything to one backend.
struct Only(usize);

impl Policy for Only {
    fn pick(&mut self, _: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        Some(Pick {
            backend: self.0,
            tag: 0,
        })
    }

    fn done(&mut self, _: &Done) {}
}

struct Nobody;

impl Policy for Nobody {
    fn pick(&mut self, _: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        None
    }

    fn done(&mut self, _: &Done) {}
}

/// A second of one backend with one worker and fixed work.
fn small(millis: f64, rate: f64) -> Scenario {
    let mut scenario = shipped("S1").unwrap();
    scenario.duration_millis = 10_000;
    scenario.warm_up_millis = 0;
    scenario.window = Window {
        from_millis: 0,
        to_millis: 10_000,
    };
    scenario.backends.count = 1;
    scenario.backends.workers = 1;
    scenario.service = Service::Fixed { millis };
    scenario.load.per_backend_second = rate;
    scenario.faults.clear();
    scenario
}

fn times(recording: &Recording) -> Vec<f64> {
    recording
        .attempts
        .iter()
        .map(|attempt| f64::from(attempt.micros) / 1e3)
        .collect()
}

#[test]
fn an_idle_backend_answers_after_its_work_and_one_round_trip() {
    let recording = run(&small(5.0, 0.5), 1, Reports::None, &mut Only(0));
    assert!(!recording.attempts.is_empty());
    assert!(times(&recording).iter().all(|&time| (time - 6.0).abs() < 1e-3));
}

#[test]
fn a_queue_is_as_long_as_the_textbook_says() {
    let mut scenario = small(10.0, 50.0);
    scenario.duration_millis = 400_000;
    scenario.window.to_millis = 400_000;
    let recording = run(&scenario, 1, Reports::None, &mut Only(0));
    let times = times(&recording);
    let wait = times.iter().sum::<f64>() / times.len() as f64 - 11.0;
    // M/D/1 at ρ = 0.5: ρ / (2 (1 − ρ)) = 0.5 of the service time.
    assert!((wait - 5.0).abs() < 0.4, "{wait}");
}

#[test]
fn a_client_gives_up_and_the_server_works_on() {
    let mut scenario = small(100.0, 20.0);
    scenario.client.timeout_millis = 300;
    let recording = run(&scenario, 1, Reports::None, &mut Only(0));
    let late = recording
        .attempts
        .iter()
        .filter(|attempt| attempt.end == End::TimedOut)
        .count();
    let served = recording.attempts.len() - late;
    assert!(late > served, "{late} of {}", recording.attempts.len());
    assert!(times(&recording).iter().all(|&time| time <= 300.0));
}

#[test]
fn every_arrival_is_recorded_once_whatever_the_law_does() {
    for reports in [Reports::None, Reports::Live] {
        let all = |policy: &mut dyn Policy| run(&small(20.0, 100.0), 9, reports, policy).attempts.len();
        assert_eq!(all(&mut Only(0)), all(&mut Nobody));
        assert_eq!(all(&mut Only(0)), all(&mut Only(77)));
    }
}

#[test]
fn faults_do_what_they_say() {
    let with = |what: &str, policy: &mut dyn Policy| {
        let text = format!(
            "{}faults:\n- {{what: {what}, target: {{who: all}}, from_millis: 0, to_millis: 10000}}\n",
            serde_yaml_ng::to_string(&small(5.0, 2.0))
                .unwrap()
                .replace("faults: []\n", "")
        );
        let scenario = Scenario::parse(&text).unwrap();
        let recording = run(&scenario, 1, Reports::Live, policy);
        let first = recording.attempts[0];
        (first.end, f64::from(first.micros) / 1e3)
    };
    assert_eq!(with("{kind: refuse}", &mut Only(0)), (End::Refused, 1.0));
    assert_eq!(
        with("{kind: reset, after_millis: 1}", &mut Only(0)),
        (End::Reset, 2.0)
    );
    assert_eq!(with("{kind: hang}", &mut Only(0)), (End::TimedOut, 5000.0));
    assert_eq!(
        with("{kind: delay, add_millis: 500}", &mut Only(0)),
        (End::Answered, 506.0)
    );
    assert_eq!(
        with("{kind: slow, speed: 0.5}", &mut Only(0)),
        (End::Answered, 11.0)
    );
    assert_eq!(
        with("{kind: errors, permille: 1000}", &mut Only(0)),
        (End::Reset, 1.0)
    );
}

/// Keeps the reports it hears.
#[derive(Default)]
struct Listener(Vec<crate::choice::Report>);

impl Policy for Listener {
    fn pick(&mut self, _: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        Some(Pick { backend: 0, tag: 0 })
    }

    fn done(&mut self, done: &Done) {
        self.0.extend(done.report);
    }
}

#[test]
fn reports_tell_the_turnaround_that_the_backend_has() {
    let mut listener = Listener::default();
    let _ = run(&small(20.0, 5.0), 1, Reports::Live, &mut listener);
    let last = listener.0.last().unwrap();
    let wanted = (crate::choice::lg(20_000) + 16) >> 5;
    assert!((i32::from(last.l) - wanted).abs() <= 1, "{last:?}");
    assert_eq!(last.e, 0);
    let mut silent = Listener::default();
    let _ = run(&small(20.0, 5.0), 1, Reports::None, &mut silent);
    assert!(silent.0.is_empty());
}

/// What nobody answers is asked again, so often and no more.
#[test]
fn retries_end_with_their_number_and_their_budget() {
    let mut scenario = small(5.0, 50.0);
    scenario.client.retries = Some(crate::scenario::Retries {
        most: 2,
        backoff_millis: 10,
        budget_permille: None,
    });
    let all = run(&scenario, 1, Reports::None, &mut Nobody);
    assert!(
        all.served
            .iter()
            .all(|served| served.attempts == 3 && !served.good)
    );
    assert_eq!(all.attempts.len(), 3 * all.served.len());
    scenario.nodes = 1;
    scenario.client.retries = scenario.client.retries.map(|retries| crate::scenario::Retries {
        budget_permille: Some(200),
        ..retries
    });
    let some = run(&scenario, 1, Reports::None, &mut Nobody);
    let retries = some.attempts.len() - some.served.len();
    let allowed = some.served.len() / 5 + 10;
    assert!(
        retries <= allowed && retries + 5 > allowed,
        "{retries} of {allowed}"
    );
}

#[test]
fn a_closed_loop_waits_for_its_answers() {
    let mut scenario = small(10.0, 100.0);
    scenario.nodes = 1;
    scenario.load.closed = Some(crate::scenario::Closed {
        clients: 1,
        think_millis: 10.0,
    });
    let recording = run(&scenario, 1, Reports::None, &mut Only(0));
    let times = times(&recording);
    assert!(
        times.iter().all(|&time| (time - 11.0).abs() < 1e-3),
        "never two at once"
    );
    assert!(
        (times.len() as f64 - 10_000.0 / 21.0).abs() < 60.0,
        "{}",
        times.len()
    );
}

/// Sends connections by turns to two backends.
struct Turn(usize);

impl Policy for Turn {
    fn pick(&mut self, _: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        self.0 += 1;
        Some(Pick {
            backend: self.0 % 2,
            tag: 0,
        })
    }

    fn done(&mut self, _: &Done) {}
}

#[test]
fn a_kept_connection_stays_where_it_was_opened() {
    let mut scenario = small(1.0, 10.0);
    scenario.nodes = 1;
    scenario.backends.count = 2;
    scenario.client.connections = Some(crate::scenario::Connections {
        requests: 10,
        streams: 100,
        pool: 1,
    });
    let recording = run(&scenario, 1, Reports::None, &mut Turn(0));
    let fresh = recording.attempts.iter().filter(|attempt| attempt.fresh).count();
    assert_eq!(fresh, recording.attempts.len().div_ceil(10));
    let mut by_time = recording.attempts.clone();
    by_time.sort_by_key(|attempt| attempt.sent);
    for ten in by_time.chunks(10) {
        assert!(ten.iter().all(|attempt| attempt.backend == ten[0].backend));
    }
}

/// Refuses every second attempt, and counts what it admitted and what came back.
#[derive(Default)]
struct Half {
    offered: usize,
    open: i64,
}

impl Admission for Half {
    fn offer(&mut self, _: &crate::admission::Offer, _: &Truth<'_>) -> crate::admission::Decision {
        self.offered += 1;
        if self.offered.is_multiple_of(2) {
            return crate::admission::Decision::Refuse;
        }
        self.open += 1;
        crate::admission::Decision::Admit(0)
    }

    fn done(&mut self, _: &crate::admission::Closed) {
        self.open -= 1;
    }
}

#[test]
fn offered_is_admitted_plus_refused_and_every_admission_comes_back() {
    let mut scenario = shipped("S9").unwrap();
    scenario.duration_millis = 40_000;
    let mut half = Half::default();
    let recording = admitted(&scenario, 3, Reports::None, &mut Only(0), Some(&mut half));
    let denied = recording.attempts.iter().filter(|a| a.end == End::Denied).count();
    assert_eq!(half.open, 0);
    assert_eq!(recording.attempts.len(), half.offered);
    assert_eq!(denied, half.offered / 2);
    assert_eq!(
        recording.served.len(),
        recording.attempts.len(),
        "S9 has no retries"
    );
}

#[test]
fn what_leaks_is_killed_at_its_limit_and_comes_back() {
    let scenario = shipped("S16b").unwrap();
    let recording = run(&scenario, 1, Reports::None, &mut Turn(0));
    let killed: Vec<u64> = recording
        .alarms
        .iter()
        .filter(|a| a.killed)
        .map(|a| a.at / SECOND)
        .collect();
    // 150 MiB, a tooth of up to 200 and 2 MiB/s from 60 s on reach 512 between 141 s and 241 s.
    // Its replacement leaks as well, and fills 362 MiB at the tip of a tooth at the earliest after 81 s.
    assert_eq!(killed.len(), 2, "{killed:?}");
    assert!(
        (141..241).contains(&killed[0]) && killed[1] >= killed[0] + 81,
        "{killed:?}"
    );
    let refused = |a: &&crate::recording::Attempt| a.end == End::Refused;
    assert!(recording.attempts.iter().filter(refused).count() > 500);
    let last = recording.attempts.iter().rfind(refused).unwrap();
    assert!(last.sent / SECOND <= killed[1] + 5, "the replacement serves");
}
