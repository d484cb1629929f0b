//! The label selector of a metrics request: equality and sets, which is what an autoscaler sends.

use crate::published::Item;
use thiserror::Error;

/// Terms in one selector. An HPA writes two.
const TERMS_MAX: usize = 16;

/// Why a selector is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// Too many terms.
    #[error("a selector of more than {TERMS_MAX} terms is not served; use service and port")]
    TooLong,
    /// A term that is neither equality nor a set.
    #[error(
        "selector term {0:?} is not understood; write key=value, key!=value, key in (a,b) or key notin (a,b)"
    )]
    Term(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    values: Vec<String>,
    negated: bool,
}

/// A parsed selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

impl Selector {
    /// Parses the text of a `labelSelector` parameter; an empty one selects everything.
    ///
    /// # Errors
    /// If it is too long, or a term is not understood.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let parts = split(text);
        if parts.len() > TERMS_MAX {
            return Err(SelectorError::TooLong);
        }
        let terms = parts.into_iter().map(term).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether an item is selected. Labels other than service and port are absent.
    #[must_use]
    pub fn matches(&self, item: &Item) -> bool {
        self.terms.iter().all(|term| {
            let value = match term.key.as_str() {
                "service" => Some(&item.service),
                "port" => Some(&item.port),
                _ => None,
            };
            value.is_some_and(|value| term.values.contains(value)) != term.negated
        })
    }
}

/// Splits at commas that stand outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = text.split(|letter| {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn term(text: &str) -> Result<Term, SelectorError> {
    let wrong = || SelectorError::Term(text.to_owned());
    let (key, values, negated) = if let Some((key, list)) = text.split_once(" notin ") {
        (key, listed(list).ok_or_else(wrong)?, true)
    } else if let Some((key, list)) = text.split_once(" in ") {
        (key, listed(list).ok_or_else(wrong)?, false)
    } else if let Some((key, value)) = text.split_once("!=") {
        (key, vec![value.trim().to_owned()], true)
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, vec![value.trim().to_owned()], false)
    } else {
        return Err(wrong());
    };
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        Err(wrong())
    } else {
        Ok(Term {
            key: key.to_owned(),
            values,
            negated,
        })
    }
}

fn listed(list: &str) -> Option<Vec<String>> {
    let inside = list.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inside.split(',').map(|value| value.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(text: &str) -> bool {
        let item = Item {
            service: "web".into(),
            port: "http".into(),
            desired: 1,
        };
        Selector::parse(text).unwrap().matches(&item)
    }

    #[test]
    fn what_an_autoscaler_sends_selects_one_set() {
        assert!(selects("port=http,service=web"));
        assert!(!selects("port=http,service=cart"));
        assert!(selects(""));
    }

    #[test]
    fn sets_and_negations_are_understood() {
        assert!(selects("service in (cart, web),port==http"));
        assert!(!selects("service notin (cart,web)"));
        assert!(selects("service!=cart"));
        assert!(!selects("zone=a"));
        assert!(selects("zone!=a"));
    }

    #[test]
    fn anything_else_is_refused_with_advice() {
        for text in ["service", "!service", "service in web", "=web"] {
            assert!(
                matches!(Selector::parse(text), Err(SelectorError::Term(_))),
                "{text}"
            );
        }
        assert_eq!(Selector::parse(&"a=b,".repeat(40)), Err(SelectorError::TooLong));
    }
}
