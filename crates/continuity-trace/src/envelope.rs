//! How lines of a trace travel in a log that others write to as well: each says which record it belongs to and its place.
//!
//! A number that is missing is a line that was lost on the way; nothing is guessed for it.

use std::fmt;
use std::str::FromStr;

/// First word of every such line.
const MARK: &str = "continuity-record";

/// One line on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Id of the record.
    pub record: String,
    /// Namespace and name of the set.
    pub set: String,
    /// IP version of the lane: 4 or 6.
    pub family: u8,
    /// Counted from 0, the header.
    pub number: u64,
    /// What it carries.
    pub body: Body,
}

/// What a line carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A line of the trace.
    Trace(String),
    /// No more lines come, and why.
    End(String),
}

/// A line that is not one of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a record")]
pub struct Foreign;

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            record,
            set,
            family,
            number,
            body,
        } = self;
        write!(f, "{MARK} {record} {set} {family} {number} ")?;
        match body {
            Body::Trace(line) => f.write_str(line),
            Body::End(why) => write!(f, "end {why}"),
        }
    }
}

impl FromStr for Envelope {
    type Err = Foreign;

    fn from_str(line: &str) -> Result<Self, Foreign> {
        let mut parts = line.splitn(6, ' ');
        let mut next = || parts.next().ok_or(Foreign);
        if next()? != MARK {
            return Err(Foreign);
        }
        let (record, set) = (next()?.to_owned(), next()?.to_owned());
        let family = next()?.parse().map_err(|_| Foreign)?;
        let number = next()?.parse().map_err(|_| Foreign)?;
        let rest = next()?;
        let body = match rest.strip_prefix("end ") {
            Some(why) => Body::End(why.to_owned()),
            None => Body::Trace(rest.to_owned()),
        };
        Ok(Self {
            record,
            set,
            family,
            number,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_others_log_is_no_line_of_a_record() {
        for line in [
            "",
            "{\"level\":\"INFO\"}",
            "continuity-record a b 4",
            "continuity-record a b x 0 {}",
        ] {
            assert_eq!(line.parse::<Envelope>(), Err(Foreign), "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_comes_back_as_it_went(number: u64, text in "[{][^\\n\\r]{0,80}", end: bool) {
            let body = if end { Body::End(text) } else { Body::Trace(text) };
            let line = Envelope { record: "r-1".into(), set: "shop/web-80-1".into(), family: 6, number, body };
            prop_assert_eq!(line.to_string().parse::<Envelope>(), Ok(line));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = text.parse::<Envelope>();
        }
    }
}
