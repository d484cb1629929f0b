//! Weighted max-min fairness: everybody gets what it asks up to a common multiple of its weight.

/// One claim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Claim {
    /// Asked, 1/s.
    pub asked: f64,
    /// Weight, 1/s; above 0.
    pub weight: f64,
}

impl Claim {
    /// Asked against weight.
    pub(super) fn ratio(&self) -> f64 {
        self.asked / self.weight.max(1e-9)
    }
}

/// ω with Σ min(asked, ω·weight) = `capacity`; infinite if all can be had. Sorts `claims`.
pub(super) fn multiple(claims: &mut [Claim], capacity: f64) -> f64 {
    claims.sort_unstable_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let mut left = capacity.max(0.0);
    let mut weight: f64 = claims.iter().map(|claim| claim.weight).sum();
    for claim in claims {
        if claim.ratio() * weight > left {
            return left / weight.max(1e-9);
        }
        left -= claim.asked;
        weight -= claim.weight;
    }
    f64::INFINITY
}

/// Lower median; `None` of nothing. Sorts `values`.
pub(super) fn lower_median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
