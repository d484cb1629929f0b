//! Running programs: with their output in a file or kept, and the end of it in the error.
//!
//! Children that run in the foreground are known to [`crate::interrupt`], so that an interrupted task ends them too.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::progress::Step;
use crate::{Error, interrupt};

/// Lines of output that an error repeats.
const TAIL_LINES: usize = 25;
/// How often a log is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How much of its end: longer lines are cut off.
const LINE_BYTES: u64 = 200;

/// A program to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    log: Option<PathBuf>,
}

impl Run {
    /// A call of `program`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command, log: None }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes an environment variable.
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Runs it in this folder.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Feeds it this file.
    pub fn input(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        self.command.stdin(file);
        Ok(self)
    }

    /// Sends what it writes into this file, which it replaces.
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Runs it to its end; anything but success is an error with the end of its output.
    pub fn run(mut self) -> Result<(), Error> {
        let line = self.line();
        let Some(path) = self.log.take() else {
            return self.output().map(drop);
        };
        let log = File::create(&path).map_err(Error::file("create", &path))?;
        let copy = log.try_clone().map_err(Error::file("open", &path))?;
        self.command.stdout(log).stderr(copy);
        let status = wait(&line, self.spawn_child()?)?;
        if status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        let _ = File::open(&path).and_then(|mut file| file.read_to_end(&mut text));
        let tail = format!("{}\n(all of it: {})", tail(&text), path.display());
        Err(Error::Failed {
            command: line,
            status,
            tail,
        })
    }

    /// As [`Self::run`] with a log, and shows the last line of it as what the step waits for.
    pub fn run_shown(self, step: &Step, log: PathBuf) -> Result<(), Error> {
        let (done, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let watched = log.clone();
            scope.spawn(move || {
                while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if let Some(line) = last_line(&watched) {
                        step.waiting(line);
                    }
                }
            });
            let result = self.log(log).run();
            drop(done);
            result
        })
    }

    /// Runs it to its end and keeps what it wrote; anything but success is an error.
    pub fn output(self) -> Result<Output, Error> {
        let line = self.line();
        let output = self.any_output()?;
        if output.status.success() {
            return Ok(output);
        }
        let mut text = output.stdout;
        text.extend_from_slice(&output.stderr);
        Err(Error::Failed {
            command: line,
            status: output.status,
            tail: tail(&text),
        })
    }

    /// Runs it to its end and keeps what it wrote, whatever its status.
    pub fn any_output(mut self) -> Result<Output, Error> {
        let line = self.line();
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn_child()?;
        let _known = interrupt::child(child.id());
        child.wait_with_output().map_err(|source| Error::Spawn {
            program: line,
            source,
        })
    }

    /// Runs it on this terminal, for a person.
    pub fn interactive(mut self) -> Result<ExitStatus, Error> {
        let line = self.line();
        self.command.stdin(Stdio::inherit());
        wait(&line, self.spawn_child()?)
    }

    /// Starts it with both outputs in the log file, which it appends to, and does not wait for its end.
    ///
    /// Somebody must collect it when it ends before this program does, hence the thread.
    pub fn start(mut self) -> Result<(), Error> {
        if let Some(path) = self.log.take() {
            let log = File::options().create(true).append(true).open(&path);
            let log = log.map_err(Error::file("open", &path))?;
            let copy = log.try_clone().map_err(Error::file("open", &path))?;
            self.command.stdout(log).stderr(copy);
        }
        let mut child = self.spawn_child()?;
        thread::spawn(move || child.wait());
        Ok(())
    }

    fn spawn_child(&mut self) -> Result<Child, Error> {
        interrupt::settle();
        let line = self.line();
        self.command.spawn().map_err(|source| Error::Spawn {
            program: line,
            source,
        })
    }

    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

fn wait(line: &str, mut child: Child) -> Result<ExitStatus, Error> {
    let _known = interrupt::child(child.id());
    child.wait().map_err(|source| Error::Spawn {
        program: line.to_owned(),
        source,
    })
}

/// What a log ends with, if it holds anything yet.
fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_BYTES)))
        .ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.trim_end()
        .lines()
        .last()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
}

/// The last lines of a text.
pub fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(TAIL_LINES))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_failed_program_carries_its_last_words() {
        let error = Run::new("sh")
            .args(["-c", "echo all is lost >&2; exit 3"])
            .output()
            .unwrap_err();
        assert!(error.to_string().contains("all is lost"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = Run::new("/no/such/program").output().unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    #[test]
    fn a_running_program_is_shown_by_its_last_line() {
        let log = std::env::temp_dir().join(format!("continuity-last-line-{}", std::process::id()));
        std::fs::write(&log, "Compiling one\nCompiling two\n").unwrap();
        assert_eq!(last_line(&log).as_deref(), Some("Compiling two"));
        std::fs::remove_file(&log).unwrap();
    }

    #[test]
    fn the_tail_keeps_the_end() {
        let text = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        assert!(tail(text.as_bytes()).starts_with("75\n"));
        assert!(tail(text.as_bytes()).ends_with("99"));
    }
}
