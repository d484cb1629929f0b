//! Whose token it is, and what that one may see: the API server's word, never ours.

use super::Refusal;
use axum::http::{HeaderMap, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};

/// Audience of the tokens; one for the API server is refused here, so that nobody sends us one.
pub const AUDIENCE: &str = "continuity-debug";
/// Header of the token where the API server's proxy is on the way: it keeps `Authorization` to itself.
const TOKEN: &str = "x-continuity-token";
/// Longest token; those of Kubernetes have about 1 kB.
const TOKEN_MAX: usize = 16 * 1024;

fn unreviewed(error: &kube::Error) -> Refusal {
    let message = format!("the API server did not review the caller: {error}; see config/debug");
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let proxied = headers.get(TOKEN).and_then(|value| value.to_str().ok());
    let direct = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    proxied
        .or(direct)
        .filter(|token| !token.is_empty() && token.len() <= TOKEN_MAX)
}

/// Whose token it is.
pub(super) async fn authenticate(client: &Client, headers: &HeaderMap) -> Result<UserInfo, Refusal> {
    let stranger = || {
        let message = format!(
            "show a token for audience {AUDIENCE}: kubectl create token continuity-debug -n continuity-system --audience {AUDIENCE}"
        );
        Refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    };
    let token = bearer(headers).ok_or_else(stranger)?;
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.to_owned(),
            audiences: Some(vec![AUDIENCE.to_owned()]),
        },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let answered = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(|error| unreviewed(&error))?;
    let status = answered.status.ok_or_else(stranger)?;
    // An API server that knows no audiences answers without them; its yes is about another audience.
    let ours = status
        .audiences
        .iter()
        .flatten()
        .any(|audience| audience == AUDIENCE);
    if status.authenticated != Some(true) || !ours {
        return Err(stranger());
    }
    status.user.ok_or_else(stranger)
}

/// Whether that one may `get` the path.
pub(super) async fn authorise(client: &Client, user: &UserInfo, path: &str) -> Result<(), Refusal> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answered = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(|error| unreviewed(&error))?;
    if answered.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    let name = user.username.as_deref().unwrap_or_default();
    let message = format!("{name} may not get {path}; bind it to ClusterRole continuity-debug");
    Err(Refusal(StatusCode::FORBIDDEN, "Forbidden", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_of_sane_length_is_looked_at() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bearer "), None);
        assert_eq!(of(&format!("Bearer {}", "a".repeat(TOKEN_MAX + 1))), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
        let mut proxied = HeaderMap::new();
        proxied.insert(TOKEN, "abc".parse().unwrap());
        assert_eq!(bearer(&proxied), Some("abc"));
    }
}
