//! Names that say nothing.
//!
//! A file called `utils` collects whatever has no home. Modules are one noun; `mod.rs` hides the noun in
//! every editor tab. What this leaves out: whether a noun is the right one.

use std::path::Path;

use super::Finding;

/// File and folder stems that are refused.
const REFUSED: [&str; 9] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "v2", "mod",
];

/// Findings for tracked `paths`.
pub(super) fn findings(paths: &[String]) -> Vec<Finding> {
    paths
        .iter()
        .filter(|path| path.ends_with(".rs") || path.ends_with(".c") || path.ends_with(".h"))
        .filter(|path| {
            Path::new(path.as_str())
                .iter()
                .filter_map(|part| Path::new(part).file_stem()?.to_str())
                .any(|stem| REFUSED.contains(&stem))
        })
        .map(|path| Finding::new(path, "a name that says nothing: call it by its idea".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_empty_names_anywhere_in_the_path() {
        let paths = [
            "a/utils.rs",
            "a/common/b.rs",
            "a/mod.rs",
            "a/slot.rs",
            "a/common.md",
        ]
        .map(String::from);
        let found: Vec<_> = findings(&paths)
            .into_iter()
            .map(|finding| finding.place)
            .collect();
        assert_eq!(found, ["a/utils.rs", "a/common/b.rs", "a/mod.rs"]);
    }
}
