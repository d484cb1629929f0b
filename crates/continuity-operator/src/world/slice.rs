//! What the operator needs of an EndpointSlice.

use super::Key;
use continuity_api::labels;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceFacts {
    /// Port names; empty where the port has none.
    pub ports: Vec<String>,
    /// Endpoints.
    pub endpoints: Vec<EndpointFacts>,
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFacts {
    /// What stands behind it: the pod, or the address where there is none. A dual-stack pod is one backend.
    pub identity: String,
    /// Ready for traffic.
    pub ready: bool,
    /// Terminating, and still serving.
    pub serving: bool,
}

/// Backends of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendFacts {
    /// Backends that serve.
    pub ready: usize,
    /// All backends.
    pub total: usize,
}

impl SliceFacts {
    /// Service and name of a slice.
    #[must_use]
    pub fn key(slice: &EndpointSlice) -> (Key, String) {
        let service = slice
            .labels()
            .get(labels::SERVICE_NAME)
            .cloned()
            .unwrap_or_default();
        (
            Key {
                namespace: slice.namespace().unwrap_or_default(),
                name: service,
            },
            slice.name_any(),
        )
    }

    /// What is needed of `slice`.
    #[must_use]
    pub fn of(slice: &EndpointSlice) -> Self {
        let ports = slice
            .ports
            .iter()
            .flatten()
            .map(|port| port.name.clone().unwrap_or_default())
            .collect();
        Self {
            ports,
            endpoints: slice.endpoints.iter().flatten().map(endpoint).collect(),
        }
    }
}

fn endpoint(endpoint: &Endpoint) -> EndpointFacts {
    let conditions = endpoint.conditions.as_ref();
    // An absent `ready` means ready, by the API's own words.
    let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    let serving = conditions
        .and_then(|conditions| conditions.serving)
        .unwrap_or(ready);
    let pod = endpoint
        .target_ref
        .as_ref()
        .and_then(|target| target.name.clone());
    let identity = pod
        .or_else(|| endpoint.addresses.first().cloned())
        .unwrap_or_default();
    EndpointFacts {
        identity,
        ready,
        serving,
    }
}

impl BackendFacts {
    /// Counts the backends behind the port called `port` in the slices of one Service.
    ///
    /// Where nothing is ready, terminating endpoints that still serve are what kube-proxy uses, so they count then.
    pub fn count<'a>(slices: impl Iterator<Item = &'a SliceFacts>, port: &str) -> Self {
        let mut backends: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        for slice in slices.filter(|slice| slice.ports.iter().any(|name| name == port)) {
            for endpoint in &slice.endpoints {
                let known = backends.entry(&endpoint.identity).or_default();
                *known = (known.0 || endpoint.ready, known.1 || endpoint.serving);
            }
        }
        let ready = backends.values().filter(|(ready, _)| *ready).count();
        let serving = backends.values().filter(|(_, serving)| *serving).count();
        Self {
            ready: if ready == 0 { serving } else { ready },
            total: backends.len(),
        }
    }
}
