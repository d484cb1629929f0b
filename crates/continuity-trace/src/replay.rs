//! Decides a trace again, says where it differs or has gaps, and explains a tick.

use std::fmt::Write;
use std::io::Read;

use continuity_field::{BackendView, Nanos, OFF, Outcome, SetState, step};

use crate::{Constants, FORMAT, Header, MOST_BYTES, Tick, TraceError, VERSION, digest};

/// A decision that came out otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Which tick.
    pub tick: u64,
    /// In the trace.
    pub recorded: u64,
    /// Now.
    pub decided: u64,
}

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Ticks decided.
    pub ticks: u64,
    /// Ticks missing: (the last before, the first after). What follows a gap was decided from another state, and may
    /// differ for that reason.
    pub gaps: Vec<(u64, u64)>,
    /// Ticks that the recorder itself says it could not keep.
    pub dropped: u64,
    /// Decisions that differ, the first thousand.
    pub differences: Vec<Difference>,
}

/// Differences kept: the first tells, the rest follow from it.
const MOST_DIFFERENCES: usize = 1_000;

/// Reads a trace.
///
/// # Errors
/// What is wrong, by line.
pub fn read(source: impl Read) -> Result<(Header, Vec<Tick>), TraceError> {
    let mut limited = source.take(MOST_BYTES + 1);
    let mut text = Vec::new();
    limited.read_to_end(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(TraceError::Size);
    }
    let mut header = None;
    let mut ticks: Vec<Tick> = Vec::new();
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let filled = lines
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(0, |last| last + 1);
    for (place, line) in lines.iter().take(filled).enumerate() {
        let number = place + 1;
        let syntax = |source| TraceError::Syntax {
            line: number,
            last: number == filled,
            source,
        };
        if header.is_none() {
            header = Some(head(line).map_err(|objection| objection.error(syntax))?);
            continue;
        }
        let tick: Tick = serde_json::from_slice(line).map_err(syntax)?;
        if let Some(before) = ticks
            .last()
            .map(|before| before.tick)
            .filter(|&before| before >= tick.tick)
        {
            return Err(TraceError::Order {
                line: number,
                tick: tick.tick,
                before,
            });
        }
        ticks.push(tick);
    }
    Ok((header.ok_or(TraceError::Empty)?, ticks))
}

/// Either our own objection or the parser's.
enum Objection {
    Ours(TraceError),
    Parser(serde_json::Error),
}

impl Objection {
    fn error(self, parser: impl FnOnce(serde_json::Error) -> TraceError) -> TraceError {
        match self {
            Self::Ours(error) => error,
            Self::Parser(error) => parser(error),
        }
    }
}

fn head(line: &[u8]) -> Result<Header, Objection> {
    #[derive(serde::Deserialize)]
    struct Name {
        format: String,
        version: u32,
    }
    let name: Name = serde_json::from_slice(line).map_err(Objection::Parser)?;
    if name.format != FORMAT {
        return Err(Objection::Ours(TraceError::Format(name.format)));
    }
    if !(1..=VERSION).contains(&name.version) {
        return Err(Objection::Ours(TraceError::Version(name.version)));
    }
    serde_json::from_slice(line).map_err(Objection::Parser)
}

fn restart(state: &mut SetState) {
    let mut page = Vec::new();
    state.save(&mut page);
    *state = SetState::restore(&page).unwrap_or_default();
}

/// Decides every tick again; `seen` gets each decision with the one before it.
fn each(
    header: &Header,
    ticks: &[Tick],
    mut seen: impl FnMut(&Tick, &Outcome, &Outcome),
) -> Result<(), TraceError> {
    let mut config = header.config();
    let mut state = header.began()?;
    let mut before = state.outcome().clone();
    for (place, tick) in ticks.iter().enumerate() {
        // The header is line 1.
        let input = tick.input(place + 2)?;
        if let Some(known) = tick.known(place + 2)? {
            state = known;
        }
        if tick.restarted {
            restart(&mut state);
        }
        if let Some(constants) = &tick.constants {
            config = Constants::config(constants);
        }
        let outcome = step(&mut state, &input.samples(), &config, Nanos(tick.now));
        seen(tick, &before, outcome);
        before.clone_from(outcome);
    }
    Ok(())
}

/// Decides a trace again.
///
/// # Errors
/// A line whose numbers cannot be.
pub fn replay(header: &Header, ticks: &[Tick]) -> Result<Replayed, TraceError> {
    let mut found = Replayed::default();
    let mut last = None;
    each(header, ticks, |tick, _, outcome| {
        if let Some(before) = last
            && before + 1 != tick.tick
        {
            found.gaps.push((before, tick.tick));
        }
        last = Some(tick.tick);
        found.ticks += 1;
        found.dropped += tick.dropped;
        let decided = digest(outcome);
        if decided != tick.decided && found.differences.len() < MOST_DIFFERENCES {
            found.differences.push(Difference {
                tick: tick.tick,
                recorded: tick.decided,
                decided,
            });
        }
    })?;
    Ok(found)
}

/// Why the slots of a tick are what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which tick.
    pub tick: u64,
    /// By backend: (id, slots before, slots now).
    pub slots: Vec<(u64, usize, usize)>,
    /// The reasons that the step gave.
    pub reasons: Vec<String>,
    /// State, pressure and latency of each backend, a sentence each.
    pub backends: Vec<String>,
}

fn count(outcome: &Outcome, place: usize) -> usize {
    let index = u16::try_from(place).unwrap_or(OFF);
    outcome.slots.iter().filter(|&&slot| slot == index).count()
}

fn tell(tick: &Tick, before: &Outcome, outcome: &Outcome) -> Explanation {
    let old = |id| before.backends.iter().position(|view| view.id == id);
    let slots = outcome.backends.iter().enumerate().map(|(place, view)| {
        let then = old(view.id).map_or(0, |place| count(before, place));
        (view.id.0, then, count(outcome, place))
    });
    let sentence = |view: &BackendView| {
        let mut text = format!(
            "backend {}: {}, pressure {:.2}",
            view.id.0,
            view.state.name(),
            f64::from(view.pressure_milli) / 1e3
        );
        if let Some(latency) = view.latency {
            let _ = write!(text, ", answers in {} ms", latency.as_millis());
        }
        if view.error_permille > 0 {
            let _ = write!(text, ", {} of 1000 fail", view.error_permille);
        }
        text
    };
    Explanation {
        tick: tick.tick,
        slots: slots.collect(),
        reasons: outcome.reasons.iter().map(ToString::to_string).collect(),
        backends: outcome.backends.iter().map(sentence).collect(),
    }
}

/// Explains a tick by deciding everything up to it again.
///
/// # Errors
/// The tick is not there, or a line's numbers cannot be.
pub fn explain(header: &Header, ticks: &[Tick], wanted: u64) -> Result<Explanation, TraceError> {
    let missing = TraceError::Tick {
        tick: wanted,
        first: ticks.first().map_or(0, |tick| tick.tick),
        last: ticks.last().map_or(0, |tick| tick.tick),
    };
    let mut found = None;
    let upto = ticks.partition_point(|tick| tick.tick <= wanted);
    each(
        header,
        ticks.get(..upto).unwrap_or_default(),
        |tick, before, outcome| {
            if tick.tick == wanted {
                found = Some(tell(tick, before, outcome));
            }
        },
    )?;
    found.ok_or(missing)
}

/// Explains every tick at which slots moved or the law gave a reason.
///
/// # Errors
/// A line's numbers cannot be.
pub fn moves(header: &Header, ticks: &[Tick]) -> Result<Vec<Explanation>, TraceError> {
    let mut found = Vec::new();
    each(header, ticks, |tick, before, outcome| {
        if before.slots != outcome.slots || !outcome.reasons.is_empty() {
            found.push(tell(tick, before, outcome));
        }
    })?;
    Ok(found)
}

/// Writes a trace.
///
/// # Errors
/// The writer fails.
pub fn write(mut out: impl std::io::Write, header: &Header, ticks: &[Tick]) -> std::io::Result<()> {
    serde_json::to_writer(&mut out, header)?;
    for tick in ticks {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, tick)?;
    }
    out.write_all(b"\n")
}
