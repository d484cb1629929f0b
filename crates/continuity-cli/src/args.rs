//! The command line. kubectl's own flags keep their kubectl names, so that `kubectl continuity` feels like kubectl.

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use std::path::PathBuf;

/// Why is traffic moving, is Continuity healthy, and how to take it away again.
///
/// Exit codes: 0 all is well; 1 the answer is bad (a check failed, something was left behind); 2 wrong usage, or the
/// named object does not exist; 3 the API server could not be asked.
#[derive(Debug, Parser)]
#[command(name = "kubectl-continuity", bin_name = "kubectl continuity", version, about)]
pub struct Cli {
    /// Which cluster, as whom, and in which namespace.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// kubectl's connection flags.
#[derive(Debug, Clone, Default, Args)]
pub struct Connection {
    /// Path to the kubeconfig file; default is $KUBECONFIG, then ~/.kube/config, then the pod's own account.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig context to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the Service or set; default is the context's.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Namespace that Continuity is installed in.
    #[arg(long, global = true, value_name = "NAME", default_value = crate::install::NAMESPACE)]
    pub system_namespace: String,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Overview: equivalence sets, nodes, agents, operator.
    Status {
        /// Sets of all namespaces.
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Format of the answer.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Looks for whatever keeps Continuity from doing its work; each finding has an id and a runbook entry.
    Check {
        /// Format of the answer.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        /// Treat warnings as failures.
        #[arg(long)]
        strict: bool,
    },
    /// Says on one screen what happens with a Service's traffic, why, what was done and what comes next; or what happened to a
    /// policy or node.
    Explain {
        /// svc/NAME, policy/NAME, node/NAME, or the name of an EquivalenceSet (eqs/NAME or NAME).
        #[arg(value_name = "TARGET")]
        target: String,
        /// File of `kubectl continuity snapshot`: explains what it holds, as of its moment, without a cluster.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Format of the answer.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Writes what explains an incident into one file, without Secrets, for `explain --from`.
    Snapshot {
        /// File to write; it must not exist. Default: continuity-snapshot-TIME.json.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Records what nodes decide about a set, and proves that the record decides the same again.
    Record(Record),
    /// Shows a page of /debug, through the API server: the operator's (scheduler, hints), or that of a node's agent (lanes,
    /// decisions, node).
    Debug {
        /// Which page.
        #[arg(value_name = "PAGE", value_parser = crate::debug::PAGES)]
        page: String,
        /// Pod of the operator, default is the leader's; or pod of an agent.
        #[arg(long, value_name = "NAME")]
        pod: Option<String>,
        /// Node whose agent is asked.
        #[arg(long, value_name = "NAME", conflicts_with = "pod")]
        node: Option<String>,
        /// File of `kubectl continuity snapshot`: shows the page that it holds, without a cluster.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Format of the answer.
        #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
        output: Output,
    },
    /// Removes Continuity from every node and from the API, and proves it.
    Uninstall {
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Keep the CRDs and the ContinuityPolicies.
        #[arg(long)]
        keep_crds: bool,
        /// Go on although nodes that are not Ready could not be cleaned; their pins end with their next reboot.
        #[arg(long)]
        ignore_unreachable: bool,
        /// Image to clean the nodes with, if the DaemonSet that names it is already gone.
        #[arg(long, value_name = "IMAGE")]
        agent_image: Option<String>,
        /// Seconds to wait for each step.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        timeout: u64,
        /// Format of the proof.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// What `record` takes.
#[derive(Debug, Clone, Args)]
pub struct Record {
    /// svc/NAME:PORT, or the name of an EquivalenceSet (eqs/NAME or NAME).
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// How long, such as 60s or 2m; at most 10m.
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    pub span: SignedDuration,
    /// Node that records; may be given 8 times. Default: the three whose clients send most.
    #[arg(long = "node", value_name = "NAME")]
    pub nodes: Vec<String>,
    /// Directory for the files, one a node and IP version.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,
    /// Format of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for a person.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}
