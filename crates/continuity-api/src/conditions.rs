//! Condition types, and the schema that bounds a list of conditions.
//!
//! A condition says whether a wish is applied. None of them says that traffic is healthy: that is the regime.

/// Policy: the spec is valid, the target exists, and no other policy has it.
pub const ACCEPTED: &str = "Accepted";
/// Policy: every node that should run this generation reports that it does.
pub const PROGRAMMED: &str = "Programmed";
/// Policy: accepted and programmed, applied as written. Set: resolved, with backends, and reported. Node: the dataplane is
/// attached and its heartbeat fresh.
pub const READY: &str = "Ready";
/// Policy: some fields are stored and validated but do not act in this version; the message names them.
pub const NOT_YET_ENFORCED: &str = "NotYetEnforced";
/// Node: the probe found everything that every feature needs.
pub const CAPABILITIES_MET: &str = "CapabilitiesMet";
/// Node: nothing of it runs out, and its tasks do not stand still.
pub const RESOURCES_SUFFICIENT: &str = "ResourcesSufficient";
/// Node: its reports count. Written by the operator, on a node that it doubts or has doubted.
pub const TRUSTED: &str = "Trusted";

/// Status of a condition: it holds.
pub const TRUE: &str = "True";
/// Status of a condition: it does not hold.
pub const FALSE: &str = "False";
/// Status of a condition: not known.
pub const UNKNOWN: &str = "Unknown";

/// Conditions in one list.
pub const CONDITIONS_MAX: usize = 8;

/// Schema of a list of conditions: upstream's type with upstream's limits, which the generated schema lacks.
pub fn list_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": CONDITIONS_MAX,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "Type of the condition, in CamelCase.",
                    "type": "string", "maxLength": 316, "minLength": 1
                },
                "status": {
                    "description": "True, False or Unknown.",
                    "type": "string", "enum": [TRUE, FALSE, UNKNOWN]
                },
                "observedGeneration": {
                    "description": "metadata.generation the condition is about, counted from 1.",
                    "type": "integer", "format": "int64", "minimum": 0
                },
                "lastTransitionTime": {
                    "description": "Time the status of the condition last changed.",
                    "type": "string", "format": "date-time"
                },
                "reason": {
                    "description": "Why, one word for machines, in CamelCase.",
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
                },
                "message": {
                    "description": "Why, one sentence for people that says what to do.",
                    "type": "string", "maxLength": 32768
                }
            }
        }
    })
}
