//! Open requests, in places that are used again: a run opens 10^5 to 10^8, some thousand at a time.

/// What a caller wants, over all its attempts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// When it was first due, ns.
    pub(super) due: u64,
    /// Work at speed 1, ns.
    pub(super) work: u64,
    /// Whose node.
    pub(super) node: u32,
    /// Which calling pod.
    pub(super) caller: u32,
    /// Which client of a closed loop; `NOBODY` in an open one.
    pub(super) client: u32,
    /// Draw for random errors, 0..1000.
    pub(super) luck: u32,
    /// Kind of caller, an index into the scenario's.
    pub(super) kind: u8,
    /// Attempts made.
    pub(super) attempt: u8,
    /// Its reports are lost on the way.
    pub(super) lost: bool,
}

/// No client of a closed loop; no kept connection.
pub(super) const NOBODY: u32 = u32::MAX;

/// One attempt under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Request {
    /// What it is for.
    pub(super) wish: Wish,
    /// When it left, ns.
    pub(super) sent: u64,
    /// When it reached its backend, ns.
    pub(super) arrived: u64,
    /// Where.
    pub(super) backend: u32,
    /// What the law remembers; without it the law does not hear of the end.
    pub(super) tag: Option<i32>,
    /// What admission remembers, if it was asked.
    pub(super) ticket: Option<u32>,
    /// The kept connection it is on, or `NOBODY`.
    pub(super) connection: u32,
    /// In flight at the backend when it came.
    pub(super) rif: u32,
    /// The first on its connection: a pick decided where it goes.
    pub(super) fresh: bool,
    /// Of another Service on the same pods.
    pub(super) foreign: bool,
    /// The backend will never answer.
    pub(super) hung: bool,
    pub(super) generation: u32,
    pub(super) client: bool,
    pub(super) server: bool,
}

/// All open requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    places: Vec<Request>,
    free: Vec<u32>,
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl Requests {
    /// Opens one; gives its place and the generation that tells it from its successors there.
    pub(super) fn open(&mut self, request: Request) -> (u32, u32) {
        let request = Request {
            client: true,
            server: true,
            ..request
        };
        if let Some(place) = self.free.pop()
            && let Some(old) = self.places.get_mut(index(place))
        {
            let generation = old.generation.wrapping_add(1);
            *old = Request {
                generation,
                ..request
            };
            return (place, generation);
        }
        self.places.push(request);
        (u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX), 0)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Request> {
        self.places.get_mut(index(place))
    }

    /// The request of that generation, if its client still waits.
    pub(super) fn live(&self, place: u32, generation: u32) -> Option<&Request> {
        self.places
            .get(index(place))
            .filter(|request| request.client && request.generation == generation)
    }

    /// Its client is done with it; `None` if it was before.
    pub(super) fn client_done(&mut self, place: u32) -> Option<Request> {
        let request = self
            .places
            .get_mut(index(place))
            .filter(|request| request.client)?;
        request.client = false;
        let copy = *request;
        self.reclaim(place);
        Some(copy)
    }

    /// Its server, and everything on its way back, is done with it.
    pub(super) fn server_done(&mut self, place: u32) {
        if let Some(request) = self.places.get_mut(index(place)) {
            request.server = false;
            self.reclaim(place);
        }
    }

    fn reclaim(&mut self, place: u32) {
        if self
            .places
            .get(index(place))
            .is_some_and(|request| !request.client && !request.server)
        {
            self.free.push(place);
        }
    }
}
