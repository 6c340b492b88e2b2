//! Readiness: what is asked of a broker, what counts as ready, and how seldom it is asked.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::*;
use crate::upstream::error::Failure;
use crate::wire::amqp::method::Close;
use crate::wire::amqp::method::CloseOk;
use crate::wire::amqp::method::LongString;
use crate::wire::amqp::method::Method;
use crate::wire::amqp::method::Open;
use crate::wire::amqp::method::OpenOk;
use crate::wire::amqp::method::ShortString;
use crate::wire::amqp::method::Start;
use crate::wire::amqp::method::StartOk;
use crate::wire::amqp::method::Table;
use crate::wire::amqp::method::Tune;
use crate::wire::amqp::method::TuneOk;
use crate::wire::amqp::FrameHeader;
use crate::wire::amqp::ReplyCode;

const SERVICE: &str = "login = 'service'\nuser = 'u'\npassword = 'p'\nvhost = '/'";

fn start() -> Vec<u8> {
    let start = Start {
        version_major: 0,
        version_minor: 9,
        server_properties: Table(&[]),
        mechanisms: LongString(b"PLAIN"),
        locales: LongString(b"en_US"),
    };
    start.to_frame()
}

fn refusal() -> Vec<u8> {
    let close = Close {
        reply_code: ReplyCode(403),
        reply_text: ShortString::clipped("ACCESS_REFUSED"),
        class_id: 0,
        method_id: 0,
    };
    close.to_frame()
}

/// The payload of the next frame, without class and method number.
async fn arguments(stream: &mut TcpStream) -> Vec<u8> {
    let header = FrameHeader::decode(&read::<7>(stream).await).unwrap();
    let mut payload = vec![0; header.size as usize + 1];
    stream.read_exact(&mut payload).await.unwrap();
    assert_eq!(payload.pop(), Some(0xce));
    payload.split_off(4)
}

/// What a scripted broker has seen: sockets, and sockets that sent a byte.
#[derive(Default)]
struct Seen {
    sockets: AtomicU32,
    speaking: AtomicU32,
}

/// A broker that answers each socket that speaks with `answer`, and reads to its end.
async fn broker_that_says(answer: Vec<u8>) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let counts = Arc::clone(&seen);
    let address = broker(move |mut stream| {
        let (counts, answer) = (Arc::clone(&counts), answer.clone());
        async move {
            counts.sockets.fetch_add(1, Ordering::SeqCst);
            let mut header = [0; 8];
            if stream.read_exact(&mut header).await.is_ok() {
                counts.speaking.fetch_add(1, Ordering::SeqCst);
                stream.write_all(&answer).await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await;
    (address, seen)
}

async fn probe(upstream: &Upstream) -> Result<(), ConnectError> {
    soon(upstream.probe()).await
}

#[tokio::test]
async fn a_broker_heard_once_is_only_reached_the_next_time() {
    let (address, seen) = broker_that_says(start()).await;
    let (upstream, registry) = upstream(&format!("uris = ['amqp://{address}']"));
    for _ in 0..3 {
        probe(&upstream).await.unwrap();
    }
    assert_eq!(seen.sockets.load(Ordering::SeqCst), 3);
    assert_eq!(seen.speaking.load(Ordering::SeqCst), 1);
    // The metrics are those of sessions.
    assert_eq!(outcome(&registry, "connected"), 0.0);
    assert_eq!(metric(&registry, "smeuse_upstream_connections"), 0.0);
}

#[tokio::test]
async fn a_session_that_was_answered_spares_the_probe_its_question() {
    let (address, seen) = broker_that_says(start()).await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
    soon(upstream.connect(HEADER, None, None)).await.unwrap();
    probe(&upstream).await.unwrap();
    assert_eq!(seen.speaking.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_session_that_failed_makes_the_probe_ask_again() {
    let seen = Arc::new(Seen::default());
    let counts = Arc::clone(&seen);
    let address = broker(move |mut stream| {
        let counts = Arc::clone(&counts);
        async move {
            let _: [u8; 8] = read(&mut stream).await;
            // The second to speak is the session, which is left without an answer.
            if counts.speaking.fetch_add(1, Ordering::SeqCst) != 1 {
                stream.write_all(&start()).await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
    probe(&upstream).await.unwrap();
    assert_eq!(
        soon(upstream.connect(HEADER, None, None))
            .await
            .unwrap_err()
            .outcome(),
        "closed_early"
    );
    probe(&upstream).await.unwrap();
    assert_eq!(seen.speaking.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_service_login_is_proved_and_left_in_order() {
    let (finished, mut left_in_order) = mpsc::unbounded_channel();
    let script = |mut stream: TcpStream, finished: mpsc::UnboundedSender<()>| async move {
        assert_eq!(read(&mut stream).await, HEADER);
        // In two pieces: the probe must not take the first for the whole.
        let start = start();
        let (front, back) = start.split_at(5);
        stream.write_all(front).await.unwrap();
        stream.write_all(back).await.unwrap();
        let start_ok = arguments(&mut stream).await;
        let start_ok = StartOk::decode(&start_ok).unwrap();
        assert_eq!(start_ok.mechanism.as_bytes(), b"PLAIN");
        assert_eq!(start_ok.response, LongString(b"\0u\0p"));
        let tune = Tune {
            channel_max: 7,
            frame_max: 8192,
            heartbeat: 60,
        };
        stream.write_all(&tune.to_frame()).await.unwrap();
        let tune_ok = arguments(&mut stream).await;
        let expected = TuneOk {
            channel_max: 7,
            frame_max: 8192,
            heartbeat: 0,
        };
        assert_eq!(TuneOk::decode(&tune_ok), Ok(expected));
        let open = arguments(&mut stream).await;
        assert_eq!(Open::decode(&open).unwrap().virtual_host.as_bytes(), b"/");
        let open_ok = OpenOk {
            reserved_1: ShortString::default(),
        };
        stream.write_all(&open_ok.to_frame()).await.unwrap();
        let close = arguments(&mut stream).await;
        assert_eq!(
            Close::decode(&close).unwrap().reply_code,
            ReplyCode::REPLY_SUCCESS
        );
        stream.write_all(&CloseOk {}.to_frame()).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        finished.send(()).unwrap();
    };
    let address = broker(move |stream| script(stream, finished.clone())).await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']\n{SERVICE}"));
    probe(&upstream).await.unwrap();
    assert_eq!(soon(left_in_order.recv()).await, Some(()));
}

#[tokio::test]
async fn a_refused_login_is_not_ready_and_is_asked_again() {
    let (address, seen) = broker_that_says([start(), refusal()].concat()).await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']\n{SERVICE}"));
    for times in 1..3 {
        let error = probe(&upstream).await.unwrap_err();
        assert!(
            matches!(error.failure(), Failure::LoginRefused),
            "{error:?}"
        );
        // A session gets as far as connection.start, which proves nothing here.
        drop(soon(upstream.connect(HEADER, None, None)).await.unwrap());
        assert_eq!(seen.speaking.load(Ordering::SeqCst), 2 * times);
    }
}

#[tokio::test]
async fn a_login_refused_by_closing_the_socket_is_refused() {
    let address = broker(|mut stream| async move {
        let _: [u8; 8] = read(&mut stream).await;
        stream.write_all(&start()).await.unwrap();
        arguments(&mut stream).await;
    })
    .await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']\n{SERVICE}"));
    let error = probe(&upstream).await.unwrap_err();
    assert!(
        matches!(error.failure(), Failure::LoginRefused),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_not_connection_start_is_not_ready() {
    let mut wrong_end = start();
    *wrong_end.last_mut().unwrap() = 0;
    let huge = b"\x01\0\0\x7f\xff\xff\xff".to_vec();
    for answer in [HEADER.to_vec(), wrong_end, huge, refusal()] {
        let (address, _) = broker_that_says(answer.clone()).await;
        let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
        let error = probe(&upstream).await.unwrap_err();
        assert!(
            matches!(error.failure(), Failure::NotAmqp),
            "{answer:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn half_a_connection_start_runs_into_the_deadline() {
    let (address, _) = broker_that_says(start()[..9].to_vec()).await;
    let (upstream, _) = upstream(&format!(
        "uris = ['amqp://{address}']\nconnect_deadline = '100ms'"
    ));
    assert_eq!(probe(&upstream).await.unwrap_err().outcome(), "deadline");
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_probe() {
    let (address, seen) = broker_that_says(start()).await;
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
    let readiness = Arc::new(Readiness::new(upstream));
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let readiness = Arc::clone(&readiness);
            tokio::spawn(async move { readiness.check().await })
        })
        .collect();
    for asked in asking {
        assert_eq!(soon(asked).await.unwrap(), Ok(()));
    }
    assert_eq!(seen.sockets.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn not_ready_says_why() {
    let (_port, address) = nobody();
    let (upstream, _) = upstream(&format!("uris = ['amqp://{address}']"));
    let readiness = Readiness::new(upstream);
    let reason = format!("broker {address} refused the connection");
    assert_eq!(soon(readiness.check()).await, Err(reason.clone()));
    assert_eq!(soon(readiness.check()).await, Err(reason));
}
