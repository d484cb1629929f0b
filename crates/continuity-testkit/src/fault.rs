//! Which requests fail, and how. The first rule that names a request has it.

use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and never reaches the API server. 429 carries `Retry-After: 1`.
    Status(u16),
    /// It reaches the API server later.
    Delay(Duration),
    /// It is never answered and never reaches the API server.
    Hang,
    /// Its answer breaks off after this time, in the middle.
    Cut(Duration),
    /// It is kept, even if the client gives up, and reaches the API server when the proxy is told to release.
    Hold,
}

/// Requests and their fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Methods it names; none means all.
    pub methods: Vec<&'static str>,
    /// What the path contains; empty means any.
    pub path: String,
    /// What the query contains; empty means any.
    pub query: String,
    /// Every how many of the requests that it names it acts on, from the first; 0 and 1 mean all.
    pub every: u64,
    /// What happens.
    pub fault: Fault,
}

impl Rule {
    /// All writes.
    #[must_use]
    pub fn writes(fault: Fault) -> Self {
        Self {
            methods: vec!["POST", "PUT", "PATCH", "DELETE"],
            path: String::new(),
            query: String::new(),
            every: 1,
            fault,
        }
    }

    /// All requests whose path contains `path`.
    #[must_use]
    pub fn path(path: &str, fault: Fault) -> Self {
        Self {
            methods: Vec::new(),
            path: path.to_owned(),
            query: String::new(),
            every: 1,
            fault,
        }
    }

    /// All watches.
    #[must_use]
    pub fn watches(fault: Fault) -> Self {
        Self {
            query: "watch=true".to_owned(),
            ..Self::path("", fault)
        }
    }

    pub(crate) fn names(&self, method: &str, path: &str, query: &str) -> bool {
        let method = self.methods.is_empty() || self.methods.contains(&method);
        method && path.contains(&self.path) && query.contains(&self.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_requests_by_method_and_path() {
        let rule = Rule {
            path: "/leases/".into(),
            ..Rule::writes(Fault::Hang)
        };
        assert!(rule.names("PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/y", ""));
        assert!(!rule.names("GET", "/apis/coordination.k8s.io/v1/namespaces/x/leases/y", ""));
        assert!(!rule.names("PUT", "/api/v1/pods", ""));
    }

    #[test]
    fn a_watch_is_told_from_a_list_by_its_query() {
        let rule = Rule::watches(Fault::Hang);
        assert!(rule.names("GET", "/api/v1/services", "allowWatchBookmarks=true&watch=true"));
        assert!(!rule.names("GET", "/api/v1/services", "limit=500"));
    }
}
