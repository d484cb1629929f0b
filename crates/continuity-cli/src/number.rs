//! Figures as a person says them: two or three digits, a unit, no more.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `640 µs`, `2.1 ms`, `512 ms`, `1.4 s`.
pub(crate) fn micros(value: i64) -> String {
    match value {
        ..1_000 => format!("{value} µs"),
        1_000..9_950 => format!("{}.{} ms", value / 1_000, value % 1_000 / 100),
        9_950..1_000_000 => format!("{} ms", (value + 500) / 1_000),
        1_000_000..9_950_000 => format!("{}.{} s", value / 1_000_000, value % 1_000_000 / 100_000),
        _ => format!("{} s", (value + 500_000) / 1_000_000),
    }
}

/// Parts per million as percent: `20.0 %`, `0.03 %`, `0 %`.
pub(crate) fn share(ppm: i64) -> String {
    match ppm {
        ..=0 => "0 %".to_owned(),
        1..9_950 => format!("0.{:02} %", (ppm + 50) / 100),
        _ => format!("{}.{} %", (ppm + 500) / 10_000, (ppm + 500) % 10_000 / 1_000),
    }
}

/// Per 1,000 seconds as per second: `500/s`, `2.5/s`, `0.03/s`, `0/s`.
pub(crate) fn rate(milli: i64) -> String {
    match milli {
        ..=0 => "0/s".to_owned(),
        1..1_000 => format!("0.{:02}/s", (milli / 10).max(1)),
        1_000..10_000 => format!("{}.{}/s", milli / 1_000, milli % 1_000 / 100),
        _ => format!("{}/s", (milli + 500) / 1_000),
    }
}

/// `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d`.
pub(crate) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3_600 => match seconds % 60 {
            0 => format!("{} min", seconds / 60),
            rest => format!("{} min {rest} s", seconds / 60),
        },
        3_600..172_800 => match seconds % 3_600 / 60 {
            0 => format!("{} h", seconds / 3_600),
            rest => format!("{} h {rest} min", seconds / 3_600),
        },
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The clock time, with the date if it is more than 20 hours away, when the clock alone would mislead.
pub(crate) fn moment(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let far = age(at, now).abs() > 20 * 3_600;
    let format = if far { "%Y-%m-%d %H:%M:%S" } else { "%H:%M:%S" };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

/// Seconds from `at` to `now`.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> i64 {
    now.as_second() - at.as_second()
}

/// `one backend`, `4 backends`.
pub(crate) fn count<N: std::fmt::Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    if number == N::from(1) {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_two_or_three_digits() {
        let times: Vec<String> = [640, 2_149, 21_400, 512_300, 1_432_000, 60_000_000]
            .map(micros)
            .into();
        assert_eq!(times, ["640 µs", "2.1 ms", "21 ms", "512 ms", "1.4 s", "60 s"]);
        let shares: Vec<String> = [0, 300, 15_625, 200_000, 1_000_000].map(share).into();
        assert_eq!(shares, ["0 %", "0.03 %", "1.6 %", "20.0 %", "100.0 %"]);
        let rates: Vec<String> = [0, 4, 250, 2_500, 499_800].map(rate).into();
        assert_eq!(rates, ["0/s", "0.01/s", "0.25/s", "2.5/s", "500/s"]);
        let spans: Vec<String> = [42, 185, 7_800, 259_200].map(span).into();
        assert_eq!(spans, ["42 s", "3 min 5 s", "2 h 10 min", "3 d"]);
    }

    #[test]
    fn a_moment_of_another_day_carries_its_date() {
        let now: Timestamp = "2026-11-21T12:05:13Z".parse().expect("a time");
        let near: Timestamp = "2026-11-21T12:04:31Z".parse().expect("a time");
        let far: Timestamp = "2026-11-19T12:04:31Z".parse().expect("a time");
        assert_eq!(moment(near, now, &TimeZone::UTC), "12:04:31");
        assert_eq!(moment(far, now, &TimeZone::UTC), "2026-11-19 12:04:31");
    }
}
