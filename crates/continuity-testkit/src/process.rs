//! A process that ends with its handle.

use crate::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running program; dropping the handle kills it.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `command`, its output into the file `log`.
    ///
    /// # Errors
    /// If the file can not be made or the program does not start.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File {
            path: log.to_owned(),
            source,
        };
        let file = File::create(log).map_err(failed)?;
        let second = file.try_clone().map_err(failed)?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(second).spawn();
        child.map(Self).map_err(|source| Error::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it at once and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process takes SIGKILL too.
        self.kill();
    }
}
