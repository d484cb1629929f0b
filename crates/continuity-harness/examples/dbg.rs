fn main() {
    let a: Vec<String> = std::env::args().collect();
    let peers = continuity_harness::peer::named(&[a[2].clone()]).unwrap();
    let mut s = continuity_harness::scenario::shipped(&a[1]).unwrap();
    s.nodes = 10;
    let mut p = peers[0].build(&s, a[3].parse().unwrap());
    let rec = continuity_harness::plant::run(&s, a[3].parse().unwrap(), peers[0].reports, p.as_mut());
    let mut n = [0; 90];
    for at in &rec.attempts {
        if at.backend == 0 {
            n[(at.sent / 1_000_000_000) as usize] += 1;
        }
    }
    println!("{:?}", n);
    for i in &rec.isolations {
        println!("{:.2} node {} -> {}", i.0 as f64 / 1e9, i.1, i.2);
    }
}
