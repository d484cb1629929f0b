//! References to Services and their ports, in the Gateway API's shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The only kind a policy can target.
pub const SERVICE_KIND: &str = "Service";

/// A Service of the policy's own namespace, or one port of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API group of the target. Only the core group is supported, written as the empty string (default "").
    #[serde(default)]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [{
        "rule": "self == ''",
        "message": "only Services can be targeted: leave group empty (the core group)"
    }]))]
    pub group: String,
    /// Kind of the target. Only Service is supported (default Service).
    #[serde(default = "service_kind")]
    #[schemars(length(max = 63), extend("x-kubernetes-validations" = [{
        "rule": "self == 'Service'",
        "message": "only Services can be targeted: kind must be Service"
    }]))]
    pub kind: String,
    /// Name of the Service, in the policy's namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of one port of the Service. Without it the policy holds for every port (default: every port).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub section_name: Option<String>,
}

fn service_kind() -> String {
    SERVICE_KIND.to_owned()
}

impl TargetRef {
    /// A reference to every port of a Service.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self {
            group: String::new(),
            kind: service_kind(),
            name: name.to_owned(),
            section_name: None,
        }
    }

    /// A reference to one named port of a Service.
    #[must_use]
    pub fn port(name: &str, port: &str) -> Self {
        Self {
            section_name: Some(port.to_owned()),
            ..Self::service(name)
        }
    }
}

/// The Service behind a set or plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceIdentity {
    /// Name of the Service, in the object's own namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// UID of the Service, so that a deleted and recreated Service is never mistaken for the old one.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortIdentity {
    /// Name of the port as the Service gives it; absent where the port has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub name: Option<String>,
    /// Number of the Service port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub number: i32,
    /// Transport protocol of the port: TCP, UDP or SCTP (default TCP).
    #[serde(default)]
    pub protocol: Protocol,
    /// What the port is called in columns and metric labels: its name, or its number where it has none.
    #[schemars(length(min = 1, max = 63))]
    pub label: String,
}

/// Transport protocol of a Service port: TCP, UDP or SCTP.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Protocol {
    /// Steered at connect.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// Datagram.
    #[serde(rename = "UDP")]
    Udp,
    /// Never steered.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// The policy that a set or plan follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyIdentity {
    /// Name of the ContinuityPolicy, in the object's own namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the ContinuityPolicy.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// metadata.generation of the ContinuityPolicy that is in force here, counted from 1.
    #[schemars(range(min = 0))]
    pub generation: i64,
}
