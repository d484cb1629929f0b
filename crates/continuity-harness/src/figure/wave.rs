//! Whether nodes move in step: the spectrum of the picks at the tick rate, against its neighbours.

use crate::recording::Recording;
use crate::scenario::Scenario;
use crate::span::MILLI;

/// Bin of the spectrum.
const BIN: u64 = 20 * MILLI;
/// Neighbours on each side, in steps of a tenth of the tick rate.
const SIDE: i32 = 8;

/// Power of the picks of each backend at the agents' tick rate over the mean power beside it, mean over the backends;
/// 1 = the tick is not to be seen. NaN without a tick that the bins resolve.
pub(super) fn tick_peak(scenario: &Scenario, recording: &Recording) -> f64 {
    let rate = 1e3 / scenario.agent.tick_millis as f64;
    let warm = scenario.warm_up_millis * MILLI;
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let bins = usize::try_from((scenario.duration_millis * MILLI - warm) / BIN).unwrap_or(0);
    if rate * 2.0 * BIN as f64 / 1e9 > 0.5 || bins < 500 || backends == 0 || backends > 64 {
        return f64::NAN;
    }
    let mut counts = vec![vec![0.0_f64; bins]; backends];
    for attempt in recording.attempts.iter().filter(|attempt| attempt.sent >= warm) {
        let bin = usize::try_from((attempt.sent - warm) / BIN).unwrap_or(usize::MAX);
        let backend = usize::try_from(attempt.backend).unwrap_or(usize::MAX);
        if let Some(count) = counts.get_mut(backend).and_then(|counts| counts.get_mut(bin)) {
            *count += 1.0;
        }
    }
    let ratios = counts.iter().map(|counts| {
        let mean = counts.iter().sum::<f64>() / bins as f64;
        let at = |step: i32| power(counts, mean, rate * (1.0 + f64::from(step) / 10.0 / rate));
        let beside: f64 = (1..=SIDE).map(|step| at(step) + at(-step)).sum();
        at(0) * f64::from(2 * SIDE) / beside.max(1e-9)
    });
    ratios.sum::<f64>() / backends as f64
}

/// Power at `hertz`, by a rotation that is carried along.
fn power(counts: &[f64], mean: f64, hertz: f64) -> f64 {
    let (sine, cosine) = libm::sincos(std::f64::consts::TAU * hertz * BIN as f64 / 1e9);
    let (mut x, mut y) = (1.0, 0.0);
    let (mut real, mut imaginary) = (0.0, 0.0);
    for count in counts {
        real += (count - mean) * x;
        imaginary += (count - mean) * y;
        (x, y) = (x * cosine - y * sine, x * sine + y * cosine);
    }
    real * real + imaginary * imaginary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_at_the_tick_rate_stands_out() {
        let wave = |turn: usize| if turn % 10 < 5 { 2.0 } else { 0.0 };
        let counts: Vec<f64> = (0..3_000).map(wave).collect();
        assert!(power(&counts, 1.0, 5.0) > 1_000.0 * power(&counts, 1.0, 4.7));
    }
}
