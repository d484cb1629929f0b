//! One table row per field of a schema, depth first, in the order of the names.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Rows of every field below `schema`.
pub(super) fn walk(path: &str, schema: &JSONSchemaProps, rows: &mut Vec<String>) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let need = if required.contains(name) { ", required" } else { "" };
        let default = field
            .default
            .as_ref()
            .map(|value| format!("`{}`", plain(&value.0)))
            .unwrap_or_default();
        let meaning = cell(field.description.as_deref().unwrap_or(""));
        rows.push(format!(
            "| `{path}` | {}{need} | {} | {} | {meaning} |",
            kind(field),
            cell(&default),
            cell(&allowed(field))
        ));
        walk(&path, field, rows);
        if let Some(item) = items(field) {
            walk(&format!("{path}[]"), item, rows);
        }
    }
}

/// Rules of a schema and of everything below it.
pub(super) fn rules(path: &str, schema: &JSONSchemaProps, found: &mut Vec<(String, String)>) {
    own_rules(path, schema, found);
    for (name, field) in schema.properties.iter().flatten() {
        rules(&format!("{path}.{name}"), field, found);
    }
    if let Some(item) = items(schema) {
        rules(&format!("{path}[]"), item, found);
    }
}

/// Rules that stand on the schema itself.
pub(super) fn own_rules(path: &str, schema: &JSONSchemaProps, found: &mut Vec<(String, String)>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let message = rule.message.clone().or_else(|| rule.message_expression.clone());
        found.push((
            path.to_owned(),
            message.unwrap_or_else(|| format!("`{}`", rule.rule)),
        ));
    }
}

/// Text that may stand in a table cell: one line, no bars.
pub(super) fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(list) => list.first(),
    }
}

fn kind(schema: &JSONSchemaProps) -> String {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return "integer or string".to_owned();
    }
    match schema.type_.as_deref() {
        Some("array") => {
            let item = items(schema)
                .and_then(|item| item.type_.as_deref())
                .unwrap_or("value");
            format!("list of {item}s")
        }
        Some("object") => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(value)) => {
                format!("map to {}s", value.type_.as_deref().unwrap_or("value"))
            }
            _ => "object".to_owned(),
        },
        Some("string") if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn allowed(schema: &JSONSchemaProps) -> String {
    let mut parts = Vec::new();
    if let Some(values) = &schema.enum_ {
        parts.push(
            values
                .iter()
                .map(|value| plain(&value.0))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    parts.extend(match (schema.minimum, schema.maximum) {
        (Some(low), Some(high)) => Some(format!("{low}–{high}")),
        (Some(low), None) => Some(format!("≥ {low}")),
        (None, Some(high)) => Some(format!("≤ {high}")),
        (None, None) => None,
    });
    parts.extend(
        schema
            .min_items
            .filter(|count| *count > 0)
            .map(|count| format!("≥ {count} entries")),
    );
    parts.extend(schema.max_items.map(|count| format!("≤ {count} entries")));
    parts.extend(schema.max_properties.map(|count| format!("≤ {count} entries")));
    parts.extend(schema.max_length.map(|count| format!("≤ {count} characters")));
    parts.join("; ")
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
