//! The name of a set.
//!
//! EquivalenceSet and EquivalencePlan of one Service port share one name, computed here and nowhere else. The readable
//! part alone would collide (`a` + `b-c` and `a-b` + `c`), so it ends in a short hash of the exact pair. The namespace is
//! not hashed: objects live in it, and a copied namespace should show the same names.

use sha2::{Digest, Sha256};

/// Hex digits of the hash: 20 bits keep the chance of a clash among the ports of one namespace with
/// 5,000 Services that *also* share the readable part far below anything measurable.
const HASH_DIGITS: usize = 5;
/// A DNS label.
const NAME_MAX: usize = 63;

/// Name of the set of `port` of `service`: `<service>-<port>-<hash>`, at most 63 characters, a valid DNS label.
///
/// `port` is the port's name, or its number in decimal where it has none.
#[must_use]
pub fn set_name(service: &str, port: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(service.as_bytes());
    // A NUL can occur in neither part, so the pair is unambiguous.
    hash.update([0]);
    hash.update(port.as_bytes());
    let digits: String = hash
        .finalize()
        .iter()
        .take(HASH_DIGITS)
        .map(|byte| format!("{:x}", byte & 0xf))
        .collect();

    let readable = format!("{service}-{port}");
    let room = NAME_MAX - HASH_DIGITS - 1;
    let kept: String = readable.chars().take(room).collect();
    format!("{}-{digits}", kept.trim_end_matches(['-', '.']))
}

/// How a port is called in names, labels and columns: its name, or its number where it has none.
#[must_use]
pub fn port_label(name: Option<&str>, number: i32) -> String {
    match name {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pairs_that_read_alike_get_two_names() {
        assert_ne!(set_name("a", "b-c"), set_name("a-b", "c"));
    }

    #[test]
    fn the_name_of_a_set_never_changes_between_releases() {
        assert_eq!(set_name("checkout", "http"), "checkout-http-039c3");
        assert_eq!(set_name("dns", "53"), "dns-53-a8db8");
    }

    #[test]
    fn the_longest_service_and_port_still_make_a_dns_label() {
        let name = set_name(&"s".repeat(63), &"p".repeat(63));
        assert_eq!(name.len(), NAME_MAX);
    }

    #[test]
    fn a_port_without_a_name_is_called_by_its_number() {
        assert_eq!(port_label(None, 80), "80");
        assert_eq!(port_label(Some(""), 80), "80");
        assert_eq!(port_label(Some("http"), 80), "http");
    }
}
