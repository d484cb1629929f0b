use proptest::prelude::*;

use super::*;
use crate::BackendId;

fn backends(localities: &[Locality]) -> (Vec<Track>, Vec<BackendSample>) {
    let tracks = (0..)
        .zip(localities)
        .map(|(id, _)| Track::new(BackendId(id), Phase::Normal, Nanos::ZERO));
    let samples = (0..).zip(localities).map(|(id, &locality)| BackendSample {
        locality,
        ..BackendSample::new(BackendId(id))
    });
    (tracks.collect(), samples.collect())
}

fn shares(tracks: &mut [Track], samples: &[BackendSample], config: &SetConfig) -> Vec<f64> {
    let mut shares = Vec::new();
    target(
        tracks,
        samples,
        config,
        false,
        &mut Vec::new(),
        &mut shares,
        Nanos::from_secs(1),
    );
    shares
}

const NEAR: Locality = Locality::Node;
const ZONE: Locality = Locality::Zone;
const FAR: Locality = Locality::Elsewhere;

#[test]
fn distance_moves_shares_by_its_weight_and_never_beyond_a_quarter_more() {
    let table: [(u32, &[Locality], &[f64]); 7] = [
        (0, &[NEAR, ZONE, FAR], &[0.333_3, 0.333_3, 0.333_3]),
        (100, &[NEAR, ZONE, FAR], &[0.364_6, 0.331_5, 0.303_9]),
        // 1, ½ and ⅓ would give the near one 1.64 × its part; all are raised until it is 1.25 ×.
        (1_000, &[NEAR, ZONE, FAR], &[0.416_7, 0.309_5, 0.273_8]),
        (
            1_000,
            &[NEAR, FAR, FAR, FAR, FAR],
            &[0.25, 0.187_5, 0.187_5, 0.187_5, 0.187_5],
        ),
        (1_000, &[FAR, FAR], &[0.5, 0.5]),
        (1_000, &[NEAR], &[1.0]),
        (u32::MAX, &[NEAR, ZONE, FAR], &[0.416_7, 0.309_5, 0.273_8]),
    ];
    for (locality_milli, localities, expected) in table {
        let (mut tracks, samples) = backends(localities);
        let config = SetConfig {
            locality_milli,
            ..SetConfig::default()
        };
        let found = shares(&mut tracks, &samples, &config);
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-3,
                "λ {locality_milli}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_policy_that_ignores_topology_ignores_distance() {
    let (mut tracks, samples) = backends(&[NEAR, FAR]);
    let config = SetConfig {
        locality_milli: 1_000,
        topology: Topology::Ignore,
        ..SetConfig::default()
    };
    assert_eq!(shares(&mut tracks, &samples, &config), [0.5, 0.5]);
}

#[test]
fn capacity_lean_and_bias_multiply_within_their_ranges() {
    let (mut tracks, mut samples) = backends(&[FAR, FAR]);
    let config = SetConfig::default();
    for (milli, expected) in [
        (0, 0.5),
        (1_000, 0.5),
        (3_000, 0.75),
        (u32::MAX, 0.8),
        // A seventeenth would leave the other more than the largest share.
        (1, 0.2),
    ] {
        samples[0].capacity = milli;
        let found = shares(&mut tracks, &samples, &config)[0];
        assert!((found - expected).abs() < 1e-3, "{milli}: {found}");
    }
    samples[0].capacity = 1_000;
    tracks[0].lean = 1.0;
    assert!((shares(&mut tracks, &samples, &config)[0] - 2.0 / 3.0).abs() < 1e-9);
    tracks[0].lean = 0.0;
    tracks[0].player.bias = 1.2;
    assert!((shares(&mut tracks, &samples, &config)[0] - 1.2 / 2.2).abs() < 1e-9);
}

proptest! {
    #[test]
    fn nobody_near_gets_more_than_a_quarter_above_its_capacity_and_shares_sum_to_one(
        members in prop::collection::vec((0..3_u8, prop_oneof![Just(1_000_u32), 1..20_000_u32]), 2..20),
        locality_milli in 0..3_000_u32,
    ) {
        let locality = |which: u8| [NEAR, ZONE, FAR][usize::from(which)];
        let localities: Vec<Locality> = members.iter().map(|(which, _)| locality(*which)).collect();
        let (mut tracks, mut samples) = backends(&localities);
        for (sample, (_, capacity)) in samples.iter_mut().zip(&members) {
            sample.capacity = *capacity;
        }
        let config = SetConfig { locality_milli, max_share_permille: 1_000, ..SetConfig::default() };
        let found = shares(&mut tracks, &samples, &config);
        prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let whole: f64 = samples.iter().map(capacity).sum();
        for (share, sample) in found.iter().zip(&samples) {
            let fair = capacity(sample) / whole;
            prop_assert!(*share <= 1.25 * fair + 1e-9, "{share} of {fair}");
            prop_assert!(*share >= fair / 3.0 - 1e-9, "{share} of {fair}");
        }
    }
}
