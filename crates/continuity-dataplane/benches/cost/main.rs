//! What each program costs, as the kernel itself counts it, and what a connect and a round trip cost with and without
//! the programs, interleaved in one process. Needs root; prints figures and judges none.
#![allow(
    dead_code,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench ends by panic, and it uses a part of the kernel tests' ground"
)]

#[path = "../../tests/kernel/ground.rs"]
mod ground;
mod meter;
#[path = "../../tests/kernel/server.rs"]
mod server;

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use aya::sys::Stats;
use continuity_dataplane::{Dataplane as _, HOOKS, KernelDataplane};
use socket2::{Domain, Socket, Type};

use crate::{
    ground::{Ground, connect, listen, serve, set, vip},
    meter::{Meter, Reading},
    server::{Manner, Server, ask},
};

const CONNECTS: u32 = 2_000;
const BLOCKS: usize = 20;
const PER_BLOCK: usize = 100;

/// Prints what each program took between two moments of a connection, medians over connections: a mean would count
/// whoever preempted a program, since the kernel's clock runs on.
fn table(phase: &str, samples: &[Reading]) {
    let mut sums: Vec<u64> = Vec::new();
    for sample in samples {
        sums.push(sample.iter().map(|(time, _)| time).sum());
    }
    println!("{phase}: {} ns in programs", quantile(&mut sums, 500));
    for (at, hook) in HOOKS.iter().enumerate() {
        let mut times: Vec<u64> = samples.iter().map(|sample| sample[at].0).collect();
        let mut runs: Vec<u64> = samples.iter().map(|sample| sample[at].1).collect();
        let (time, runs) = (quantile(&mut times, 500), quantile(&mut runs, 500));
        if runs > 0 {
            println!("  {:14} {time:5} ns in {runs} runs", hook.name);
        }
    }
}

fn programs() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers: Vec<Server> = (1..=5)
        .map(|last| Server::start(last, Manner::Answer(Duration::ZERO)))
        .collect();
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    serve(&mut plane, vec![set("cost", &[vip(80)], &addresses)]);
    let _stats = aya::sys::enable_stats(Stats::RunTime).expect("count run time");
    let meter = Meter::of(&ground);
    let mut phases: [Vec<Reading>; 3] = Default::default();
    for _ in 0..CONNECTS {
        plane.heartbeat();
        let mut moments = vec![meter.read()];
        let mut client = connect(vip(80)).expect("connect");
        moments.push(meter.read());
        ask(&mut client).expect("an answer");
        moments.push(meter.read());
        drop(client);
        std::thread::sleep(Duration::from_millis(1));
        moments.push(meter.read());
        for (phase, pair) in phases.iter_mut().zip(moments.windows(2)) {
            let change = pair[0].iter().zip(&pair[1]);
            phase.push(change.map(|(was, is)| (is.0 - was.0, is.1 - was.1)).collect());
        }
    }
    for (name, samples) in ["connect(2)", "request and answer", "close"].iter().zip(&phases) {
        table(name, samples);
    }
}

/// connect(2) times in ns: through the VIP with every program, and directly where no program runs. Blocks alternate in
/// one process; backends only listen, so that nothing else is measured.
fn blocks(ground: &Ground, plane: &mut KernelDataplane, backends: &[TcpListener]) -> [Vec<u64>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    let addresses: Vec<SocketAddr> = backends
        .iter()
        .map(|backend| backend.local_addr().unwrap())
        .collect();
    for block in 0..BLOCKS * 2 {
        let outside = block % 2 == 1;
        ground.stand_outside(outside);
        plane.heartbeat();
        for number in 0..PER_BLOCK {
            let to = if outside {
                addresses[number % addresses.len()]
            } else {
                vip(80)
            };
            let to = to.into();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            // Closes by reset, so that no port stays in TIME_WAIT.
            socket.set_linger(Some(Duration::ZERO)).expect("linger");
            let began = Instant::now();
            socket.connect(&to).expect("connect");
            times[usize::from(outside)].push(u64::try_from(began.elapsed().as_nanos()).unwrap());
        }
        for backend in backends {
            while backend.accept().is_ok() {}
        }
    }
    ground.stand_outside(false);
    times
}

fn quantile(times: &mut [u64], per_mille: usize) -> u64 {
    times.sort_unstable();
    times[times.len() * per_mille / 1_000]
}

fn connects() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let backends: Vec<TcpListener> = (1..=5).map(listen).collect();
    backends
        .iter()
        .for_each(|backend| backend.set_nonblocking(true).unwrap());
    let addresses: Vec<_> = backends
        .iter()
        .map(|backend| backend.local_addr().unwrap())
        .collect();
    serve(&mut plane, vec![set("cost", &[vip(80)], &addresses)]);
    let [mut steered, mut plain] = blocks(&ground, &mut plane, &backends);
    let (here, there) = (quantile(&mut steered, 500), quantile(&mut plain, 500));
    println!(
        "connect p50: {here} ns steered and measured on both sides, {there} ns direct without any program"
    );
    println!(
        "connect p99: {} ns, {} ns",
        quantile(&mut steered, 990),
        quantile(&mut plain, 990)
    );
}

fn round_trips() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Server::start(1, Manner::Answer(Duration::ZERO));
    serve(&mut plane, vec![set("cost", &[vip(80)], &[server.address])]);
    // The cgroup of a socket is that of the process when it is made, for the accepted one too.
    let mut steered = connect(vip(80)).expect("connect");
    ground.stand_outside(true);
    let outside = Server::start(2, Manner::Answer(Duration::ZERO));
    let mut plain = connect(outside.address).expect("connect");
    let mut times = [Vec::new(), Vec::new()];
    for block in 0..BLOCKS * 2 {
        let (stream, times) = match block % 2 {
            0 => (&mut steered, &mut times[0]),
            _ => (&mut plain, &mut times[1]),
        };
        for _ in 0..PER_BLOCK * 2 {
            let began = Instant::now();
            ask(stream).expect("an answer");
            times.push(u64::try_from(began.elapsed().as_nanos()).unwrap());
        }
    }
    ground.stand_outside(false);
    let [here, there] = times.each_mut().map(|times| quantile(times, 500));
    println!("round trip p50: {here} ns measured on both sides, {there} ns without any program");
}

/// Runs the parts that the arguments name, or all.
fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let parts: [(&str, fn()); 3] = [
        ("programs", programs),
        ("connects", connects),
        ("round-trips", round_trips),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            part();
        }
    }
}
