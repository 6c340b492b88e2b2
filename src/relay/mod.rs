//! AMQP between the two sides: what the session sends and receives, and the actors that answer it.
//!
//! [`FromClient`] and [`ToClient`] run the whole length of the gateway. [`Connection`] relays them to
//! RabbitMQ, [`Echo`] returns them. Both obey the two [`Window`](crate::credit::Window)s they share
//! with the session, and both end once: with [`ToClient::Finished`].

pub mod config;
pub mod connection;

pub mod echo;
pub mod farewell;
pub mod greeting;
pub mod metrics;
pub mod negotiation;
pub mod relaying;
pub mod seen;
pub mod server;
pub mod splice;
pub mod tally;
pub mod tenant;
pub mod violation;

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use actix::Message;
use actix::Recipient;

pub use self::config::Config;
pub use self::connection::Connection;
pub use self::echo::Echo;
pub use self::metrics::Metrics;
pub use self::seen::Seen;
pub use self::tenant::Tenant;
use crate::batch::Batch;
use crate::credit::Window;
use crate::ending::Ending;

/// What a session tells its relay.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum FromClient {
    /// Payload bytes, in order. [`Batch::cost`] was spent for them on [`Wiring::from_client`].
    Data(Batch),
    /// The session ends: whatever must still be said to the client is to be said now.
    ///
    /// Answered by [`ToClient::Farewell`]; no data for the client follows it. Data from the client
    /// may still come and still reaches the broker.
    Farewell(Ending),
    /// No more data will come. What was accepted is delivered, then the relay ends.
    Finish,
}

/// What a relay tells its session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToClient {
    /// Payload bytes, in order. Credit for them was spent on [`Wiring::to_client`].
    Data(Batch),
    /// The broker, or the gateway in its place, has accepted the client's login: whose, if that is known.
    LoggedIn(Option<String>),
    /// Answers [`FromClient::Farewell`], with the ending that AMQP itself has come to, if it has.
    Farewell(Option<Ending>),
    /// The relay has found a reason to end the session, and has said all it had to say to the client.
    Ended(Ending),
    /// The relay has delivered what it had accepted, or could not, and is gone.
    Finished,
}

/// What joins one relay to its session, all on one worker thread.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The session.
    pub session: Recipient<ToClient>,
    /// Bounds what the session sends and the relay has not yet delivered.
    pub from_client: Rc<Window>,
    /// Bounds what the relay sends and the session has not yet delivered.
    pub to_client: Rc<Window>,
    /// The session's place among the limits, kept until the relay is gone as well.
    pub place: Rc<dyn Any>,
    /// What the relay shows of itself to whoever looks at the session.
    pub seen: Arc<Seen>,
}

impl Wiring {
    /// Sends to the session.
    ///
    /// A session that is gone hears nothing; the relay learns of its end by the mailbox closing.
    #[expect(
        clippy::disallowed_methods,
        reason = "data is bounded by the credit spent for it; the other messages come once each"
    )]
    pub fn tell(&self, message: ToClient) {
        self.session.do_send(message);
    }

    /// Spends credit for `batch` and sends it to the session.
    pub fn pass(&self, batch: Batch) {
        self.to_client.spend(batch.len());
        self.tell(ToClient::Data(batch));
    }
}
