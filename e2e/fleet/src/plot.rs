//! Pictures: memory, processors and lag over the number of nodes, each with the line on which linear growth would lie.

use crate::error::Error;
use crate::figures::{Figures, Run};
use plotters::prelude::*;
use std::path::Path;

/// A line of a picture.
struct Line {
    name: &'static str,
    of: fn(&Run) -> f64,
    colour: RGBColor,
}

/// Colours that people with the usual colour deficiencies tell apart (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);

const MEMORY: [Line; 2] = [
    Line {
        name: "operator, at rest",
        of: |run| run.quiet.operator.rss_mib,
        colour: BLUE,
    },
    Line {
        name: "operator, most at its start",
        of: |run| run.cold_start_peak_mib,
        colour: ORANGE,
    },
];
const PROCESSORS: [Line; 3] = [
    Line {
        name: "operator, storm",
        of: |run| run.storm.operator.cores,
        colour: BLUE,
    },
    Line {
        name: "operator, at rest",
        of: |run| run.quiet.operator.cores,
        colour: GREEN,
    },
    Line {
        name: "API server, storm",
        of: |run| run.storm.api_server.cores,
        colour: ORANGE,
    },
];
const LAG: [Line; 2] = [
    Line {
        name: "p99 after quiet",
        of: |run| run.change_lag.p99_seconds,
        colour: BLUE,
    },
    Line {
        name: "p99 in a storm",
        of: |run| run.storm_lag.p99_seconds,
        colour: ORANGE,
    },
];
const WRITES: [Line; 2] = [
    Line {
        name: "nodes at rest",
        of: |run| run.quiet.node_writes,
        colour: BLUE,
    },
    Line {
        name: "operator at rest",
        of: |run| run.quiet.operator_writes,
        colour: ORANGE,
    },
];

/// Draws `cluster-{memory,processors,lag,writes}.svg`.
pub(crate) fn draw(folder: &Path, figures: &Figures) -> Result<(), Error> {
    let pictures = [
        ("memory", "Memory of the operator, MiB", &MEMORY[..]),
        ("processors", "Processors in use", &PROCESSORS[..]),
        ("lag", "From a change to its status, s", &LAG[..]),
        ("writes", "Writes a second", &WRITES[..]),
    ];
    for (name, title, lines) in pictures {
        let path = folder.join(format!("cluster-{name}.svg"));
        let text = render(title, lines, &figures.runs).map_err(|reason| Error::Plot {
            path: path.clone(),
            reason: reason.to_string(),
        })?;
        std::fs::write(&path, text).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

fn render(title: &str, lines: &[Line], runs: &[Run]) -> Result<String, Box<dyn std::error::Error>> {
    let nodes = |run: &Run| f64::from(u32::try_from(run.nodes).unwrap_or(u32::MAX));
    let most = runs.iter().map(nodes).fold(1.0, f64::max);
    let values = lines.iter().flat_map(|line| runs.iter().map(line.of));
    let high = values.fold(0.001, f64::max) * 1.1;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (800, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most * 1.02, 0.0..high)?;
        chart
            .configure_mesh()
            .x_desc("nodes")
            .light_line_style(WHITE)
            .draw()?;
        for line in lines {
            let points: Vec<(f64, f64)> = runs.iter().map(|run| (nodes(run), (line.of)(run))).collect();
            let colour = line.colour;
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
            // From the smallest size on in proportion: what linear growth without a fixed part would be.
            if let Some(((first, value), (last, _))) = points.first().zip(points.last())
                && points.len() > 1
            {
                let end = (value * last / first).min(high);
                let ends = [(*first, *value), (end * first / value.max(1e-9), end)];
                chart.draw_series(LineSeries::new(ends, colour.mix(0.3)))?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(text)
}
