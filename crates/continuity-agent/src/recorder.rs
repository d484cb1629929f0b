//! The flight recorder of one lane: what the law was asked and what it decided, as lines of a trace.
//!
//! Off it costs one test a tick. On, it begins with the law's constants and its whole state, so that a replay goes on bit
//! for bit from there, and adds a line a tick. Lines go through a bounded channel to a thread that writes them to standard
//! output, where the API server finds them (`pods/log`); the loop never waits for it. What found no room is counted, the
//! next line says how many and carries the state anew, so that a gap does not spoil what comes after it.
//!
//! It ends at the time that the wish names, at ten minutes, at [`MOST_BYTES`], or when the wish is taken back.
//!
//! Left out: single picks of the kernel, and admission.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender};

use continuity_api::record::SECONDS_MAX;
pub use continuity_api::record::Wish;
use continuity_field::{Nanos, Samples, SetConfig, SetState};
use continuity_trace::{Body, Constants, Envelope, Header, Tick};
use serde::Serialize;

use crate::lane::{Family, Lane, LaneKey};
use crate::track::Instant;

/// Lines on their way: 12 s of two lanes at 5 ticks a second. At some kB each this is below 1 MB.
pub const LINES: usize = 128;
/// Most bytes of one record: 10 minutes at 5 ticks a second and 5 kB (20 busy backends).
const MOST_BYTES: usize = 16 << 20;
/// Backends of a set that is recorded: the state of each is 1 KiB, and hexadecimal doubles it.
const MOST_BACKENDS: usize = 256;

/// Where lines go.
pub type Sink = SyncSender<Envelope>;

/// Writes lines as they come, until nobody is left who would send one. A reader that is gone costs the lines alone.
pub fn write(lines: &Receiver<Envelope>, out: &mut impl Write) {
    for line in lines {
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            tracing::debug!(%error, "a line of a record is lost");
        }
    }
}

/// The recorder.
#[derive(Debug)]
pub struct Recorder {
    wish: Wish,
    until_millis: i64,
    set: String,
    family: u8,
    sink: Sink,
    number: u64,
    tick: u64,
    bytes: usize,
    /// Ticks that found no room since the last line.
    dropped: u64,
    /// Constants of the last line; none before the header.
    config: Option<SetConfig>,
    over: bool,
    /// State before the present tick, where its line must carry it.
    state: String,
}

impl Recorder {
    /// A recorder that has written nothing.
    #[must_use]
    pub fn new(wish: Wish, key: &LaneKey, sink: Sink, now: Instant) -> Self {
        let most = now.wall_millis.saturating_add(SECONDS_MAX * 1_000);
        Self {
            until_millis: wish.until.0.as_millisecond().min(most),
            wish,
            set: format!("{}/{}", key.namespace, key.set),
            family: match key.family {
                Family::V4 => 4,
                Family::V6 => 6,
            },
            sink,
            number: 0,
            tick: 0,
            bytes: 0,
            dropped: 0,
            config: None,
            over: false,
            state: String::new(),
        }
    }

    /// The wish that it follows.
    #[must_use]
    pub const fn wish(&self) -> &Wish {
        &self.wish
    }

    /// Nothing more is written.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Ends it.
    pub fn end(&mut self, why: &str) {
        if !self.over {
            self.over = true;
            self.send(Body::End(why.to_owned()));
        }
    }

    /// Before a step: the header if it is the first, the state if lines were lost.
    pub fn before(&mut self, state: &SetState, lane: &Lane, now: Instant) {
        if self.over {
            return;
        }
        if now.wall_millis >= self.until_millis {
            return self.end("its time is over");
        }
        if lane.backends.len() > MOST_BACKENDS {
            return self.end("the set has more than 256 backends");
        }
        if self.bytes > MOST_BYTES {
            return self.end("it has 16 MiB; what follows is not recorded");
        }
        if self.config.is_some() {
            if self.dropped > 0 {
                self.state = continuity_trace::state(state);
            }
            return;
        }
        let backends = lane.backends.iter();
        let backends = backends.map(|backend| (backend.id.0, named(backend.address, backend.pod.as_deref())));
        let source = format!("{} over IPv{}, record {}", self.set, self.family, self.wish.id);
        let header = Header::of(source, &lane.law, state, backends.collect());
        if self.line(&header) {
            self.config = Some(lane.law);
        }
    }

    /// After a step: what it was asked, and the digest of what it decided.
    pub fn after(&mut self, samples: &Samples<'_>, config: &SetConfig, now: u64, decided: u64) {
        if self.over {
            return;
        }
        let Some(known) = self.config else { return };
        let mut tick = Tick::of(self.tick, Nanos(now), samples);
        self.tick += 1;
        tick.decided = decided;
        tick.dropped = self.dropped;
        tick.state = std::mem::take(&mut self.state);
        tick.constants = (known != *config).then(|| Constants::from(config));
        if self.line(&tick) {
            self.config = Some(*config);
            self.dropped = 0;
        } else {
            self.dropped += 1;
        }
    }

    /// Whether the line found room.
    fn line(&mut self, line: &impl Serialize) -> bool {
        // Plain numbers and strings serialise; what did not would be a gap that is said.
        let Ok(text) = serde_json::to_string(line) else {
            return false;
        };
        let size = text.len();
        let sent = self.send(Body::Trace(text));
        self.bytes += if sent { size } else { 0 };
        sent
    }

    fn send(&mut self, body: Body) -> bool {
        let line = Envelope {
            record: self.wish.id.clone(),
            set: self.set.clone(),
            family: self.family,
            number: self.number,
            body,
        };
        let sent = self.sink.try_send(line).is_ok();
        self.number += u64::from(sent);
        sent
    }
}

fn named(address: SocketAddr, pod: Option<&str>) -> String {
    pod.map_or_else(|| address.to_string(), |pod| format!("{address} {pod}"))
}

#[cfg(test)]
mod tests;
