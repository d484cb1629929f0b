//! What a node measured since the last step: the only input of the law besides its constants.
//!
//! Counters are deltas over [`Samples::interval`]; gauges are values at `now`. Missing is never healthy: a backend
//! without answers is one about which nothing is known.

use crate::histogram::{AGE_BUCKETS, BUCKETS};
use crate::lease::LeaseSample;
use crate::{Distress, Nanos};

/// A backend, by a number that the caller keeps stable as long as its address and port stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BackendId(pub u64);

/// How far a backend is from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locality {
    /// On this node.
    Node,
    /// In this node's zone.
    Zone,
    /// Elsewhere, or not known.
    #[default]
    Elsewhere,
}

/// What the newest in-band report of a backend said (law-balancing §2.2), and how reports have been arriving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportSample {
    /// Reported turnaround, Q8 log2 of µs.
    pub level: i32,
    /// Requests in flight at the backend, Q4.
    pub in_flight: u16,
    /// Their recent mean, Q4.
    pub queue: u16,
    /// Error share, 255 = all.
    pub errors: u8,
    /// Age of the report at `now`.
    pub age: Nanos,
    /// Reports received, delta.
    pub received: u32,
    /// Of those, reports that differed from the one before, delta.
    pub renewed: u32,
    /// Responses that carried a report and were timed by us, delta; and over them the sums of what was said and of what
    /// was seen, Q8 log2 of µs.
    pub paired: u32,
    /// Σ said.
    pub said: u32,
    /// Σ seen.
    pub seen: u32,
}

/// How well the scores of the choice foretold turnaround (law-balancing §2.5), deltas: x predicted and y realised log2 of
/// µs in Q8 about the median, so the squares are Q16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Regression {
    /// Pairs.
    pub n: u64,
    /// Σ x.
    pub sx: i64,
    /// Σ y.
    pub sy: i64,
    /// Σ x².
    pub sxx: i64,
    /// Σ x·y.
    pub sxy: i64,
}

/// Something bounded and how much of it is in use, in one unit (bytes, descriptors, entries).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauge {
    /// In use.
    pub used: u64,
    /// The bound; 0 = none known.
    pub bound: u64,
}

/// What a backend's pod or node says of itself; the law lets it only worsen the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostSample {
    /// Time in which somebody waited for memory, permille (PSI "some"); `None` = not known.
    pub memory_stall_permille: Option<u32>,
    /// The same for I/O.
    pub io_stall_permille: Option<u32>,
    /// How its node says it is, see [`crate::distress`].
    pub distress: Distress,
}

/// The way to a backend, deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathSample {
    /// TCP segments sent.
    pub segments: u32,
    /// Of those, sent again.
    pub retransmitted: u32,
}

/// One backend over one interval, as this node saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSample {
    /// Which backend.
    pub id: BackendId,
    /// May get new connections. False: terminating or not ready; still measured, never chosen.
    pub in_service: bool,
    /// Relative capacity in thousandths of an ordinary replica; 0 counts as 1000 (unknown).
    pub capacity: u32,
    /// Distance to this node.
    pub locality: Locality,
    /// Connects sent to it, delta. All deltas are over [`Samples::interval`].
    pub attempts: u64,
    /// Connects that succeeded, delta.
    pub established: u64,
    /// Connects refused (RST to the SYN), delta.
    pub refused: u64,
    /// Connects that ran into their time-out, delta.
    pub timed_out: u64,
    /// Connections that the backend ended (RST or FIN) after the request and before any payload came back, delta.
    pub reset_before_data: u64,
    /// Requests that got their first byte back, delta.
    pub answered: u64,
    /// Requests whose client gave up and closed while it waited for the first byte, delta.
    pub abandoned: u64,
    /// First payload out → first payload back, counts by [`crate::histogram::bucket`], delta.
    pub turnaround: [u32; BUCKETS],
    /// Connections opened by us and not yet closed, gauge.
    pub in_flight: u32,
    /// Requests (or connects) sent and not yet answered, by [`crate::histogram::age_bucket`], gauge.
    pub unanswered: [u32; AGE_BUCKETS],
    /// The kernel's own level `lw`: log2 of µs in Q8, half-way up, 1/8 down; `None` before the first answer.
    pub level: Option<i32>,
    /// The kernel's failure penalty at `now`, Q8 octaves, 0 ..= 2560.
    pub penalty: u32,
    /// CPU stall of the backend's pod or node, permille of time (PSI some avg10); only ever worsens a backend.
    pub stall_permille: Option<u32>,
    /// The newest in-band report, where reports are in use.
    pub report: Option<ReportSample>,
    /// What its pod and its node say of themselves; `None` where nobody says anything.
    pub host: Option<HostSample>,
    /// The way to it; `None` where it is not measured.
    pub path: Option<PathSample>,
    /// Memory of its pod, where it runs on this node and has a bound.
    pub memory: Option<Gauge>,
    /// Long jobs under leases; nothing where none are kept.
    pub leases: LeaseSample,
}

impl BackendSample {
    /// A backend of ordinary capacity, in service, of which nothing was measured.
    pub fn new(id: BackendId) -> Self {
        Self {
            id,
            in_service: true,
            capacity: 1_000,
            locality: Locality::Elsewhere,
            attempts: 0,
            established: 0,
            refused: 0,
            timed_out: 0,
            reset_before_data: 0,
            answered: 0,
            abandoned: 0,
            turnaround: [0; BUCKETS],
            in_flight: 0,
            unanswered: [0; AGE_BUCKETS],
            level: None,
            penalty: 0,
            stall_permille: None,
            report: None,
            host: None,
            path: None,
            memory: None,
            leases: LeaseSample::default(),
        }
    }
}

/// What the cluster says about a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictKind {
    /// Enough other nodes found it sick: isolate it here too.
    Isolate,
    /// Another node got good answers from it: start its return here too.
    Release,
}

/// A shared verdict, valid until it expires. The caller drops expired ones or leaves them in; the law checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// About whom.
    pub backend: BackendId,
    /// What.
    pub kind: VerdictKind,
    /// When it was given, on this node's clock; a verdict acts once.
    pub given: Nanos,
    /// When it stops counting, on this node's clock.
    pub expires: Nanos,
}

/// Slow advice from the plan. Its absence changes no decision for the worse: the node works alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advice<'a> {
    /// Nodes that send to this set; 0 counts as 1.
    pub active_nodes: u32,
    /// Offered connections of the whole fleet, thousandths a second; 0 = not known.
    pub offered_milli_per_second: u64,
    /// Verdicts of others.
    pub verdicts: &'a [Verdict],
}

/// One step's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples<'a> {
    /// Time that the deltas cover.
    pub interval: Nanos,
    /// The backends of the set, each once, at most [`crate::SetState::MOST_BACKENDS`]; their order gives the indices of the outcome.
    pub backends: &'a [BackendSample],
    /// Slow advice.
    pub advice: Advice<'a>,
    /// What became of the predictions; zero where no reports are in use.
    pub regression: Regression,
}
