//! How much of something bounded is in use: bytes, descriptors, connections, threads.

/// In use, and the bound; `None` where nothing bounds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In use, in the unit of its resource.
    pub used: u64,
    /// The bound in the same unit.
    pub limit: Option<u64>,
}

impl Level {
    /// Part in use, permille of the bound, at most 1000; `None` without a bound.
    #[must_use]
    pub fn permille(self) -> Option<u32> {
        let limit = self.limit?;
        if limit == 0 {
            return Some(1_000);
        }
        let permille = u128::from(self.used) * 1_000 / u128::from(limit);
        Some(u32::try_from(permille).unwrap_or(1_000).min(1_000))
    }

    /// What is left before the bound.
    #[must_use]
    pub fn left(self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }
}

/// CPU time and how often the quota stopped it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// CPU time used, µs, ever growing.
    pub used_micros: u64,
    /// Time in which it waited for its quota, µs, ever growing.
    pub throttled_micros: u64,
    /// Quota, thousandths of a CPU; `None` without one.
    pub quota_milli: Option<u64>,
}

/// `/proc/meminfo`: total less available, bytes.
pub(crate) fn memory(text: &str) -> Result<Level, &'static str> {
    let field = |name: &'static str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line
            .strip_prefix(':')?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()?;
        kib.checked_mul(1_024)
    };
    let total = field("MemTotal").ok_or("MemTotal")?;
    let available = field("MemAvailable").ok_or("MemAvailable")?;
    Ok(Level {
        used: total.saturating_sub(available),
        limit: Some(total),
    })
}

/// `/proc/sys/fs/file-nr`: allocated handles, free ones (always 0 since 2.6), the bound.
pub(crate) fn descriptors(text: &str) -> Result<Level, &'static str> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = |field| numbers.next().and_then(Result::ok).ok_or(field);
    let allocated = next("allocated handles")?;
    let free = next("free handles")?;
    let limit = next("bound")?;
    Ok(Level {
        used: allocated.saturating_sub(free),
        limit: Some(limit),
    })
}

/// The fourth field of `/proc/loadavg`: running and all scheduling entities.
pub(crate) fn threads(text: &str) -> Result<u64, &'static str> {
    let field = text.split_ascii_whitespace().nth(3).ok_or("threads")?;
    let (_, all) = field.split_once('/').ok_or("threads")?;
    all.parse().map_err(|_| "threads")
}

/// A file that holds one number.
pub(crate) fn number(text: &str) -> Result<u64, &'static str> {
    text.trim().parse().map_err(|_| "number")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEMINFO: &str = "MemTotal:       24590816 kB\nMemFree:         9317716 kB\n\
        MemAvailable:   21990940 kB\nBuffers:          512340 kB\n";

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let level = memory(MEMINFO).expect("a level");
        assert_eq!(level.used, (24_590_816 - 21_990_940) * 1_024);
        assert_eq!(level.limit, Some(24_590_816 * 1_024));
        assert_eq!(level.permille(), Some(105));
    }

    #[test]
    fn a_meminfo_without_available_memory_is_no_empty_node() {
        assert_eq!(memory("MemTotal:  100 kB\nMemFree: 50 kB\n"), Err("MemAvailable"));
        assert_eq!(memory(""), Err("MemTotal"));
    }

    #[test]
    fn file_handles_are_the_allocated_ones() {
        let level = descriptors("2990\t0\t2466170\n").expect("a level");
        assert_eq!((level.used, level.limit), (2_990, Some(2_466_170)));
        assert_eq!(descriptors("2990\t0\n"), Err("bound"));
    }

    #[test]
    fn threads_are_the_second_number_of_the_fourth_field() {
        assert_eq!(threads("13.71 8.96 4.73 14/668 31978\n"), Ok(668));
        assert_eq!(threads("13.71 8.96"), Err("threads"));
    }

    #[test]
    fn a_bound_of_nothing_is_full_and_no_bound_is_not_known() {
        let full = Level {
            used: 0,
            limit: Some(0),
        };
        assert_eq!(full.permille(), Some(1_000));
        let open = Level { used: 9, limit: None };
        assert_eq!((open.permille(), open.left()), (None, None));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "[0-9a-zA-Z:/\\n\\t .-]{0,80}") {
            let _ = (memory(&text), descriptors(&text), threads(&text), number(&text));
        }

        #[test]
        fn a_part_is_at_most_the_whole(used in any::<u64>(), limit in any::<u64>()) {
            let permille = Level { used, limit: Some(limit) }.permille().expect("a bound");
            prop_assert!(permille <= 1_000);
        }
    }
}
