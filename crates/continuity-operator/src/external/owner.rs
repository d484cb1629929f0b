//! Whose the APIService is.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

/// Owner of the external metrics API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Our own Service stands behind it.
    Us,
    /// There is no such APIService.
    Nobody,
    /// Another Service, as namespace/name.
    Other(String),
}

/// The owner, where our Service is `namespace`/`service`.
#[must_use]
pub fn owner(stored: Option<&APIService>, namespace: &str, service: &str) -> Owner {
    let Some(stored) = stored else {
        return Owner::Nobody;
    };
    let reference = stored.spec.as_ref().and_then(|spec| spec.service.as_ref());
    let Some(reference) = reference else {
        return Owner::Other("the API server itself".to_owned());
    };
    let found = (
        reference.namespace.as_deref().unwrap_or_default(),
        reference.name.as_deref().unwrap_or_default(),
    );
    if found == (namespace, service) {
        Owner::Us
    } else {
        Owner::Other(format!("{}/{}", found.0, found.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIServiceSpec, ServiceReference};

    fn served_by(namespace: &str, name: &str) -> APIService {
        let reference = ServiceReference {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            ..ServiceReference::default()
        };
        APIService {
            spec: Some(APIServiceSpec {
                service: Some(reference),
                ..APIServiceSpec::default()
            }),
            ..APIService::default()
        }
    }

    #[test]
    fn our_own_service_makes_it_ours() {
        let found = owner(
            Some(&served_by("continuity-system", "metrics")),
            "continuity-system",
            "metrics",
        );
        assert_eq!(found, Owner::Us);
    }

    #[test]
    fn somebody_elses_service_is_named_and_left_alone() {
        let found = owner(
            Some(&served_by("keda", "keda-metrics")),
            "continuity-system",
            "metrics",
        );
        assert_eq!(found, Owner::Other("keda/keda-metrics".into()));
    }

    #[test]
    fn a_missing_api_service_belongs_to_nobody() {
        assert_eq!(owner(None, "continuity-system", "metrics"), Owner::Nobody);
    }
}
