use super::*;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;
use std::path::Path;

fn each(schema: &JSONSchemaProps, path: &str, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        each(property, &format!("{path}.{name}"), visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        each(item, &format!("{path}[]"), visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &schema.additional_properties {
        each(value, &format!("{path}{{}}"), visit);
    }
}

fn schema(version: &CustomResourceDefinitionVersion) -> &JSONSchemaProps {
    let schema = version.schema.as_ref().unwrap();
    schema.open_api_v3_schema.as_ref().unwrap()
}

/// What fails `wrong` anywhere in the four schemas, by path.
fn offenders(wrong: impl Fn(&str, &JSONSchemaProps) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for definition in definitions() {
        let kind = &definition.spec.names.kind;
        for version in &definition.spec.versions {
            each(schema(version), kind, &mut |path, schema| {
                if wrong(path, schema) {
                    found.push(path.to_owned());
                }
            });
        }
    }
    found
}

fn is(schema: &JSONSchemaProps, kind: &str) -> bool {
    schema.type_.as_deref() == Some(kind)
}

#[test]
fn every_property_is_described() {
    // Items and map values are described by the list or map that holds them.
    let missing = offenders(|path, schema| !path.ends_with(['}', ']']) && schema.description.is_none());
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_list_string_and_map_is_bounded() {
    let unbounded = offenders(|_, schema| {
        let string = is(schema, "string")
            && schema.max_length.is_none()
            && schema.enum_.is_none()
            && schema.format.as_deref() != Some("date-time");
        let list = is(schema, "array") && schema.max_items.is_none();
        let map =
            is(schema, "object") && schema.additional_properties.is_some() && schema.max_properties.is_none();
        string || list || map
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn every_number_is_a_bounded_signed_integer() {
    let wrong = offenders(|_, schema| {
        let float = is(schema, "number");
        let unsigned = schema
            .format
            .as_deref()
            .is_some_and(|format| format.starts_with("uint"));
        let boundless = is(schema, "integer") && schema.minimum.is_none();
        float || unsigned || boundless
    });
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_field_accepts_null_and_none_keeps_unknown_fields() {
    let wrong = offenders(|_, schema| {
        schema.nullable == Some(true) || schema.x_kubernetes_preserve_unknown_fields == Some(true)
    });
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_schema_is_structural() {
    // Structural: a type everywhere, and no alternatives that change the shape.
    let wrong =
        offenders(|_, schema| schema.type_.is_none() || schema.any_of.is_some() || schema.one_of.is_some());
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_optional_field_of_the_policy_says_its_default() {
    let definition = ContinuityPolicy::crd();
    let schema = schema(definition.spec.versions.first().unwrap());
    let mut silent = Vec::new();
    fn walk(schema: &JSONSchemaProps, path: &str, silent: &mut Vec<String>) {
        let required = schema.required.clone().unwrap_or_default();
        for (name, property) in schema.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            let said = property
                .description
                .as_deref()
                .is_some_and(|text| text.contains("default"));
            if !required.contains(name) && !said {
                silent.push(path.clone());
            }
            walk(property, &path, silent);
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &property.items {
                walk(item, &format!("{path}[]"), silent);
            }
        }
    }
    walk(
        schema.properties.as_ref().unwrap().get("spec").unwrap(),
        "spec",
        &mut silent,
    );
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn every_rule_has_a_message_that_is_a_sentence() {
    let wrong = offenders(|_, schema| {
        let rules = schema.x_kubernetes_validations.iter().flatten();
        rules.into_iter().any(|rule| {
            rule.message
                .as_deref()
                .is_none_or(|message| message.split(' ').count() < 5)
        })
    });
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_files_in_crds_are_what_the_types_give() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    for definition in definitions() {
        let name = file_name(&definition);
        let stored = std::fs::read_to_string(directory.join(&name)).unwrap();
        assert!(
            stored == to_yaml(&definition).unwrap(),
            "{name} is stale: run `cargo xtask crds`"
        );
    }
}

#[test]
fn the_columns_of_a_set_are_the_documented_ones() {
    let definition = EquivalenceSet::crd();
    let columns = definition
        .spec
        .versions
        .first()
        .unwrap()
        .additional_printer_columns
        .clone()
        .unwrap();
    let shown: Vec<String> = columns
        .iter()
        .filter(|column| column.priority.is_none())
        .map(|column| column.name.to_uppercase())
        .collect();
    let documented = "SERVICE PORT BACKENDS ISOLATED REGIME SINCE ADMISSION PRESSURE HINT REACH AGE";
    assert_eq!(shown.join(" "), documented);
}

#[test]
fn whatever_the_leader_writes_refuses_a_smaller_writer_epoch() {
    let mut fenced = Vec::new();
    for definition in definitions() {
        let root = schema(definition.spec.versions.first().unwrap());
        for part in ["spec", "status"] {
            let Some(schema) = root.properties.as_ref().unwrap().get(part) else {
                continue;
            };
            let rules = schema.x_kubernetes_validations.iter().flatten();
            let rule = "self.writerEpoch >= oldSelf.writerEpoch";
            if rules.into_iter().any(|found| found.rule.ends_with(rule)) {
                fenced.push(format!("{} {part}", definition.spec.names.kind));
            }
        }
    }
    let expected = [
        "ContinuityPolicy status",
        "EquivalenceSet spec",
        "EquivalenceSet status",
        "EquivalencePlan spec",
    ];
    assert_eq!(fenced, expected);
}
