//! Why there is nothing to explain, which is an explanation too.

use std::fmt;

/// Nothing of Continuity's belongs to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// There is no such Service.
    Service {
        /// Where it was looked for.
        namespace: String,
        /// What was asked for.
        name: String,
    },
    /// No policy names the Service.
    Policy {
        /// Namespace of the Service.
        namespace: String,
        /// The Service.
        name: String,
    },
    /// A policy names the Service and is not accepted.
    Refused {
        /// The policy.
        policy: String,
        /// Reason of `Accepted=False`.
        reason: String,
        /// Its message.
        message: String,
    },
    /// A policy names the Service and the operator has not looked at it yet.
    Pending {
        /// The policy.
        policy: String,
    },
    /// The Service has sets, but none for that port.
    Port {
        /// The Service.
        service: String,
        /// The port asked for.
        port: String,
        /// The ports that have a set.
        known: Vec<String>,
    },
    /// There is no such set.
    Set {
        /// Where it was looked for.
        namespace: String,
        /// What was asked for.
        name: String,
    },
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name } => {
                write!(
                    f,
                    "namespace {namespace} has no Service {name}. Is -n NAMESPACE right?"
                )
            }
            Self::Policy { namespace, name } => write!(
                f,
                "no ContinuityPolicy in namespace {namespace} is about Service {name}, so Continuity does not touch it \
                 and kube-proxy serves it. config/samples/observe.yaml is a first policy"
            ),
            Self::Refused {
                policy,
                reason,
                message,
            } => {
                write!(
                    f,
                    "ContinuityPolicy {policy} is not accepted ({reason}): {message}. Traffic is as without it"
                )
            }
            Self::Pending { policy } => write!(
                f,
                "ContinuityPolicy {policy} is new and the operator has not looked at it yet. If that lasts, see \
                 `kubectl continuity check`"
            ),
            Self::Port { service, port, known } => {
                write!(
                    f,
                    "Service {service} has no set for port {port}; there is one for {}",
                    known.join(", ")
                )
            }
            Self::Set { namespace, name } => write!(
                f,
                "namespace {namespace} has no EquivalenceSet {name}; `kubectl get equivalencesets -n {namespace}` lists them"
            ),
        }
    }
}
