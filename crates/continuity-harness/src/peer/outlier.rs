//! Round robin with Envoy's outlier ejection: five failures in a row eject for 30 s, the next time 60 s, 90 s; at most a
//! tenth of the hosts; below half of the hosts healthy everybody is used (panic).

use crate::policy::{Done, End, Pick, Policy, Truth};
use crate::random::hash;
use crate::scenario::Scenario;
use crate::span::SECOND;

/// Failures in a row that eject.
const CONSECUTIVE: u32 = 5;
/// First ejection; the n-th lasts n times as long.
const BASE: u64 = 30 * SECOND;
/// Longest ejection.
const MOST: u64 = 300 * SECOND;
/// Hosts that may be ejected at once, percent.
const PERCENT: usize = 10;
/// Healthy hosts below which everybody is used, percent.
const PANIC: usize = 50;
/// Ejected hosts are looked at this often.
const INTERVAL: u64 = 10 * SECOND;

/// Hosts that may be ejected: Envoy ejects while the share before is below the limit; a set too small for one whole
/// host loses none unless told to always eject one.
pub(super) fn allowed(hosts: usize, percent: usize, always_one: bool) -> usize {
    let whole = hosts * percent / 100;
    if whole == 0 && always_one { 1 } else { whole }
}

/// Length of the n-th ejection, n from 1.
pub(super) fn ejection(times: u64) -> u64 {
    (BASE * times).min(MOST)
}

#[derive(Debug, Clone, Copy, Default)]
struct Host {
    failures: u32,
    times: u64,
    until: Option<u64>,
}

struct Outlier {
    hosts: Vec<Host>,
    next: Vec<u64>,
    looked: Vec<u64>,
    backends: usize,
}

impl Outlier {
    fn of(&mut self, node: usize) -> &mut [Host] {
        self.hosts
            .get_mut(node * self.backends..(node + 1) * self.backends)
            .unwrap_or_default()
    }
}

impl Policy for Outlier {
    fn pick(&mut self, node: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        let backends = self.backends;
        let healthy = self.of(node).iter().filter(|host| host.until.is_none()).count();
        let panic = healthy * 100 < backends * PANIC;
        for _ in 0..backends {
            let next = self.next.get_mut(node)?;
            *next += 1;
            let backend = usize::try_from(*next % backends as u64).unwrap_or(0);
            if panic
                || self
                    .of(node)
                    .get(backend)
                    .is_some_and(|host| host.until.is_none())
            {
                return Some(Pick { backend, tag: 0 });
            }
        }
        None
    }

    fn done(&mut self, done: &Done) {
        let allowed = allowed(self.backends, PERCENT, false);
        let hosts = self.of(done.node);
        let out = hosts.iter().filter(|host| host.until.is_some()).count();
        let Some(host) = hosts.get_mut(done.backend) else {
            return;
        };
        if done.end == End::Answered {
            host.failures = 0;
            return;
        }
        host.failures += 1;
        if host.failures >= CONSECUTIVE && host.until.is_none() && out < allowed {
            host.failures = 0;
            host.times += 1;
            host.until = Some(done.now + ejection(host.times));
        }
    }

    fn tick(&mut self, node: usize, now: u64) {
        match self.looked.get_mut(node) {
            Some(looked) if now - *looked >= INTERVAL => *looked = now,
            _ => return,
        }
        for host in self.of(node) {
            match host.until {
                Some(until) if now >= until => host.until = None,
                None => host.times = host.times.saturating_sub(1),
                Some(_) => {}
            }
        }
    }

    fn isolated(&self, node: usize) -> usize {
        let hosts = self
            .hosts
            .get(node * self.backends..(node + 1) * self.backends)
            .unwrap_or_default();
        hosts.iter().filter(|host| host.until.is_some()).count()
    }
}

pub(super) fn round_robin(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let nodes = usize::try_from(scenario.nodes).unwrap_or(0);
    Box::new(Outlier {
        hosts: vec![Host::default(); nodes * backends],
        next: (0..scenario.nodes)
            .map(|node| hash(seed, u64::from(node)) >> 1)
            .collect(),
        looked: vec![0; nodes],
        backends,
    })
}
