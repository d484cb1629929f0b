//! A set without backends refuses at once, as kube-proxy does.

use std::{io::ErrorKind, time::Instant};

use continuity_dataplane::{CapabilityId, Completeness, Dataplane as _, Desired, Options};

use crate::{
    ground::{Ground, connect, id, serve, set, vip},
    server::{Manner, Server},
};

#[test]
fn a_set_without_backends_refuses_with_econnrefused() {
    let ground = Ground::new();
    let mut plane = ground.open();
    serve(&mut plane, vec![set("empty", &[vip(80)], &[])]);
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(
            connect(vip(80)).expect_err("no backends").kind(),
            ErrorKind::ConnectionRefused
        );
    }
    assert!(began.elapsed().as_millis() < 100, "refused without a packet");
    assert_eq!(plane.read(&id("empty")).unwrap().decisions.refused_empty, 100);
}

#[test]
fn without_bpf_set_retval_the_refusal_reads_eperm_and_the_report_says_so() {
    let mut ground = Ground::new();
    ground.options = Options {
        pretend_missing: vec![CapabilityId::SetRetval],
        ..ground.options.clone()
    };
    let mut plane = ground.open();
    serve(&mut plane, vec![set("empty", &[vip(80)], &[])]);
    assert_eq!(
        connect(vip(80)).expect_err("no backends").kind(),
        ErrorKind::PermissionDenied
    );
    let capability = plane.capabilities().get(CapabilityId::SetRetval).unwrap();
    assert_eq!(capability.met, Some(false));
    assert!(capability.fallback.contains("EPERM"));
}

#[test]
fn a_set_that_was_never_published_passes_through() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Server::start(1, Manner::Close);
    let desired = Desired {
        sets: vec![set("young", &[server.address], &[])],
    };
    plane.reconcile(&desired, Completeness::Complete).unwrap();
    connect(server.address).expect("whoever serves the address serves it");
    assert_eq!(plane.read(&id("young")).unwrap().decisions.passed_unpublished, 1);
}

#[test]
fn a_set_that_is_gone_leaves_its_address_to_whoever_serves_it() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Server::start(1, Manner::Close);
    serve(&mut plane, vec![set("gone", &[server.address], &[])]);
    connect(server.address).expect_err("no backends");
    let report = plane
        .reconcile(&Desired::default(), Completeness::Complete)
        .unwrap();
    assert_eq!(report.sets_removed, [id("gone")]);
    connect(server.address).expect("no longer ours");
}
