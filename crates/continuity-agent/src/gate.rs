//! What a lane's policy says about admission: constants of the law, and which pods of this node call as whom.
//!
//! A gate is there only where the policy asks for it (`admission.mode: Auto`). Without one, connects ask for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use continuity_api::selector::Selector;
use continuity_field::admission::{Class, Config};
use continuity_sensors::PodId;

/// Pods of this node that are followed as callers: the kubelet's largest common setting is 250.
pub const MOST_PODS: usize = 256;

/// Rules of a policy, the API's own bound.
pub const MOST_RULES: usize = 16;

/// A rule that puts callers into a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Labels of the pod; `None` = any.
    pub pods: Option<Selector>,
    /// Labels of its namespace; `None` = the policy's own namespace.
    pub namespaces: Option<Selector>,
    /// Their class.
    pub class: Class,
    /// Their weight among the callers of that class.
    pub weight: u32,
}

/// Admission as a policy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatePolicy {
    /// Constants of the law.
    pub config: Config,
    /// Class of callers that no rule names.
    pub class: Class,
    /// Rules, the first that matches wins.
    pub rules: Arc<[Rule]>,
}

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// By which its cgroups are found.
    pub uid: PodId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A pod of this node as a caller of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneCaller {
    /// Which.
    pub uid: PodId,
    /// Namespace and name, for people.
    pub name: Box<str>,
    /// Its class.
    pub class: Class,
    /// Its weight among the callers of that class.
    pub weight: u32,
}

/// Admission as a lane has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Constants of the law.
    pub config: Config,
    /// Class of callers that are not known.
    pub class: Class,
    /// Callers on this node.
    pub callers: Arc<[LaneCaller]>,
}

/// Weight of callers that no rule names: the API's default.
const WEIGHT: u32 = 100;

impl GatePolicy {
    /// The gate of a lane of `namespace` among these pods, keyed by namespace and name; `labels` are a namespace's.
    #[must_use]
    pub fn among<'a>(
        &self,
        namespace: &str,
        pods: impl Iterator<Item = (&'a (Box<str>, Box<str>), &'a PodRecord)>,
        labels: impl Fn(&str) -> Option<&'a BTreeMap<String, String>>,
    ) -> Gate {
        let caller = |((home, name), pod): (&'a (Box<str>, Box<str>), &'a PodRecord)| {
            let rule = self
                .rules
                .iter()
                .find(|rule| rule.names(namespace, home, pod, labels(home)));
            LaneCaller {
                uid: pod.uid,
                name: format!("{home}/{name}").into(),
                class: rule.map_or(self.class, |rule| rule.class),
                weight: rule.map_or(WEIGHT, |rule| rule.weight),
            }
        };
        Gate {
            config: self.config,
            class: self.class,
            callers: pods.take(MOST_PODS).map(caller).collect(),
        }
    }
}

impl Rule {
    /// Whether it is about this pod. A namespace whose labels are not known matches no selector.
    fn names(
        &self,
        own: &str,
        home: &str,
        pod: &PodRecord,
        labels: Option<&BTreeMap<String, String>>,
    ) -> bool {
        let in_place = match &self.namespaces {
            None => own == home,
            Some(selector) => labels.is_some_and(|labels| selector.matches(labels)),
        };
        in_place
            && self
                .pods
                .as_ref()
                .is_none_or(|selector| selector.matches(&pod.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn selector(pairs: &[(&str, &str)]) -> Option<Selector> {
        Some(Selector {
            match_labels: labels(pairs),
            ..Selector::default()
        })
    }

    fn pod(number: u8, pairs: &[(&str, &str)]) -> PodRecord {
        PodRecord {
            uid: PodId::new(&format!("00000000-0000-0000-0000-{number:012}")).expect("a uid"),
            labels: labels(pairs),
        }
    }

    #[test]
    fn the_first_rule_that_matches_gives_the_class_and_everybody_else_has_the_default() {
        let rule = |pods, namespaces, class| Rule {
            pods,
            namespaces,
            class,
            weight: 7,
        };
        let policy = GatePolicy {
            config: Config::default(),
            class: Class::Low,
            rules: Arc::new([
                rule(selector(&[("tier", "paying")]), None, Class::Critical),
                rule(None, selector(&[("team", "batch")]), Class::Bulk),
                rule(
                    selector(&[("tier", "paying")]),
                    selector(&[("team", "web")]),
                    Class::High,
                ),
            ]),
        };
        let home = |namespace: &str, name: &str| (namespace.into(), name.into());
        let pods = [
            (home("shop", "a"), pod(1, &[("tier", "paying")])),
            (home("web", "b"), pod(2, &[("tier", "paying")])),
            (home("night", "c"), pod(3, &[])),
            (home("shop", "d"), pod(4, &[])),
            (home("unknown", "e"), pod(5, &[("tier", "paying")])),
        ];
        let (night, web) = (labels(&[("team", "batch")]), labels(&[("team", "web")]));
        let of = |namespace: &str| match namespace {
            "night" => Some(&night),
            "web" => Some(&web),
            _ => None,
        };
        let gate = policy.among("shop", pods.iter().map(|(key, pod)| (key, pod)), of);
        let classes: Vec<_> = gate
            .callers
            .iter()
            .map(|caller| (caller.class, caller.weight))
            .collect();
        assert_eq!(
            classes,
            [
                (Class::Critical, 7),
                (Class::High, 7),
                (Class::Bulk, 7),
                (Class::Low, 100),
                (Class::Low, 100)
            ]
        );
        assert_eq!(&*gate.callers[0].name, "shop/a");
    }
}
