//! One small file at a time, bounded.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::{SensorError, level};

/// memory.stat, the longest that is read, has about 2 KiB; 16 KiB is more than the kernel writes into any of them.
const LONGEST: usize = 16 * 1_024;

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, SensorError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        // ENODEV and EOPNOTSUPP are what a file of a feature that is off, or of a cgroup that just went, answers.
        ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::NotADirectory => SensorError::Absent {
            path: path.to_owned(),
        },
        kind => SensorError::Unreadable {
            path: path.to_owned(),
            kind,
        },
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(1_024);
    let bound = u64::try_from(LONGEST + 1).unwrap_or(u64::MAX);
    file.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > LONGEST {
        return Err(SensorError::TooLong {
            path: path.to_owned(),
            most: LONGEST,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed(path, "text"))
}

/// The text of a file through a parser.
pub(super) fn parsed<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<T, SensorError> {
    parse(&read(path)?).map_err(|field| malformed(path, field))
}

/// A file that holds one number.
pub(super) fn number(path: &Path) -> Result<u64, SensorError> {
    parsed(path, level::number)
}

/// A field that is not as documented.
pub(super) fn malformed(path: &Path, field: &'static str) -> SensorError {
    SensorError::Malformed {
        path: path.to_owned(),
        field,
    }
}
