//! A broker that does what a test tells it: each accepted socket runs a script on a thread of its own, and every byte
//! it reads is kept.

use std::fmt::Display;
use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustls::ServerConfig;

use super::peer::Peer;
use super::tls;
use super::DEADLINE;

/// Enough for the scripts, which keep their data on the heap; some tests run thousands of them.
const STACK_BYTES: usize = 128 * 1024;

/// A listener and the sockets it accepted; all of them end when this is dropped.
pub(crate) struct Broker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    sockets: Mutex<Vec<Socket>>,
    changed: Condvar,
    stopped: AtomicBool,
}

/// What is known of one accepted socket.
struct Socket {
    /// Gone once the script has ended, so that the socket ends with it.
    handle: Option<TcpStream>,
    received: Vec<u8>,
    outcome: Option<Result<(), String>>,
}

/// A door between a test and the scripts: closed at first, and open for ever once opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Broker {
    /// Listens on a port of its own and runs `script` for every socket it accepts.
    pub(crate) fn start(
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, script)
    }

    /// The same behind TLS.
    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(config), script)
    }

    /// A broker that logs clients in and then does the little [`Peer::serve`] knows.
    pub(crate) fn polite() -> Self {
        Self::start(|peer| {
            peer.negotiate()?;
            peer.serve()
        })
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let broker = Self {
            address,
            shared: shared.clone(),
        };
        let script = Arc::new(script);
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if shared.stopped.load(Ordering::Acquire) {
                    return;
                }
                let Some(number) = shared.add(&socket) else {
                    continue;
                };
                let (shared, script, tls) = (shared.clone(), script.clone(), tls.clone());
                let work = move || {
                    let mut unwound = Unwound {
                        shared: shared.clone(),
                        number,
                        outcome: None,
                    };
                    let outcome = run(tls, socket, number, shared, &*script);
                    unwound.outcome = Some(outcome.map_err(|error| error.to_string()));
                };
                thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn(work)
                    .expect("a thread");
            }
        });
        broker
    }

    /// Where it listens, as an `amqp://` URI for the configuration.
    pub(crate) fn uri(&self) -> impl Display {
        format!("amqp://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many sockets it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.lock().len()
    }

    /// Every byte read from the socket that was accepted as number `number`, from 0.
    pub(crate) fn received(&self, number: usize) -> Vec<u8> {
        self.shared
            .lock()
            .get(number)
            .map_or_else(Vec::new, |socket| socket.received.clone())
    }

    /// Waits until that socket has brought `count` bytes, and gives all there are.
    #[track_caller]
    pub(crate) fn wait_received(&self, number: usize, count: usize) -> Vec<u8> {
        self.shared.wait("the broker to read enough", |sockets| {
            let received = &sockets.get(number)?.received;
            (received.len() >= count).then(|| received.clone())
        })
    }

    /// Waits until the script of that socket has ended, and says how; the error is a text.
    #[track_caller]
    pub(crate) fn outcome(&self, number: usize) -> Result<(), String> {
        self.shared.wait("the broker's script to end", |sockets| {
            sockets.get(number)?.outcome.clone()
        })
    }

    /// Waits until every script has ended.
    #[track_caller]
    pub(crate) fn wait_all_ended(&self) {
        self.shared.wait("the broker's scripts to end", |sockets| {
            sockets
                .iter()
                .all(|socket| socket.outcome.is_some())
                .then_some(())
        });
    }

    /// Goes away at once, as a killed process does: no listener, no socket.
    pub(crate) fn kill(&self) {
        if self.shared.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        // The listener's thread wakes up, sees the flag and drops the listener.
        let _ = TcpStream::connect(self.address);
        for socket in self.shared.lock().iter() {
            let _ = socket
                .handle
                .as_ref()
                .map(|handle| handle.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            for (number, socket) in self.shared.lock().iter().enumerate() {
                eprintln!(
                    "broker socket {number}: {} bytes, {:?}",
                    socket.received.len(),
                    socket.outcome
                );
            }
        }
    }
}

impl Shared {
    fn add(&self, socket: &TcpStream) -> Option<usize> {
        socket.set_nodelay(true).ok()?;
        socket.set_read_timeout(Some(DEADLINE)).ok()?;
        let handle = socket.try_clone().ok();
        let mut sockets = self.lock();
        sockets.push(Socket {
            handle,
            received: Vec::new(),
            outcome: None,
        });
        self.changed.notify_all();
        Some(sockets.len() - 1)
    }

    pub(crate) fn record(&self, number: usize, bytes: &[u8]) {
        self.lock()[number].received.extend_from_slice(bytes);
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Socket>> {
        self.sockets
            .lock()
            .expect("nobody panics while holding this")
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut condition: impl FnMut(&[Socket]) -> Option<T>) -> T {
        let started = Instant::now();
        let mut sockets = self.lock();
        loop {
            if let Some(value) = condition(&sockets) {
                return value;
            }
            let left = DEADLINE.checked_sub(started.elapsed());
            let Some(left) = left else {
                drop(sockets);
                panic!("waited {DEADLINE:?} in vain for {what}");
            };
            sockets = self
                .changed
                .wait_timeout(sockets, left)
                .expect("nobody panics while holding this")
                .0;
        }
    }
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.0 .0.lock().expect("nobody panics while holding this") = true;
        self.0 .1.notify_all();
    }

    /// Waits until the gate is open; gives up after a time no test needs.
    ///
    /// # Errors
    /// The test has ended or failed without opening it.
    pub(crate) fn pass(&self) -> io::Result<()> {
        let open = self.0 .0.lock().expect("nobody panics while holding this");
        let patience = Duration::from_secs(60);
        let (open, _) = self
            .0
             .1
            .wait_timeout_while(open, patience, |open| !*open)
            .expect("nobody panics while holding this");
        if *open {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "nobody opened the gate",
        ))
    }
}

fn run(
    tls: Option<Arc<ServerConfig>>,
    socket: TcpStream,
    number: usize,
    shared: Arc<Shared>,
    script: &(impl Fn(&mut Peer) -> io::Result<()> + ?Sized),
) -> io::Result<()> {
    let handle = socket.try_clone()?;
    let mut peer = match tls {
        None => Peer::new(Box::new(socket), handle, number, shared),
        Some(config) => Peer::new(
            Box::new(tls::accept(config, socket)?),
            handle,
            number,
            shared,
        ),
    };
    script(&mut peer)?;
    peer.finish()
}

/// Notes how a script ended, whichever way: a panic counts as a failure.
struct Unwound {
    shared: Arc<Shared>,
    number: usize,
    outcome: Option<Result<(), String>>,
}

impl Drop for Unwound {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Err("the script panicked".to_owned()));
        let mut sockets = self.shared.lock();
        sockets[self.number].handle = None;
        sockets[self.number].outcome = Some(outcome);
        drop(sockets);
        self.shared.changed.notify_all();
    }
}
