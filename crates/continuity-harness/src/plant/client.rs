//! The clients' side of the plant: who asks and when, over which connection, and what a failure makes them do.
//!
//! Invariant: every request is settled once, answered or not, however many attempts it took.

use super::agenda::{Event, Lane};
use super::request::{NOBODY, Request, Wish};
use super::{Plant, index, small};
use crate::admission::{Closed, Decision, Offer};
use crate::policy::{End, Truth};
use crate::recording::{Attempt, NOWHERE, Served};
use crate::scenario::{Caller, Connections, Scenario};
use crate::span::{MILLI, micros, nanos};

/// A retry budget fills up to so many retries: a second of 10 of them, as the published budgets do.
const BUDGET_CAP: f64 = 10.0;

/// A connection that is kept.
#[derive(Debug, Clone, Copy)]
struct Connection {
    backend: u32,
    left: u32,
    busy: u32,
}

/// What the clients of all nodes remember.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Kept connections, and by node the places of those that take requests.
    connections: Vec<Connection>,
    free: Vec<u32>,
    pools: Vec<Vec<u32>>,
    /// Retries that each node's clients may still make.
    budgets: Vec<f64>,
    /// What waits for its next attempt.
    waiting: Vec<Wish>,
    idle: Vec<u32>,
}

impl Clients {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let nodes = index(scenario.nodes);
        Self {
            pools: vec![Vec::new(); nodes],
            budgets: vec![BUDGET_CAP; nodes],
            ..Self::default()
        }
    }

    /// A kept connection of `node` that takes one more request now.
    fn reuse(&mut self, kept: &Connections, node: u32) -> Option<(u32, u32)> {
        let pool = self.pools.get(index(node))?;
        if pool.len() < index(kept.pool) {
            return None;
        }
        let busy = |place: u32| self.connections.get(index(place)).map_or(u32::MAX, |c| c.busy);
        let place = pool.iter().copied().min_by_key(|&place| busy(place))?;
        let connection = self.connections.get_mut(index(place))?;
        if connection.busy >= kept.streams {
            return None;
        }
        let backend = connection.backend;
        self.take(place, node);
        Some((place, backend))
    }

    /// One more request on it; the last one closes it to others.
    fn take(&mut self, place: u32, node: u32) {
        let Some(connection) = self.connections.get_mut(index(place)) else {
            return;
        };
        connection.busy += 1;
        connection.left = connection.left.saturating_sub(1);
        if connection.left == 0 {
            self.retire(place, node);
        }
    }

    fn retire(&mut self, place: u32, node: u32) {
        if let Some(pool) = self.pools.get_mut(index(node)) {
            pool.retain(|&other| other != place);
        }
    }

    fn open(&mut self, kept: &Connections, node: u32, backend: u32) -> u32 {
        let connection = Connection {
            backend,
            left: kept.requests,
            busy: 0,
        };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(old) = self.connections.get_mut(index(place)) {
                    *old = connection;
                }
                place
            }
            None => {
                self.connections.push(connection);
                small(self.connections.len() - 1)
            }
        };
        if let Some(pool) = self.pools.get_mut(index(node)) {
            pool.push(place);
        }
        self.take(place, node);
        place
    }

    /// A request on it ended; a failure ends the connection.
    fn rest(&mut self, place: u32, node: u32, failed: bool) {
        let Some(connection) = self.connections.get_mut(index(place)) else {
            return;
        };
        connection.busy = connection.busy.saturating_sub(1);
        if failed {
            connection.left = 0;
        }
        let (left, busy) = (connection.left, connection.busy);
        if failed {
            self.retire(place, node);
        }
        if left == 0 && busy == 0 {
            self.free.push(place);
        }
    }

    fn keep(&mut self, wish: Wish) -> u32 {
        if let Some(place) = self.idle.pop()
            && let Some(old) = self.waiting.get_mut(index(place))
        {
            *old = wish;
            return place;
        }
        self.waiting.push(wish);
        small(self.waiting.len() - 1)
    }

    fn fetch(&mut self, place: u32) -> Option<Wish> {
        self.idle.push(place);
        self.waiting.get(index(place)).copied()
    }
}

/// Number of the first pod of a kind on a node.
fn pod(callers: &[Caller], node: u32, kind: usize) -> u32 {
    let all: u32 = callers.iter().map(|caller| caller.pods).sum();
    let before: u32 = callers.iter().take(kind).map(|caller| caller.pods).sum();
    node * all.max(1) + before
}

/// What admission is asked for an attempt.
fn offer(scenario: &Scenario, wish: &Wish, now: u64) -> Offer {
    let kind = scenario.callers.get(usize::from(wish.kind));
    Offer {
        node: index(wish.node),
        caller: wish.caller,
        class: kind.map(|caller| caller.level).unwrap_or_default(),
        attempt: u32::from(wish.attempt.saturating_sub(1)),
        now,
    }
}

impl Plant<'_> {
    /// Starts the load: an open loop, or every client of a closed one with a thought.
    pub(super) fn open_load(&mut self) {
        match self.scenario.load.closed {
            Some(closed) => {
                for client in 0..closed.clients * self.scenario.nodes {
                    self.think(0, client);
                }
            }
            None => self.arrive_later(0),
        }
        if let Some(rogue) = self.scenario.rogue {
            self.agenda.late(rogue.from_millis * MILLI, Event::Rogue);
        }
    }

    fn arrive_later(&mut self, now: u64) {
        let rate = self.scenario.rate() * self.scenario.load.factor(now);
        let gap = nanos(self.arrivals.exponential() / rate);
        if now + gap < self.end {
            self.agenda.lane(Lane::Due, now + gap, Event::Arrival);
        }
    }

    pub(super) fn arrival(&mut self, now: u64) {
        let node = small(self.arrivals.below(index(self.scenario.nodes)));
        let kind = self.kind();
        let wish = self.wish(now, node, kind, NOBODY);
        self.ask(now, wish);
        self.send_probes(now, node);
        self.arrive_later(now);
    }

    fn think(&mut self, now: u64, client: u32) {
        let Some(closed) = self.scenario.load.closed else {
            return;
        };
        let next = now + nanos(self.arrivals.exponential() * closed.think_millis / 1e3);
        if next < self.end {
            self.agenda.late(next, Event::Thought(client));
        }
    }

    pub(super) fn thought(&mut self, now: u64, client: u32) {
        let clients = self.scenario.load.closed.map_or(1, |closed| closed.clients);
        let node = client / clients.max(1);
        let kind = self.kind();
        let wish = self.wish(now, node, kind, client);
        self.ask(now, wish);
        self.send_probes(now, node);
    }

    /// The rogue asks for `factor - 1` times its part on top of it.
    pub(super) fn rogue(&mut self, now: u64) {
        let scenario = self.scenario;
        let Some(rogue) = scenario.rogue else { return };
        let Some(caller) = scenario.callers.get(index(rogue.caller)) else {
            return;
        };
        if now > rogue.from_millis * MILLI {
            let mut wish = self.wish(now, 0, index(rogue.caller), NOBODY);
            wish.caller = pod(&scenario.callers, 0, index(rogue.caller));
            self.ask(now, wish);
        }
        let own = scenario.rate() * f64::from(caller.permille)
            / (1e3 * f64::from(caller.pods) * f64::from(scenario.nodes));
        let gap = nanos(self.crowd.exponential() / (own * (rogue.factor - 1.0)).max(1e-6));
        if now + gap < rogue.to_millis * MILLI {
            self.agenda.late(now + gap, Event::Rogue);
        }
    }

    /// Kind of the next caller, by the parts of the load.
    fn kind(&mut self) -> usize {
        let callers = &self.scenario.callers;
        if callers.is_empty() {
            return 0;
        }
        let mut draw = small(self.crowd.below(1_000));
        for (kind, caller) in callers.iter().enumerate() {
            if draw < caller.permille {
                return kind;
            }
            draw -= caller.permille;
        }
        callers.len() - 1
    }

    fn wish(&mut self, now: u64, node: u32, kind: usize, client: u32) -> Wish {
        let work = self.draw();
        let luck = small(self.luck.below(1_000));
        let lost = small(self.losses.below(1_000)) < self.scenario.gossip.lost_permille;
        let callers = self.scenario.callers.as_slice();
        let caller = match callers.get(kind) {
            None => node,
            Some(caller) if caller.pods == 1 => pod(callers, node, kind),
            Some(caller) => pod(callers, node, kind) + small(self.crowd.below(index(caller.pods))),
        };
        if let Some(retries) = self.scenario.client.retries
            && let (Some(permille), Some(budget)) =
                (retries.budget_permille, self.clients.budgets.get_mut(index(node)))
        {
            *budget = (*budget + f64::from(permille) / 1e3).min(BUDGET_CAP.max(f64::from(permille) / 1e2));
        }
        Wish {
            due: now,
            work,
            node,
            caller,
            client,
            luck,
            kind: u8::try_from(kind).unwrap_or(0),
            attempt: 0,
            lost,
        }
    }

    /// One attempt: on a kept connection if there is one, else past admission to where the law sends it.
    fn ask(&mut self, now: u64, mut wish: Wish) {
        wish.attempt = wish.attempt.saturating_add(1);
        if let Some(kept) = self.scenario.client.connections
            && let Some((connection, backend)) = self.clients.reuse(&kept, wish.node)
        {
            let tag = self.policy.again(index(wish.node), index(backend), now);
            let request = Request {
                wish,
                sent: now,
                backend,
                tag,
                connection,
                ..Request::default()
            };
            return self.send(now, request);
        }
        let truth = Truth {
            in_flight: &self.in_flight,
            speed: &self.speed,
            delay: &self.delay,
            workers: self.scenario.backends.workers,
            service: self.mean,
        };
        let offer = offer(self.scenario, &wish, now);
        let said = self.admission.as_deref_mut().map(|own| own.offer(&offer, &truth));
        let ticket = match said {
            None => None,
            Some(Decision::Admit(ticket)) => Some(ticket),
            Some(Decision::Refuse) => return self.turned_away(now, wish, End::Denied),
        };
        let pick = self.policy.pick(index(wish.node), now, &truth);
        let Some(pick) = pick.filter(|pick| pick.backend < self.backends.len()) else {
            if let Some(ticket) = ticket {
                self.tell(now, &wish, ticket, now, usize::MAX, End::Refused, None);
            }
            return self.turned_away(now, wish, End::Refused);
        };
        let backend = small(pick.backend);
        let connection = match self.scenario.client.connections {
            Some(kept) => self.clients.open(&kept, wish.node, backend),
            None => NOBODY,
        };
        let request = Request {
            wish,
            sent: now,
            backend,
            tag: Some(pick.tag),
            ticket,
            connection,
            fresh: true,
            ..Request::default()
        };
        self.send(now, request);
    }

    fn send(&mut self, now: u64, request: Request) {
        if let Some(count) = self.in_flight.get_mut(index(request.backend)) {
            *count += 1;
        }
        let (place, generation) = self.requests.open(request);
        self.agenda
            .lane(Lane::Out, now + self.one_way, Event::Reach(place));
        let patience = Event::Patience {
            request: place,
            generation,
        };
        self.agenda.lane(Lane::Patience, now + self.patience, patience);
    }

    fn turned_away(&mut self, now: u64, wish: Wish, end: End) {
        self.recording.attempts.push(Attempt {
            sent: now,
            micros: 0,
            backend: NOWHERE,
            end,
            fresh: true,
        });
        self.settle(now, wish, end);
    }

    /// The client's side of an attempt is over.
    pub(super) fn close(&mut self, now: u64, place: u32, end: End, report: Option<crate::choice::Report>) {
        let Some(request) = self
            .requests
            .client_done(place)
            .filter(|request| !request.foreign)
        else {
            return;
        };
        self.recording.attempts.push(Attempt {
            sent: request.sent,
            micros: micros(now - request.sent),
            backend: request.backend,
            end,
            fresh: request.fresh,
        });
        if let Some(tag) = request.tag {
            self.policy.done(&crate::policy::Done {
                node: index(request.wish.node),
                backend: index(request.backend),
                sent: request.sent,
                now,
                end,
                tag,
                report,
            });
        }
        if let Some(ticket) = request.ticket {
            let backend = index(request.backend);
            self.tell(now, &request.wish, ticket, request.sent, backend, end, report);
        }
        if request.connection != NOBODY {
            self.clients
                .rest(request.connection, request.wish.node, end != End::Answered);
        }
        self.settle(now, request.wish, end);
    }

    #[allow(clippy::too_many_arguments, reason = "they are the fields of what is told")]
    fn tell(
        &mut self,
        now: u64,
        wish: &Wish,
        ticket: u32,
        sent: u64,
        backend: usize,
        end: End,
        report: Option<crate::choice::Report>,
    ) {
        let kind = self.scenario.callers.get(usize::from(wish.kind));
        if let Some(admission) = self.admission.as_deref_mut() {
            admission.done(&Closed {
                node: index(wish.node),
                caller: wish.caller,
                class: kind.map(|caller| caller.level).unwrap_or_default(),
                ticket,
                backend,
                sent,
                now,
                end,
                report,
            });
        }
    }

    /// An attempt ended: it is tried again, or the request is over.
    fn settle(&mut self, now: u64, mut wish: Wish, end: End) {
        if end != End::Answered && self.may_retry(&wish) {
            let backoff = self.scenario.client.retries.map_or(0, |r| r.backoff_millis) * MILLI;
            let doubled = backoff.saturating_mul(1 << wish.attempt.saturating_sub(1).min(20));
            let wait = nanos((0.5 + 0.5 * self.crowd.uniform()) * doubled as f64 / 1e9);
            wish.luck = small(self.crowd.below(1_000));
            let place = self.clients.keep(wish);
            return self.agenda.late(now + wait, Event::Retry(place));
        }
        if self.counts {
            self.recording.served.push(Served {
                due: wish.due,
                micros: micros(now - wish.due),
                caller: wish.caller,
                kind: wish.kind,
                attempts: wish.attempt,
                good: end == End::Answered,
            });
        }
        if wish.client != NOBODY {
            self.think(now, wish.client);
        }
    }

    fn may_retry(&mut self, wish: &Wish) -> bool {
        let Some(retries) = self.scenario.client.retries else {
            return false;
        };
        if u32::from(wish.attempt) > retries.most {
            return false;
        }
        if retries.budget_permille.is_none() {
            return true;
        }
        match self.clients.budgets.get_mut(index(wish.node)) {
            Some(budget) if *budget >= 1.0 => {
                *budget -= 1.0;
                true
            }
            _ => false,
        }
    }

    pub(super) fn retry(&mut self, now: u64, place: u32) {
        if let Some(wish) = self.clients.fetch(place) {
            self.ask(now, wish);
        }
    }
}
