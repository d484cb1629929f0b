//! Pictures for each scenario: 99th percentile, share of the sick backend, and nodes that act, over time; every row a
//! line.

use std::path::Path;

use plotters::prelude::*;

use super::OutputError;
use crate::experiment::Cell;

/// Draws `<scenario>-n<N>-b<B>-{p99,share,acting}.svg` into `folder`, first seed of every row.
///
/// # Errors
/// The folder cannot be written.
pub fn plots(folder: &Path, cells: &[Cell]) -> Result<(), OutputError> {
    for group in cells.chunk_by(|a, b| a.same_case(b)) {
        let Some(first) = group.first() else { continue };
        let stem = format!("{}-n{}-b{}", first.scenario, first.nodes, first.backends);
        let title = |what: &str| {
            format!(
                "{} (N={}, B={}): {what}",
                first.title, first.nodes, first.backends
            )
        };
        let p99: Vec<_> = group
            .iter()
            .map(|cell| (cell.peer, cell.series.p99.as_slice()))
            .collect();
        let share: Vec<_> = group
            .iter()
            .map(|cell| (cell.peer, cell.series.share.as_slice()))
            .collect();
        draw(
            &folder.join(format!("{stem}-p99.svg")),
            &title("99th percentile, ms"),
            &p99,
            true,
        )?;
        draw(
            &folder.join(format!("{stem}-share.svg")),
            &title("share of the sick, %"),
            &share,
            false,
        )?;
        let acting: Vec<_> = group
            .iter()
            .filter(|cell| cell.series.acting.iter().any(|&percent| percent > 0.0))
            .map(|cell| (cell.peer, cell.series.acting.as_slice()))
            .collect();
        if !acting.is_empty() {
            draw(
                &folder.join(format!("{stem}-acting.svg")),
                &title("nodes that isolate or limit, %"),
                &acting,
                false,
            )?;
        }
    }
    Ok(())
}

type Line<'a> = (&'a str, &'a [f64]);

fn draw(path: &Path, title: &str, lines: &[Line<'_>], logarithmic: bool) -> Result<(), OutputError> {
    let text = render(title, lines, logarithmic).map_err(|reason| OutputError::Plot {
        path: path.to_owned(),
        reason: reason.to_string(),
    })?;
    std::fs::write(path, text).map_err(|source| OutputError::Write {
        path: path.to_owned(),
        source,
    })
}

fn render(title: &str, lines: &[Line<'_>], logarithmic: bool) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (960, 480)).into_drawing_area();
        area.fill(&WHITE)?;
        let values = || {
            lines
                .iter()
                .flat_map(|(_, line)| line.iter().copied())
                .filter(|value| value.is_finite())
        };
        let high = values().fold(1.0, f64::max) * 1.05;
        let low = values().fold(high, f64::min).max(1.0);
        let seconds = lines.iter().map(|(_, line)| line.len()).max().unwrap_or(1) as f64;
        let mut builder = ChartBuilder::on(&area);
        builder
            .caption(title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(32)
            .y_label_area_size(48);
        if logarithmic {
            let mut chart = builder.build_cartesian_2d(0.0..seconds, (low..high).log_scale())?;
            chart.configure_mesh().x_desc("s").draw()?;
            for (index, (name, line)) in lines.iter().enumerate() {
                let colour = Palette99::pick(index).to_rgba();
                chart
                    .draw_series(LineSeries::new(points(line, low), colour))?
                    .label(*name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            }
            chart
                .configure_series_labels()
                .border_style(BLACK)
                .background_style(WHITE)
                .draw()?;
        } else {
            let mut chart = builder.build_cartesian_2d(0.0..seconds, 0.0..high)?;
            chart.configure_mesh().x_desc("s").draw()?;
            for (index, (name, line)) in lines.iter().enumerate() {
                let colour = Palette99::pick(index).to_rgba();
                chart
                    .draw_series(LineSeries::new(points(line, 0.0), colour))?
                    .label(*name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            }
            chart
                .configure_series_labels()
                .border_style(BLACK)
                .background_style(WHITE)
                .draw()?;
        }
        area.present()?;
    }
    Ok(text)
}

fn points(line: &[f64], least: f64) -> impl Iterator<Item = (f64, f64)> {
    line.iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(move |(second, &value)| (second as f64, value.max(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_names_every_row() {
        let lines: [Line<'_>; 2] = [("law", &[70.0, 71.0, f64::NAN]), ("random", &[80.0, 500.0, 90.0])];
        for logarithmic in [true, false] {
            let text = render("S1", &lines, logarithmic).unwrap();
            assert!(text.starts_with("<svg") && text.contains("law") && text.contains("random"));
        }
    }
}
