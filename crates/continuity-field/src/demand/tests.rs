use super::*;

/// A course with so many connections in each second, the newest last, after a long silence.
fn course(seconds: impl IntoIterator<Item = f64>) -> Course {
    let mut course = Course::default();
    for count in std::iter::repeat_n(0.0, 30).chain(seconds) {
        course.add(count, 1.0);
    }
    course
}

/// Counts that scatter around a rate as Poisson counts do, always the same ones.
fn noisy(rate: f64, second: usize) -> f64 {
    let scatter = [
        0.4, -1.1, 0.9, 1.6, -0.3, -0.8, 0.1, -1.7, 1.2, 0.5, -0.6, -0.2, 0.7,
    ];
    (rate + scatter[second % scatter.len()] * rate.sqrt()).max(0.0)
}

#[test]
fn a_load_that_comes_out_of_nothing_is_no_ramp() {
    for seconds in 1..30 {
        let grown = course((0..seconds).map(|second| noisy(40.0, second))).trend;
        assert!(grown.abs() < 0.3, "{grown}/s² after {seconds} s");
    }
}

#[test]
fn a_load_that_rises_by_half_at_once_is_no_ramp() {
    for seconds in 1..30 {
        let rate = |second: usize| if second < 30 { 160.0 } else { 240.0 };
        let grown = course((0..30 + seconds).map(|second| noisy(rate(second), second))).trend;
        assert!(grown.abs() < 0.8, "{grown}/s² after {seconds} s");
    }
}

#[test]
fn a_load_that_doubles_in_a_minute_is_a_ramp() {
    let grown = |seconds: usize| {
        let rate = |second: usize| 500.0 + 500.0 / 60.0 * second.saturating_sub(30) as f64;
        course((0..30 + seconds).map(|second| noisy(rate(second), second))).trend
    };
    let all: Vec<f64> = (18..60).map(grown).collect();
    assert!(all.iter().all(|growth| (0.0..12.0).contains(growth)), "{all:?}");
    assert!(all.iter().sum::<f64>() / 42.0 > 3.0, "{all:?}");
}

#[test]
fn work_is_owed_while_twice_what_calm_answers_keep_in_flight_waits() {
    // 100 answers a second of 2^14 µs keep 1.6 requests in flight; four backends.
    let mut demand = Demand::default();
    demand.answered.value = 100.0;
    for (waiting, owed) in [(0.0, false), (7.2, false), (7.4, true), (500.0, true)] {
        demand.in_flight = waiting;
        assert_eq!(demand.in_debt(Some(14.0), 4), owed, "{waiting}");
        assert!(!demand.in_debt(None, 4), "nothing is owed before calm is known");
    }
}
