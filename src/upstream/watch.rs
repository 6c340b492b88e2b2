//! Watches a broker that has failed, where the gateway has a login of its own: finds out at once when it is back, and
//! ends its back-off; then stays for a while, since who has failed once may fail again.
//!
//! Nothing is asked of a broker that has not failed: the sessions that come to it are the proof that it works.

use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio::time::Instant;

use crate::upstream::connect::Shared;
use crate::upstream::connect::Upstream;
use crate::upstream::own::OpenError;
use crate::upstream::own::Own;
use crate::upstream::runtime;
use crate::upstream::Broker;

/// How one logs in at a broker: as a service does, for as long as it exists, or as `[control]` does.
#[derive(Clone, Debug)]
pub(super) struct Way {
    upstream: Weak<Shared>,
    index: usize,
}

impl Way {
    pub(super) fn new(upstream: Weak<Shared>, index: usize) -> Self {
        Self { upstream, index }
    }

    /// None where the service is gone or has no login of its own.
    async fn open(&self) -> Option<Result<Own, OpenError>> {
        let upstream = Upstream::from_weak(&self.upstream)?;
        let account = upstream.account(self.index)?;
        let end = Instant::now() + upstream.config().connect_deadline;
        Some(upstream.open_own(self.index, account, None, end).await)
    }
}

/// Begins to watch by these ways; nobody watches the broker yet.
pub(super) fn begin(broker: Arc<Broker>, ways: Vec<Way>) {
    match runtime::handle() {
        Ok(handle) => drop(handle.spawn(watch(broker, ways))),
        Err(error) => {
            tracing::error!(%error, "broker not watched");
            broker.is_watched_no_more(false);
        }
    }
}

async fn watch(broker: Arc<Broker>, ways: Vec<Way>) {
    let mut ways: Vec<_> = ways.into_iter().map(|way| (way, Sight::Clear)).collect();
    let mut pause = FIRST_PAUSE;
    let mut turn = 0;
    let done = loop {
        sleep(pause.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
        // From here on, so that no failure between the login and the staying goes by.
        let goes_down = broker.goes_down();
        turn += 1;
        let index = turn % ways.len().max(1);
        let Some((way, sight)) = ways.get_mut(index) else {
            break false;
        };
        match way.open().await {
            Some(Ok(own)) => {
                *sight = Sight::Clear;
                broker.watcher_sees(true);
                if broker.has_own_connection() {
                    own.close().await;
                    break true;
                }
                if stay(own, goes_down).await {
                    break true;
                }
                pause = FIRST_PAUSE;
                continue;
            }
            None => drop(ways.remove(index)),
            // It is there; whether sessions fare better is for them to find out.
            Some(Err(OpenError::Refused(error))) => {
                tracing::warn!(broker = broker.name(), detail = %error, "broker not watched");
                ways.remove(index);
            }
            Some(Err(OpenError::Unreachable(_))) => *sight = Sight::Clear,
            // This login may never succeed, so that nobody may wait for it: sessions may be able to do what it is not.
            Some(Err(OpenError::NotLetIn(_))) => {
                if broker.failure().is_none() {
                    break true;
                }
                *sight = Sight::Blind;
            }
        }
        let sees = ways.iter().any(|(_, sight)| *sight == Sight::Clear);
        broker.watcher_sees(sees);
        let most = if sees { PAUSE } else { PAUSE_OF_THE_BLIND };
        pause = (2 * pause).min(most);
    };
    broker.is_watched_no_more(done);
}

/// What a login is worth for finding out whether a broker is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Nothing is known against it.
    Clear,
    /// It fails where the broker is there.
    Blind,
}

/// True once the broker has been well for long enough; false when it is down.
async fn stay(mut own: Own, goes_down: Notified<'_>) -> bool {
    let kept = timeout(STAY, async {
        tokio::select! {
            _ = own.keep() => {}
            // A session has fared badly. That this connection works proves little: sessions need new ones.
            () = goes_down => {}
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

/// The same for a login that fails where the broker is there: it costs the broker's log a line each time.
const PAUSE_OF_THE_BLIND: Duration = Duration::from_secs(30);

/// How long a broker that is back is watched on.
const STAY: Duration = Duration::from_secs(10 * 60);
