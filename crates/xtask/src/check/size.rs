//! File and function length.
//!
//! Long files hide second ideas. The limits are those of CONTRIBUTING.md: a non-test file has at most
//! [`MAX_FILE_LINES`] lines, a function at most [`MAX_FUNCTION_LINES`]. Test code is exempt: a test reads
//! top to bottom. So is a function that says by `#[allow(clippy::too_many_lines, reason = …)]` that it is a table.
//! What this leaves out: generated YAML and documents.

use std::collections::BTreeSet;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;

/// Lines a source file may have before it must be split.
const MAX_FILE_LINES: usize = 600;
/// Lines a function may have, from its signature to its closing brace.
const MAX_FUNCTION_LINES: usize = 60;
/// The median that the files of the repository should stay below.
const MAX_MEDIAN_LINES: usize = 150;

/// Findings for all `files` (path, text).
pub(super) fn findings(files: &[(String, String)]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut lengths: Vec<usize> = Vec::new();
    let test_modules = test_modules(files);
    let product = |path: &String| !is_test_path(path) && !test_modules.contains(path);
    for (path, text) in files.iter().filter(|(path, _)| product(path)) {
        let code = without_test_tail(text);
        lengths.push(code);
        if code > MAX_FILE_LINES {
            found.push(Finding::new(
                path,
                format!("{code} lines, at most {MAX_FILE_LINES}: split it by idea"),
            ));
        }
        if path.ends_with(".rs") {
            found.extend(long_functions(path, text));
        }
    }
    lengths.sort_unstable();
    if let Some(median) = lengths
        .get(lengths.len() / 2)
        .filter(|median| **median > MAX_MEDIAN_LINES)
    {
        found.push(Finding::new(
            "(all files)",
            format!("median of {median} lines, at most {MAX_MEDIAN_LINES}"),
        ));
    }
    found
}

/// True for files that hold only tests or benches.
fn is_test_path(path: &str) -> bool {
    let name = Path::new(path)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name == "tests.rs"
        || path
            .split('/')
            .any(|part| matches!(part, "tests" | "benches" | "examples"))
}

/// Files that their parent declares as `#[cfg(test)] mod name;`.
fn test_modules(files: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let declared = lines
            .windows(2)
            .filter(|pair| pair.first() == Some(&"#[cfg(test)]"));
        let names = declared.filter_map(|pair| pair.get(1)?.strip_suffix(';')?.split("mod ").nth(1));
        let stem = Path::new(path)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let parent = Path::new(path).parent().unwrap_or(Path::new(""));
        let folder = if matches!(stem, "lib" | "main") {
            parent.to_owned()
        } else {
            parent.join(stem)
        };
        found.extend(names.map(|name| folder.join(format!("{name}.rs")).display().to_string()));
    }
    found
}

/// Lines before the first `#[cfg(test)]` module, which by convention ends the file.
fn without_test_tail(text: &str) -> usize {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .count()
}

fn long_functions(path: &str, text: &str) -> Vec<Finding> {
    match syn::parse_file(text) {
        Ok(file) => {
            let mut walk = Functions {
                path,
                found: Vec::new(),
            };
            walk.visit_file(&file);
            walk.found
        }
        Err(error) => vec![Finding::new(path, format!("does not parse: {error}"))],
    }
}

struct Functions<'a> {
    path: &'a str,
    found: Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &syn::Ident, from: proc_macro2::Span, body: proc_macro2::Span) {
        let lines = body.end().line.saturating_sub(from.start().line) + 1;
        if lines > MAX_FUNCTION_LINES {
            let what = format!("fn {name} has {lines} lines, at most {MAX_FUNCTION_LINES}");
            self.found.push(Finding::new(self.path, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !item.attrs.iter().any(is_cfg_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !item.attrs.iter().any(is_table) {
            self.measure(&item.sig.ident, item.sig.span(), item.block.span());
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !item.attrs.iter().any(is_table) {
            self.measure(&item.sig.ident, item.sig.span(), item.block.span());
        }
        visit::visit_impl_item_fn(self, item);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|argument| argument == "test")
}

/// True for an `allow` or `expect` of clippy's own lint on long functions.
fn is_table(attribute: &syn::Attribute) -> bool {
    (attribute.path().is_ident("allow") || attribute.path().is_ident("expect"))
        && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string().contains("too_many_lines"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, lines: usize) -> (String, String) {
        (path.to_owned(), "//\n".repeat(lines))
    }

    #[test]
    fn a_file_over_the_limit_is_named() {
        let found = findings(&[file("a.rs", 601), file("b.rs", 1), file("c.rs", 1)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "a.rs");
    }

    #[test]
    fn test_files_and_test_tails_are_exempt() {
        let tail = format!("//\n#[cfg(test)]\nmod tests {{}}\n{}", "//\n".repeat(700));
        assert!(findings(&[file("x/tests/a.rs", 900), ("b.rs".into(), tail)]).is_empty());
    }

    #[test]
    fn a_file_that_is_declared_for_tests_is_exempt() {
        let parent = (
            "a/src/lib.rs".to_owned(),
            "#[cfg(test)]\nmod sample;\n".to_owned(),
        );
        assert!(findings(&[parent, file("a/src/sample.rs", 700), file("b.rs", 1)]).is_empty());
    }

    #[test]
    fn a_function_that_says_it_is_a_table_is_exempt() {
        let body = "let _ = 1;\n".repeat(70);
        let text =
            format!("#[allow(clippy::too_many_lines, reason = \"a table\")]\nfn long() {{\n{body}}}\n");
        assert!(long_functions("a.rs", &text).is_empty());
    }

    #[test]
    fn a_long_function_is_named_and_a_test_function_is_not() {
        let body = "let _ = 1;\n".repeat(70);
        let text = format!("fn long() {{\n{body}}}\n#[cfg(test)]\nmod tests {{ fn other() {{\n{body}}} }}\n");
        let found = long_functions("a.rs", &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("fn long"));
    }
}
