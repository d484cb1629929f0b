//! From the command line to an exit code.

use crate::args::{Cli, Command, Output};
use crate::check::{self, Level};
use crate::error::{Category, Error};
use crate::explain::{self, Clock};
use crate::output::render;
use crate::session::Session;
use crate::{status, uninstall};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write as _;
use std::time::Duration;

/// Runs a command, writes its answer to standard output, and returns the exit code.
///
/// # Errors
/// Whatever ends a command before it has an answer.
pub async fn run(cli: Cli) -> Result<u8, Error> {
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
        Command::Check { output, strict } => {
            let findings = check::run(&session, now).await?;
            print(&render(&findings, output, check::text)?)?;
            let bound = if strict { Level::Warn } else { Level::Fail };
            Ok(if check::worst(&findings) >= bound {
                Category::Bad.code()
            } else {
                0
            })
        }
        Command::Explain { target, output } => {
            let clock = Clock {
                now,
                zone: TimeZone::system(),
            };
            let accounts = explain::run(&session, &target, &clock).await?;
            print(&render(&accounts, output, explain::text)?)?;
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

async fn remove(session: &Session, wish: &uninstall::Wish, output: Output) -> Result<u8, Error> {
    // Progress goes to standard error, so that the proof on standard output stays whole.
    let proof = uninstall::run(session, wish, |step| eprintln!("{step}")).await?;
    print(&render(&proof, output, uninstall::Proof::text)?)?;
    Ok(0)
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `kubectl continuity status | head` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Error::File {
            what: "standard output".to_owned(),
            source,
        }),
        Ok(()) => Ok(()),
    }
}
