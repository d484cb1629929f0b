//! One service port: its listening socket, its workers, its fault.
//!
//! Invariant: when [`ServicePort::set`] returns, every connection that is accepted later meets the new fault, and
//! after `Refused` the listening socket is closed. Requests already being served keep the delay they were given.

use super::{Profile, exchange};
use crate::control::{Fault, Port, PortState};
use crate::{clock, draw, line};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections open at once. A hang of 20 s at 500/s with clients that leave after 2 s needs 1,000; above the limit
/// new ones are reset.
const CONNECTIONS: usize = 8192;
/// Accept queue: the kernel's own ceiling (net.core.somaxconn) is 4096.
const BACKLOG: u32 = 4096;

/// A fault with the time it began and its number.
#[derive(Clone, Copy)]
struct Order {
    number: u64,
    fault: Fault,
    since_ns: u64,
}

/// What a fault means for a connection at one instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Effect {
    Serve { delay: Duration },
    Reset,
    Hang,
}

impl Order {
    fn effect(&self, now_ns: u64) -> Effect {
        let late = |ms: u32| Effect::Serve {
            delay: Duration::from_millis(ms.into()),
        };
        match self.fault {
            Fault::End | Fault::Refused => late(0),
            Fault::Gray { delay_ms } => late(delay_ms),
            Fault::FastFail => Effect::Reset,
            Fault::Hang => Effect::Hang,
            Fault::Alternate { delay_ms, period_ms } => {
                let period_ns = u64::from(period_ms.max(1)) * 1_000_000;
                let phase = now_ns.saturating_sub(self.since_ns) / period_ns;
                late(if phase.is_multiple_of(2) { delay_ms } else { 0 })
            }
        }
    }
}

/// A service port and its counters.
pub(super) struct ServicePort {
    /// Which port it is.
    pub(super) port: Port,
    number: u16,
    profile: Arc<Profile>,
    workers: Semaphore,
    room: Arc<Semaphore>,
    order: watch::Sender<Order>,
    applied: watch::Sender<u64>,
    accepted: AtomicU64,
    answered: AtomicU64,
}

impl ServicePort {
    pub(super) fn new(port: Port, number: u16, profile: Arc<Profile>) -> Self {
        Self {
            port,
            number,
            workers: Semaphore::new(profile.workers.max(1)),
            profile,
            room: Arc::new(Semaphore::new(CONNECTIONS)),
            order: watch::Sender::new(Order {
                number: 0,
                fault: Fault::End,
                since_ns: 0,
            }),
            applied: watch::Sender::new(0),
            accepted: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    pub(super) fn state(&self) -> PortState {
        PortState {
            port: self.port,
            fault: self.order.borrow().fault,
            accepted: self.accepted.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            open: (CONNECTIONS - self.room.available_permits()) as u64,
        }
    }

    /// Changes the fault and waits until the listening socket has followed.
    pub(super) async fn set(&self, fault: Fault) {
        let mut number = 0;
        self.order.send_modify(|order| {
            number = order.number + 1;
            *order = Order {
                number,
                fault,
                since_ns: clock::now_ns(),
            };
        });
        let mut applied = self.applied.subscribe();
        // The sender is a field of self, so waiting can only end by success.
        let _reached = applied.wait_for(|reached| *reached >= number).await;
    }

    /// Accepts for ever; closes the listening socket for the time of a `Refused`.
    pub(super) async fn serve(self: Arc<Self>) -> std::io::Result<()> {
        let mut orders = self.order.subscribe();
        let mut listener = None;
        loop {
            let order = *orders.borrow_and_update();
            listener = match (order.fault, listener) {
                (Fault::Refused, _) => None,
                (_, Some(open)) => Some(open),
                (_, None) => Some(line::listen(self.number, BACKLOG)?),
            };
            self.applied.send_replace(order.number);
            tokio::select! {
                biased;
                changed = orders.changed() => if changed.is_err() { return Ok(()) },
                stream = accept(listener.as_ref()) => self.clone().take(stream?),
            }
        }
    }

    fn take(self: Arc<Self>, stream: TcpStream) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            return reset(&stream);
        };
        tokio::spawn(async move {
            // How the connection ended is the client's to record.
            let _ended = self.converse(stream).await;
            drop(place);
        });
    }

    async fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut pending = Vec::new();
        if self.order.borrow().effect(clock::now_ns()) == Effect::Reset {
            reset(&stream);
            return Ok(());
        }
        while let Some(request) = exchange::request(&mut stream, &mut pending).await? {
            let effect = self.order.borrow().effect(clock::now_ns());
            match effect {
                Effect::Serve { delay } => self.work(&request.path, delay).await,
                Effect::Reset => {
                    reset(&stream);
                    return Ok(());
                }
                Effect::Hang => return silence(stream).await,
            }
            exchange::respond(&mut stream, &self.profile.name, request.close).await?;
            self.answered.fetch_add(1, Ordering::Relaxed);
            if request.close {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Holds a worker for the service time of this request, then waits out the fault's delay without one.
    async fn work(&self, path: &str, delay: Duration) {
        let ms = draw::log_normal(
            draw::key(path.as_bytes()),
            self.profile.mean_ms,
            self.profile.sigma,
        );
        let service = Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        if let Ok(worker) = self.workers.acquire().await {
            tokio::time::sleep(service).await;
            drop(worker);
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Reads and forgets until the client leaves.
async fn silence(mut stream: TcpStream) -> std::io::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink())
        .await
        .map(|_| ())
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) {
    // If the option cannot be set the close is an ordinary one, which the client records as a reset all the same.
    let _set = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternate_is_gray_first_then_well() {
        let order = Order {
            number: 1,
            fault: Fault::Alternate {
                delay_ms: 500,
                period_ms: 3000,
            },
            since_ns: 10,
        };
        let at = |ms: u64| order.effect(10 + ms * 1_000_000);
        let (gray, well) = (Duration::from_millis(500), Duration::ZERO);
        assert_eq!(at(0), Effect::Serve { delay: gray });
        assert_eq!(at(2999), Effect::Serve { delay: gray });
        assert_eq!(at(3000), Effect::Serve { delay: well });
        assert_eq!(at(6000), Effect::Serve { delay: gray });
    }
}
