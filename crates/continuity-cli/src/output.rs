//! Writing an answer: aligned columns for people, JSON or YAML for programs.

use crate::args::Output;
use crate::error::Error;
use serde::Serialize;

/// The answer as a person or a program wants it; `text` is asked only for the former.
///
/// # Errors
/// The answer does not serialise.
pub fn render<T: Serialize>(
    answer: &T,
    output: Output,
    text: impl FnOnce(&T) -> String,
) -> Result<String, Error> {
    Ok(match output {
        Output::Table => text(answer),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(answer)?),
        Output::Yaml => serde_yaml_ng::to_string(answer)?,
    })
}

/// Columns padded to their widest cell and three spaces apart, as kubectl prints them; no trailing blanks.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count()) + 3;
            line.push_str(cell);
            line.push_str(&" ".repeat(pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let rows = vec![
            vec!["NAME".into(), "AGE".into()],
            vec!["checkout-http-7f3ac".into(), "3d".into()],
        ];
        assert_eq!(
            columns(&rows),
            "NAME                  AGE\ncheckout-http-7f3ac   3d\n"
        );
    }
}
