//! Pictures: share of the sick backend and p99 over time, both systems in one plot.
//!
//! Plain SVG, written here: two panels of lines need no library. A PNG of the same is made by `rsvg-convert` where it is
//! installed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::trial::Trial;
use crate::Error;
use crate::process::Run;

const WIDTH: f64 = 960.0;
const PANEL: f64 = 230.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const GAP: f64 = 58.0;
const FOOT: f64 = 22.0;
/// Colours that people with the usual colour deficiencies tell apart (Okabe and Ito).
const OURS: &str = "#0072b2";
const THEIRS: &str = "#d55e00";
const FONT: &str = "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\"";

/// A line of a panel.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    dashes: &'a str,
    points: Vec<(f64, f64)>,
}

/// One panel.
struct Panel<'a> {
    title: &'a str,
    lines: Vec<Line<'a>>,
    /// Logarithmic axis, or a linear one from 0.
    log: bool,
    /// A goal, as a dotted line.
    goal: Option<(f64, &'a str)>,
}

/// Writes the picture of a trial; returns the files.
pub(super) fn write(trial: &Trial, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let svg = dir.join(format!("{}.svg", trial.fault));
    std::fs::write(&svg, picture(trial)).map_err(Error::file("write", &svg))?;
    let png = dir.join(format!("{}.png", trial.fault));
    let converted = Run::new("rsvg-convert")
        .arg("--zoom=1.5")
        .arg("--output")
        .arg(&png)
        .arg(&svg)
        .run();
    // Without the converter the SVG is the picture.
    Ok(if converted.is_ok() {
        vec![svg, png]
    } else {
        vec![svg]
    })
}

fn line<'a>(name: &'a str, colour: &'a str, points: Vec<(f64, f64)>) -> Line<'a> {
    Line {
        name,
        colour,
        dashes: "",
        points,
    }
}

fn picture(trial: &Trial) -> String {
    let mut panels = Vec::new();
    let percent = |series: &[(f64, f64)]| series.iter().map(|(at, share)| (*at, share * 100.0)).collect();
    if let Some(sick) = &trial.ours.sick {
        panels.push(Panel {
            title: "share of new connections on the sick backend, %",
            lines: vec![
                line("kube-proxy", THEIRS, percent(&trial.theirs.shares)),
                line("Continuity", OURS, percent(&trial.ours.shares)),
            ],
            log: false,
            goal: Some((sick.fair * 100.0, "fair")),
        });
    }
    if let Some(scaling) = &trial.scaling {
        let steps = |series: &[(f64, u32)]| series.iter().map(|(at, n)| (*at, f64::from(*n))).collect();
        let hint = Line {
            dashes: "5 3",
            ..line("hint", "#009e73", steps(&scaling.hints))
        };
        panels.push(Panel {
            title: "replicas under Continuity (kube-proxy's stay at 3)",
            lines: vec![hint, line("replicas", OURS, steps(&scaling.replicas))],
            log: false,
            goal: None,
        });
    }
    panels.push(Panel {
        title: "p99 of new connections over 0.5 s, ms (a failure counts as 2 s)",
        lines: vec![
            line("kube-proxy", THEIRS, trial.theirs.p99s.clone()),
            line("Continuity", OURS, trial.ours.p99s.clone()),
        ],
        log: true,
        goal: trial.scaling.is_some().then_some((250.0, "objective")),
    });
    render(trial, &panels)
}

fn render(trial: &Trial, panels: &[Panel]) -> String {
    let from = super::share::seconds(trial.times.start_ns) - super::share::seconds(trial.times.begin_ns);
    let to = super::share::seconds(trial.times.stop_ns) - super::share::seconds(trial.times.begin_ns);
    let lasts = super::share::seconds(trial.times.end_ns.saturating_sub(trial.times.begin_ns));
    let height = TOP + super::latency::fraction(panels.len()) * (PANEL + GAP) + FOOT;
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    text(&mut out, (LEFT, 26.0), 17, "start", &trial.fault);
    text(&mut out, (LEFT, 46.0), 12, "start", &trial.about);
    let x = |at: f64| LEFT + (at - from) / (to - from).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let mut top = TOP + 24.0;
    for panel in panels {
        let shade = x(lasts.min(to)) - x(0.0);
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{top}\" width=\"{shade:.1}\" height=\"{PANEL}\" fill=\"#f0e9dc\"/>",
            x(0.0)
        );
        panel.draw(&mut out, top, &x, (from, to));
        top += PANEL + GAP;
    }
    text(
        &mut out,
        (WIDTH - RIGHT, height - 12.0),
        12,
        "end",
        "seconds after the fault began (shaded: fault on)",
    );
    out.push_str("</svg>\n");
    out
}

impl Panel<'_> {
    /// Lower and upper end of the value axis, with some room.
    fn bounds(&self) -> (f64, f64) {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().map(|(_, value)| *value))
        };
        let highest = values()
            .chain(self.goal.map(|(value, _)| value))
            .fold(0.0, f64::max)
            .max(1.0);
        let lowest = values().filter(|value| *value > 0.0).fold(highest, f64::min);
        if self.log {
            (lowest * 0.8, highest * 1.25)
        } else {
            (0.0, highest * 1.12)
        }
    }

    fn draw(&self, out: &mut String, top: f64, x: &dyn Fn(f64) -> f64, (from, to): (f64, f64)) {
        let (low, high) = self.bounds();
        let scale = |value: f64| if self.log { value.max(low).ln() } else { value };
        let y = |value: f64| top + PANEL - (scale(value) - scale(low)) / (scale(high) - scale(low)) * PANEL;
        text(out, (LEFT, top - 8.0), 13, "start", self.title);
        for tick in ticks(low, high, self.log) {
            rule(out, (LEFT, y(tick)), (WIDTH - RIGHT, y(tick)), "#dddddd", "");
            text(out, (LEFT - 8.0, y(tick) + 4.0), 12, "end", &number(tick));
        }
        for tick in ticks(from, to, false)
            .into_iter()
            .filter(|at| (from..=to).contains(at))
        {
            rule(
                out,
                (x(tick), top + PANEL),
                (x(tick), top + PANEL + 5.0),
                "#555555",
                "",
            );
            text(out, (x(tick), top + PANEL + 19.0), 12, "middle", &number(tick));
        }
        if let Some((value, name)) = self.goal {
            rule(out, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), "#555555", "2 4");
            text(out, (WIDTH - RIGHT - 4.0, y(value) - 5.0), 11, "end", name);
        }
        for line in &self.lines {
            let points: Vec<_> = line
                .points
                .iter()
                .map(|(at, v)| format!("{:.1},{:.1}", x(*at), y(*v)))
                .collect();
            let _ = write!(
                out,
                "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\" points=\"{}\"/>",
                line.colour,
                line.dashes,
                points.join(" ")
            );
        }
        self.legend(out, top);
        rule(
            out,
            (LEFT, top + PANEL),
            (WIDTH - RIGHT, top + PANEL),
            "#555555",
            "",
        );
    }

    fn legend(&self, out: &mut String, top: f64) {
        let mut right = WIDTH - RIGHT;
        for line in self.lines.iter().rev() {
            text(out, (right, top - 8.0), 12, "end", line.name);
            // About 7.2 px a letter at 12 px.
            right -= super::latency::fraction(line.name.len()) * 7.2 + 8.0;
            rule(
                out,
                (right - 22.0, top - 12.0),
                (right, top - 12.0),
                line.colour,
                line.dashes,
            );
            right -= 40.0;
        }
    }
}

/// Round values between two ends: 1, 2, 5 and their tenfolds.
fn ticks(low: f64, high: f64, log: bool) -> Vec<f64> {
    if log {
        let decades = (-2..=6).map(|power| 10_f64.powi(power));
        let all = decades.flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade]);
        return all.filter(|tick| (low..=high).contains(tick)).collect();
    }
    let rough = (high - low) / 6.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * decade)
        .into_iter()
        .find(|step| *step >= rough);
    let step = step.unwrap_or(rough).max(1e-9);
    let first = (low / step).ceil() * step;
    std::iter::successors(Some(first), |tick| Some(tick + step))
        .take_while(|tick| *tick <= high)
        .take(20)
        .collect()
}

fn number(value: f64) -> String {
    let text = if value.abs() < 1.0 && value != 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    if text == "-0" { "0".to_owned() } else { text }
}

fn text(out: &mut String, (x, y): (f64, f64), size: u32, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"#222222\" {FONT}>{words}</text>"
    );
}

fn rule(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, dashes: &str) {
    let _ = write!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::trial::{Row, Sick, Times};

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 25.0, false), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(
            ticks(30.0, 2500.0, true),
            [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]
        );
        assert!(ticks(-8.0, 40.0, false).contains(&0.0));
    }

    /// A gray fault as it should look: the share falls at once, and p99 with it.
    fn gray() -> Trial {
        let second = 1_000_000_000;
        let bins = || (-16..60).map(|half| f64::from(half) / 2.0);
        let on = |at: f64| (0.0..20.0).contains(&at);
        let away = |at: f64| (1.0..23.0).contains(&at);
        let row = |steered: bool| Row {
            sick: Some(Sick {
                fair: 0.2,
                ..Sick::default()
            }),
            shares: bins()
                .map(|at| (at, if steered && away(at) { 0.0005 } else { 0.2 }))
                .collect(),
            p99s: bins()
                .map(|at| {
                    (
                        at,
                        if on(at) && !(steered && away(at)) {
                            580.0
                        } else {
                            85.0
                        },
                    )
                })
                .collect(),
            ..Row::default()
        };
        let times = Times {
            start_ns: 2 * second,
            begin_ns: 10 * second,
            end_ns: 30 * second,
            stop_ns: 40 * second,
            ..Times::default()
        };
        let (ours, theirs) = (row(true), row(false));
        Trial {
            fault: "gray".into(),
            about: "+500 ms on one of five".into(),
            times,
            ours,
            theirs,
            ..Trial::default()
        }
    }

    #[test]
    fn both_systems_are_drawn_in_both_panels() {
        let dir = std::env::temp_dir().join(format!("continuity-plot-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let files = write(&gray(), &dir).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_picture_of_an_empty_trial_is_still_a_picture() {
        let svg = picture(&Trial {
            fault: "a<b".into(),
            ..Trial::default()
        });
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("a&lt;b"));
        assert!(!svg.contains("NaN"));
    }
}
