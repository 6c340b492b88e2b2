//! ACTOR: looks at the gateway once a second, for all pages of the live view together, and pushes to each what it wants
//! to see.
//!
//! The looking happens on a thread for what may block. A page gets its next push when it has said that it has taken the
//! last one, so one push is all that waits for it; a page that says nothing for [`STALL_LIMIT`] is cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

use actix::Actor;
use actix::ActorFutureExt;
use actix::Addr;
use actix::AsyncContext;
use actix::Context;
use actix::Handler;
use actix::Message;
use actix::Recipient;
use actix::WrapFuture;
use prometheus::Registry;
use socket2::Socket;

use crate::admin::keys::Keys;
use crate::admin::keys::Pass;
use crate::admin::live::figures::Figures;
use crate::admin::live::figures::Kind;
use crate::admin::live::figures::SERIES;
use crate::admin::live::history::History;
use crate::admin::live::push;
use crate::admin::live::push::BrokerState;
use crate::admin::live::push::LeftOut;
use crate::admin::live::push::Now;
use crate::admin::live::push::Start;
use crate::admin::live::query::FromViewer;
use crate::admin::live::query::View;
use crate::admin::live::table::Before;
use crate::admin::live::table::Table;
use crate::admin::metrics::Gone;
use crate::admin::metrics::Metrics;
use crate::downstream::Sessions;
use crate::drain;
use crate::upstream::Brokers;

/// Where the live view reads.
#[derive(Clone, Debug)]
pub struct Source {
    /// What is counted.
    pub registry: Registry,
    /// Every session.
    pub sessions: Arc<Sessions>,
    /// What is known of each broker.
    pub brokers: Brokers,
    /// Each service with how it reaches its broker: `dedicated`, `shared` or `echo`.
    pub services: Arc<[(String, &'static str)]>,
    /// Whether the process is finishing.
    pub drain: drain::Watch,
}

/// Looks at the gateway for the pages.
pub struct Hub {
    source: Source,
    keys: Arc<Keys>,
    metrics: Metrics,
    began: Instant,
    /// Away while somebody looks.
    books: Option<Books>,
    viewers: BTreeMap<u64, Viewer>,
}

/// One page.
struct Viewer {
    pushes: Recipient<Push>,
    socket: Weak<Socket>,
    pass: Pass,
    view: View,
    /// The number of its last push, or of the one that is being made.
    number: u64,
    /// It has been told what the figures are called.
    has_begun: bool,
    /// Since when it has not said that it has taken its last push.
    waits_since: Option<Instant>,
}

/// What is remembered from second to second.
#[derive(Default)]
struct Books {
    last: Option<(Instant, Figures)>,
    history: History,
    before: Before,
    /// When the sessions were last looked at.
    looked: Option<Instant>,
}

/// A page is there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join {
    /// Names the page, among those that there are.
    pub viewer: u64,
    /// Where pushes go.
    pub pushes: Recipient<Push>,
    /// Its socket, to cut it off.
    pub socket: Weak<Socket>,
    /// By what it was let in.
    pub pass: Pass,
}

/// A page says something.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Said(pub u64, pub FromViewer);

/// A page is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Left(pub u64);

/// What a page is told.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Push {
    /// The gateway as it is now.
    Show(String),
    /// Its login is good no longer.
    LoggedOut,
}

/// Which page wants to see what.
struct Wish {
    viewer: u64,
    view: View,
    number: u64,
    is_first: bool,
}

impl Hub {
    /// Begins to look.
    pub fn begin(source: Source, keys: Arc<Keys>, metrics: Metrics) -> Addr<Self> {
        Self::new(source, keys, metrics).start()
    }

    fn new(source: Source, keys: Arc<Keys>, metrics: Metrics) -> Self {
        Self {
            source,
            keys,
            metrics,
            began: Instant::now(),
            books: Some(Books::default()),
            viewers: BTreeMap::new(),
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.end_those_that_may_not_stay(now);
        let Some(mut books) = self.books.take() else {
            // The last look has not come back: a machine that is too busy for it is left in peace.
            return;
        };
        let wishes = self.wishes();
        let has_viewers = !self.viewers.is_empty();
        let (source, has_login) = (self.source.clone(), self.keys.are_asked_for());
        let (metrics, age) = (self.metrics.clone(), now - self.began);
        let look = actix_rt::task::spawn_blocking(move || {
            let pushes = books.look(&source, &wishes, has_viewers, has_login, age);
            if has_viewers {
                metrics.looked(now.elapsed());
            }
            (books, pushes)
        });
        let then = |looked: Result<(Books, Vec<(u64, String)>), _>, hub: &mut Self, _: &mut _| {
            // Only where the look has panicked is there nothing: the next one begins afresh.
            let Ok((books, pushes)) = looked else {
                tracing::error!("a look of the live view has failed, its history is lost");
                hub.books = Some(Books::default());
                return;
            };
            hub.books = Some(books);
            hub.show(pushes, Instant::now());
        };
        ctx.spawn(look.into_actor(self).map(then));
    }

    /// What the pages want that have taken their last push.
    fn wishes(&mut self) -> Vec<Wish> {
        let ready = self
            .viewers
            .iter_mut()
            .filter(|(_, page)| page.waits_since.is_none());
        let wish = |(viewer, page): (&u64, &mut Viewer)| {
            page.number += 1;
            Wish {
                viewer: *viewer,
                view: page.view.clone(),
                number: page.number,
                is_first: !page.has_begun,
            }
        };
        ready.map(wish).collect()
    }

    /// Tells the pages. From `now` on they may be slow; how long the look has taken is not their doing.
    fn show(&mut self, pushes: Vec<(u64, String)>, now: Instant) {
        for (viewer, text) in pushes {
            if let Some(page) = self.viewers.get_mut(&viewer) {
                page.waits_since = Some(now);
                page.has_begun = true;
                tell(&page.pushes, Push::Show(text));
            }
        }
    }

    fn end_those_that_may_not_stay(&mut self, now: Instant) {
        let (keys, metrics) = (&self.keys, &self.metrics);
        self.viewers.retain(|_, page| {
            if !keys.is_good(page.pass, now) {
                tell(&page.pushes, Push::LoggedOut);
                metrics.viewer_ended(Gone::LoggedOut);
                return false;
            }
            let waits = page.waits_since.map(|since| now - since);
            if waits.is_some_and(|waits| waits >= STALL_LIMIT) {
                // Its actor cannot end it: it is not even polled while the browser takes nothing.
                if let Some(socket) = page.socket.upgrade() {
                    // A socket that is gone already is what was wanted.
                    let _ = socket.shutdown(std::net::Shutdown::Both);
                }
                metrics.viewer_ended(Gone::Stalled);
                return false;
            }
            true
        });
    }
}

impl Books {
    /// One look at everything, and what it shows to each page. Without pages the sessions are not looked at.
    fn look(
        &mut self,
        source: &Source,
        wishes: &[Wish],
        has_viewers: bool,
        has_login: bool,
        age: Duration,
    ) -> Vec<(u64, String)> {
        let now = Instant::now();
        let figures = Figures::read(&source.registry.gather());
        let rates = self.rates(&figures, now);
        self.history.add(&rates);
        let happened = self.history.count(&figures.happened);
        if !has_viewers {
            self.before = Before::default();
            self.looked = None;
            self.last = Some((now, figures));
            return Vec::new();
        }
        let since = self.looked.replace(now).map(|looked| now - looked);
        let table = Table::new(source.sessions.entries(), &self.before, since, now);
        self.before = table.remember();
        let all = source.brokers.all();
        let brokers = all.iter().take(MOST_LISTED);
        let brokers = brokers.map(|broker| BrokerState {
            name: broker.name().to_owned(),
            failure: broker.failure(),
            passed_over_seconds: broker.passed_over_for().map(|time| time.as_secs_f64()),
            blocked: broker.blocked_connections(),
        });
        let now_text = Now {
            at: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            draining: source.drain.is_draining(),
            figures: figures.clone(),
            rates: &rates,
            happened: &happened,
            brokers: brokers.collect(),
            left_out: LeftOut {
                brokers: all.len().saturating_sub(MOST_LISTED),
                ..LeftOut::default()
            },
        };
        let now_text = now_text.text();
        let push = |wish: &Wish| {
            let start = || Start::new(&source.services, &self.history, has_login);
            let start = wish.is_first.then(start);
            let text = push::text(wish.number, &now_text, start, &table, &wish.view);
            (wish.viewer, text)
        };
        let pushes = wishes.iter().map(push).collect();
        self.last = Some((now, figures));
        pushes
    }

    /// Gauges as they are, counters by how much they have grown in a second.
    fn rates(&self, figures: &Figures, now: Instant) -> Vec<f64> {
        let last = self.last.as_ref();
        let rate = |(index, series): (usize, &super::figures::Series)| {
            let total = figures.totals[index];
            let (Kind::Rate, Some((at, last))) = (series.kind, last) else {
                return if series.kind == Kind::Gauge {
                    total
                } else {
                    0.0
                };
            };
            let seconds = (now - *at).as_secs_f64().max(f64::EPSILON);
            ((total - last.totals[index]) / seconds).max(0.0)
        };
        SERIES.iter().enumerate().map(rate).collect()
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(PACE, Self::tick);
    }
}

impl Handler<Join> for Hub {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Self::Context) {
        let viewer = Viewer {
            pushes: join.pushes,
            socket: join.socket,
            pass: join.pass,
            view: View::default(),
            number: 0,
            has_begun: false,
            waits_since: None,
        };
        self.viewers.insert(join.viewer, viewer);
    }
}

impl Handler<Said> for Hub {
    type Result = ();

    fn handle(&mut self, Said(viewer, said): Said, _: &mut Self::Context) {
        let Some(page) = self.viewers.get_mut(&viewer) else {
            return;
        };
        match said {
            FromViewer::Taken(number) if number == page.number => page.waits_since = None,
            FromViewer::Taken(_) => {}
            FromViewer::Wants(view) => page.view = view,
        }
    }
}

impl Handler<Left> for Hub {
    type Result = ();

    fn handle(&mut self, Left(viewer): Left, _: &mut Self::Context) {
        if self.viewers.remove(&viewer).is_some() {
            self.metrics.viewer_ended(Gone::Left);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the next one is sent when the page has taken the last"
)]
fn tell(pushes: &Recipient<Push>, push: Push) {
    pushes.do_send(push);
}

/// How often everybody is shown what is new.
const PACE: Duration = Duration::from_secs(1);

/// A page that has not taken its push for so long is gone, or its browser is.
pub const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Brokers that are listed at most.
const MOST_LISTED: usize = 50;

#[cfg(test)]
mod tests;
