//! Runs every wanted cell (scenario × nodes × backends × row) on every seed, interleaved, and sums up.
//!
//! Why interleaved: rows of one seed run one after the other, so that nothing that drifts favours a row. Invariant: the
//! result does not depend on the number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use crate::figure::{Figures, Series, figures, series};
use crate::peer::Peer;
use crate::scenario::{Contest, Scenario, ScenarioError};

/// What to run.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Scenarios as read.
    pub scenarios: Vec<Scenario>,
    /// Rows.
    pub peers: Vec<Peer>,
    /// Node counts; empty = as in the scenario.
    pub nodes: Vec<u32>,
    /// Backend counts; empty = as in the scenario.
    pub backends: Vec<u32>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

/// One row in one scenario, all seeds.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Scenario.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// Row.
    pub peer: &'static str,
    /// A bound, not a competitor.
    pub oracle: bool,
    /// What is judged.
    pub contest: Contest,
    /// Requests a second for each node and backend.
    pub rate: f64,
    /// Nodes.
    pub nodes: u32,
    /// Backends.
    pub backends: u32,
    /// Figures by seed, in the order of the seeds.
    pub runs: Vec<Figures>,
    /// Course of the first seed.
    pub series: Series,
}

impl Cell {
    /// Whether both meet the same scenario with the same nodes and backends.
    #[must_use]
    pub fn same_case(&self, other: &Self) -> bool {
        (&self.scenario, self.nodes, self.backends) == (&other.scenario, other.nodes, other.backends)
    }
}

struct Job<'a> {
    scenario: &'a Scenario,
    peer: Peer,
    cell: usize,
    seed: u64,
}

impl Experiment {
    /// The scenarios with the wanted numbers of nodes and backends put in.
    fn variants(&self) -> Result<Vec<Scenario>, ScenarioError> {
        let mut variants = Vec::new();
        for scenario in &self.scenarios {
            let counts = |wanted: &[u32], own: u32| {
                if wanted.is_empty() {
                    vec![own]
                } else {
                    wanted.to_vec()
                }
            };
            for nodes in counts(&self.nodes, scenario.nodes) {
                for backends in counts(&self.backends, scenario.backends.count) {
                    let mut variant = scenario.clone();
                    variant.nodes = nodes;
                    variant.backends.count = backends;
                    variant.check()?;
                    variants.push(variant);
                }
            }
        }
        Ok(variants)
    }

    /// Runs everything on `threads` threads; `progress` hears (done, all, what) after each run.
    ///
    /// # Errors
    /// A count that a scenario does not allow.
    pub fn run(
        &self,
        threads: usize,
        progress: &(dyn Fn(usize, usize, &str) + Sync),
    ) -> Result<Vec<Cell>, ScenarioError> {
        let variants = self.variants()?;
        let mut cells = Vec::new();
        let mut jobs = Vec::new();
        for scenario in &variants {
            let first = cells.len();
            let heeds =
                |peer: &&Peer| scenario.rollout.is_none() || peer.build(scenario, 0).heeds_endpoints();
            let zoned = |peer: &&Peer| scenario.zones == 1 || peer.build(scenario, 0).heeds_zones();
            let fits = |peer: &&Peer| peer.takes_part(scenario.contest);
            let peers = self.peers.iter().filter(fits).filter(heeds).filter(zoned);
            let peers: Vec<Peer> = peers.copied().collect();
            for peer in &peers {
                cells.push(Cell {
                    scenario: scenario.name.clone(),
                    title: scenario.title.clone(),
                    peer: peer.name,
                    oracle: peer.oracle,
                    contest: scenario.contest,
                    rate: scenario.load.per_backend_second / f64::from(scenario.nodes),
                    nodes: scenario.nodes,
                    backends: scenario.backends.count,
                    runs: Vec::new(),
                    series: Series::default(),
                });
            }
            for &seed in &self.seeds {
                for (place, &peer) in peers.iter().enumerate() {
                    jobs.push(Job {
                        scenario,
                        peer,
                        cell: first + place,
                        seed,
                    });
                }
            }
        }
        let results = work(&jobs, threads, progress);
        for (job, (figures, series)) in jobs.iter().zip(results) {
            if let Some(cell) = cells.get_mut(job.cell) {
                if cell.runs.is_empty() {
                    cell.series = series;
                }
                cell.runs.push(figures);
            }
        }
        Ok(cells)
    }
}

/// Results in the order of the jobs, whichever thread did them.
fn work(
    jobs: &[Job<'_>],
    threads: usize,
    progress: &(dyn Fn(usize, usize, &str) + Sync),
) -> Vec<(Figures, Series)> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(jobs.len()));
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, job)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(index).map(|job| (index, job))
                } {
                    let result = one(job);
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    progress(
                        count,
                        jobs.len(),
                        &format!("{} {} N={}", job.scenario.name, job.peer.name, job.scenario.nodes),
                    );
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn one(job: &Job<'_>) -> (Figures, Series) {
    let recording = job.peer.run(job.scenario, job.seed);
    (
        figures(job.scenario, &recording),
        series(job.scenario, &recording),
    )
}
