//! Nothing broken: what Continuity costs, in paired blocks.
//!
//! Blocks follow one another in one run of the load; in each block both systems are measured at the same time with the
//! same requests. The ratio of a block is free of whatever the machine did meanwhile, and its spread over blocks gives
//! the bound.
//!
//! The two Services are alike but not the same: their pods lie elsewhere in memory and on the processors, and that alone moves
//! the median of a connection's set-up by up to 1.6 %, the same way for a whole run. So the Services exchange their parts
//! half-way, and a block before is taken together with one after.

use std::thread;
use std::time::Duration;

use continuity_traffic::clock;
use serde::{Deserialize, Serialize};

use super::agent::Meter;
use super::engine;
use super::fault::Beside;
use super::goal::Check;
use super::latency::Summary;
use super::paired::Ratio;
use super::workload::Load;
use crate::Error;
use crate::cluster::Cluster;
use crate::progress::Step;

/// Length of a block: 4,000 attempts a system, so 40 beyond the 99th percentile.
const BLOCK: Duration = Duration::from_secs(8);
/// Until connections are spread and the law has its baseline.
const WARM_UP: Duration = Duration::from_secs(4);

/// Healthy blocks of both systems.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Calm {
    /// What the Service's policy was.
    pub(super) policy: String,
    /// (the Service under Continuity, the other), one pair a block.
    pub(super) blocks: Vec<(Summary, Summary)>,
    /// The second half of the blocks has the Services exchanged.
    #[serde(default)]
    pub(super) exchanged: bool,
    /// Largest resident memory of an agent, MB.
    pub(super) agent_mb: Option<f64>,
    /// Largest CPU time of an agent, percent of a core.
    pub(super) agent_cpu: Option<f64>,
}

impl Calm {
    /// Measures so many blocks.
    pub(super) fn measure(
        cluster: &Cluster,
        policy: &str,
        blocks: u32,
        seed: u64,
        step: &Step,
    ) -> Result<Self, Error> {
        let mut load = Load::start(cluster, seed, &engine::wanted(cluster, Beside::Nothing)?)?;
        thread::sleep(WARM_UP);
        let meter = Meter::start();
        let start_ns = clock::now_ns();
        for number in 1..=blocks {
            step.waiting(format!("block {number} of {blocks}"));
            thread::sleep(BLOCK);
            load.fetch()?;
        }
        let cost = meter.stop();
        load.stop()?;
        let block_ns = u64::try_from(BLOCK.as_nanos()).unwrap_or(u64::MAX);
        let pair = |number: u32| {
            let from = start_ns + u64::from(number) * block_ns;
            let of = |stream| Summary::of(&load.log.window(stream, from, from + block_ns));
            (of(0), of(1))
        };
        Ok(Self {
            policy: policy.to_owned(),
            blocks: (0..blocks).map(pair).collect(),
            exchanged: false,
            agent_mb: cost.map(|cost| cost.resident_mb),
            agent_cpu: cost.map(|cost| cost.cpu_percent),
        })
    }

    /// With as many blocks measured after the Services exchanged their parts.
    pub(super) fn then_exchanged(mut self, after: Self) -> Self {
        let turned = after.blocks.into_iter().map(|(first, second)| (second, first));
        self.blocks.extend(turned);
        self.exchanged = true;
        let larger = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        self.agent_mb = larger(self.agent_mb, after.agent_mb);
        self.agent_cpu = larger(self.agent_cpu, after.agent_cpu);
        self
    }

    /// The paired ratio of a figure; what a Service has of its own cancels out where they were exchanged.
    pub(super) fn ratio(&self, figure: fn(&Summary) -> f64) -> Option<Ratio> {
        let figures = |(ours, theirs): &(Summary, Summary)| (figure(ours), figure(theirs));
        let pairs: Vec<_> = self.blocks.iter().map(figures).collect();
        if !self.exchanged {
            return Ratio::of(&pairs);
        }
        let (before, after) = pairs.split_at(pairs.len() / 2);
        let both = |(a, b): (&(f64, f64), &(f64, f64))| ((a.0 * b.0).sqrt(), (a.1 * b.1).sqrt());
        let crossed: Vec<_> = before.iter().zip(after).map(both).collect();
        Ratio::of(&crossed).map(|ratio| Ratio {
            blocks: pairs.len(),
            ..ratio
        })
    }

    /// The goals for Enforce with nothing broken.
    pub(super) fn judge(&self) -> Vec<Check> {
        let most = |name, figure: fn(&Summary) -> f64, bound: f64| {
            let ratio = self.ratio(figure);
            let text = |r: Ratio| {
                format!(
                    "{:.3} ×, upper bound {:.3} × over {} blocks",
                    r.mean, r.upper, r.blocks
                )
            };
            let held = ratio.is_some_and(|r| r.upper <= bound && r.blocks >= 10);
            let measured = ratio.map_or_else(|| "not seen".to_owned(), text);
            Check::that(
                "none",
                name,
                held,
                measured,
                &format!("upper 95 % bound ≤ {bound} ×, ≥ 10 blocks"),
            )
        };
        let connect = self.ratio(|s| s.connect_p50_us);
        // Of two that are equal one is ahead by chance; slower is what the lower bound says.
        let no_slower = connect.is_some_and(|r| r.lower <= 1.0);
        let text = |r: Ratio| {
            format!(
                "{:.3} ×, lower bound {:.3} × over {} blocks",
                r.mean, r.lower, r.blocks
            )
        };
        let measured = connect.map_or_else(|| "not seen".to_owned(), text);
        let failed: usize = self.blocks.iter().map(|(ours, _)| ours.failed).sum();
        vec![
            most("p50 / kube-proxy's", |s| s.p50_ms, 1.03),
            most("p99 / kube-proxy's", |s| s.p99_ms, 1.10),
            Check::that(
                "none",
                "connection set-up p50 / kube-proxy's",
                no_slower,
                measured,
                "no slower: lower 95 % bound ≤ 1 ×",
            ),
            Check::at_most(
                "none",
                "failed attempts",
                Some(super::latency::fraction(failed)),
                0.0,
                "",
            ),
            Check::at_most("none", "agent resident memory", self.agent_mb, 50.0, " MB"),
            Check::at_most("none", "agent CPU time", self.agent_cpu, 2.0, " % of a core"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(ours: f64, blocks: usize) -> Calm {
        let summary = |f: f64| Summary {
            attempts: 4000,
            p50_ms: 27.0 * f,
            p99_ms: 90.0 * f,
            connect_p50_us: 80.0 * f,
            ..Summary::default()
        };
        let (agent_mb, agent_cpu) = (Some(20.0), Some(0.5));
        Calm {
            policy: "Enforce".into(),
            blocks: vec![(summary(ours), summary(1.0)); blocks],
            exchanged: false,
            agent_mb,
            agent_cpu,
        }
    }

    #[test]
    fn a_cost_within_its_bounds_holds() {
        assert!(calm(0.99, 12).judge().iter().all(|check| check.passed));
    }

    #[test]
    fn what_a_service_has_of_its_own_cancels_out_when_they_are_exchanged() {
        let both = calm(1.02, 6).then_exchanged(calm(1.02, 6));
        let ratio = both.ratio(|s| s.connect_p50_us).unwrap();
        assert!((ratio.mean - 1.0).abs() < 1e-9, "{ratio:?}");
        assert_eq!(ratio.blocks, 12);
        // 1.02 from the Service, 0.98 from the system.
        let both = calm(1.02 * 0.98, 6).then_exchanged(calm(1.02 / 0.98, 6));
        let ratio = both.ratio(|s| s.connect_p50_us).unwrap();
        assert!((ratio.mean - 0.98).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn too_slow_or_too_few_blocks_falls_short() {
        let short = |calm: &Calm| calm.judge().iter().filter(|check| !check.passed).count();
        assert_eq!(short(&calm(1.05, 12)), 2);
        assert_eq!(short(&calm(0.99, 9)), 2);
        assert_eq!(short(&Calm::default()), 5);
    }
}
