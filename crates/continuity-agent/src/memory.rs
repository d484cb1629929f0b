//! What survives the agent beside the field: one page a set, in a pinned map.
//!
//! The page holds the law's own saved form, which is opaque here, and what people were told: since when the regime holds
//! and each backend stands where it stands, and why. It outlives the agent and dies with the boot, so instants of the
//! kernel's clock in it stay valid.
//!
//! Form, little-endian, no gaps: mark `CTYM`, version u16, length u16 and bytes of the law's form, regime u8, count u8,
//! since i64, sentence; then for each backend: id u64, state u8, since i64, late since u64 (0 = not late), sentence; then,
//! where a set has admission, length u16 and bytes of that law's form. A sentence is its length u16 and UTF-8. Another form
//! is refused as a whole, never guessed at.

use continuity_dataplane::wire::Learned;
use continuity_field::{BackendId, BackendState, Regime};

const MARK: [u8; 4] = *b"CTYM";
const VERSION: u16 = 1;

/// Backends in a page: 64 × 27 bytes are 1.7 KiB, beside which the law has 2.3 KiB; whoever stands worst comes first.
const MOST_BACKENDS: usize = 64;

/// A page that is not believed; the set starts without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Written by something else, or by an agent before this form.
    #[error("the saved page does not begin with this agent's mark: the set starts without it")]
    Mark,
    /// Written by another version.
    #[error(
        "the saved page has version {found}, this agent reads version {VERSION}: the set starts without it"
    )]
    Version {
        /// In the page.
        found: u16,
    },
    /// Ends early.
    #[error("the saved page ends early, {missing} bytes are missing: the set starts without it")]
    Short {
        /// How many at least.
        missing: usize,
    },
    /// A value that cannot be.
    #[error("the saved page holds an impossible {what}: the set starts without it")]
    Value {
        /// Which one.
        what: &'static str,
    },
}

/// One backend as people were told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Which.
    pub id: BackendId,
    /// Where it stood.
    pub state: BackendState,
    /// Since when, milliseconds since the epoch.
    pub since_millis: i64,
    /// Since when this lane by itself found the process late, on the kernel's clock.
    pub late_since: Option<u64>,
    /// Why.
    pub reason: String,
}

/// What people were told of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Posture.
    pub regime: Regime,
    /// Since when, milliseconds since the epoch.
    pub since_millis: i64,
    /// Why.
    pub reason: String,
    /// Backends, at most 64.
    pub backends: Vec<Remembered>,
}

/// What the laws learned, as they wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms<'a> {
    /// The law of balancing.
    pub law: &'a [u8],
    /// The law of admission.
    pub admission: &'a [u8],
}

impl Memory {
    /// Writes the page: the law's form, as much of this as fits, and admission's form, which is empty where there is none.
    pub fn write(mut self, law: &[u8], admission: &[u8], page: &mut Vec<u8>) {
        page.clear();
        page.extend_from_slice(&MARK);
        page.extend_from_slice(&VERSION.to_le_bytes());
        // A form that fits no page is left out: the law then learns again, and people still know since when.
        let law = u16::try_from(law.len())
            .ok()
            .filter(|length| usize::from(*length) <= Learned::CAPACITY / 4 * 3)
            .map_or(&[][..], |_| law);
        text(law, page);
        page.push(code_of(&REGIMES, &self.regime));
        let count_at = page.len();
        page.push(0);
        page.extend_from_slice(&self.since_millis.to_le_bytes());
        text(self.reason.as_bytes(), page);
        self.backends
            .sort_by_key(|backend| (std::cmp::Reverse(weight(backend.state)), backend.id));
        let mut count = 0;
        let room = Learned::CAPACITY.saturating_sub(if admission.is_empty() {
            0
        } else {
            2 + admission.len()
        });
        for backend in self.backends.iter().take(MOST_BACKENDS) {
            let before = page.len();
            page.extend_from_slice(&backend.id.0.to_le_bytes());
            page.push(code_of(&STATES, &backend.state));
            page.extend_from_slice(&backend.since_millis.to_le_bytes());
            page.extend_from_slice(&backend.late_since.unwrap_or(0).to_le_bytes());
            text(backend.reason.as_bytes(), page);
            if page.len() > room {
                page.truncate(before);
                break;
            }
            count += 1;
        }
        if !admission.is_empty() && page.len() <= room {
            text(admission, page);
        }
        if let Some(place) = page.get_mut(count_at) {
            *place = count;
        }
    }

    /// Reads a page: what people were told, and the forms of both laws; admission's is empty where there is none.
    ///
    /// # Errors
    /// When the page is not one of this version, or damaged.
    pub fn read(page: &[u8]) -> Result<(Self, Forms<'_>), MemoryError> {
        let mut rest = Reader(page);
        if rest.bytes::<4>().map_err(|_| MemoryError::Mark)? != MARK {
            return Err(MemoryError::Mark);
        }
        let found = u16::from_le_bytes(rest.bytes()?);
        if found != VERSION {
            return Err(MemoryError::Version { found });
        }
        let law = rest.slice()?;
        let regime = coded(&REGIMES, rest.byte()?).ok_or(MemoryError::Value { what: "regime" })?;
        let count = usize::from(rest.byte()?);
        let mut memory = Self {
            regime,
            since_millis: i64::from_le_bytes(rest.bytes()?),
            reason: rest.sentence()?,
            backends: Vec::with_capacity(count.min(MOST_BACKENDS)),
        };
        for _ in 0..count {
            let id = BackendId(u64::from_le_bytes(rest.bytes()?));
            let state = coded(&STATES, rest.byte()?).ok_or(MemoryError::Value {
                what: "state of a backend",
            })?;
            let since_millis = i64::from_le_bytes(rest.bytes()?);
            let late = u64::from_le_bytes(rest.bytes()?);
            memory.backends.push(Remembered {
                id,
                state,
                since_millis,
                late_since: (late > 0).then_some(late),
                reason: rest.sentence()?,
            });
        }
        let admission = if rest.0.is_empty() { &[] } else { rest.slice()? };
        Ok((memory, Forms { law, admission }))
    }
}

/// Codes are places in these tables; a new value goes to the end.
const REGIMES: [Regime; 4] = [
    Regime::Laminar,
    Regime::Transition,
    Regime::Crisis,
    Regime::Recovery,
];
const STATES: [BackendState; 6] = [
    BackendState::Normal,
    BackendState::Starting,
    BackendState::Suspect,
    BackendState::Isolated,
    BackendState::Returning,
    BackendState::Out,
];

fn code_of<T: PartialEq>(table: &[T], value: &T) -> u8 {
    let place = table.iter().position(|known| known == value);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(u8::MAX)
}

fn coded<T: Copy>(table: &[T], code: u8) -> Option<T> {
    table.get(usize::from(code)).copied()
}

/// Whom people would miss most.
const fn weight(state: BackendState) -> u8 {
    match state {
        BackendState::Isolated => 3,
        BackendState::Returning | BackendState::Starting => 2,
        BackendState::Suspect => 1,
        BackendState::Normal | BackendState::Out => 0,
    }
}

/// Length and bytes; what is longer than a length can say was bounded before.
fn text(bytes: &[u8], page: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).unwrap_or(0);
    page.extend_from_slice(&length.to_le_bytes());
    page.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or_default());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], MemoryError> {
        let short = MemoryError::Short {
            missing: N.saturating_sub(self.0.len()),
        };
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, MemoryError> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn slice(&mut self) -> Result<&'a [u8], MemoryError> {
        let length = usize::from(u16::from_le_bytes(self.bytes()?));
        let short = MemoryError::Short {
            missing: length.saturating_sub(self.0.len()),
        };
        let (head, rest) = self.0.split_at_checked(length).ok_or(short)?;
        self.0 = rest;
        Ok(head)
    }

    fn sentence(&mut self) -> Result<String, MemoryError> {
        let bytes = self.slice()?.to_vec();
        String::from_utf8(bytes).map_err(|_| MemoryError::Value { what: "sentence" })
    }
}

#[cfg(test)]
mod tests;
