//! The law: from what a node measured about the backends of one Service port to the share each backend gets.
//!
//! One pure step, [`step`]: `(state, samples, config, now) → outcome`. The same input gives the same bytes on every
//! machine: no clock, no random source, no map iteration order, only IEEE operations and a pinned maths library.
//!
//! A reader's path: [`Samples`] (what goes in), [`SetConfig`] (the constants, with unit and range), [`step`] (the order
//! of the parts), [`Outcome`] (what comes out), [`Reason`] (why). [`hint`] is the cluster's half: it sums what the
//! nodes said into the wanted number of replicas.
//!
//! Left out on purpose: Kubernetes, the kernel's maps, names of backends (a backend is a [`BackendId`]; the caller knows
//! its address), and time itself (`now` is an argument).

pub mod admission;
mod alarm;
mod baseline;
pub mod caller;
mod config;
mod demand;
pub mod distress;
mod drip;
mod error;
mod evidence;
mod game;
pub mod hint;
pub mod histogram;
mod isolation;
pub mod lease;
mod look;
mod number;
mod outcome;
pub mod pressure;
mod reason;
mod regime;
mod sample;
mod save;
mod share;
mod slot;
mod spill;
mod state;
mod step;
mod time;
mod track;
mod trust;
pub mod ttf;
mod view;
mod watch;
mod word;

pub use config::{
    AdmissionConfig, AdmissionMode, IsolationConfig, Objectives, RegimeConfig, Response, SetConfig,
    SlewConfig, Topology, WorkloadProfile,
};
pub use distress::Distress;
pub use error::{ErrorCategory, InputError, RestoreError};
pub use hint::{Hint, HintConfig, HintReason, HintState, NodeDemand, hint};
pub use outcome::{
    BackendChoice, BackendState, BackendView, ChoiceWords, Drip, Game, Isolation, Limit, OFF, Outcome, SLOTS,
    Warning,
};
pub use reason::{Evidence, Reason};
pub use regime::{Enforcement, Regime};
pub use sample::{
    Advice, BackendId, BackendSample, Gauge, HostSample, Locality, PathSample, Regression, ReportSample,
    Samples, Verdict, VerdictKind,
};
pub use state::SetState;
pub use step::step;
pub use time::Nanos;
