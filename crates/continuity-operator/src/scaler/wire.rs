//! The messages of KEDA's `externalscaler.proto`, of which `proto/externalscaler.proto` is an unchanged copy (KEDA 2.21).
//!
//! Declared by hand, so that a build needs neither protoc nor a generator; a test holds them against the copy.

use std::collections::BTreeMap;

/// The ScaledObject that asks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ScaledObjectRef {
    /// Its name.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Its namespace, set by KEDA, not by whoever wrote the trigger.
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    /// The trigger's metadata.
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) scaler_metadata: BTreeMap<String, String>,
}

/// Whether there should be any replica at all.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct IsActiveResponse {
    /// Whether.
    #[prost(bool, tag = "1")]
    pub(super) result: bool,
}

/// The metrics of a ScaledObject.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetMetricSpecResponse {
    /// One for each.
    #[prost(message, repeated, tag = "1")]
    pub(super) metric_specs: Vec<MetricSpec>,
}

/// A metric and its target.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetricSpec {
    /// Name.
    #[prost(string, tag = "1")]
    pub(super) metric_name: String,
    /// Target of a KEDA that knows no fractions.
    #[prost(int64, tag = "2")]
    pub(super) target_size: i64,
    /// Target.
    #[prost(double, tag = "3")]
    pub(super) target_size_float: f64,
}

/// Which metric of which ScaledObject.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct GetMetricsRequest {
    /// The ScaledObject.
    #[prost(message, optional, tag = "1")]
    pub(super) scaled_object_ref: Option<ScaledObjectRef>,
    /// The metric.
    #[prost(string, tag = "2")]
    pub(super) metric_name: String,
}

/// Values.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetMetricsResponse {
    /// One for each metric.
    #[prost(message, repeated, tag = "1")]
    pub(super) metric_values: Vec<MetricValue>,
}

/// A metric and its value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetricValue {
    /// Name.
    #[prost(string, tag = "1")]
    pub(super) metric_name: String,
    /// Value of a KEDA that knows no fractions.
    #[prost(int64, tag = "2")]
    pub(super) metric_value: i64,
    /// Value.
    #[prost(double, tag = "3")]
    pub(super) metric_value_float: f64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// `Message field: type = tag`, with the field's name without case and underscores.
    fn line(message: &str, field: &str, kind: &str, tag: &str) -> String {
        let field = field.replace('_', "").to_lowercase();
        format!("{message} {field}: {kind} = {tag}")
    }

    fn upstream() -> BTreeSet<String> {
        let mut message = "";
        let mut found = BTreeSet::new();
        for text in include_str!("../../proto/externalscaler.proto")
            .lines()
            .map(str::trim)
        {
            if let Some(name) = text.strip_prefix("message ") {
                message = name.trim_end_matches(" {");
            } else if let Some((left, tag)) = text.trim_end_matches(';').split_once(" = ")
                && !message.is_empty()
            {
                let (kind, field) = left.rsplit_once(' ').unwrap();
                found.insert(line(message, field, kind, tag));
            }
        }
        found
    }

    fn ours() -> BTreeSet<String> {
        let (mut message, mut kind, mut tag) = ("", String::new(), "");
        let mut found = BTreeSet::new();
        let source = include_str!("wire.rs").split("#[cfg(test)]").next().unwrap();
        for text in source.lines().map(str::trim) {
            if let Some(rest) = text.strip_prefix("pub(super) struct ") {
                message = rest.trim_end_matches(" {");
            } else if let Some(rest) = text.strip_prefix("#[prost(") {
                let (form, number) = rest.trim_end_matches("\")]").split_once("tag = \"").unwrap();
                (kind, tag) = (form.trim_end_matches(", ").to_owned(), number);
            } else if let Some(rest) = text.strip_prefix("pub(super) ") {
                let (field, typed) = rest.trim_end_matches(',').split_once(": ").unwrap();
                let inner = typed.trim_start_matches("Vec<").trim_start_matches("Option<");
                let inner = inner.trim_end_matches('>');
                let shown = match kind.as_str() {
                    "message, repeated" => format!("repeated {inner}"),
                    "message, optional" => inner.to_owned(),
                    "btree_map = \"string, string\"" => "map<string, string>".to_owned(),
                    plain => plain.to_owned(),
                };
                found.insert(line(message, field, &shown, tag));
            }
        }
        found
    }

    #[test]
    fn every_field_has_the_type_and_the_number_that_keda_gives_it() {
        let upstream = upstream();
        assert_eq!(upstream.len(), 14, "{upstream:#?}");
        assert_eq!(ours(), upstream);
    }
}
