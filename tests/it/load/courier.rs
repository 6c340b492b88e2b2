//! A session that publishes with confirms and consumes with acknowledgements without a pause, comes back when it is told
//! to, and keeps a book of what it was promised and what it got.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::harness::amqp;
use crate::harness::amqp::Builder;
use crate::harness::amqp::Frame;
use crate::harness::amqp::Method;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::wait_until;
use crate::harness::websocket;
use crate::harness::DEADLINE;

const CONFIRM_SELECT: Method = (85, 10);
const CONFIRM_SELECT_OK: Method = (85, 11);
const ACK: Method = (60, 80);
const NACK: Method = (60, 120);
const BLOCKED: Method = (10, 60);
const UNBLOCKED: Method = (10, 61);

/// Messages on their way without a confirm.
const BATCH: u64 = 10;

/// The channel that publishes, and the one that consumes.
const PUBLISHING: u16 = 1;
const CONSUMING: u16 = 2;

/// What one session knows.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Numbers of messages that the broker has confirmed, and of those that came.
    confirmed: BTreeSet<u64>,
    received: BTreeSet<u64>,
    /// How each of its ends was told: reply code, close code, and when the first of them came.
    pub(super) ends: Vec<(u16, Option<u16>, Instant)>,
    /// How often it was held back and let go.
    pub(super) blocked: usize,
    pub(super) unblocked: usize,
}

/// The session on a thread of its own.
pub(super) struct Courier {
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Many of them.
pub(super) struct Couriers(Vec<Courier>);

impl Couriers {
    /// So many; every second asks for connection.blocked. All work when this returns.
    #[track_caller]
    pub(super) fn start(gateway: &Gateway, count: usize) -> Self {
        let start = |number: usize| Courier::start(gateway, number.is_multiple_of(2));
        let couriers = Self((0..count).map(start).collect());
        couriers.expect_progress();
        couriers
    }

    /// Insists that each gets more confirms and more messages.
    #[track_caller]
    pub(super) fn expect_progress(&self) {
        let before: Vec<_> = self.figures();
        wait_until("every session to go on", 3 * DEADLINE, || {
            let now = self.figures();
            let goes_on = |(before, now): (&(usize, usize), &(usize, usize))| {
                now.0 > before.0 && now.1 > before.1
            };
            before.iter().zip(&now).all(goes_on)
        });
    }

    /// How many of all their messages were confirmed.
    pub(super) fn confirmed(&self) -> usize {
        self.figures().iter().map(|(confirmed, _)| confirmed).sum()
    }

    fn figures(&self) -> Vec<(usize, usize)> {
        let figures = |book: &Book| (book.confirmed.len(), book.received.len());
        self.read(figures)
    }

    /// What each book says.
    pub(super) fn read<T>(&self, read: impl Fn(&Book) -> T) -> Vec<T> {
        self.0.iter().map(|courier| read(&courier.book())).collect()
    }

    /// Waits until every session has ended so often, and says how long after `since` the last was told; insists on 320
    /// and a close code that says to come again.
    #[track_caller]
    pub(super) fn all_told(&self, times: usize, since: Instant) -> Duration {
        wait_until("every session to be told", 3 * DEADLINE, || {
            self.read(|book| book.ends.len())
                .iter()
                .all(|ends| *ends >= times)
        });
        let mut slowest = Duration::ZERO;
        for (reply, close, told) in self.read(|book| book.ends[times - 1]) {
            // 4320 where it was the broker itself that said 320.
            assert!(
                reply == 320 && matches!(close, Some(1014 | 4320)),
                "ended with {reply} and {close:?}"
            );
            slowest = slowest.max(told.saturating_duration_since(since));
        }
        slowest
    }

    /// Ends them, and insists that whatever was confirmed has come. Of each it is known already that what came on one
    /// channel came in order.
    #[track_caller]
    pub(super) fn finish(mut self) {
        for courier in &self.0 {
            courier.stop.store(true, Ordering::Release);
        }
        for courier in &mut self.0 {
            let thread = courier.thread.take().expect("it is finished once");
            assert!(
                thread.join().is_ok(),
                "a session noticed something; see above"
            );
        }
        for lost in self.read(Book::lost) {
            assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
        }
    }
}

impl Book {
    fn lost(&self) -> Vec<u64> {
        self.confirmed.difference(&self.received).copied().collect()
    }
}

impl Courier {
    fn start(gateway: &Gateway, is_attentive: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let queue = format!("smeuse-load-{}-{number}", std::process::id());
        let book = Arc::new(Mutex::new(Book::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let run = Run {
            gateway: gateway.public(),
            is_attentive,
            queue,
            book: Arc::clone(&book),
            stop: Arc::clone(&stop),
            published: 0,
        };
        Self {
            book,
            stop,
            thread: Some(thread::spawn(move || run.run())),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().expect("nobody panics while holding this")
}

/// What the thread has.
struct Run {
    gateway: std::net::SocketAddr,
    is_attentive: bool,
    queue: String,
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    /// The number of the last message.
    published: u64,
}

/// One session of it.
struct Life {
    page: Page,
    /// The number of the last message before the first that was published on it.
    base: u64,
    /// Up to this delivery tag all are confirmed.
    confirmed: u64,
    /// The message that came last.
    last: u64,
    /// The delivery whose content is awaited.
    delivery: Option<u64>,
}

/// The session is over, and its owner was told.
struct Over;

impl Run {
    fn run(mut self) {
        let mut gave_up = Instant::now() + 12 * DEADLINE;
        while let Some(mut life) = self.connect(gave_up) {
            match self.live(&mut life) {
                Ok(()) => return close(&mut life.page),
                Err(Over) => gave_up = Instant::now() + 12 * DEADLINE,
            }
        }
        panic!("{} does not come back", self.queue);
    }

    /// Tries again until there is a session.
    fn connect(&self, until: Instant) -> Option<Life> {
        while Instant::now() < until {
            if let Some(life) = self.try_connect() {
                return Some(life);
            }
            thread::sleep(Duration::from_millis(100));
        }
        None
    }

    fn try_connect(&self) -> Option<Life> {
        let mut page = Page::open_at(self.gateway, crate::harness::configuration::AMQP_PATH);
        page.client.set_patience(6 * DEADLINE);
        let mut login = Login::default();
        if self.is_attentive {
            let fields = b"\x0ccapabilitiesF\0\0\0\x15\x12connection.blockedt\x01";
            login.properties = Builder::new().long_string(fields);
        }
        page.send(amqp::HEADER);
        expect(&mut page, amqp::START)?;
        page.send(&negotiation::start_ok(&login));
        let tuning = negotiation::tuning_of(&expect(&mut page, amqp::TUNE)?);
        page.send(
            &[
                negotiation::tune_ok(tuning),
                negotiation::open(&login.vhost),
            ]
            .concat(),
        );
        expect(&mut page, amqp::OPEN_OK)?;
        for channel in [PUBLISHING, CONSUMING] {
            page.send(&amqp::channel_open(channel));
            expect(&mut page, amqp::CHANNEL_OPEN_OK)?;
        }
        page.send(&amqp::method(
            PUBLISHING,
            CONFIRM_SELECT,
            &Builder::new().octet(0),
        ));
        expect(&mut page, CONFIRM_SELECT_OK)?;
        // Durable: it is there when its broker is back.
        let declare = Builder::new()
            .short(0)
            .short_string(&self.queue)
            .octet(0b00010)
            .table(&[]);
        page.send(&amqp::method(CONSUMING, amqp::QUEUE_DECLARE, &declare));
        expect(&mut page, amqp::QUEUE_DECLARE_OK)?;
        let consume = Builder::new()
            .short(0)
            .short_string(&self.queue)
            .short_string("c")
            .octet(0)
            .table(&[]);
        page.send(&amqp::method(CONSUMING, amqp::CONSUME, &consume));
        expect(&mut page, amqp::CONSUME_OK)?;
        Some(Life {
            page,
            base: self.published,
            confirmed: 0,
            last: 0,
            delivery: None,
        })
    }

    /// Publishes and consumes until the order to stop, and then until all that was confirmed is there.
    fn live(&mut self, life: &mut Life) -> Result<(), Over> {
        loop {
            if self.stop.load(Ordering::Acquire) {
                while !lock(&self.book).lost().is_empty() {
                    self.take(life)?;
                }
                return Ok(());
            }
            let mut batch = Vec::new();
            for _ in 0..BATCH {
                self.published += 1;
                batch.extend(persistent(&self.queue, self.published));
            }
            send(&mut life.page, &batch);
            while life.base + life.confirmed < self.published {
                self.take(life)?;
            }
            // As fast as a few people, so that many of them leave the machine to what is tested.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Deals with the next frame.
    fn take(&self, life: &mut Life) -> Result<(), Over> {
        let Some(frame) = life.page.try_read_frame() else {
            panic!("{} ended without a word of AMQP", self.queue);
        };
        if frame.kind == amqp::CONTENT_BODY {
            self.arrived(life, &frame);
            return Ok(());
        }
        match frame.method() {
            Some(ACK) => {
                let mut arguments = frame.arguments();
                let tag = u64::from(arguments.long()) << 32 | u64::from(arguments.long());
                let is_multiple = arguments.octet() == 1;
                let first = if is_multiple { life.confirmed + 1 } else { tag };
                let mut book = lock(&self.book);
                book.confirmed
                    .extend((first..=tag).map(|tag| life.base + tag));
                drop(book);
                // A broker may confirm single ones in another order; none does for one queue.
                assert!(first == life.confirmed + 1, "confirm {tag} out of order");
                life.confirmed = tag;
            }
            Some(NACK) => panic!("{}: the broker refused a message", self.queue),
            Some(amqp::DELIVER) => {
                let mut arguments = frame.arguments();
                arguments.short_string();
                let tag = u64::from(arguments.long()) << 32 | u64::from(arguments.long());
                life.delivery = Some(tag);
            }
            Some(BLOCKED) => {
                assert!(self.is_attentive, "told of an alarm unasked");
                lock(&self.book).blocked += 1;
            }
            Some(UNBLOCKED) => lock(&self.book).unblocked += 1,
            Some(amqp::CONNECTION_CLOSE) => {
                let told = Instant::now();
                let reply = frame.arguments().short();
                life.page.send(&amqp::connection_close_ok());
                let code = life.page.read_to_end().code;
                lock(&self.book).ends.push((reply, code, told));
                return Err(Over);
            }
            _ => (),
        }
        Ok(())
    }

    fn arrived(&self, life: &mut Life, body: &Frame) {
        let text = String::from_utf8_lossy(&body.payload);
        let number: u64 = text.parse().expect("a number");
        assert!(
            number > life.last,
            "{}: {number} came after {} on one channel",
            self.queue,
            life.last
        );
        life.last = number;
        lock(&self.book).received.insert(number);
        let tag = life.delivery.take().expect("a delivery before its body");
        let ack = Builder::new().long_long(tag).octet(0);
        let ack = amqp::method(CONSUMING, ACK, &ack);
        send(&mut life.page, &ack);
    }
}

/// The next frame, if it is this method; what else comes says that there is no session.
fn expect(page: &mut Page, method: Method) -> Option<Frame> {
    page.try_read_frame()
        .filter(|frame| frame.method() == Some(method))
}

/// Sends a message; that the session is over is seen when the next frame is read.
fn send(page: &mut Page, bytes: &[u8]) {
    let message = websocket::frame(websocket::BINARY, bytes);
    let _ = page.client.try_send(&message);
}

fn close(page: &mut Page) {
    page.send(&amqp::connection_close(200, "bye"));
    while let Some(frame) = page.try_read_frame() {
        if frame.method() == Some(amqp::CONNECTION_CLOSE_OK) {
            return;
        }
    }
    panic!("no answer to connection.close");
}

/// basic.publish of a message that outlives the broker's process; its body is its number.
fn persistent(queue: &str, number: u64) -> Vec<u8> {
    let body = number.to_string();
    let publish = Builder::new()
        .short(0)
        .short_string("")
        .short_string(queue)
        .octet(0);
    let header = Builder::new()
        .short(60)
        .short(0)
        .long_long(body.len() as u64)
        .short(1 << 12)
        .octet(2);
    [
        amqp::method(PUBLISHING, amqp::PUBLISH, &publish),
        amqp::frame(amqp::CONTENT_HEADER, PUBLISHING, &header.0),
        amqp::frame(amqp::CONTENT_BODY, PUBLISHING, body.as_bytes()),
    ]
    .concat()
}
