//! `continuity-harness`: runs scenarios against laws.
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let peers =
        continuity_harness::peer::named(&args[2].split(',').map(str::to_owned).collect::<Vec<_>>()).unwrap();
    let nodes: Vec<u32> = args[3].split(',').map(|n| n.parse().unwrap()).collect();
    let seeds: u64 = args[4].parse().unwrap();
    for name in args[1].split(',') {
        for &n in &nodes {
            for peer in &peers {
                let mut sums = vec![];
                let start = std::time::Instant::now();
                let mut events = 0;
                for seed in 11..11 + seeds {
                    let mut s = continuity_harness::scenario::shipped(name).unwrap();
                    if n > 0 {
                        s.nodes = n;
                    }
                    let mut policy = peer.build(&s, seed);
                    let rec = continuity_harness::plant::run(&s, seed, peer.reports, policy.as_mut());
                    events += rec.events;
                    sums.push(continuity_harness::figure::figures(&s, &rec));
                }
                let m = |f: &dyn Fn(&continuity_harness::figure::Figures) -> f64| {
                    sums.iter().map(f).sum::<f64>() / sums.len() as f64
                };
                println!(
                    "{name} N={n} {:18} p50 {:.1} p99 {:.1} p999 {:.1} | fault p99 {:.1} p999 {:.1} | err {:.3} to {:.3} sick {:.3} det {:?} rec {:?} D {:.2} iso {:.2} | failed in fault {:.3} settled p99 {:.1} sick {:.3} | {:.2} Mev/s",
                    peer.name,
                    m(&|f| f.p50),
                    m(&|f| f.p99),
                    m(&|f| f.p999),
                    m(&|f| f.fault_p99),
                    m(&|f| f.fault_p999),
                    m(&|f| f.error_percent),
                    m(&|f| f.timeout_percent),
                    m(&|f| f.sick_percent),
                    sums[0].detect_seconds,
                    sums[0].recover_seconds,
                    m(&|f| f.dispersion),
                    m(&|f| f.isolations),
                    m(&|f| f.fault_failed_percent),
                    m(&|f| f.settled_p99),
                    m(&|f| f.settled_sick_percent),
                    events as f64 / start.elapsed().as_secs_f64() / 1e6
                );
            }
        }
    }
}
