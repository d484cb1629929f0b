//! Pictures: memory, processors and lag over the number of nodes, each with the line on which linear growth would lie.

use crate::error::Error;
use crate::figures::{Figures, Run};
use plotters::prelude::*;
use std::path::Path;

/// A line of a picture: name, colour, height at each size.
struct Line(&'static str, RGBColor, fn(&Run) -> f64);

/// A picture, its file `cluster-{name}.svg`.
struct Picture {
    name: &'static str,
    title: &'static str,
    lines: &'static [Line],
}

/// Colours that people with the usual colour deficiencies tell apart (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);

const PICTURES: [Picture; 4] = [
    Picture {
        name: "memory",
        title: "Memory of the operator, MiB",
        lines: &[
            Line("operator, at rest", BLUE, |run| run.quiet.operator.rss_mib),
            Line("operator, most at its start", ORANGE, |run| {
                run.cold_start_peak_mib
            }),
        ],
    },
    Picture {
        name: "processors",
        title: "Processors in use",
        lines: &[
            Line("operator, storm", BLUE, |run| run.storm.operator.cores),
            Line("operator, at rest", GREEN, |run| run.quiet.operator.cores),
            Line("API server, storm", ORANGE, |run| run.storm.api_server.cores),
        ],
    },
    Picture {
        name: "lag",
        title: "From a change to its status, s",
        lines: &[
            Line("p99 after quiet", BLUE, |run| run.change_lag.p99_seconds),
            Line("p99 in a storm", ORANGE, |run| run.storm_lag.p99_seconds),
        ],
    },
    Picture {
        name: "writes",
        title: "Writes a second",
        lines: &[
            Line("nodes at rest", BLUE, |run| run.quiet.node_writes),
            Line("operator at rest", ORANGE, |run| run.quiet.operator_writes),
        ],
    },
];

/// Draws every picture.
pub(crate) fn draw(folder: &Path, figures: &Figures) -> Result<(), Error> {
    for picture in &PICTURES {
        let path = folder.join(format!("cluster-{}.svg", picture.name));
        let text = render(picture, &figures.runs).map_err(|reason| Error::Plot {
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

fn render(picture: &Picture, runs: &[Run]) -> Result<String, Box<dyn std::error::Error>> {
    let nodes = |run: &Run| f64::from(u32::try_from(run.nodes).unwrap_or(u32::MAX));
    let most = runs.iter().map(nodes).fold(1.0, f64::max);
    let values = picture
        .lines
        .iter()
        .flat_map(|Line(_, _, of)| runs.iter().map(of));
    let high = values.fold(0.001, f64::max) * 1.1;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (800, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(picture.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most * 1.02, 0.0..high)?;
        chart
            .configure_mesh()
            .x_desc("nodes")
            .light_line_style(WHITE)
            .draw()?;
        for Line(name, colour, of) in picture.lines {
            let points: Vec<(f64, f64)> = runs.iter().map(|run| (nodes(run), of(run))).collect();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4))?
                .label(*name)
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
