//! The API reference in Markdown, generated from the CRD schemas, so that `kubectl explain`, the API server's refusals
//! and the page can never say different things. Same CRDs in, same bytes out.
//!
//! Left out: metadata, and anything a schema does not say.

mod field;
mod metric;

pub use metric::page as metrics;

use crate::error::Error;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
};
use std::fmt::Write as _;
use std::path::Path;

/// Reads every CRD in a folder and writes the reference.
///
/// # Errors
/// The folder cannot be read, or a file is not a CRD.
pub fn from_folder(folder: &Path) -> Result<String, Error> {
    let failed = |path: &Path| {
        let what = path.display().to_string();
        move |source| Error::File { what, source }
    };
    let mut crds = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml");
        if !yaml || path.file_stem().is_some_and(|stem| stem == "kustomization") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
        let crd: CustomResourceDefinition =
            serde_yaml_ng::from_str(&text).map_err(|source| Error::Manifest {
                file: path.display().to_string(),
                source,
            })?;
        crds.push(crd);
    }
    Ok(markdown(&crds))
}

/// The whole page, kinds in the order of their names.
#[must_use]
pub fn markdown(crds: &[CustomResourceDefinition]) -> String {
    let mut sorted: Vec<&CustomResourceDefinition> = crds.iter().collect();
    sorted.sort_by(|a, b| a.spec.names.kind.cmp(&b.spec.names.kind));
    let mut page = String::from(
        "# API reference\n\nGenerated from `crds/` by `cargo run -p continuity-cli --bin apidoc`; do not edit. \
         `kubectl explain` shows the same text.\n\n",
    );
    for crd in &sorted {
        let _ = writeln!(
            page,
            "- [{0}](#{1})",
            crd.spec.names.kind,
            crd.spec.names.kind.to_lowercase()
        );
    }
    for crd in sorted {
        kind(&mut page, crd);
    }
    page
}

fn kind(page: &mut String, crd: &CustomResourceDefinition) {
    let names = &crd.spec.names;
    let short = names.short_names.clone().unwrap_or_default().join(", ");
    for version in &crd.spec.versions {
        let _ = write!(page, "\n## {}\n\n", names.kind);
        let scope = if crd.spec.scope == "Namespaced" {
            "namespaced"
        } else {
            "cluster-scoped"
        };
        let _ = writeln!(
            page,
            "`{}/{}`, {scope}, short name `{short}`.",
            crd.spec.group, version.name
        );
        let Some(schema) = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref())
        else {
            continue;
        };
        if let Some(description) = &schema.description {
            let _ = write!(page, "\n{}\n", description.trim());
        }
        columns(page, version);
        for part in ["spec", "status"] {
            if let Some(schema) = schema
                .properties
                .as_ref()
                .and_then(|properties| properties.get(part))
            {
                let _ = write!(page, "\n### {} {part}\n\n", names.kind);
                section(page, part, schema);
            }
        }
        rules(page, "", schema);
    }
}

/// What `kubectl get` prints.
fn columns(page: &mut String, version: &CustomResourceDefinitionVersion) {
    let Some(columns) = &version.additional_printer_columns else {
        return;
    };
    page.push_str("\n`kubectl get` shows:\n\n| column | from | meaning |\n| --- | --- | --- |\n");
    for column in columns {
        let wide = if column.priority.unwrap_or(0) > 0 {
            " (`-o wide`)"
        } else {
            ""
        };
        let meaning = field::cell(column.description.as_deref().unwrap_or(""));
        let _ = writeln!(
            page,
            "| {}{wide} | `{}` | {meaning} |",
            column.name,
            field::cell(&column.json_path)
        );
    }
}

fn section(page: &mut String, part: &str, schema: &JSONSchemaProps) {
    if schema
        .properties
        .as_ref()
        .is_none_or(|properties| properties.is_empty())
    {
        page.push_str("No fields.\n");
        return;
    }
    page.push_str("| field | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n");
    let mut rows = Vec::new();
    field::walk(part, schema, &mut rows);
    for row in rows {
        page.push_str(&row);
        page.push('\n');
    }
    rules(page, part, schema);
}

/// The CEL rules of a schema and everything below it, as the sentence the API server refuses with.
fn rules(page: &mut String, part: &str, schema: &JSONSchemaProps) {
    let mut found = Vec::new();
    if part.is_empty() {
        field::own_rules("", schema, &mut found);
    } else {
        field::rules(part, schema, &mut found);
    }
    if found.is_empty() {
        return;
    }
    page.push_str("\nRefused at apply:\n\n");
    for (path, message) in found {
        let place = if path.is_empty() {
            "the object".to_owned()
        } else {
            format!("`{path}`")
        };
        let _ = writeln!(page, "- {place}: {message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gates.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Gate, plural: gates, shortNames: [gt]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: OPEN, type: string, jsonPath: .status.open, description: is it open}
    schema:
      openAPIV3Schema:
        type: object
        description: A gate.
        properties:
          spec:
            type: object
            required: [width]
            x-kubernetes-validations:
            - {rule: self.width > 0, message: width must be positive}
            properties:
              width: {type: integer, minimum: 1, maximum: 9, description: Width in metres.}
              bars:
                type: array
                maxItems: 4
                description: "Bars | from left."
                items:
                  type: object
                  properties:
                    metal: {type: string, enum: [Iron, Steel], default: Iron, description: What of.}
"#;

    #[test]
    fn a_schema_becomes_one_row_a_field_with_range_default_and_rule() {
        let crd: CustomResourceDefinition = serde_yaml_ng::from_str(CRD).expect("a CRD");
        let page = markdown(&[crd]);
        for line in [
            "`example.org/v1`, namespaced, short name `gt`.",
            "| OPEN | `.status.open` | is it open |",
            "| `spec.width` | integer, required |  | 1–9 | Width in metres. |",
            "| `spec.bars` | list of objects |  | ≤ 4 entries | Bars \\| from left. |",
            "| `spec.bars[].metal` | string | `Iron` | Iron, Steel | What of. |",
            "- `spec`: width must be positive",
        ] {
            assert!(page.contains(line), "missing: {line}\nin:\n{page}");
        }
    }

    #[test]
    fn the_same_schemas_give_the_same_bytes_in_any_order() {
        let one: CustomResourceDefinition = serde_yaml_ng::from_str(CRD).expect("a CRD");
        let mut two = one.clone();
        two.spec.names.kind = "Arch".to_owned();
        assert_eq!(markdown(&[one.clone(), two.clone()]), markdown(&[two, one]));
    }
}
