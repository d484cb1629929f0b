//! cluster.md: the figures for people.

use crate::figures::{Cost, Figures, Run, Stretch};
use std::fmt::Write as _;

/// The page.
pub(crate) fn page(figures: &Figures) -> String {
    let mut page = String::from("# The cluster side at size\n\n");
    if let Some(first) = figures.runs.first() {
        let _ = writeln!(
            page,
            "{}; etcd, API server, simulated nodes and operator share it.\n",
            first.machine
        );
    }
    sizes(&mut page, &figures.runs);
    lags(&mut page, &figures.runs);
    costs(&mut page, "at rest", &figures.runs, |run| &run.quiet);
    costs(&mut page, "single changes", &figures.runs, |run| &run.changes);
    costs(&mut page, "storm", &figures.runs, |run| &run.storm);
    watchers(&mut page, &figures.runs);
    goals(&mut page, figures);
    page
}

fn sizes(page: &mut String, runs: &[Run]) {
    page.push_str(
        "| nodes | Services | endpoints | sets a node | report, kB | plans made, s | all reported, s | cold start, s | its peak, MiB |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for run in runs {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} |",
            run.nodes,
            run.services,
            run.endpoints,
            run.sets_per_node,
            run.report_bytes / 1_000.0,
            run.plan_seconds,
            run.report_seconds,
            run.cold_start_seconds,
            run.cold_start_peak_mib,
        );
    }
}

fn lags(page: &mut String, runs: &[Run]) {
    page.push_str(
        "\nFrom a change on the nodes to the status of the set:\n\n\
         | nodes | after quiet: changes | p50, s | p99, s | storm: nodes that flap | changes | p50, s | p99, s | missed | writes a minute of the most written set |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for run in runs {
        let (quiet, storm) = (run.change_lag, run.storm_lag);
        let _ = writeln!(
            page,
            "| {} | {} | {:.2} | {:.2} | {} | {} | {:.2} | {:.2} | {} | {:.1} |",
            run.nodes,
            quiet.changes,
            quiet.p50_seconds,
            quiet.p99_seconds,
            run.flapping,
            storm.changes,
            storm.p50_seconds,
            storm.p99_seconds,
            quiet.missed + storm.missed,
            run.storm_patches,
        );
    }
}

fn costs(page: &mut String, name: &str, runs: &[Run], of: fn(&Run) -> &Stretch) {
    let _ = writeln!(
        page,
        "\nWhat it costs, {name} (processors; MiB; requests a second):\n\n\
         | nodes | operator | API server | etcd | all nodes | writes of nodes | kB/s of reports | operator's writes | API reads | API writes | watch events |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    let cost = |cost: &Cost| format!("{:.2}; {:.0}", cost.cores, cost.rss_mib);
    for run in runs {
        let stretch = of(run);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {:.1} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            run.nodes,
            cost(&stretch.operator),
            cost(&stretch.api_server),
            cost(&stretch.etcd),
            cost(&stretch.nodes),
            stretch.node_writes,
            stretch.node_bytes / 1_000.0,
            stretch.operator_writes,
            stretch.api_reads,
            stretch.api_writes,
            stretch.watch_events,
        );
    }
}

fn watchers(page: &mut String, runs: &[Run]) {
    page.push_str(
        "\nFull network halves of agents, each with its three watches:\n\n\
         | nodes | network halves | all have everything after, s | API server, MiB | one half, MiB | API server for a changed plan, ms | 100 changed plans with all after, s |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for run in runs {
        for step in &run.watchers {
            let _ = writeln!(
                page,
                "| {} | {} | {:.1} | {:.0} | {:.1} | {:.1} | {:.1} |",
                run.nodes,
                step.watchers,
                step.sync_seconds,
                step.api_server_mib,
                step.half_mib,
                step.plan_millis,
                step.plan_seconds,
            );
        }
    }
}

fn goals(page: &mut String, figures: &Figures) {
    page.push_str("\n| nodes | promise | at most | found | kept |\n| ---: | --- | ---: | ---: | --- |\n");
    for goal in &figures.goals {
        let kept = if goal.kept { "yes" } else { "**no**" };
        let _ = writeln!(
            page,
            "| {} | {} | {:.2} | {:.2} | {kept} |",
            goal.nodes, goal.what, goal.wanted, goal.found
        );
    }
}
