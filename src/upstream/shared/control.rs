//! What lapin does on a shared connection besides keeping it alive: it deletes the queues of sessions that have left, and
//! closes the connection in order. Runs where lapin does; the worker talks to it by channels.

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

/// Does what is asked for, in order, until the worker's side is gone. Each name comes back through `deleted`, whatever
/// became of the queue.
pub(super) async fn serve(
    connection: Connection,
    mut requests: UnboundedReceiver<Request>,
    deleted: UnboundedSender<Box<[u8]>>,
) {
    let mut channel = None;
    while let Some(request) = requests.recv().await {
        match request {
            Request::Delete(queue) => {
                if let Err(reason) = delete(&connection, &mut channel, &queue).await {
                    channel = None;
                    let queue = String::from_utf8_lossy(&queue);
                    warn!(%queue, reason, "an exclusive queue was not deleted");
                }
                if deleted.send(queue).is_err() {
                    break;
                }
            }
            Request::Close => break,
        }
    }
    // The socket ends in any case, when the worker lets go of it.
    let _ = timeout(
        PATIENCE,
        connection.close(200, "no session needs it".into()),
    )
    .await;
}

async fn delete(
    connection: &Connection,
    channel: &mut Option<Channel>,
    queue: &[u8],
) -> Result<(), String> {
    let queue = std::str::from_utf8(queue).map_err(|_| "its name is not UTF-8".to_owned())?;
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
    match timeout(PATIENCE, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the broker does not answer".to_owned()),
    }
}

/// For one answer of the broker's; a connection that is dead is noticed by its heartbeats.
const PATIENCE: Duration = Duration::from_secs(10);
