//! What is answered: which set a trigger means, and its published hint.

use super::wire::{
    GetMetricSpecResponse, GetMetricsResponse, IsActiveResponse, MetricSpec, MetricValue, ScaledObjectRef,
};
use crate::published::{Hints, Item};
use continuity_api::metrics::DESIRED_REPLICAS;
use tonic::Status;

/// The hint that a trigger asks for: `service` of its own namespace, and `port` where the Service has several.
pub(super) fn hint(hints: &Hints, asked: &ScaledObjectRef) -> Result<Item, Status> {
    let service = field(asked, "service").ok_or_else(|| {
        Status::invalid_argument(
            "the trigger's metadata lacks `service`, the name of a Service of its namespace",
        )
    })?;
    let port = field(asked, "port");
    let namespace = &asked.namespace;
    let mut found: Vec<Item> = hints
        .of(namespace)
        .into_iter()
        .filter(|item| item.service == service && port.is_none_or(|port| item.port == port))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(item), true) => Ok(item),
        (Some(_), false) => Err(Status::invalid_argument(format!(
            "Service {namespace}/{service} has a hint for each of several ports; name one as `port` in the trigger's metadata"
        ))),
        (None, _) if !hints.complete() => Err(Status::unavailable(
            "this replica does not know the cluster yet; ask again in a second",
        )),
        (None, _) => Err(Status::not_found(format!(
            "there is no scale hint for {namespace}/{service}{}; `kubectl get equivalencesets -n {namespace}` shows the sets \
             there are, and a policy with scaleHint.enabled makes one",
            port.map_or_else(String::new, |port| format!(" port {port}"))
        ))),
    }
}

fn field<'a>(asked: &'a ScaledObjectRef, key: &str) -> Option<&'a str> {
    asked
        .scaler_metadata
        .get(key)
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}

/// A set with a hint wants one replica at least, so nothing is ever scaled to none for our sake.
pub(super) const fn active() -> IsActiveResponse {
    IsActiveResponse { result: true }
}

/// A target of 1 for each pod makes the metric's value the wanted number of replicas.
pub(super) fn spec() -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![MetricSpec {
            metric_name: DESIRED_REPLICAS.to_owned(),
            target_size: 1,
            target_size_float: 1.0,
        }],
    }
}

/// The value.
pub(super) fn value(item: &Item) -> GetMetricsResponse {
    GetMetricsResponse {
        metric_values: vec![MetricValue {
            metric_name: DESIRED_REPLICAS.to_owned(),
            metric_value: i64::from(item.desired),
            metric_value_float: f64::from(item.desired),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_api::set::HintStatus;
    use continuity_api::{EquivalenceSet, EquivalenceSetSpec, EquivalenceSetStatus};
    use tonic::Code;

    fn set(port: &str, desired: i32) -> EquivalenceSet {
        let mut spec = EquivalenceSetSpec::default();
        spec.service.name = "checkout".into();
        spec.port.label = port.into();
        let mut set = EquivalenceSet::new(&format!("checkout-{port}"), spec);
        set.metadata.namespace = Some("shop".into());
        set.status = Some(EquivalenceSetStatus {
            scale_hint: Some(HintStatus {
                desired_replicas: desired,
                ..HintStatus::default()
            }),
            ..EquivalenceSetStatus::default()
        });
        set
    }

    fn asked(namespace: &str, metadata: &[(&str, &str)]) -> ScaledObjectRef {
        let pairs = metadata
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        ScaledObjectRef {
            name: "checkout".into(),
            namespace: namespace.into(),
            scaler_metadata: pairs.collect(),
        }
    }

    fn published(sets: &[EquivalenceSet]) -> Hints {
        let hints = Hints::default();
        hints.replace(sets.iter());
        hints
    }

    #[test]
    fn a_trigger_gets_the_hint_of_its_service_and_port() {
        let hints = published(&[set("http", 6), set("admin", 2)]);
        let both = asked("shop", &[("service", "checkout"), ("port", "http")]);
        assert_eq!(hint(&hints, &both).unwrap().desired, 6);
        let one = published(&[set("http", 6)]);
        let only = asked("shop", &[("service", "checkout")]);
        assert_eq!(hint(&one, &only).unwrap().desired, 6, "no port, one set");
    }

    #[test]
    fn a_trigger_that_means_no_set_or_several_is_told_what_to_write() {
        let hints = published(&[set("http", 6), set("admin", 2)]);
        let refused = |namespace: &str, metadata: &[(&str, &str)]| {
            let status = hint(&hints, &asked(namespace, metadata)).unwrap_err();
            (status.code(), status.message().to_owned())
        };
        let (code, text) = refused("shop", &[]);
        assert!(
            code == Code::InvalidArgument && text.contains("lacks `service`"),
            "{text}"
        );
        let (code, text) = refused("shop", &[("service", "checkout")]);
        assert!(
            code == Code::InvalidArgument && text.contains("name one as `port`"),
            "{text}"
        );
        let (code, text) = refused("shop", &[("service", "checkout"), ("port", "x")]);
        assert!(code == Code::NotFound && text.contains("port x"), "{text}");
    }

    #[test]
    fn a_tenant_does_not_read_the_hints_of_another_by_naming_its_service() {
        let hints = published(&[set("http", 6)]);
        let foreign = asked("other", &[("service", "checkout"), ("namespace", "shop")]);
        assert_eq!(hint(&hints, &foreign).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn a_replica_that_knows_nothing_yet_does_not_say_that_there_is_nothing() {
        let status = hint(&Hints::default(), &asked("shop", &[("service", "checkout")])).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
}
