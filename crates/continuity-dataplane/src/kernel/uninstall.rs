//! Removes everything, and proves it.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Options, cgroup,
    hooks::HOOKS,
    pins::open_if_there,
    syscall::{self, ProgramInfo},
};
use crate::Error;

/// How long the kernel may take to free what nobody holds any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Every attach type that a schema of ours has used.
fn attach_types() -> impl Iterator<Item = u32> {
    HOOKS.iter().map(|hook| hook.attach_type)
}

/// What an uninstall removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Links detached.
    pub links: usize,
    /// Programs unpinned.
    pub programs: usize,
    /// Maps unpinned.
    pub maps: usize,
}

/// Removes links, programs, maps and pins of every schema version, and returns once none is left.
///
/// Connects go to kube-proxy from the moment the links are detached; connections that are open stay open, since
/// their sockets were rewritten when they were made. Maps that a running agent still has mapped are freed when it
/// ends. Nothing there to remove is not an error.
///
/// # Errors
/// [`Error::LeftBehind`] if something is still there afterwards, or what the kernel refused.
pub fn uninstall(options: &Options) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    let mut programs = Vec::new();
    for schema in children(&options.pins)? {
        for link in children(&schema.join("links"))? {
            if let Some(fd) = open_if_there(&link)? {
                // Detaching before unpinning makes it synchronous; a link whose cgroup is gone is detached already.
                let _ = syscall::link_detach(fd.as_fd());
            }
            remove(&link)?;
            removed.links += 1;
        }
        for program in children(&schema.join("programs"))? {
            if let Some(fd) = open_if_there(&program)? {
                programs.extend(syscall::info::<ProgramInfo>(fd.as_fd()).ok().map(|info| info.id));
            }
            remove(&program)?;
            removed.programs += 1;
        }
        for map in children(&schema.join("maps"))? {
            remove(&map)?;
            removed.maps += 1;
        }
    }
    if options.pins.exists() {
        fs::remove_dir_all(&options.pins).map_err(|source| Error::Io {
            what: "cannot remove",
            path: options.pins.clone(),
            source,
        })?;
    }
    prove(options, &programs)?;
    Ok(removed)
}

/// No pin is left and no hook of the cgroup runs a program of ours.
fn prove(options: &Options, programs: &[u32]) -> Result<(), Error> {
    if options.pins.exists() {
        return Err(Error::LeftBehind {
            path: options.pins.clone(),
        });
    }
    let Ok(path) = cgroup::root(options) else {
        return Ok(());
    };
    let directory = File::open(&path).map_err(|source| Error::Io {
        what: "cannot open cgroup",
        path: path.clone(),
        source,
    })?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut attached = false;
        for hook in attach_types() {
            let found = syscall::programs_at(directory.as_fd(), hook).map_err(|source| Error::Bpf {
                command: "PROG_QUERY",
                object: "cgroup",
                source,
            })?;
            attached |= found.iter().any(|id| programs.contains(id));
        }
        if !attached {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::LeftBehind { path });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn children(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Io {
            what: "cannot list",
            path: directory.to_owned(),
            source,
        }),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|source| Error::Io {
        what: "cannot remove",
        path: path.to_owned(),
        source,
    })
}
