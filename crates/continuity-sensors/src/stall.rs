//! Pressure stall information: how much of the time tasks waited for CPU, memory or I/O.
//!
//! The averages are folded every 2 s, so reading them faster tells nothing new; `total` is fresh at every read, so the part
//! of the time that was stalled between two reads is Δtotal / Δt. "full" of the CPU is undefined for the whole node and
//! includes the quota's throttling in a cgroup (kernel, accounting/psi).

/// One line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Mean of 10 s, hundredths of a percent.
    pub avg10: u32,
    /// Mean of 60 s, hundredths of a percent.
    pub avg60: u32,
    /// Mean of 300 s, hundredths of a percent.
    pub avg300: u32,
    /// Stalled time since the boot or the cgroup's birth, µs.
    pub total_micros: u64,
}

/// A pressure file, and what passed since the read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited; kernels before 5.13 have none for the CPU.
    pub full: Option<Stall>,
    /// Stalled part of the time since the read before, permille; `None` at the first read.
    pub some_permille: Option<u32>,
    /// The same for "full".
    pub full_permille: Option<u32>,
}

impl Pressure {
    /// Reads a pressure file.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let line = |kind: &str| text.lines().find_map(|line| line.strip_prefix(kind));
        let some = Stall::parse(line("some ").ok_or("line \"some\"")?)?;
        let full = line("full ").map(Stall::parse).transpose()?;
        Ok(Self {
            some,
            full,
            ..Self::default()
        })
    }

    /// With the stalled part of the `elapsed` nanoseconds since `before`.
    pub(crate) fn since(self, before: &Self, elapsed: u64) -> Self {
        let full = match (before.full, self.full) {
            (Some(before), Some(now)) => part(before.total_micros, now.total_micros, elapsed),
            _ => None,
        };
        Self {
            some_permille: part(before.some.total_micros, self.some.total_micros, elapsed),
            full_permille: full,
            ..self
        }
    }
}

/// Permille of `elapsed` ns; a total that went back is another cgroup's, and tells nothing.
fn part(before: u64, now: u64, elapsed: u64) -> Option<u32> {
    let stalled = u128::from(now.checked_sub(before)?) * 1_000;
    let permille = (stalled * 1_000).checked_div(u128::from(elapsed))?;
    Some(u32::try_from(permille).unwrap_or(1_000).min(1_000))
}

impl Stall {
    fn parse(fields: &str) -> Result<Self, &'static str> {
        let field = |name: &str| {
            let mut pairs = fields
                .split_ascii_whitespace()
                .filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        let mean = |name: &'static str| field(name).and_then(hundredths).ok_or(name);
        Ok(Self {
            avg10: mean("avg10")?,
            avg60: mean("avg60")?,
            avg300: mean("avg300")?,
            total_micros: field("total")
                .and_then(|total| total.parse().ok())
                .ok_or("total")?,
        })
    }
}

/// "98.42" is 9842; the kernel writes two places.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.')?;
    if fraction.len() != 2 {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(100)?.checked_add(fraction.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CPU: &str = "some avg10=98.42 avg60=98.07 avg300=69.49 total=4999128215\n\
        full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

    #[test]
    fn a_pressure_file_of_a_busy_node_is_read() {
        let pressure = Pressure::parse(CPU).expect("a pressure");
        assert_eq!(
            pressure.some,
            Stall {
                avg10: 9_842,
                avg60: 9_807,
                avg300: 6_949,
                total_micros: 4_999_128_215,
            }
        );
        assert_eq!(pressure.full.map(|full| full.total_micros), Some(0));
        assert_eq!(pressure.some_permille, None, "one read tells no part of the time");
    }

    #[test]
    fn the_part_of_the_time_comes_from_the_totals() {
        let before = Pressure::parse(CPU).expect("a pressure");
        let mut now = before;
        now.some.total_micros += 250_000;
        let second = now.since(&before, 1_000_000_000);
        assert_eq!((second.some_permille, second.full_permille), (Some(250), Some(0)));
    }

    #[test]
    fn a_total_that_went_back_or_no_time_tells_nothing() {
        let now = Pressure::parse(CPU).expect("a pressure");
        let mut other = now;
        other.some.total_micros += 1;
        assert_eq!(now.since(&other, 1_000_000_000).some_permille, None);
        assert_eq!(now.since(&now, 0).some_permille, None);
    }

    #[test]
    fn an_old_kernel_without_full_is_read_and_a_cut_line_is_not() {
        let old = Pressure::parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").expect("a pressure");
        assert_eq!(old.full, None);
        assert_eq!(Pressure::parse(""), Err("line \"some\""));
        assert_eq!(Pressure::parse("some avg10=0.00 avg60=0.00"), Err("avg300"));
        assert_eq!(Pressure::parse("some avg10=x"), Err("avg10"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(some|full)? ?[a-z0-9=. \\n]{0,90}") {
            let _ = Pressure::parse(&text);
        }

        #[test]
        fn a_part_of_the_time_is_at_most_all_of_it(before in any::<u64>(), now in any::<u64>(), elapsed in any::<u64>()) {
            if let Some(permille) = part(before, now, elapsed) {
                prop_assert!(permille <= 1_000);
            }
        }
    }
}
