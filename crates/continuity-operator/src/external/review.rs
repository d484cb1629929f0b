//! Whether a caller may read a metric: the API server's answer, kept for a short while.

use super::GROUP;
use super::front_proxy::Identity;
use crate::error::Error;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Life of a yes. An HPA asks every 15 s for each metric; a withdrawn role takes effect within this.
const YES_FOR: Duration = Duration::from_secs(30);
/// Life of a no: short, so that a role that was just granted works.
const NO_FOR: Duration = Duration::from_secs(3);
/// Answers kept: 256 callers of 4 namespaces each. Beyond it the cache starts empty.
const ANSWERS_MAX: usize = 1_024;

type Question = (Identity, String, String);

/// Asks, and remembers.
pub(super) struct Reviewer {
    client: Client,
    answers: Mutex<BTreeMap<Question, (bool, Instant)>>,
}

impl Reviewer {
    pub(super) const fn new(client: Client) -> Self {
        Self {
            client,
            answers: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether `identity` may list `metric` in `namespace`.
    pub(super) async fn may_read(
        &self,
        identity: &Identity,
        namespace: &str,
        metric: &str,
    ) -> Result<bool, Error> {
        let question: Question = (identity.clone(), namespace.to_owned(), metric.to_owned());
        if let Some(known) = self.known(&question) {
            return Ok(known);
        }
        let allowed = self.ask(identity, namespace, metric).await?;
        self.remember(question, allowed);
        Ok(allowed)
    }

    fn known(&self, question: &Question) -> Option<bool> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .get(question)
            .filter(|(_, until)| Instant::now() < *until)
            .map(|(allowed, _)| *allowed)
    }

    fn remember(&self, question: Question, allowed: bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        let life = if allowed { YES_FOR } else { NO_FOR };
        answers.insert(question, (allowed, Instant::now() + life));
    }

    async fn ask(&self, identity: &Identity, namespace: &str, metric: &str) -> Result<bool, Error> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(identity.user.clone()),
                groups: Some(identity.groups.clone()),
                extra: Some(identity.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    version: Some(super::VERSION.to_owned()),
                    resource: Some(metric.to_owned()),
                    namespace: Some(namespace.to_owned()),
                    verb: Some("list".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answered = reviews.create(&PostParams::default(), &review).await?;
        Ok(answered.status.is_some_and(|status| status.allowed))
    }
}
