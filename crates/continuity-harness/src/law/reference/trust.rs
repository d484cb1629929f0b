//! Reports earn their weight: freshness, coverage, and whether what they predict comes true (law-balancing §2.5).

use crate::choice::{Record, Regression, kms};

/// Level and age (kms) of the newest report, if there is one.
pub(super) fn level(record: &Record, now: u64) -> Option<(i32, u32)> {
    (record.has == 1).then(|| (i32::from(record.l), kms(now).wrapping_sub(record.ts)))
}

/// What the reports of one backend have earned.
#[derive(Debug, Clone, Default)]
pub(super) struct Earned {
    rx: u32,
    rnew: u32,
    good: u32,
    fresh: Option<f64>,
    fresh_updates: u32,
    covered: Option<f64>,
    covered_updates: u32,
    pair: (u16, u32, u32),
    said: f64,
    seen: f64,
    pairs: u32,
}

fn mean(value: f64, sample: f64, weight: f64, updates: u32) -> f64 {
    value + (sample - value) * weight.max(1.0 / (f64::from(updates) + 1.0))
}

impl Earned {
    /// Trust, 0..=160.
    pub(super) fn update(&mut self, record: &Record, beta: f64) -> u32 {
        let rx = record.rx.wrapping_sub(self.rx);
        let rnew = record.rnew.wrapping_sub(self.rnew);
        let good = record.good.wrapping_sub(self.good);
        let weight = f64::from(rx) / (f64::from(rx) + 16.0);
        if rx >= 4 {
            let sample = f64::from(rnew) / f64::from(rx);
            self.fresh = Some(mean(
                self.fresh.unwrap_or(sample),
                sample,
                weight,
                self.fresh_updates,
            ));
            self.fresh_updates += 1;
        }
        if good >= 4 {
            let sample = f64::from(rx) / (2.0 * f64::from(good));
            self.covered = Some(mean(
                self.covered.unwrap_or(sample),
                sample,
                weight,
                self.covered_updates,
            ));
            self.covered_updates += 1;
        }
        if rx >= 4 {
            (self.rx, self.rnew) = (record.rx, record.rnew);
        }
        if good >= 4 || rx >= 4 {
            self.good = record.good;
            (self.rx, self.rnew) = (record.rx, record.rnew);
        }
        let freshness = self
            .fresh
            .map_or(1.0, |fresh| ((fresh - 0.5) / 0.4).clamp(0.0, 1.0));
        let coverage = self
            .covered
            .map_or(1.0, |covered| ((covered - 0.3) / 0.15).clamp(0.0, 1.0));
        let slope = ((beta + 0.06) / 0.08).clamp(0.0, 1.0);
        u32::try_from(crate::span::nanos(160.0 * freshness * coverage * slope / 1e9)).unwrap_or(0)
    }

    /// Whether what it said lately and what was seen differ by more than a factor of 2.5.
    pub(super) fn lies(&mut self, record: &Record) -> bool {
        let (count, said, seen) = self.pair;
        let many = record.pair_n.wrapping_sub(count);
        if many == 0 {
            return false;
        }
        let level =
            |sum: u32, before: u32| libm::exp2(f64::from(sum.wrapping_sub(before)) / f64::from(many) / 256.0);
        let (said, seen) = (level(record.pair_said, said), level(record.pair_seen, seen));
        self.pair = (record.pair_n, record.pair_said, record.pair_seen);
        self.pairs = self.pairs.saturating_add(u32::from(many));
        let gain = f64::max(
            1.0 / f64::from(self.pairs),
            1.0 - libm::pow(0.875, f64::from(many)),
        );
        self.said += gain * (said - self.said);
        self.seen += gain * (seen - self.seen);
        let caught = self.pairs >= 4
            && (self.said > 2.5 * self.seen + 10_000.0 || self.seen > 2.5 * self.said + 11_000.0);
        if caught {
            (self.pairs, self.said, self.seen) = (0, 0.0, 0.0);
        }
        caught
    }
}

/// Slope of realised on predicted turnaround over about a minute.
#[derive(Debug, Clone, Default)]
pub(super) struct Slope {
    before: Regression,
    n: f64,
    sx: f64,
    sy: f64,
    sxx: f64,
    sxy: f64,
}

impl Slope {
    /// Once a second.
    pub(super) fn update(&mut self, sums: &Regression) {
        let octaves = |now: i64, before: i64, scale: f64| (now - before) as f64 / scale;
        for (sum, new) in [
            (&mut self.n, (sums.n - self.before.n) as f64),
            (&mut self.sx, octaves(sums.sx, self.before.sx, 256.0)),
            (&mut self.sy, octaves(sums.sy, self.before.sy, 256.0)),
            (&mut self.sxx, octaves(sums.sxx, self.before.sxx, 65_536.0)),
            (&mut self.sxy, octaves(sums.sxy, self.before.sxy, 65_536.0)),
        ] {
            *sum = *sum * 0.98 + new;
        }
        self.before = *sums;
    }

    /// β with a prior slope of 0.3 that weighs 100 samples of variance 0.25.
    pub(super) fn beta(&self) -> f64 {
        let n = self.n.max(1.0);
        (self.sxy - self.sx * self.sy / n + 7.5) / (self.sxx - self.sx * self.sx / n + 25.0)
    }
}
