//! A flight record of one set on one node: every tick's samples and a digest of what was decided, to be decided again.
//!
//! Why it exists: "why did that slot move?" is answered from a file, on another machine, years later. Lines of JSON, the
//! first says what the file is, with the constants and the state that the record began with; counters that are zero are
//! left out. A tick that is missing is said, a decision that comes out differently is an error that names the tick. The
//! wind tunnel and the agent of a real node write the same form.
//!
//! Left out: single picks of the kernel, which follow from the words and the backends' records.

mod constant;
mod envelope;
mod error;
mod line;
mod replay;

pub use constant::Constants;
pub use envelope::{Body, Envelope, Foreign};
pub use error::TraceError;
pub use line::{Header, Tick, state};
pub use replay::{Difference, Explanation, Replayed, explain, moves, read, replay, write};

use continuity_field::Outcome;

/// Version of the format. Version 1 had neither constants nor a state: the preset's, and nothing known; it is read too.
pub const VERSION: u32 = 2;
/// What the first line must call itself.
pub const FORMAT: &str = "continuity-trace";
/// Most bytes of a trace: an hour of 200 backends at 5 ticks a second is about 1 GB without this; a day of ten is 100 MB.
pub const MOST_BYTES: u64 = 256 << 20;

/// FNV-1a over everything that reaches the kernel: slots, words, drip, and each backend's own words.
#[must_use]
pub fn digest(outcome: &Outcome) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |value: u64| {
        for byte in value.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let signed = |value: i32| u64::from(value.cast_unsigned());
    outcome.slots.iter().for_each(|&slot| add(u64::from(slot)));
    let words = outcome.words;
    [words.wm, words.lm, words.ownm]
        .into_iter()
        .for_each(|word| add(signed(word)));
    add(u64::from(words.mem_on));
    if let Some(drip) = outcome.drip {
        [u64::from(drip.backend), drip.every.0, drip.due.0]
            .into_iter()
            .for_each(&mut add);
    }
    for view in &outcome.backends {
        let choice = view.choice;
        add(view.id.0);
        add(u64::from(choice.off));
        add(signed(choice.shl));
        add(u64::from(choice.trust));
        add(choice.fixed.map_or(0, |fixed| 1 + signed(fixed)));
    }
    hash
}
