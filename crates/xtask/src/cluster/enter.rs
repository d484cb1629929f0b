//! Entering the namespaces of a part and becoming its program.
//!
//! This runs as a process of its own (`xtask enter …`), because namespaces and cgroups belong to single-threaded
//! processes: enter first, then exec. `init` makes a node: it becomes process 1 of namespaces of its own, reaps
//! orphans and lives as long as the node does; when it is killed, the kernel ends every process of the node.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::wait;
use nix::unistd::{Pid, execvp, setsid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{cgroup, mounts};
use crate::Error;

/// What to enter, and what to become.
#[derive(Debug, Clone, clap::Args)]
pub struct EnterArgs {
    /// Network namespace to enter first.
    #[arg(long, value_name = "FILE")]
    netns: Option<PathBuf>,
    /// Cgroup to join in every hierarchy, relative to the cluster's.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// Cgroup to join in v2 instead: where this part is found, stopped and ended.
    #[arg(long, value_name = "PATH")]
    part: Option<String>,
    /// Leave the session of the terminal.
    #[arg(long)]
    detach: bool,
    /// Enter every namespace of the node whose process 1 this is.
    #[arg(long, value_name = "PID", conflicts_with = "netns")]
    node: Option<i32>,
    /// Make the namespaces of a node of this name and be its process 1.
    #[arg(long, value_name = "NAME", conflicts_with = "node")]
    init: Option<String>,
    /// Second half of `--init`, already process 1.
    #[arg(long, value_name = "NAME", conflicts_with = "init")]
    first: Option<String>,
    /// The cluster's folder, for `--init`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(last = true)]
    program: Vec<OsString>,
}

/// Enters, then becomes the program; comes back only with an error, or with the program's failure.
pub fn run(args: &EnterArgs) -> Result<(), Error> {
    unblock()?;
    if args.detach {
        // The leader of a session already is detached.
        let _ = setsid();
    }
    if let Some(path) = &args.cgroup {
        // In v2 a cgroup with children may hold no process: whoever goes on to a part goes there at once.
        cgroup::join(path, args.part.is_some() && args.init.is_none())?;
    }
    // A node's root cgroup is the one it is in when its namespace is made; only then may it move on.
    if args.init.is_none() {
        move_on(args)?;
    }
    if let Some(path) = &args.netns {
        let file = File::open(path).map_err(Error::file("open", path))?;
        let entered = setns(file, CloneFlags::CLONE_NEWNET);
        entered.map_err(Error::system("enter", path.display().to_string()))?;
    }
    if let Some(name) = &args.init {
        return split(name, args);
    }
    if let Some(name) = &args.first {
        mounts::furnish(name, args.dir.as_deref().unwrap_or(Path::new("/")))?;
        return reap().map(|never| match never {});
    }
    if let Some(pid) = args.node {
        return inside(pid, args);
    }
    become_program(&args.program).map(|never| match never {})
}

/// A signal mask survives exec; a part must not inherit one that is none of its business.
fn unblock() -> Result<(), Error> {
    SigSet::empty()
        .thread_set_mask()
        .map_err(Error::system("reset", "the signal mask"))
}

fn move_on(args: &EnterArgs) -> Result<(), Error> {
    args.part.as_ref().map_or(Ok(()), |path| cgroup::join_part(path))
}

/// Makes the node's namespaces. The process namespace begins with the next child, so the rest happens there.
fn split(name: &str, args: &EnterArgs) -> Result<(), Error> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWCGROUP;
    unshare(flags).map_err(Error::system("make namespaces for", name))?;
    move_on(args)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["enter", "--first", name]);
    if let Some(dir) = &args.dir {
        command.arg("--dir").arg(dir);
    }
    // Not waited for: this process ends, and the new process 1 lives on.
    command.spawn().map(drop).map_err(|source| Error::Spawn {
        program: format!("init of {name}"),
        source,
    })
}

/// Process 1 inherits every orphan of the node and must collect it.
fn reap() -> Result<Infallible, Error> {
    loop {
        match wait() {
            Ok(_) | Err(Errno::EINTR) => {}
            // No child now; a blocking wait cannot be told to expect one, orphans come later.
            Err(Errno::ECHILD) => thread::sleep(Duration::from_millis(250)),
            Err(source) => {
                return Err(Error::System {
                    action: "wait for",
                    subject: "children".into(),
                    source,
                });
            }
        }
    }
}

/// Enters all namespaces of the node. The process namespace begins with the child, hence a child.
fn inside(pid: i32, args: &EnterArgs) -> Result<(), Error> {
    let open = |kind: &str| {
        let path = format!("/proc/{pid}/ns/{kind}");
        File::open(&path).map_err(Error::file("open", path))
    };
    let namespaces = [
        (open("cgroup")?, CloneFlags::CLONE_NEWCGROUP),
        (open("ipc")?, CloneFlags::CLONE_NEWIPC),
        (open("uts")?, CloneFlags::CLONE_NEWUTS),
        (open("net")?, CloneFlags::CLONE_NEWNET),
        (open("pid")?, CloneFlags::CLONE_NEWPID),
        (open("mnt")?, CloneFlags::CLONE_NEWNS),
    ];
    // The program of this process, before the mount namespace changes what the name means.
    for (file, flag) in namespaces {
        setns(file, flag).map_err(Error::system("enter a namespace of process", pid.to_string()))?;
    }
    let Some((program, rest)) = args.program.split_first() else {
        return Ok(());
    };
    let mut command = Command::new(program);
    command.args(rest);
    let failed = |source| Error::Spawn {
        program: program.to_string_lossy().into_owned(),
        source,
    };
    if args.detach {
        command.process_group(0);
        return command.spawn().map(drop).map_err(failed);
    }
    let status = attend(&mut command).map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        std::process::exit(shell_status(status))
    }
}

/// Runs a program to its end and hands on what this process is told. A signal from the terminal reaches the program
/// by itself. No thread may be made here: its process namespace would differ from that of its children.
fn attend(command: &mut Command) -> io::Result<ExitStatus> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGCHLD])?;
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for signal in signals.wait() {
            if let (SIGTERM | SIGHUP, Ok(pid)) = (signal, i32::try_from(child.id())) {
                // It may be gone by now, which the next look shows.
                let _ = kill(Pid::from_raw(pid), Signal::try_from(signal)?);
            }
        }
    }
}

/// The status a shell would report.
fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn become_program(words: &[OsString]) -> Result<Infallible, Error> {
    let nul = |_| Error::System {
        action: "pass",
        subject: "an argument with a zero byte".to_owned(),
        source: Errno::EINVAL,
    };
    let words: Vec<CString> = words
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(nul)?;
    let program = words.first().ok_or_else(|| Error::System {
        action: "start",
        subject: "no program at all".to_owned(),
        source: Errno::EINVAL,
    })?;
    execvp(program, &words).map_err(Error::system("start", program.to_string_lossy()))
}
