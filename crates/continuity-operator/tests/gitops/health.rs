//! The scripts of `config/gitops` as their tools run them.

use cel::{Context, Program};
use mlua::{Lua, LuaOptions, LuaSerdeExt as _, StdLib};
use serde::Deserialize as _;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(tool: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config/gitops")
        .join(tool)
}

/// Script of a kind, as the component puts it under a key of argocd-cm.
fn script(kind: &str) -> String {
    let text = fs::read_to_string(folder("argocd").join("kustomization.yaml")).unwrap();
    let file = text
        .lines()
        .find_map(|line| line.split_once(&format!("health.continuity.nity.io_{kind}=")))
        .unwrap_or_else(|| panic!("no script for {kind}"))
        .1;
    fs::read_to_string(folder("argocd").join(file.trim())).unwrap()
}

/// Argo CD's health and message: Lua with the object as `obj`, and of the libraries no more than it loads.
pub(crate) fn argo(object: &Value) -> (String, String) {
    let lua = Lua::new_with(
        StdLib::TABLE | StdLib::STRING | StdLib::MATH,
        LuaOptions::default(),
    )
    .unwrap();
    // A field that is absent is nil in Argo CD, never a null value.
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let health: mlua::Table = lua.load(script(object["kind"].as_str().unwrap())).eval().unwrap();
    (health.get("status").unwrap(), health.get("message").unwrap())
}

/// Flux's status, in the order of its RFC 0009; an expression that fails is asked again later.
pub(crate) fn flux(object: &Value) -> &'static str {
    let status = &object["status"]["observedGeneration"];
    if !status.is_null() && *status != object["metadata"]["generation"] {
        return "InProgress";
    }
    let expressions = expressions(object["kind"].as_str().unwrap());
    for (key, outcome) in [
        ("inProgress", "InProgress"),
        ("failed", "Failed"),
        ("current", "Current"),
    ] {
        match expressions[key].as_str().map(|text| holds(text, object)) {
            Some(Ok(true)) => return outcome,
            Some(Err(())) => return "InProgress",
            _ => {}
        }
    }
    "InProgress"
}

fn expressions(kind: &str) -> Value {
    let text = fs::read_to_string(folder("flux").join("continuity.yaml")).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap());
    let found = documents
        .flat_map(|document| {
            document["spec"]["healthCheckExprs"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        })
        .find(|entry| entry["kind"] == kind);
    found.unwrap_or_else(|| panic!("no expressions for {kind}"))
}

/// Each top-level field of the object is a variable; one that is absent makes the expression fail.
fn holds(expression: &str, object: &Value) -> Result<bool, ()> {
    let program = Program::compile(expression).unwrap();
    let mut context = Context::default();
    for (name, value) in object.as_object().unwrap() {
        context.add_variable_from_value(name.as_str(), cel::to_value(value).unwrap());
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(value)) => Ok(value),
        Ok(other) => panic!("{expression} gives {other:?}"),
        Err(_) => Err(()),
    }
}
