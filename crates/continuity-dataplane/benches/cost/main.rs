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
mod rooms;
#[path = "../../tests/kernel/server.rs"]
mod server;

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use aya::sys::Stats;
use continuity_dataplane::{Dataplane as _, KernelDataplane};
use socket2::{Domain, Socket, Type};

use crate::{
    ground::{Ground, connect, serve, set, vip},
    meter::{Meter, Reading, passed},
    rooms::{RULED_VIP, Rooms},
    server::{Manner, Server, ask},
};

const CONNECTS: u32 = 2_000;
const BLOCKS: usize = 40;
const PER_BLOCK: usize = 25;

/// Long enough for others to fill the caches: at rest a connect finds little of its own in them.
const PAUSE: Duration = Duration::from_micros(500);

/// Prints what each program took between two moments of a connection, medians over connections: a mean would count
/// whoever preempted a program, since the kernel's clock runs on.
fn table(phase: &str, samples: &[Reading]) {
    let mut sums: Vec<u64> = Vec::new();
    for sample in samples {
        sums.push(sample.iter().map(|(time, _)| time).sum());
    }
    println!("{phase}: {} ns in programs", quantile(&mut sums, 500));
    for (at, hook) in passed().enumerate() {
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

fn quantile(times: &mut [u64], per_mille: usize) -> u64 {
    times.sort_unstable();
    times[times.len() * per_mille / 1_000]
}

/// What connects in one row of the comparison.
#[derive(Clone, Copy)]
enum Path {
    /// To a pod's address, where no program runs.
    Direct,
    /// To a pod's address, past programs that know neither it nor a Service.
    Unknown,
    /// To a service address that the programs steer; both ends measured.
    Steered,
    /// To a service address that kube-proxy's rules translate; no program runs.
    Ruled,
}

const PATHS: [(Path, &str); 4] = [
    (Path::Direct, "direct, no program"),
    (Path::Unknown, "direct, programs know nothing of it"),
    (Path::Steered, "steered, both ends measured"),
    (Path::Ruled, "kube-proxy's nftables rules"),
];

struct Field {
    ground: Ground,
    plane: KernelDataplane,
    rooms: Rooms,
    measured: Vec<TcpListener>,
    unknown: TcpListener,
    outside: Vec<TcpListener>,
}

impl Field {
    fn new() -> Self {
        let ground = Ground::new();
        let mut plane = ground.open();
        let rooms = Rooms::new();
        // The cgroup of an accepted socket is its listener's.
        let measured: Vec<TcpListener> = (10..15).map(|last| rooms.listen(last)).collect();
        let unknown = rooms.listen(19);
        ground.stand_outside(true);
        let outside: Vec<TcpListener> = (10..15).map(|last| rooms.listen(last)).collect();
        ground.stand_outside(false);
        rooms.rule(&outside);
        let addresses: Vec<_> = measured
            .iter()
            .map(|backend| backend.local_addr().unwrap())
            .collect();
        serve(&mut plane, vec![set("cost", &[vip(80)], &addresses)]);
        Self {
            ground,
            plane,
            rooms,
            measured,
            unknown,
            outside,
        }
    }

    fn target(&self, path: Path, number: usize) -> SocketAddr {
        match path {
            Path::Direct => self.outside[number % self.outside.len()].local_addr().unwrap(),
            Path::Unknown => self.unknown.local_addr().unwrap(),
            Path::Steered => vip(80),
            Path::Ruled => SocketAddr::from((RULED_VIP, 80)),
        }
    }

    /// One block of connects in ns.
    fn block(&mut self, path: Path, pause: Duration, times: &mut Vec<u64>) {
        self.ground
            .stand_outside(matches!(path, Path::Direct | Path::Ruled));
        for number in 0..PER_BLOCK {
            self.plane.heartbeat();
            let to = self.target(path, number).into();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            // Closes by reset, so that no port stays in TIME_WAIT.
            socket.set_linger(Some(Duration::ZERO)).expect("linger");
            std::thread::sleep(pause);
            let began = Instant::now();
            socket.connect(&to).expect("connect");
            times.push(u64::try_from(began.elapsed().as_nanos()).unwrap());
        }
        for backend in self.measured.iter().chain(&self.outside).chain([&self.unknown]) {
            while backend.accept().is_ok() {}
        }
    }
}

/// connect(2) from pod to pod through a node, beside kube-proxy's rules, blocks in turn.
fn connects() {
    let mut field = Field::new();
    for pause in [Duration::ZERO, PAUSE] {
        let mut times: [Vec<u64>; PATHS.len()] = Default::default();
        for _ in 0..BLOCKS {
            for ((path, _), times) in PATHS.iter().zip(&mut times) {
                field.block(*path, pause, times);
            }
        }
        println!("connect(2) from pod to pod, {pause:?} of other work before each:");
        let ruled = quantile(&mut times[3], 500);
        for ((_, name), times) in PATHS.iter().zip(&mut times) {
            let median = quantile(times, 500);
            println!(
                "  {name:36} p10 {:6} p50 {median:6} p99 {:7} ns, {} thousandths of kube-proxy's",
                quantile(times, 100),
                quantile(times, 990),
                median * 1_000 / ruled,
            );
        }
    }
    drop(field.rooms);
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
