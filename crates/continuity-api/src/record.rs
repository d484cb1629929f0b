//! The wish for a flight record of one set: an annotation of its plan, which is what agents watch.
//!
//! Who may patch EquivalencePlans may ask for one. It names its nodes and its end, so that nobody forgets it running, and
//! is no part of the plan's digest: nothing that steers depends on it.

use crate::Time;
use serde::{Deserialize, Serialize};

/// The annotation.
pub const ANNOTATION: &str = "continuity.nity.io/record";
/// Nodes in one wish: a record is read node by node, and each is some hundred kB a minute.
pub const NODES_MAX: usize = 8;
/// Longest record, in seconds.
pub const SECONDS_MAX: i64 = 600;
/// Longest id, in characters.
pub const ID_MAX: usize = 32;

/// What the annotation holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Tells this record from another one: letters, digits and dashes.
    pub id: String,
    /// When it ends.
    pub until: Time,
    /// Nodes that record.
    pub nodes: Vec<String>,
}

impl Wish {
    /// The wish of an annotation; none if it is not one that this version understands.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let wish: Self = serde_json::from_str(text).ok()?;
        let word = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
        let id = (1..=ID_MAX).contains(&wish.id.len()) && wish.id.chars().all(word);
        (id && wish.nodes.len() <= NODES_MAX).then_some(wish)
    }

    /// The annotation of the wish.
    #[must_use]
    pub fn text(&self) -> String {
        // Strings and a time serialise; an empty annotation would be no wish.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether `node` is asked for it.
    #[must_use]
    pub fn names(&self, node: &str) -> bool {
        self.nodes.iter().any(|named| named == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_comes_back_and_a_foreign_annotation_is_none() {
        let wish = Wish {
            id: "a-1".into(),
            until: Time("2026-01-02T03:04:05Z".parse().unwrap()),
            nodes: vec!["node-1".into()],
        };
        assert_eq!(Wish::parse(&wish.text()), Some(wish.clone()));
        assert!(wish.names("node-1") && !wish.names("node-2"));
        for text in [
            "",
            "true",
            "{}",
            &wish.text().replace("a-1", "a b"),
            &wish.text().replace("a-1", &"x".repeat(33)),
        ] {
            assert_eq!(Wish::parse(text), None, "{text}");
        }
    }
}
