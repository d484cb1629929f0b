//! Mean over seeds with a 95 % interval (Student's t).

use serde::Serialize;

/// 97.5 % quantiles of Student's t for 1..=30 degrees of freedom; beyond, the normal one is within 2 %.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean and half the width of its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Mean.
    pub mean: f64,
    /// Half width; none with a single value.
    pub half: Option<f64>,
}

impl Interval {
    /// Of values, one a seed; values that are missing (NaN) are left out. `None` without any value.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let half = (values.len() > 1).then(|| {
            let variance = values
                .iter()
                .map(|value| (value - mean) * (value - mean))
                .sum::<f64>()
                / (count - 1.0);
            T.get(values.len() - 2).copied().unwrap_or(1.96) * (variance / count).sqrt()
        });
        Some(Self { mean, half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_the_textbook_one() {
        let interval = Interval::of([1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(interval.mean, 3.0);
        assert!((interval.half.unwrap() - 2.776 * (2.5_f64 / 5.0).sqrt()).abs() < 1e-9);
        assert_eq!(Interval::of([7.0]).unwrap().half, None);
        assert_eq!(Interval::of([f64::NAN]), None);
    }
}
