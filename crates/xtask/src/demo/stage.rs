//! The order of the demo: cluster, installation, workload, nothing broken, Observe, Enforce, faults, removal.

use std::time::Instant;

use super::calm::Calm;
use super::engine::{self, Engine};
use super::fault;
use super::goal::Check;
use super::report::{self, Report};
use super::residue::{self, Residue};
use super::workload::{self, PAIR};
use super::{contract, install, refusal, status, table};
use crate::Error;
use crate::cluster::Cluster;
use crate::image::{self, Image};
use crate::paths;
use crate::progress::Progress;

/// Healthy blocks without a policy: enough to see that the two Services are alike.
const BLOCKS_WITHOUT: u32 = 4;
/// Healthy blocks in Enforce, half of them with the Services exchanged: the goal asks for ten.
const BLOCKS_ENFORCED: u32 = 16;
/// Longest bring-up of a cluster whose parts are built, s.
const UP_SECONDS: f64 = 60.0;
/// Longest demo when everything is built, s.
const DEMO_SECONDS: f64 = 25.0 * 60.0;

/// The policy that the demo applies is the sample that a user would apply.
const OBSERVE: &str = "config/samples/observe.yaml";
const ENFORCE: &str = "config/samples/enforce.yaml";
/// The same for the other Service of the pair.
const EXCHANGED: &str = "e2e/manifests/policy/exchanged.yaml";

fn enforce(cluster: &Cluster, progress: &Progress) -> Result<(), Error> {
    let step = progress.step("policies in Enforce");
    for (file, policy) in [
        (ENFORCE, "checkout"),
        ("e2e/manifests/policy/admin.yaml", "checkout-admin"),
        ("e2e/manifests/policy/surge.yaml", "surge"),
    ] {
        step.waiting(format!("policy {policy}"));
        status::enforce(cluster, file, policy)?;
    }
    step.done();
    Ok(())
}

/// Half of the blocks with nothing broken: the policy on the other Service of the pair. Before the Service that the faults are
/// for gets its own, so that nothing is taken from that one half-way.
fn exchanged(cluster: &Cluster, progress: &Progress) -> Result<Calm, Error> {
    let step = progress.step("nothing broken, the Services exchanged: paired blocks");
    // A cluster that was kept up may have it still.
    status::withdraw(cluster, "checkout", PAIR[0])?;
    status::enforce(cluster, EXCHANGED, "exchanged")?;
    let calm = Calm::measure(cluster, "Enforce", BLOCKS_ENFORCED / 2, 4, &step)?;
    status::withdraw(cluster, "exchanged", PAIR[1])?;
    step.done();
    Ok(calm)
}

/// The whole demo on a cluster of its own; the cluster stays up.
pub(super) fn play(names: &[&str], images: &[Image], keep: bool, progress: &Progress) -> Result<(), Error> {
    let begun = Instant::now();
    let already = Cluster::attach().is_ok();
    let mut stage = Stage {
        report: Report::default(),
        progress,
        part: Instant::now(),
        blocks_without: BLOCKS_WITHOUT,
    };
    stage.report.command = command(names);
    stage.report.machine = machine();
    let cluster = Cluster::up(progress)?;
    let up = stage.spent("cluster up");
    if !already {
        stage.check(Check::at_most("cluster", "bring-up", Some(up), UP_SECONDS, " s"));
    }
    cluster.load_images(images, progress)?;
    let installed = already && cluster.kubectl(["get", "namespace", install::NAMESPACE]).is_ok();
    let before = Residue::now()?;
    stage.install(&cluster)?;
    let brought = Residue::now()?.since(&before);
    let measured = stage.measure(&cluster, images, names);
    // What was measured is reported, also if a later step failed.
    stage.report.nodes = cluster
        .kubectl(["get", "continuitynodes", "-o", "wide"])
        .ok()
        .map(|o| text(&o.stdout));
    if measured.is_ok() && !keep && !installed {
        stage.remove(&cluster, &before, &brought)?;
    }
    if names.is_empty() {
        let seconds = begun.elapsed().as_secs_f64();
        stage.check(Check::at_most(
            "cluster",
            "demo when built",
            Some(seconds),
            DEMO_SECONDS,
            " s",
        ));
    }
    stage.finish()?;
    measured
}

/// The cluster tests: a cluster of their own, everything installed, the rows of these names, everything removed again.
/// Each goal is one check.
///
/// # Errors
/// A step that could not be taken.
pub fn test_on_cluster(names: &[&str], progress: &Progress) -> Result<Vec<Check>, Error> {
    let _guard = Cluster::down_on_interrupt(progress);
    let images = image::build_all(progress)?;
    let cluster = Cluster::up(progress)?;
    let mut stage = Stage {
        report: Report::default(),
        progress,
        part: Instant::now(),
        blocks_without: 0,
    };
    stage.report.command = "cargo xtask test".to_owned();
    stage.report.machine = machine();
    cluster.load_images(&images, progress)?;
    let before = Residue::now()?;
    let tested = stage.install(&cluster).and_then(|()| {
        let brought = Residue::now()?.since(&before);
        stage.measure(&cluster, &images, names)?;
        stage.remove(&cluster, &before, &brought)
    });
    stage.report.write(&paths::root().join("target/test-report"))?;
    Cluster::down(progress)?;
    tested.map(|()| stage.report.checks)
}

struct Stage<'a> {
    report: Report,
    progress: &'a Progress,
    part: Instant,
    /// Healthy blocks without a policy: something to look at, of which no test asserts anything.
    blocks_without: u32,
}

impl Stage<'_> {
    fn check(&mut self, check: Check) {
        self.progress.note(&table::line(&check));
        self.report.checks.push(check);
    }

    /// Ends a part and says how long it took.
    fn spent(&mut self, part: &str) -> f64 {
        let seconds = self.part.elapsed().as_secs_f64();
        self.part = Instant::now();
        self.report.spent.push((part.to_owned(), seconds));
        seconds
    }

    fn install(&mut self, cluster: &Cluster) -> Result<(), Error> {
        install::install(cluster, self.progress)?;
        for check in install::foreign_write(cluster)? {
            self.check(check);
        }
        workload::deploy(cluster, self.progress)?;
        let step = self.progress.step("bad policies are refused, good ones accepted");
        let refusals = refusal::refusals(cluster)?;
        step.done();
        for check in refusals {
            self.check(check);
        }
        self.spent("installation and workload");
        Ok(())
    }

    /// The rows of these names, all of them if there is none. First what is no fault: kube-proxy alone, the exchanged half of
    /// the healthy blocks, Observe, then Enforce with nothing broken.
    fn measure(&mut self, cluster: &Cluster, images: &[Image], names: &[&str]) -> Result<(), Error> {
        let wanted = |row: &str| names.is_empty() || names.contains(&row);
        let mut engine = Engine::new(cluster, images, self.progress)?;
        if wanted(engine::OBSERVE) && self.blocks_without > 0 {
            let step = self.progress.step("no policy: kube-proxy serves both");
            let calm = Calm::measure(cluster, "none", self.blocks_without, 1, &step)?;
            self.report.calm.push(calm);
            step.done();
        }
        let exchanged = wanted(engine::NONE).then(|| exchanged(cluster, self.progress));
        let exchanged = exchanged.transpose()?;
        if wanted(engine::OBSERVE) {
            status::enforce(cluster, OBSERVE, "checkout")?;
            let (trial, checks) = engine.run(&fault::OBSERVED)?;
            self.report.observed = Some(trial);
            self.report.checks.extend(checks);
            self.spent("no policy, then Observe");
        }
        enforce(cluster, self.progress)?;
        if let Some(exchanged) = exchanged {
            let (calm, checks) = engine.repeats.fair(engine::NONE, self.progress, || {
                let step = self.progress.step("nothing broken, Enforce: paired blocks");
                let calm = Calm::measure(cluster, "Enforce", BLOCKS_ENFORCED / 2, 2, &step)?;
                step.done();
                let calm = calm.then_exchanged(exchanged.clone());
                let checks = calm.judge();
                for check in &checks {
                    self.progress.note(&table::line(check));
                }
                Ok((calm, checks))
            })?;
            self.report.checks.extend(checks);
            self.report.calm.push(calm);
            self.spent("nothing broken, Enforce");
        }
        for fault in engine::chosen(names)? {
            let (trial, checks) = engine.run(fault)?;
            self.report.trials.push(trial);
            self.report.checks.extend(checks);
            self.spent(fault.name);
            // A run that is cut short leaves what it had.
            self.report.write(&report::dir())?;
        }
        if wanted(contract::NAME) {
            for check in contract::hold(cluster, self.progress)? {
                self.check(check);
            }
            self.spent(contract::NAME);
        }
        Ok(())
    }

    /// One command removes the installation; then the kernel is asked, and the Service.
    fn remove(&mut self, cluster: &Cluster, before: &Residue, brought: &Residue) -> Result<(), Error> {
        let step = self.progress.step("kubectl continuity uninstall --yes");
        let output = status::continuity(&["uninstall", "--yes"]).any_output()?;
        let said = text(&output.stdout) + &text(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("").to_owned();
        self.check(Check::that(
            "uninstall",
            "kubectl continuity uninstall",
            output.status.success(),
            last,
            "exit 0",
        ));
        let (programs, maps) = brought.counts();
        let left = residue::left(cluster, before, brought)?;
        let measured = if left.is_empty() {
            format!("none of {programs} programs and {maps} maps")
        } else {
            left.join("; ")
        };
        let held = left.is_empty() && programs > 0;
        self.check(Check::that(
            "uninstall",
            "programs, maps, links, pins left",
            held,
            measured,
            "none",
        ));
        let calm = Calm::measure(cluster, "removed", 1, 3, &step)?;
        let (ours, _) = calm.blocks.first().copied().unwrap_or_default();
        let measured = format!("{} of {} answered", ours.attempts - ours.failed, ours.attempts);
        let held = ours.attempts > 0 && ours.failed == 0;
        self.check(Check::that(
            "uninstall",
            "the VIP answers through kube-proxy",
            held,
            measured,
            "all",
        ));
        step.done();
        self.spent("uninstall");
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        let dir = report::dir();
        self.report.write(&dir)?;
        println!("\n{}\n", table::terminal(&self.report.trials));
        if let Some(worst) = self.report.trials.iter().find(|trial| trial.explained.is_some()) {
            let shown = |text: &Option<String>| text.clone().unwrap_or_default();
            println!(
                "At the worst moment of {}:\n\n$ kubectl get equivalencesets -n shop\n{}",
                worst.fault,
                shown(&worst.sets)
            );
            println!(
                "$ kubectl continuity explain svc/checkout -n shop\n{}",
                shown(&worst.explained)
            );
        }
        println!("report and pictures: {}", dir.display());
        let short = self.report.short();
        if short.is_empty() {
            println!("all {} checks held", self.report.checks.len());
            return Ok(());
        }
        let lines: Vec<_> = short.iter().map(|check| table::line(check)).collect();
        let all = self.report.checks.len();
        Err(Error::Findings {
            summary: format!(
                "{} of {all} checks fell short:\n{}",
                short.len(),
                lines.join("\n")
            ),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn command(names: &[&str]) -> String {
    let only: String = names.iter().map(|name| format!(" --only {name}")).collect();
    format!("cargo xtask demo{only}")
}

/// Kernel release and number of processors.
fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, Linux {}", kernel.trim())
}
