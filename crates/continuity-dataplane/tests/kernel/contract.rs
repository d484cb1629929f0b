//! What [`Dataplane`] promises, on the kernel and on its twin alike.

use std::{net::SocketAddr, time::Duration};

use continuity_dataplane::{
    BackendIndex, BackendWords, Capacities, ChoiceWords, Completeness, Dataplane, Desired, DesiredBackend,
    DesiredSet, Drip, Error, Failsafe, Field, MemoryDataplane, Mode, Reconciled, Rejection, SetId,
    wire::Learned,
};

use crate::ground::{Ground, id, set, vip};

/// Small, so that it fills up.
const SIZES: Capacities = Capacities {
    sets: 3,
    backends: 6,
    services: 4,
    endpoints: 2,
    sockets: 1_024,
    shards: 2,
};

fn on_both(check: impl Fn(&mut dyn Dataplane)) {
    let mut twin = MemoryDataplane::in_memory(SIZES).expect("a twin");
    twin.heartbeat();
    check(&mut twin);
    let mut ground = Ground::new();
    ground.options.capacities = SIZES;
    check(&mut ground.open());
}

fn backend(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

fn backends(range: std::ops::RangeInclusive<u8>) -> Vec<SocketAddr> {
    range.map(backend).collect()
}

fn remote(name: &str, port: u16, backends: &[SocketAddr]) -> DesiredSet {
    let backends = backends
        .iter()
        .map(|address| DesiredBackend {
            address: *address,
            local: false,
        })
        .collect();
    DesiredSet {
        backends,
        ..set(name, &[vip(port)], &[])
    }
}

fn indices(plane: &dyn Dataplane, id: &SetId) -> Vec<(SocketAddr, BackendIndex)> {
    plane
        .set(id)
        .expect("the set")
        .backends
        .iter()
        .map(|backend| (backend.address, backend.index))
        .collect()
}

/// These sets and no others are wanted.
fn wanted(plane: &mut dyn Dataplane, sets: &[DesiredSet]) -> Reconciled {
    let desired = Desired { sets: sets.to_vec() };
    plane.reconcile(&desired, Completeness::Complete).unwrap()
}

#[test]
fn a_backend_keeps_its_index_while_others_come_and_go() {
    on_both(|plane| {
        let report = wanted(plane, &[remote("a", 1, &backends(1..=3))]);
        assert_eq!(
            (report.sets_added, report.sets_changed),
            (vec![id("a")], vec![id("a")])
        );
        let before = indices(plane, &id("a"));
        let second = [remote("a", 1, &[backend(3), backend(1), backend(9)])];
        let report = wanted(plane, &second);
        assert_eq!((report.sets_added, report.sets_changed), (vec![], vec![id("a")]));
        let after = indices(plane, &id("a"));
        for kept in [backend(1), backend(3)] {
            let find =
                |list: &[(SocketAddr, BackendIndex)]| list.iter().find(|(known, _)| *known == kept).copied();
            assert_eq!(find(&before), find(&after));
        }
        let freed = before.iter().find(|(known, _)| *known == backend(2)).unwrap().1;
        assert!(
            after.iter().all(|(_, index)| *index != freed),
            "a freed index rests: {after:?}"
        );
        let report = wanted(plane, &second);
        assert_eq!(report, Default::default(), "nothing to do a second time");
    });
}

#[test]
fn nothing_is_removed_before_the_first_complete_list() {
    on_both(|plane| {
        wanted(
            plane,
            &[remote("a", 1, &backends(1..=2)), remote("b", 2, &backends(3..=3))],
        );
        let part = Desired {
            sets: vec![remote("a", 1, &backends(2..=2))],
        };
        let report = plane.reconcile(&part, Completeness::Partial).unwrap();
        assert!(
            report.sets_removed.is_empty() && report.sets_changed.is_empty(),
            "{report:?}"
        );
        assert_eq!(indices(plane, &id("a")).len(), 2);
        let report = plane.reconcile(&part, Completeness::Complete).unwrap();
        assert_eq!(
            (report.sets_removed, report.sets_changed),
            (vec![id("b")], vec![id("a")])
        );
        assert!(plane.set(&id("b")).is_none());
        assert_eq!(indices(plane, &id("a")).len(), 1);
    });
}

#[test]
fn what_does_not_fit_is_left_out_by_name_and_the_rest_stays_right() {
    on_both(|plane| {
        let mut sets: Vec<DesiredSet> = ["a", "b", "c", "d"]
            .iter()
            .zip(1..)
            .map(|(name, port)| remote(name, port, &[]))
            .collect();
        sets[0].backends = remote("a", 1, &backends(1..=8)).backends;
        sets[1].frontends.extend([vip(1), vip(20), vip(21)]);
        let report = wanted(plane, &sets);
        let mut rejected = report.rejected.iter();
        for address in [backend(7), backend(8)] {
            let expected = Rejection::BackendsFull {
                id: id("a"),
                address,
                capacity: 6,
            };
            assert_eq!(rejected.next(), Some(&expected));
        }
        let taken = Rejection::FrontendTaken {
            id: id("b"),
            address: vip(1),
            owner: id("a"),
        };
        assert_eq!(rejected.next(), Some(&taken));
        let full = Rejection::FrontendsFull {
            id: id("c"),
            address: vip(3),
            capacity: 4,
        };
        assert_eq!(rejected.next(), Some(&full));
        assert_eq!(
            rejected.next(),
            Some(&Rejection::SetsFull {
                id: id("d"),
                capacity: 3
            })
        );
        assert_eq!(rejected.next(), None);
        assert_eq!(indices(plane, &id("a")).len(), 6);
        assert_eq!(plane.set(&id("b")).unwrap().frontends, [vip(2), vip(20), vip(21)]);
    });
}

#[test]
fn an_address_moves_from_one_set_to_another_in_one_reconcile() {
    on_both(|plane| {
        wanted(plane, &[remote("a", 1, &[]), remote("b", 2, &[])]);
        let report = wanted(plane, &[remote("a", 2, &[]), remote("b", 1, &[])]);
        assert_eq!(report.rejected, []);
        assert_eq!(plane.set(&id("a")).unwrap().frontends, [vip(2)]);
    });
}

#[test]
fn a_field_is_refused_if_it_names_a_backend_of_another_set() {
    on_both(|plane| {
        wanted(
            plane,
            &[remote("a", 1, &backends(1..=1)), remote("b", 2, &backends(2..=2))],
        );
        let own = indices(plane, &id("a"))[0].1;
        let foreign = indices(plane, &id("b"))[0].1;
        let words = |backend| BackendWords {
            backend,
            shl: 0,
            trust: 0,
            fixed: 0,
            off: false,
            pardon: 0,
        };
        let fields = [
            Field::equal(&[own, foreign]),
            Field {
                backends: vec![words(foreign)],
                ..Field::equal(&[own])
            },
            Field {
                drip: Drip::Arm {
                    backend: foreign,
                    at: 0,
                },
                ..Field::equal(&[own])
            },
        ];
        for field in fields {
            let error = plane.publish(&id("a"), &field).unwrap_err();
            assert!(matches!(error, Error::ForeignBackend { .. }), "{error}");
        }
        let error = plane.publish(&id("nobody"), &Field::equal(&[])).unwrap_err();
        assert!(matches!(error, Error::UnknownSet(_)), "{error}");
        assert_eq!(plane.publish(&id("a"), &Field::equal(&[own])).unwrap().0, 1);
        assert_eq!(plane.publish(&id("a"), &Field::equal(&[own])).unwrap().0, 2);
    });
}

#[test]
fn the_words_of_a_backend_are_read_back_with_its_counters() {
    on_both(|plane| {
        wanted(plane, &[remote("a", 1, &backends(1..=2))]);
        let (address, index) = indices(plane, &id("a"))[1];
        let words = BackendWords {
            backend: index,
            shl: -256,
            trust: 160,
            fixed: 3_000,
            off: true,
            pardon: 128,
        };
        let choice = ChoiceWords {
            wm: 1,
            lm: 2,
            ownm: 3,
            mem_on: true,
            reports: true,
            width: 64,
        };
        let field = Field {
            backends: vec![words],
            choice,
            ..Field::equal(&[index])
        };
        plane.publish(&id("a"), &field).unwrap();
        let counters = plane.read(&id("a")).unwrap();
        let seen = counters
            .backends
            .iter()
            .find(|seen| seen.backend.address == address)
            .unwrap();
        let read = seen.record.words;
        assert_eq!(
            (read.shl, read.trust, read.fixed, read.off),
            (-256, 160, 3_000, 1)
        );
        assert_eq!((seen.client.attempts, seen.server), (0, None));
    });
}

#[test]
fn local_backends_are_measured_on_their_own_node_once_per_address() {
    on_both(|plane| {
        let shared = set("a", &[vip(1)], &backends(1..=2));
        let other = set("b", &[vip(2)], &backends(2..=3));
        let report = wanted(plane, &[shared, other]);
        assert_eq!(
            report.rejected,
            [Rejection::EndpointsFull {
                address: backend(3),
                capacity: 2
            }]
        );
        let measured = |plane: &mut dyn Dataplane, name: &str| -> Vec<bool> {
            plane
                .read(&id(name))
                .unwrap()
                .backends
                .iter()
                .map(|seen| seen.server.is_some())
                .collect()
        };
        assert_eq!(measured(plane, "a"), [true, true]);
        assert_eq!(measured(plane, "b"), [true, false]);
    });
}

#[test]
fn what_the_law_learned_is_kept_per_set_up_to_its_size() {
    on_both(|plane| {
        wanted(plane, &[remote("a", 1, &[])]);
        assert_eq!(plane.learned(&id("a")), None);
        let all = vec![7; Learned::CAPACITY];
        plane.keep_learned(&id("a"), &all).unwrap();
        assert_eq!(plane.learned(&id("a")), Some(all));
        plane.keep_learned(&id("a"), b"less").unwrap();
        assert_eq!(plane.learned(&id("a")).as_deref(), Some(&b"less"[..]));
        let error = plane
            .keep_learned(&id("a"), &[0; Learned::CAPACITY + 1])
            .unwrap_err();
        assert!(matches!(error, Error::LearnedTooLong { .. }), "{error}");
        assert_eq!(plane.learned(&id("nobody")), None);
    });
}

#[test]
fn the_failsafe_is_told_from_the_age_of_the_heartbeat() {
    on_both(|plane| {
        let mut desired = remote("a", 1, &[]);
        desired.failsafe.hold_after = Duration::ZERO;
        desired.failsafe.fallback_after = Duration::from_secs(3_600);
        wanted(plane, &[desired.clone()]);
        assert_eq!(plane.failsafe(&id("a")).unwrap().now, Failsafe::Hold);
        desired.failsafe.hold_after = Duration::from_secs(1_800);
        wanted(plane, &[desired]);
        assert_eq!(plane.failsafe(&id("a")).unwrap().now, Failsafe::Normal);
    });
}

#[test]
fn a_mode_changes_without_touching_the_backends() {
    on_both(|plane| {
        let mut desired = remote("a", 1, &backends(1..=2));
        wanted(plane, &[desired.clone()]);
        desired.mode = Mode::Observe;
        let report = wanted(plane, &[desired]);
        assert!(report.sets_changed.is_empty());
        assert_eq!(plane.set(&id("a")).unwrap().mode, Mode::Observe);
    });
}
