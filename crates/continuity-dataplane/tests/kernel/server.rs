//! Backends of every kind of health, on threads of the test's namespace.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

/// What a backend does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Answers every request of up to 1 KiB with four bytes, after a pause.
    Answer(Duration),
    /// Resets at once.
    Slam,
    /// Closes at once.
    Leave,
    /// Reads a request and resets.
    Reset,
    /// Reads a request and closes without a word.
    Close,
    /// Reads, and says nothing until it ends.
    Hang,
}

/// A backend; it ends on drop.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    /// On a loopback address of its own, so that backends differ by address as pods do.
    pub(crate) fn start(last: u8, manner: Manner) -> Self {
        Self::on(
            TcpListener::bind((Ipv4Addr::new(127, 0, 1, last), 0)).expect("listen"),
            manner,
        )
    }

    pub(crate) fn on(listener: TcpListener, manner: Manner) -> Self {
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let held = Arc::new(Mutex::new(Vec::new()));
        let (stopped, holds) = (Arc::clone(&stop), Arc::clone(&held));
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let holds = Arc::clone(&holds);
                thread::spawn(move || treat(stream, manner, &holds));
            }
        });
        Self {
            address,
            stop,
            accepting: Some(accepting),
            held,
        }
    }

    /// Ends the connections that it hangs on to.
    pub(crate) fn let_go(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn treat(mut stream: TcpStream, manner: Manner, held: &Mutex<Vec<TcpStream>>) {
    match manner {
        Manner::Slam => {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
        Manner::Leave => return,
        _ => {}
    }
    let mut request = [0; 1024];
    while stream.read(&mut request).is_ok_and(|length| length > 0) {
        match manner {
            Manner::Answer(pause) => {
                thread::sleep(pause);
                if stream.write_all(b"pong").is_err() {
                    return;
                }
            }
            Manner::Reset => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Manner::Slam | Manner::Leave | Manner::Close => return,
            Manner::Hang => {
                held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                return;
            }
        }
    }
}

/// One request on an open connection.
pub(crate) fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}
