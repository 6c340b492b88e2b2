//! A session that only works: publishes and consumes without a pause beside whatever else is on its connection, and
//! says when anything of it was lost, came twice or came in another order.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::harness::amqp;
use crate::harness::amqp::Arguments;
use crate::harness::amqp::Builder;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::page::Page;
use crate::harness::wait_until;
use crate::harness::DEADLINE;

const FRAME_MAX: usize = 131_072;

/// The session, on a thread of its own.
pub(super) struct Neighbour {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<Vec<Duration>>>,
}

impl Neighbour {
    /// Logs in and begins.
    #[track_caller]
    pub(super) fn start(gateway: &Gateway) -> Self {
        let mut page = Page::open(gateway).logged_in(&Login::default());
        page.open_channel(1);
        let queue = exclusive_queue(&mut page);
        let (stop, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted) = (stop.clone(), rounds.clone());
        let work = move || {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                times.push(round(&mut page, &queue, times.len() as u64));
                counted.fetch_add(1, Ordering::AcqRel);
                // As fast as a person reads, not as a benchmark: the machine belongs to what is tested beside it.
                thread::sleep(Duration::from_millis(1));
            }
            page.send(&amqp::connection_close(200, "bye"));
            page.expect_method(amqp::CONNECTION_CLOSE_OK);
            times
        };
        Self {
            stop,
            rounds,
            thread: Some(thread::spawn(work)),
        }
    }

    /// Insists that it still works.
    #[track_caller]
    pub(super) fn expect_progress(&self) {
        let before = self.rounds.load(Ordering::Acquire);
        wait_until("the neighbour to go on", DEADLINE, || {
            self.rounds.load(Ordering::Acquire) > before
        });
    }

    /// Ends it and gives how long each of its round trips took.
    ///
    /// # Panics
    /// It noticed something.
    #[track_caller]
    pub(super) fn finish(mut self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take().expect("it is finished once");
        thread
            .join()
            .unwrap_or_else(|_| panic!("the neighbour noticed something; see above"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An exclusive queue with a consumer without acknowledgement; gives its name.
#[track_caller]
pub(super) fn exclusive_queue(page: &mut Page) -> String {
    let declare = Builder::new()
        .short(0)
        .short_string("")
        .octet(0b00100)
        .table(&[]);
    page.send(&amqp::method(1, amqp::QUEUE_DECLARE, &declare));
    let queue = page
        .expect_method(amqp::QUEUE_DECLARE_OK)
        .arguments()
        .short_string();
    let consume = Builder::new()
        .short(0)
        .short_string(&queue)
        .short_string("c")
        .octet(0b0010)
        .table(&[]);
    page.send(&amqp::method(1, amqp::CONSUME, &consume));
    page.expect_method(amqp::CONSUME_OK);
    queue
}

/// Publishes a few messages that say who they are and takes them again.
#[track_caller]
fn round(page: &mut Page, queue: &str, number: u64) -> Duration {
    let started = Instant::now();
    let bodies: Vec<Vec<u8>> = (0..3_u64)
        .map(|part| {
            [number.to_be_bytes(), part.to_be_bytes()]
                .concat()
                .repeat(1 + part as usize * 40)
        })
        .collect();
    let publishes: Vec<u8> = bodies
        .iter()
        .flat_map(|body| amqp::publish(1, queue, body, FRAME_MAX))
        .collect();
    page.send(&publishes);
    for (part, body) in bodies.iter().enumerate() {
        let deliver = page.expect_method(amqp::DELIVER);
        let mut arguments = deliver.arguments();
        arguments.short_string();
        let tag = u64::from(arguments.long()) << 32 | u64::from(arguments.long());
        assert_eq!(
            tag,
            number * 3 + part as u64 + 1,
            "a delivery is missing or came twice"
        );
        let header = page.read_frame();
        assert_eq!(header.kind, amqp::CONTENT_HEADER);
        let mut size = Arguments(&header.payload[4..]);
        assert_eq!((size.long(), size.long() as usize), (0, body.len()));
        assert!(
            page.read_frame().payload == *body,
            "another body came in round {number}"
        );
    }
    started.elapsed()
}
