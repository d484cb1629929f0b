//! What a Prequal server tells a probe: requests in flight, and the latency that requests lately met at about that
//! number (Wydrowski et al., NSDI 2024, §4.1).

/// Levels of in-flight kept; above, the last one stands for all.
const LEVELS: usize = 64;
/// Latencies kept for each level.
const KEEP: usize = 8;

/// Latencies of finished requests, by the number in flight when they came.
#[derive(Debug)]
pub(super) struct Sensor {
    recent: Vec<[u32; KEEP]>,
    count: Vec<u32>,
}

impl Default for Sensor {
    fn default() -> Self {
        Self {
            recent: vec![[0; KEEP]; LEVELS],
            count: vec![0; LEVELS],
        }
    }
}

impl Sensor {
    /// A request that came when `rif` others were in flight took `micros`.
    pub(super) fn finished(&mut self, rif: u32, micros: u32) {
        let level = usize::try_from(rif).unwrap_or(LEVELS).min(LEVELS - 1);
        if let (Some(recent), Some(count)) = (self.recent.get_mut(level), self.count.get_mut(level)) {
            let place = usize::try_from(*count).unwrap_or(0) % KEEP;
            if let Some(slot) = recent.get_mut(place) {
                *slot = micros;
            }
            *count = count.wrapping_add(1);
        }
    }

    /// Median latency (µs) at the level of `rif`, or at the nearest level that has any; 0 if none has.
    pub(super) fn latency(&self, rif: u32) -> u32 {
        let level = usize::try_from(rif).unwrap_or(LEVELS).min(LEVELS - 1);
        for away in 0..LEVELS {
            for near in [level.checked_sub(away), level.checked_add(away)]
                .into_iter()
                .flatten()
            {
                if let Some(median) = self.median(near) {
                    return median;
                }
            }
        }
        0
    }

    fn median(&self, level: usize) -> Option<u32> {
        let count = usize::try_from(*self.count.get(level)?).unwrap_or(KEEP).min(KEEP);
        let mut recent = *self.recent.get(level)?;
        let recent = recent.get_mut(..count).filter(|recent| !recent.is_empty())?;
        recent.sort_unstable();
        recent.get(recent.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_hears_the_median_of_the_nearest_level() {
        let mut sensor = Sensor::default();
        assert_eq!(sensor.latency(3), 0);
        for micros in [30, 10, 20] {
            sensor.finished(5, micros);
        }
        assert_eq!(sensor.latency(3), 20);
        assert_eq!(sensor.latency(9999), 20);
    }
}
