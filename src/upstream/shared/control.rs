//! What lapin does on a shared connection besides keeping it alive: it deletes the queues of sessions that have left, and
//! closes the connection in order. Runs where lapin does; the worker talks to it by channels.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use lapin::Channel;
use lapin::Connection;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tracing::warn;

/// What the worker asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Delete an exclusive queue.
    Delete(Box<[u8]>),
    /// Close the connection in order.
    Close,
}

/// What has become of a queue that was to be deleted.
#[derive(Debug)]
pub(super) struct Deleted {
    pub(super) queue: Box<[u8]>,
    /// Otherwise it lives as long as the connection.
    pub(super) is_gone: bool,
}

/// Why a queue was not deleted.
enum Failure {
    /// The broker, or lapin, said so.
    Refused(String),
    /// The broker has not answered: whether the queue is there nobody knows.
    Silent,
}

/// Does what is asked for, in order, until the worker's side is gone. Ends, and with it the sender of `deleted`, if the
/// broker does not answer: such a connection is of no more use.
pub(super) async fn serve(
    connection: Connection,
    mut requests: UnboundedReceiver<Request>,
    deleted: UnboundedSender<Deleted>,
) {
    let mut channel = None;
    while let Some(request) = requests.recv().await {
        let queue = match request {
            Request::Delete(queue) => queue,
            Request::Close => break,
        };
        let is_gone = match delete(&connection, &mut channel, &queue).await {
            Ok(()) => true,
            Err(Failure::Refused(reason)) => {
                let queue = String::from_utf8_lossy(&queue);
                warn!(%queue, reason, "an exclusive queue stays as long as its connection");
                false
            }
            Err(Failure::Silent) => {
                warn!("the broker does not answer on a shared connection");
                return;
            }
        };
        if deleted.send(Deleted { queue, is_gone }).is_err() {
            break;
        }
    }
    // The socket ends in any case, when the worker lets go of it.
    let _ = timeout(
        PATIENCE,
        connection.close(200, "no session needs it".into()),
    )
    .await;
}

/// Deletes a queue; on another channel if the one that is there has failed.
async fn delete(
    connection: &Connection,
    channel: &mut Option<Channel>,
    queue: &[u8],
) -> Result<(), Failure> {
    let name = std::str::from_utf8(queue)
        .map_err(|_| Failure::Refused("its name is not UTF-8".to_owned()))?;
    let was_open = channel.is_some();
    match delete_once(connection, channel, name).await {
        Err(Failure::Refused(_)) if was_open => delete_once(connection, channel, name).await,
        other => other,
    }
}

async fn delete_once(
    connection: &Connection,
    channel: &mut Option<Channel>,
    queue: &str,
) -> Result<(), Failure> {
    let work = async {
        let open = match channel.take().filter(|open| open.status().connected()) {
            Some(open) => open,
            None => connection.create_channel().await?,
        };
        let options = QueueDeleteOptions::default();
        open.queue_delete(queue.into(), options).await?;
        *channel = Some(open);
        Ok::<(), lapin::Error>(())
    };
    patiently(connection, work).await
}

/// Waits for an answer as long as one can be expected: while the broker holds publishers back it reads nothing of what the
/// connection has sent.
async fn patiently(
    connection: &Connection,
    work: impl Future<Output = Result<(), lapin::Error>>,
) -> Result<(), Failure> {
    let mut work = pin!(work);
    loop {
        let was_blocked = connection.status().blocked();
        match timeout(PATIENCE, &mut work).await {
            Ok(done) => return done.map_err(|error| Failure::Refused(error.to_string())),
            Err(_) if was_blocked || connection.status().blocked() => {}
            Err(_) => return Err(Failure::Silent),
        }
    }
}

/// For one answer of the broker's.
const PATIENCE: Duration = Duration::from_secs(10);
