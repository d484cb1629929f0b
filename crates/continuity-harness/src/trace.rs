//! A flight record of one node: every tick's samples and a digest of what was decided, to be decided again.
//!
//! Why it exists: "why did that slot move?" is answered from a file, on another machine, years later. Lines of JSON, the
//! first says what the file is; counters that are zero are left out. A tick that is missing is said, a decision that
//! comes out differently is an error that names the tick. The format carries nothing of the plant: a real node's flight
//! recorder can write it.
//!
//! Left out: single picks of the kernel, which follow from the words and the records (see `choice`).

mod error;
mod line;
mod record;
mod replay;

#[cfg(test)]
mod tests;

pub use error::TraceError;
pub use line::{Header, Tick};
pub use record::record;
pub use replay::{Difference, Explanation, Replayed, explain, moves, read, replay, write};

use continuity_field::Outcome;

/// Version of the format.
pub const VERSION: u32 = 1;
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
