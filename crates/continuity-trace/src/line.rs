//! The lines of a trace, and how samples become lines and samples again.

use continuity_field::histogram::{AGE_BUCKETS, BUCKETS};
use continuity_field::lease::LeaseSample;
use continuity_field::{
    Advice, BackendId, BackendSample, Distress, Gauge, HostSample, Locality, Nanos, PathSample, Regression,
    ReportSample, Samples, SetConfig, SetState, Verdict, VerdictKind,
};
use serde::{Deserialize, Serialize};

use crate::{Constants, FORMAT, TraceError, VERSION};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Where it comes from, for people.
    pub source: String,
    /// The seed in the set's constants; the others are the preset's unless `constants` says otherwise.
    pub seed: u64,
    /// The constants (default: the preset's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constants: Option<Constants>,
    /// What the law knew when the record began: `SetState::save_whole`, in hexadecimal (default: nothing).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Backends by the law's number, "ip:port" and the pod if there is one, for people (default: none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<(u64, String)>,
}

impl Header {
    /// A record that begins with nothing known and the preset's constants.
    #[must_use]
    pub fn fresh(source: String, seed: u64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            source,
            seed,
            constants: None,
            state: String::new(),
            backends: Vec::new(),
        }
    }

    /// A record that begins in the middle of a set's life.
    #[must_use]
    pub fn of(source: String, config: &SetConfig, known: &SetState, backends: Vec<(u64, String)>) -> Self {
        Self {
            constants: Some(Constants::from(config)),
            state: state(known),
            backends,
            ..Self::fresh(source, config.seed)
        }
    }

    /// The constants that the record began with.
    pub(crate) fn config(&self) -> SetConfig {
        self.constants.as_ref().map_or_else(
            || SetConfig {
                seed: self.seed,
                ..SetConfig::default()
            },
            Constants::config,
        )
    }

    /// What the law knew when the record began.
    pub(crate) fn began(&self) -> Result<SetState, TraceError> {
        if self.state.is_empty() {
            return Ok(SetState::default());
        }
        known(&self.state, 1)
    }
}

/// Everything that the law knows, as a trace writes it.
#[must_use]
pub fn state(known: &SetState) -> String {
    let mut bytes = Vec::new();
    known.save_whole(&mut bytes);
    hexadecimal(&bytes)
}

fn known(text: &str, line: usize) -> Result<SetState, TraceError> {
    let bytes = binary(text).ok_or(TraceError::State { line, source: None })?;
    SetState::restore_whole(&bytes).map_err(|error| TraceError::State {
        line,
        source: Some(error),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    let pairs = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    pairs.map(digit).collect()
}

fn binary(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(value(*high)? << 4 | value(*low)?).ok();
    pairs.iter().map(byte).collect()
}

/// One tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tick {
    /// Number, one more with each tick.
    pub tick: u64,
    /// The node's clock, ns.
    pub now: u64,
    /// Time that the deltas cover, ns.
    pub interval: u64,
    /// The agent was restarted before this tick, with what it had pinned.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarted: bool,
    /// Ticks that were decided before this one and are not in the record, since nobody took them away in time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dropped: u64,
    /// What the law knew before this tick, where ticks before it are missing: `SetState::save_whole`, in hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// The constants from this tick on, where they are others than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constants: Option<Constants>,
    /// Active nodes of the plan.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nodes: u32,
    /// Offered rate of the plan, thousandths a second.
    #[serde(default, skip_serializing_if = "is_default")]
    pub offered: u64,
    /// Verdicts of the plan: (backend, release, given, expires).
    #[serde(default, skip_serializing_if = "is_default")]
    pub verdicts: Vec<(u64, bool, u64, u64)>,
    /// n, Σx, Σy, Σx², Σxy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub regression: (u64, i64, i64, i64, i64),
    /// The backends.
    pub backends: Vec<Backend>,
    /// [`crate::digest`] of what was decided.
    pub decided: u64,
}

/// One backend's sample; zero is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backend {
    id: u64,
    #[serde(skip_serializing_if = "is_default")]
    out_of_service: bool,
    #[serde(skip_serializing_if = "is_default")]
    capacity: u32,
    /// 0 = elsewhere, 1 = this zone, 2 = this node.
    #[serde(skip_serializing_if = "is_default")]
    near: u8,
    /// attempts, established, refused, timed out, reset before data, answered, abandoned.
    #[serde(skip_serializing_if = "is_default")]
    counters: [u64; 7],
    #[serde(skip_serializing_if = "is_default")]
    turnaround: Vec<(u16, u32)>,
    #[serde(skip_serializing_if = "is_default")]
    in_flight: u32,
    #[serde(skip_serializing_if = "is_default")]
    unanswered: Vec<(u16, u32)>,
    #[serde(skip_serializing_if = "is_default")]
    level: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    penalty: u32,
    #[serde(skip_serializing_if = "is_default")]
    stall: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    report: Option<Report>,
    #[serde(skip_serializing_if = "is_default")]
    host: Option<Host>,
    /// Segments sent, and sent again.
    #[serde(skip_serializing_if = "is_default")]
    path: Option<(u32, u32)>,
    /// Memory of its pod: in use, and the bound.
    #[serde(skip_serializing_if = "is_default")]
    memory: Option<(u64, u64)>,
    /// Leases held, and lost.
    #[serde(skip_serializing_if = "is_default")]
    leases: (u32, u32),
}

/// What its pod and node say of themselves: memory stall, I/O stall, distress (0 = well, 1 = strained, 2 = drowning).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Host {
    #[serde(skip_serializing_if = "is_default")]
    memory_stall: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    io_stall: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    distress: u8,
}

impl Host {
    fn of(host: HostSample) -> Self {
        Self {
            memory_stall: host.memory_stall_permille,
            io_stall: host.io_stall_permille,
            distress: match host.distress {
                Distress::Well => 0,
                Distress::Strained => 1,
                Distress::Drowning => 2,
            },
        }
    }

    fn sample(self, line: usize) -> Result<HostSample, TraceError> {
        let distress = match self.distress {
            0 => Distress::Well,
            1 => Distress::Strained,
            2 => Distress::Drowning,
            other => {
                return Err(TraceError::Range {
                    line,
                    what: "distress",
                    value: u64::from(other),
                    limit: 3,
                });
            }
        };
        Ok(HostSample {
            memory_stall_permille: self.memory_stall,
            io_stall_permille: self.io_stall,
            distress,
        })
    }
}

/// The newest report of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    level: i32,
    in_flight: u16,
    queue: u16,
    errors: u8,
    age: u64,
    received: u32,
    renewed: u32,
    paired: u32,
    said: u32,
    seen: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn sparse(counts: &[u32]) -> Vec<(u16, u32)> {
    (0..)
        .zip(counts.iter().copied())
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Puts sparse counts back; the line is for the message.
fn dense(counts: &[(u16, u32)], into: &mut [u32], what: &'static str, line: usize) -> Result<(), TraceError> {
    for &(bucket, count) in counts {
        let limit = into.len() as u64;
        *into.get_mut(usize::from(bucket)).ok_or(TraceError::Range {
            line,
            what,
            value: u64::from(bucket),
            limit,
        })? = count;
    }
    Ok(())
}

impl Backend {
    fn of(sample: &BackendSample) -> Self {
        let report = sample.report.map(|report| Report {
            level: report.level,
            in_flight: report.in_flight,
            queue: report.queue,
            errors: report.errors,
            age: report.age.0,
            received: report.received,
            renewed: report.renewed,
            paired: report.paired,
            said: report.said,
            seen: report.seen,
        });
        Self {
            id: sample.id.0,
            out_of_service: !sample.in_service,
            capacity: sample.capacity,
            near: match sample.locality {
                Locality::Elsewhere => 0,
                Locality::Zone => 1,
                Locality::Node => 2,
            },
            counters: [
                sample.attempts,
                sample.established,
                sample.refused,
                sample.timed_out,
                sample.reset_before_data,
                sample.answered,
                sample.abandoned,
            ],
            turnaround: sparse(&sample.turnaround),
            in_flight: sample.in_flight,
            unanswered: sparse(&sample.unanswered),
            level: sample.level,
            penalty: sample.penalty,
            stall: sample.stall_permille,
            report,
            host: sample.host.map(Host::of),
            path: sample.path.map(|path| (path.segments, path.retransmitted)),
            memory: sample.memory.map(|memory| (memory.used, memory.bound)),
            leases: (sample.leases.held, sample.leases.lost),
        }
    }

    fn sample(&self, line: usize) -> Result<BackendSample, TraceError> {
        let mut sample = BackendSample::new(BackendId(self.id));
        sample.in_service = !self.out_of_service;
        sample.capacity = self.capacity;
        sample.locality = match self.near {
            2 => Locality::Node,
            1 => Locality::Zone,
            _ => Locality::Elsewhere,
        };
        [
            sample.attempts,
            sample.established,
            sample.refused,
            sample.timed_out,
            sample.reset_before_data,
            sample.answered,
            sample.abandoned,
        ] = self.counters;
        debug_assert_eq!(
            (sample.turnaround.len(), sample.unanswered.len()),
            (BUCKETS, AGE_BUCKETS)
        );
        dense(
            &self.turnaround,
            &mut sample.turnaround,
            "turnaround bucket",
            line,
        )?;
        dense(
            &self.unanswered,
            &mut sample.unanswered,
            "unanswered bucket",
            line,
        )?;
        sample.in_flight = self.in_flight;
        sample.level = self.level;
        sample.penalty = self.penalty;
        sample.stall_permille = self.stall;
        sample.report = self.report.map(|report| ReportSample {
            level: report.level,
            in_flight: report.in_flight,
            queue: report.queue,
            errors: report.errors,
            age: Nanos(report.age),
            received: report.received,
            renewed: report.renewed,
            paired: report.paired,
            said: report.said,
            seen: report.seen,
        });
        self.optional(&mut sample, line)?;
        Ok(sample)
    }

    /// What few nodes say.
    fn optional(&self, sample: &mut BackendSample, line: usize) -> Result<(), TraceError> {
        sample.host = self.host.map(|host| host.sample(line)).transpose()?;
        sample.path = self.path.map(|(segments, retransmitted)| PathSample {
            segments,
            retransmitted,
        });
        sample.memory = self.memory.map(|(used, bound)| Gauge { used, bound });
        let (held, lost) = self.leases;
        sample.leases = LeaseSample { held, lost };
        Ok(())
    }
}

/// The samples of a tick, owned.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) interval: Nanos,
    backends: Vec<BackendSample>,
    verdicts: Vec<Verdict>,
    nodes: u32,
    offered: u64,
    regression: Regression,
}

impl Input {
    pub(crate) fn samples(&self) -> Samples<'_> {
        Samples {
            interval: self.interval,
            backends: &self.backends,
            advice: Advice {
                active_nodes: self.nodes,
                offered_milli_per_second: self.offered,
                verdicts: &self.verdicts,
            },
            regression: self.regression,
        }
    }
}

impl Tick {
    /// A line of what went in; `decided` is filled in afterwards.
    #[must_use]
    pub fn of(tick: u64, now: Nanos, samples: &Samples<'_>) -> Self {
        let sums = samples.regression;
        let verdict = |verdict: &Verdict| {
            let release = verdict.kind == VerdictKind::Release;
            (verdict.backend.0, release, verdict.given.0, verdict.expires.0)
        };
        Self {
            tick,
            now: now.0,
            interval: samples.interval.0,
            restarted: false,
            dropped: 0,
            state: String::new(),
            constants: None,
            nodes: samples.advice.active_nodes,
            offered: samples.advice.offered_milli_per_second,
            verdicts: samples.advice.verdicts.iter().map(verdict).collect(),
            regression: (sums.n, sums.sx, sums.sy, sums.sxx, sums.sxy),
            backends: samples.backends.iter().map(Backend::of).collect(),
            decided: 0,
        }
    }

    /// What the law knew before it, where the line says so.
    pub(crate) fn known(&self, line: usize) -> Result<Option<SetState>, TraceError> {
        (!self.state.is_empty())
            .then(|| known(&self.state, line))
            .transpose()
    }

    pub(crate) fn input(&self, line: usize) -> Result<Input, TraceError> {
        let count = self.backends.len() as u64;
        let limit = SetState::MOST_BACKENDS as u64 + 1;
        if count >= limit {
            return Err(TraceError::Range {
                line,
                what: "number of backends",
                value: count,
                limit,
            });
        }
        let backends: Result<_, _> = self.backends.iter().map(|backend| backend.sample(line)).collect();
        let (n, sx, sy, sxx, sxy) = self.regression;
        let verdict = |&(backend, release, given, expires): &(u64, bool, u64, u64)| Verdict {
            backend: BackendId(backend),
            kind: if release {
                VerdictKind::Release
            } else {
                VerdictKind::Isolate
            },
            given: Nanos(given),
            expires: Nanos(expires),
        };
        Ok(Input {
            interval: Nanos(self.interval),
            backends: backends?,
            verdicts: self.verdicts.iter().map(verdict).collect(),
            nodes: self.nodes,
            offered: self.offered,
            regression: Regression { n, sx, sy, sxx, sxy },
        })
    }
}
