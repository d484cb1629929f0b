//! The rule by which the API server refuses what a deposed leader had on its way: the writer's epoch never falls.
//!
//! A transition rule of the CRD, so that it holds for every writer and needs no admission webhook.

use serde_json::{Value, json};

/// Where every object has an epoch.
pub(crate) fn always() -> Value {
    rule("self.writerEpoch >= oldSelf.writerEpoch")
}

/// Where an object can be without one until the operator first writes it.
pub(crate) fn once_written() -> Value {
    rule("!has(self.writerEpoch) || !has(oldSelf.writerEpoch) || self.writerEpoch >= oldSelf.writerEpoch")
}

fn rule(text: &str) -> Value {
    json!({
        "rule": text,
        "message": "writerEpoch is smaller than the stored one: the writer is no longer the leader and must stop",
        "reason": "FieldValueForbidden",
        "fieldPath": ".writerEpoch",
    })
}
