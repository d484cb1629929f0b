//! From the command line to an exit code.

use crate::args::{Cli, Command, Output, Record};
use crate::check::{self, Level};
use crate::error::{Category, Error};
use crate::explain::{self, Clock};
use crate::output::render;
use crate::session::Session;
use crate::{debug, record, snapshot, status, uninstall};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs a command, writes its answer to standard output, and returns the exit code.
///
/// # Errors
/// Whatever ends a command before it has an answer.
pub async fn run(cli: Cli) -> Result<u8, Error> {
    if let Some(text) = without_cluster(&cli)? {
        print(&text)?;
        return Ok(0);
    }
    let session = Session::open(&cli.connection).await?;
    let now = Timestamp::now();
    match cli.command {
        Command::Status {
            all_namespaces,
            output,
        } => {
            let overview = status::run(&session, all_namespaces).await?;
            print(&render(&overview, output, |overview| {
                status::text(overview, now)
            })?)?;
            Ok(0)
        }
        Command::Check { output, strict } => judge(&session, now, strict, output).await,
        Command::Explain { target, output, .. } => {
            let clock = Clock {
                now,
                zone: TimeZone::system(),
            };
            let answer = explain::run(&session, &target, &clock).await?;
            print(&render(&answer, output, explain::Answer::text)?)?;
            Ok(0)
        }
        Command::Snapshot { file } => keep(&session, now, file).await,
        Command::Record(wanted) => fly(&session, now, &wanted).await,
        Command::Debug {
            page,
            pod,
            node,
            output,
            ..
        } => {
            let found = debug::page(&session, &page, pod.as_deref(), node.as_deref()).await?;
            print(&render(&found, output, Value::to_string)?)?;
            Ok(0)
        }
        Command::Uninstall {
            yes,
            keep_crds,
            ignore_unreachable,
            agent_image,
            timeout,
            output,
        } => {
            let wish = uninstall::Wish {
                yes,
                keep_crds,
                ignore_unreachable,
                agent_image,
                timeout: Duration::from_secs(timeout),
            };
            remove(&session, &wish, output).await
        }
    }
}

/// The answer of a command that reads a snapshot; none where a cluster has to be asked.
fn without_cluster(cli: &Cli) -> Result<Option<String>, Error> {
    match &cli.command {
        Command::Explain {
            target,
            from: Some(file),
            output,
        } => {
            let answer = offline(cli, target, file)?;
            render(&answer, *output, explain::Answer::text).map(Some)
        }
        Command::Debug {
            page,
            pod,
            from: Some(file),
            output,
            ..
        } => {
            let pages = snapshot::read(file)?.debug;
            let found = debug::kept(&pages, page, pod.as_deref(), file)?;
            render(&found, *output, Value::to_string).map(Some)
        }
        _ => Ok(None),
    }
}

async fn judge(session: &Session, now: Timestamp, strict: bool, output: Output) -> Result<u8, Error> {
    let findings = check::run(session, now).await?;
    print(&render(&findings, output, check::text)?)?;
    let bound = if strict { Level::Warn } else { Level::Fail };
    Ok(if check::worst(&findings) >= bound {
        Category::Bad.code()
    } else {
        0
    })
}

/// Takes a snapshot into `file`, by default one named after the moment.
async fn keep(session: &Session, now: Timestamp, file: Option<PathBuf>) -> Result<u8, Error> {
    let named = || {
        now.strftime("continuity-snapshot-%Y%m%d-%H%M%SZ.json")
            .to_string()
    };
    let file = file.unwrap_or_else(|| PathBuf::from(named()));
    let taken = snapshot::take(session).await?;
    snapshot::write(&taken, &file)?;
    print(&snapshot::summary(&taken, &file))?;
    Ok(0)
}

/// Takes a flight record; one that misses a node or decides otherwise is a bad answer.
async fn fly(session: &Session, now: Timestamp, wanted: &Record) -> Result<u8, Error> {
    let recorded = record::run(session, wanted, now).await?;
    print(&render(&recorded, wanted.output, record::text)?)?;
    Ok(if recorded.is_whole() {
        0
    } else {
        Category::Bad.code()
    })
}

/// Explains what a snapshot holds, as of the moment it was taken.
fn offline(cli: &Cli, target: &str, file: &Path) -> Result<explain::Answer, Error> {
    let snapshot = snapshot::read(file)?;
    let clock = Clock {
        now: snapshot.taken,
        zone: TimeZone::system(),
    };
    let namespace = cli.connection.namespace.as_deref().unwrap_or("default");
    explain::from_snapshot(snapshot, namespace, target, &clock)
}

async fn remove(session: &Session, wish: &uninstall::Wish, output: Output) -> Result<u8, Error> {
    // Progress goes to standard error, so that the proof on standard output stays whole.
    let proof = uninstall::run(session, wish, |step| tell(&mut std::io::stderr(), step)).await?;
    print(&render(&proof, output, uninstall::Proof::text)?)?;
    Ok(0)
}

fn print(text: &str) -> Result<(), Error> {
    answer(&mut std::io::stdout().lock(), text)
}

/// Writes an answer. A reader that has seen enough, as in `kubectl continuity status | head`, is no failure.
fn answer(out: &mut impl Write, text: &str) -> Result<(), Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Error::File {
            what: "standard output".to_owned(),
            source,
        }),
        Ok(()) => Ok(()),
    }
}

/// Writes a line for whoever watches. Nobody need watch: the work goes on when the reader is gone, and `eprintln!` would
/// end it half way.
pub fn tell(out: &mut impl Write, line: impl std::fmt::Display) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Reader(usize, ErrorKind);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(self.1.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is() {
        let text = "NAME   AGE\n".repeat(1_000);
        assert!(answer(&mut Reader(10, ErrorKind::BrokenPipe), &text).is_ok());
        let full = answer(&mut Reader(10, ErrorKind::StorageFull), &text);
        assert!(matches!(full, Err(Error::File { .. })), "{full:?}");
    }

    #[test]
    fn progress_that_nobody_reads_ends_nothing() {
        tell(&mut Reader(0, ErrorKind::BrokenPipe), "removing the DaemonSet");
        let mut seen = Vec::new();
        tell(&mut seen, "done");
        assert_eq!(seen, b"done\n");
    }
}
