//! Checks of what people asked for: is it accepted, does every node run it, and does traffic pass the hook.

use super::{Verdict, listed};
use crate::survey::Survey;
use continuity_api::ContinuityPolicy;
use continuity_api::conditions::ACCEPTED;
use jiff::Timestamp;

/// Below this share of new connections the hook sees too little to protect a Service, permille.
const REACH: i32 = 500;

fn place(object: &impl kube::Resource) -> String {
    let meta = object.meta();
    format!(
        "{}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    )
}

pub(super) fn accepted(survey: &Survey, _: Timestamp) -> Verdict {
    let policies = match &survey.policies {
        Ok(policies) if policies.is_empty() => {
            return Verdict::ok("there is no ContinuityPolicy; every Service is untouched");
        }
        Ok(policies) => policies,
        Err(why) => return Verdict::unseen("the policies", why),
    };
    let refused: Vec<String> = policies.iter().filter_map(refusal).collect();
    if !refused.is_empty() {
        return Verdict::fail(format!("not accepted: {}", listed(&refused)));
    }
    let stale = |policy: &&ContinuityPolicy| {
        let seen = policy
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        seen != policy.metadata.generation
    };
    let stale: Vec<String> = policies.iter().filter(stale).map(place).collect();
    if !stale.is_empty() {
        return Verdict::warn(format!(
            "the operator has not looked at the present generation of {}",
            listed(&stale)
        ));
    }
    Verdict::ok(format!("{} accepted", policies.len()))
}

/// Why a policy, or one of its targets, is not accepted.
fn refusal(policy: &ContinuityPolicy) -> Option<String> {
    let status = policy.status.as_ref()?;
    let all = status
        .conditions
        .iter()
        .chain(status.targets.iter().flat_map(|target| &target.conditions));
    let condition = all
        .into_iter()
        .find(|c| c.type_ == ACCEPTED && c.status == "False")?;
    Some(format!(
        "{} ({}: {})",
        place(policy),
        condition.reason,
        condition.message.trim_end_matches('.')
    ))
}

pub(super) fn programmed(survey: &Survey, _: Timestamp) -> Verdict {
    let sets = match &survey.sets {
        Ok(sets) => sets,
        Err(why) => return Verdict::unseen("the EquivalenceSets", why),
    };
    let refusing = survey.nodes.as_deref().unwrap_or_default().iter();
    let refusing: Vec<String> = refusing
        .flat_map(|node| {
            node.refusals
                .iter()
                .map(|why| format!("{} refuses {why}", node.name))
        })
        .collect();
    if !refusing.is_empty() {
        return Verdict::fail(listed(&refusing));
    }
    let (mut silent, mut behind) = (Vec::new(), Vec::new());
    for set in sets {
        let nodes = set.status.clone().unwrap_or_default().nodes;
        if nodes.reporting == 0 {
            silent.push(place(set));
        } else if nodes.programmed < nodes.total {
            behind.push(format!(
                "{} ({} of {} nodes)",
                place(set),
                nodes.programmed,
                nodes.total
            ));
        }
    }
    if !silent.is_empty() {
        return Verdict::fail(format!("no node reports {}", listed(&silent)));
    }
    if !behind.is_empty() {
        return Verdict::warn(format!(
            "not every node runs the present plan of {}",
            listed(&behind)
        ));
    }
    Verdict::ok(format!("every node runs the present plan of {} sets", sets.len()))
}

pub(super) fn reach(survey: &Survey, _: Timestamp) -> Verdict {
    let sets = match &survey.sets {
        Ok(sets) => sets,
        Err(why) => return Verdict::unseen("the EquivalenceSets", why),
    };
    let known = |permille: Option<i32>| permille.filter(|permille| *permille < REACH);
    let low: Vec<String> = sets
        .iter()
        .filter_map(|set| {
            let permille = known(set.status.as_ref()?.reach.permille)?;
            Some(format!("{} ({} %)", place(set), permille / 10))
        })
        .collect();
    if low.is_empty() {
        return Verdict::ok("no set with less than 50 % of its new connections in reach");
    }
    Verdict::warn(format!(
        "most new connections do not pass our hook: {}",
        listed(&low)
    ))
}

pub(super) fn unenforced(survey: &Survey, _: Timestamp) -> Verdict {
    let policies = match &survey.policies {
        Ok(policies) => policies,
        Err(why) => return Verdict::unseen("the policies", why),
    };
    let fields = |policy: &ContinuityPolicy| policy.status.clone().unwrap_or_default().not_yet_enforced;
    let idle: Vec<String> = policies
        .iter()
        .filter_map(|policy| {
            let named: Vec<String> = fields(policy);
            (!named.is_empty()).then(|| format!("{} ({})", place(policy), named.join(", ")))
        })
        .collect();
    if !idle.is_empty() {
        return Verdict::warn(format!("fields that do not act yet in {}", listed(&idle)));
    }
    Verdict::ok("every field that a policy names acts")
}
