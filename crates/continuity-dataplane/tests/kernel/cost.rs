//! What each program costs, as the kernel itself counts it. The figures depend on the machine and are printed; the
//! assertion is a guard against a blunder, an order of magnitude above what they are.

use std::time::Duration;

use aya::{programs::ProgramInfo, sys::Stats};
use continuity_dataplane::HOOKS;

use crate::{
    ground::{Ground, connect, serve, set, vip},
    server::{Manner, Server, ask},
};

const CONNECTS: u32 = 2_000;
const GUARD: Duration = Duration::from_micros(20);

#[test]
fn a_run_of_each_program_costs_less_than_the_guard() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers: Vec<Server> = (1..=5)
        .map(|last| Server::start(last, Manner::Answer(Duration::ZERO)))
        .collect();
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    serve(&mut plane, vec![set("cost", &[vip(80)], &addresses)]);
    let _stats = aya::sys::enable_stats(Stats::RunTime).expect("count run time");
    for _ in 0..CONNECTS {
        use continuity_dataplane::Dataplane as _;
        plane.heartbeat();
        let mut client = connect(vip(80)).expect("connect");
        ask(&mut client).expect("an answer");
        client.peer_addr().expect("a peer");
    }
    for hook in &HOOKS {
        let info = ProgramInfo::from_pin(ground.program(hook.name)).expect("the pinned program");
        let (time, runs) = (
            info.run_time(),
            u32::try_from(info.run_count()).unwrap_or(u32::MAX),
        );
        if runs == 0 {
            continue;
        }
        println!(
            "{:14} {:5} ns a run, {runs} runs",
            hook.name,
            (time / runs).as_nanos()
        );
        assert!(time / runs < GUARD, "{}", hook.name);
    }
}
