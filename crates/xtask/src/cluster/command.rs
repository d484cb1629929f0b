//! `cargo xtask cluster …`.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Subcommand;

use super::layout::{self, CONTROL};
use super::{Cluster, Part, cgroup, control, network, node};
use crate::Error;
use crate::progress::Progress;

/// What to do with the cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum ClusterCommand {
    /// Build what is missing and bring the cluster up.
    Up,
    /// End and remove everything the cluster made.
    Down,
    /// Say what runs; exit status 0 when everything does.
    Status,
    /// Run kubectl as the administrator.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Arguments of kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// End a part of the control plane at once.
    Stop {
        /// The part.
        part: Part,
    },
    /// Start a part of the control plane again.
    Start {
        /// The part.
        part: Part,
    },
    /// Stop a node's kubelet without ending it, as a hung one would be; its pods run on.
    Pause {
        /// `node-1`, `node-2`, …
        node: String,
    },
    /// Let a paused kubelet go on.
    Resume {
        /// `node-1`, `node-2`, …
        node: String,
    },
    /// Run a program in all namespaces of a node, as its root.
    Node {
        /// `node-1`, `node-2`, …
        name: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
}

/// Does it.
pub fn run(command: ClusterCommand) -> Result<ExitCode, Error> {
    let progress = Progress::new();
    match command {
        ClusterCommand::Up => {
            Cluster::up(&progress)?;
            println!("The cluster is up. Use it: cargo xtask cluster kubectl get nodes");
        }
        ClusterCommand::Down => Cluster::down(&progress)?,
        ClusterCommand::Status => return status(),
        ClusterCommand::Kubectl { args } => {
            Cluster::attach()?;
            return Ok(code(control::kubectl().args(args).interactive()?));
        }
        ClusterCommand::Stop { part } => Cluster::attach()?.stop(part)?,
        ClusterCommand::Start { part } => Cluster::attach()?.start(part)?,
        ClusterCommand::Pause { node } => Cluster::attach()?.pause_kubelet(layout::node(&node)?)?,
        ClusterCommand::Resume { node } => Cluster::attach()?.resume_kubelet(layout::node(&node)?)?,
        ClusterCommand::Node { name, program } => {
            let cluster = Cluster::attach()?;
            let node = cluster.node(&name)?;
            return Ok(code(cluster.on_node(node, program)?.interactive()?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode, Error> {
    let up = Cluster::attach().is_ok();
    let mut whole = up;
    let mut text = format!("cluster     {}\n", if up { "up" } else { "not up" });
    let mut report = |place: &str, part: &str, runs: bool| {
        whole &= runs;
        format!("{place:<11} {part:<19} {}\n", if runs { "runs" } else { "-" })
    };
    for part in Part::ALL {
        text += &report("control", part.name(), part.runs()?);
    }
    for node in layout::nodes() {
        for part in ["init", "containerd", "kubelet", "kube-proxy"] {
            let runs = cgroup::populated(&node::part_cgroup(node, part))?;
            text += &report(&node.name(), part, runs);
        }
    }
    let groups = cgroup::remaining()?;
    let groups: Vec<String> = groups.iter().map(|path| path.display().to_string()).collect();
    text += &format!("namespaces  {}\n", list(&network::remaining()));
    text += &format!("cgroups     {}\n", list(&groups));
    if up {
        let kubeconfig = layout::admin_kubeconfig();
        text += &format!("kubeconfig  {} (inside {CONTROL})\n", kubeconfig.display());
    }
    show(&text)?;
    if up {
        let nodes = ["get", "nodes", "-o", "wide"];
        control::kubectl().args(nodes).interactive()?;
    }
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
fn show(text: &str) -> Result<(), Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::file("write to", "/dev/stdout")),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(" ")
    }
}

fn code(status: std::process::ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
