//! Watches a broker that has failed, where the gateway has a login of its own: finds out at once when it is back, and
//! ends its back-off; then stays for a while, since who has failed once may fail again.
//!
//! Nothing is asked of a broker that has not failed: the sessions that come to it are the proof that it works.

use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;
use tokio::time::timeout;
use tokio::time::Instant;

use crate::upstream::connect::Shared;
use crate::upstream::connect::Upstream;
use crate::upstream::own::OpenError;
use crate::upstream::own::Own;
use crate::upstream::runtime;
use crate::upstream::Broker;

/// Where a broker is and how one logs in there, for as long as the service exists.
#[derive(Debug)]
pub(super) struct Watch {
    upstream: Weak<Shared>,
    index: usize,
}

impl Watch {
    pub(super) fn new(upstream: Weak<Shared>, index: usize) -> Self {
        Self { upstream, index }
    }

    /// Begins to watch; nobody watches the broker yet.
    pub(super) fn begin(&self, broker: Arc<Broker>) {
        let (upstream, index) = (Weak::clone(&self.upstream), self.index);
        match runtime::handle() {
            Ok(handle) => drop(handle.spawn(watch(upstream, index, broker))),
            Err(error) => {
                tracing::error!(%error, "broker not watched");
                broker.is_watched_no_more();
            }
        }
    }
}

async fn watch(upstream: Weak<Shared>, index: usize, broker: Arc<Broker>) {
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
        pause = (2 * pause).min(PAUSE);
        let Some(opened) = open(&upstream, index).await else {
            break;
        };
        match opened {
            Ok(own) => {
                if broker.has_own_connection() {
                    own.close().await;
                    break;
                }
                if stay(own, &broker).await {
                    break;
                }
                pause = FIRST_PAUSE;
            }
            // It is there; whether sessions fare better is for them to find out.
            Err(OpenError::Refused(error)) => {
                tracing::warn!(broker = broker.name(), detail = %error, "broker not watched");
                break;
            }
            Err(OpenError::Unreachable(_)) => {}
        }
    }
    broker.is_watched_no_more();
}

/// None where the service is gone or has no login of its own.
async fn open(upstream: &Weak<Shared>, index: usize) -> Option<Result<Own, OpenError>> {
    let upstream = Upstream::from_weak(upstream)?;
    let account = upstream.account(index)?;
    let end = Instant::now() + upstream.config().connect_deadline;
    Some(upstream.open_own(index, account, None, end).await)
}

/// True once the broker has been well for long enough; false when it is down.
async fn stay(mut own: Own, broker: &Broker) -> bool {
    let kept = timeout(STAY, async {
        tokio::select! {
            _ = own.keep() => {}
            // A session has fared badly. That this connection works proves little: sessions need new ones.
            () = broker.goes_down() => {}
        }
    });
    let is_well = kept.await.is_err();
    own.close().await;
    is_well
}

/// Before the first attempt, and between two after which a broker that is down is asked no more often. At most: up to
/// half is taken away at random.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(1);

/// How long a broker that is back is watched on.
const STAY: Duration = Duration::from_secs(10 * 60);
