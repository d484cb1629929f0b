//! What `up` has made so far, on disk, so that a later process can use it or take it down.
//!
//! The file is written before the first thing is made. Processes are not listed: their cgroup says what is ours,
//! and cannot be confused by a process number that was used again.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cgroup;
use crate::{Error, paths};

/// The cluster as a later process must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The kernel's boot id: after a reboot nothing of it is left.
    pub(super) boot: String,
    /// Whether `up` came to its end.
    pub(super) ready: bool,
    /// Whether /run/netns was not yet a mount point, so that ours must go.
    pub(super) netns_mount: bool,
    /// Cgroup controllers that were not enabled at the machine's root, so that they must be disabled again.
    #[serde(default)]
    pub(super) controllers: Vec<String>,
}

impl State {
    /// A cluster about to be made.
    pub(super) fn begin() -> Result<Self, Error> {
        Ok(Self {
            boot: boot()?,
            ready: false,
            netns_mount: !netns_is_mounted()?,
            controllers: cgroup::enabled_at_root()?,
        })
    }

    /// The recorded state; `None` if nothing is recorded or it is from before a reboot.
    pub(super) fn load() -> Result<Option<Self>, Error> {
        let path = file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let state = parse(&text)?;
        Ok((state.boot == boot()?).then_some(state))
    }

    /// Writes it in one step: a reader never sees half of it.
    pub(super) fn save(&self) -> Result<(), Error> {
        let path = file();
        let json = |source| Error::Json {
            what: path.display().to_string(),
            source,
        };
        let text = serde_json::to_string_pretty(self).map_err(json)?;
        let aside = path.with_extension("new");
        fs::write(&aside, text).map_err(Error::file("write", &aside))?;
        fs::rename(&aside, &path).map_err(Error::file("rename", &aside))
    }

    /// Forgets it: nothing is left of the cluster.
    pub(super) fn clear() -> Result<(), Error> {
        match fs::remove_file(file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", file())(error)),
            _ => Ok(()),
        }
    }
}

fn parse(text: &str) -> Result<State, Error> {
    serde_json::from_str(text).map_err(|source| Error::Json {
        what: file().display().to_string(),
        source,
    })
}

fn file() -> PathBuf {
    paths::cluster().join("state.json")
}

fn boot() -> Result<String, Error> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(Error::file("read", path))
}

/// Whether /run/netns is a mount of its own, as `ip netns add` makes it on first use.
fn netns_is_mounted() -> Result<bool, Error> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    Ok(text
        .lines()
        .any(|line| line.split(' ').nth(4) == Some("/run/netns")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_the_file() {
        let state = State {
            boot: "b".into(),
            ready: true,
            netns_mount: false,
            controllers: vec!["io".into()],
        };
        assert_eq!(parse(&serde_json::to_string(&state).unwrap()).unwrap(), state);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let error = parse("{\"boot\": 1}").unwrap_err().to_string();
        assert!(error.contains("state.json"), "{error}");
    }
}
