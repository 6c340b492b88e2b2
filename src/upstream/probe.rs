//! Whether a broker is reachable now and speaks AMQP, asked as quietly as RabbitMQ allows.
//!
//! Of a socket that closes before its first byte RabbitMQ logs nothing at level info; of one that
//! leaves before it has logged in a line and a warning; of an orderly login three lines. So AMQP is
//! spoken only if a broker has not been heard to speak it lately; otherwise it suffices that the
//! socket opens.

use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::upstream::backoff::Standing;
use crate::upstream::brokers::Try;
use crate::upstream::config::BrokerUri;
use crate::upstream::config::Secret;
use crate::upstream::connect::Answered;
use crate::upstream::connect::Upstream;
use crate::upstream::dial::Ask;
use crate::upstream::error::ConnectError;
use crate::upstream::error::Failure;
use crate::upstream::error::Step;
use crate::upstream::socket::Socket;
use crate::wire::amqp::frame::END_OCTET;
use crate::wire::amqp::frame::HEADER_SIZE;
use crate::wire::amqp::frame::INITIAL_FRAME_MAX;
use crate::wire::amqp::frame::PROTOCOL_HEADER;
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
use crate::wire::amqp::FrameKind;
use crate::wire::amqp::MethodId;
use crate::wire::amqp::ReplyCode;

/// What `/readyz` asks: one probe at a time however many ask, and at most one a second.
#[derive(Debug)]
pub struct Readiness {
    upstream: Upstream,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Readiness {
    /// The readiness of these brokers.
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            last: Mutex::new(None),
        }
    }

    /// Whether a session would find a broker. Those who ask while a probe is under way get its
    /// answer.
    ///
    /// # Errors
    /// One plain sentence that says why not, without secrets.
    pub async fn check(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last {
            if at.elapsed() < CACHED {
                return result.clone();
            }
        }
        let result = self
            .upstream
            .probe()
            .await
            .map_err(|error| error.to_string());
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

impl Upstream {
    /// Whether a session would find a broker, within twice the connect deadline.
    ///
    /// Where the gateway has a login and a vhost of its own, it logs in and leaves in order;
    /// otherwise it leaves after connection.start. If a broker was heard within the last 30
    /// seconds and none has failed since, opening the socket suffices.
    ///
    /// # Errors
    /// Why the last broker failed, if all did.
    pub async fn probe(&self) -> Result<(), ConnectError> {
        self.try_those_down();
        let result = if self.evidence().is_fresh(Instant::now()) {
            self.reach().await
        } else {
            self.speak().await
        };
        if result.is_err() {
            self.evidence().discard();
        }
        result
    }

    /// Tries brokers whose back-off is over and that nobody watches, beside whoever asks: while no session comes, nobody
    /// else would see that they are back.
    fn try_those_down(&self) {
        // One alone is what the probe itself tries.
        if self.brokers().len() < 2 {
            return;
        }
        let now = Instant::now();
        for (index, broker) in self.brokers().iter().enumerate() {
            if broker.standing(now) == Standing::Due && !broker.is_watched() {
                let trial = broker.begin(self.config().backoff_terms());
                let upstream = self.clone();
                tokio::spawn(async move { upstream.try_again(index, trial).await });
            }
        }
    }

    async fn try_again(&self, index: usize, trial: Try) {
        let ask = Ask {
            protocol_header: Some(PROTOCOL_HEADER),
            client: None,
            gateway: None,
        };
        let end = tokio::time::Instant::now() + self.config().connect_deadline;
        match self.dial(index, &ask, end).await {
            Ok(answered) => {
                trial.succeeded();
                leave(answered.socket).await;
            }
            Err(failure) => {
                let name = self.brokers()[index].name().to_owned();
                trial.failed(&ConnectError::new(name, failure, 1).sentence());
            }
        }
    }

    async fn reach(&self) -> Result<(), ConnectError> {
        let ask = Ask {
            protocol_header: None,
            client: None,
            gateway: None,
        };
        let Answered { socket, .. } = self.try_brokers(ask).await?;
        leave(socket).await;
        Ok(())
    }

    async fn speak(&self) -> Result<(), ConnectError> {
        let ask = Ask {
            protocol_header: Some(PROTOCOL_HEADER),
            client: None,
            gateway: None,
        };
        let Answered { socket, first, uri } = self.try_brokers(ask).await?;
        let mut conversation = Conversation {
            socket,
            received: first,
        };
        let deadline = self.config().connect_deadline;
        let talked = timeout(deadline, conversation.hold(self.account_at(uri)))
            .await
            .unwrap_or(Err(Failure::Deadline(Step::Answer)));
        leave(conversation.socket).await;
        let name = uri.name();
        let broker = self.brokers().iter().find(|broker| broker.name() == name);
        let result = talked.map_err(|failure| ConnectError::new(name.clone(), failure, 1));
        match (&result, broker) {
            (_, None) => {}
            (Ok(()), Some(broker)) => broker.succeeded(),
            // It is the login that is at fault, or the vhost: the broker has answered.
            (Err(error), Some(broker)) if error.is_refusal() => broker.succeeded(),
            (Err(error), Some(broker)) => {
                broker.failed(self.config().backoff_terms(), &error.sentence());
            }
        }
        result?;
        self.evidence().record(Instant::now());
        Ok(())
    }

    /// The gateway's own login at the broker of this index, if it has one that is complete.
    pub(super) fn account(&self, index: usize) -> Option<Account> {
        self.account_at(self.config().uris.get(index)?)
    }

    /// Only a login that is complete: trying a vhost that nobody has named could be refused, which
    /// would say nothing and fill the broker's log with errors.
    fn account_at(&self, uri: &BrokerUri) -> Option<Account> {
        let (user, password) = self.config().service_login(uri)?;
        let vhost = self.config().forced_vhost(uri)?;
        Some(Account {
            user,
            password,
            vhost,
        })
    }
}

/// A login that is complete.
pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) vhost: String,
}

/// AMQP 0-9-1 as far as connection.open (section 2.2.4), one method after the other.
struct Conversation {
    socket: Socket,
    received: Vec<u8>,
}

impl Conversation {
    async fn hold(&mut self, account: Option<Account>) -> Result<(), Failure> {
        let start = self.expect(Start::ID).await?.ok_or(Failure::NotAmqp)?;
        Start::decode(&start).map_err(|_| Failure::NotAmqp)?;
        let Some(account) = account else {
            return Ok(());
        };
        match self.log_in(&account).await {
            // RabbitMQ before authentication_failure_close refuses a login by closing the socket.
            Err(Failure::ClosedEarly) => Err(Failure::LoginRefused),
            other => other,
        }
    }

    async fn log_in(&mut self, account: &Account) -> Result<(), Failure> {
        let response = format!("\0{}\0{}", account.user, account.password.expose());
        self.say(&StartOk {
            client_properties: Table(CLIENT_PROPERTIES),
            mechanism: ShortString::clipped("PLAIN"),
            response: LongString(response.as_bytes()),
            locale: ShortString::clipped("en_US"),
        })
        .await?;
        let tune = self.expect(Tune::ID).await?.ok_or(Failure::LoginRefused)?;
        let Tune {
            channel_max,
            frame_max,
            heartbeat: _,
        } = Tune::decode(&tune).map_err(|_| Failure::NotAmqp)?;
        self.say(&TuneOk {
            channel_max,
            frame_max,
            heartbeat: 0,
        })
        .await?;
        self.say(&Open {
            virtual_host: ShortString::clipped(&account.vhost),
            reserved_1: ShortString::default(),
            reserved_2: 0,
        })
        .await?;
        self.expect(OpenOk::ID)
            .await?
            .ok_or(Failure::LoginRefused)?;
        self.say(&Close {
            reply_code: ReplyCode::REPLY_SUCCESS,
            reply_text: ShortString::default(),
            class_id: 0,
            method_id: 0,
        })
        .await?;
        // Whatever comes instead: the login was good.
        self.expect(CloseOk::ID).await.map(drop)
    }

    async fn say<'a>(&mut self, method: &impl Method<'a>) -> Result<(), Failure> {
        let written = async {
            self.socket.write_all(&method.to_frame()).await?;
            self.socket.flush().await
        };
        written.await.map_err(Failure::of_socket)
    }

    /// The arguments of the next method, or none if it is not the one expected.
    async fn expect(&mut self, id: MethodId) -> Result<Option<Vec<u8>>, Failure> {
        let header = self.take(HEADER_SIZE).await?;
        let header = FrameHeader::decode(&header).map_err(|_| Failure::NotAmqp)?;
        if header.kind != FrameKind::METHOD
            || header.channel != 0
            || header.frame_size() > INITIAL_FRAME_MAX.into()
        {
            return Err(Failure::NotAmqp);
        }
        let rest = header.frame_size().saturating_sub(HEADER_SIZE as u64);
        let mut payload = self
            .take(usize::try_from(rest).unwrap_or(usize::MAX))
            .await?;
        if payload.pop() != Some(END_OCTET) {
            return Err(Failure::NotAmqp);
        }
        let found = MethodId::decode(&payload).map_err(|_| Failure::NotAmqp)?;
        Ok((found == id).then(|| payload.split_off(id.encode().len())))
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        while self.received.len() < count {
            match self.socket.read_buf(&mut self.received).await {
                Ok(0) => return Err(Failure::ClosedEarly),
                Ok(_) => {}
                Err(error) => return Err(Failure::of_socket(error)),
            }
        }
        let rest = self.received.split_off(count);
        Ok(std::mem::replace(&mut self.received, rest))
    }
}

/// Says that nothing more will come and waits a little for the other side's end, since closing
/// with unread bytes resets the socket.
async fn leave(mut socket: Socket) {
    let farewell = async {
        socket.shutdown().await?;
        let mut rest = Vec::new();
        while socket.read_buf(&mut rest).await? > 0 {
            rest.clear();
        }
        std::io::Result::Ok(())
    };
    // However it goes, the probe has its answer.
    drop(timeout(FAREWELL, farewell).await);
}

/// Often enough for every orchestrator, and no flood however many ask.
const CACHED: Duration = Duration::from_secs(1);

/// RabbitMQ closes within milliseconds.
const FAREWELL: Duration = Duration::from_secs(1);

/// Asks to be told of a refused login at once instead of after three seconds. No connection_name:
/// RabbitMQ would log a line more.
const CLIENT_PROPERTIES: &[u8] = b"\
    \x07productS\0\0\0\x06Smeuse\
    \x0ccapabilitiesF\0\0\0\x1f\x1cauthentication_failure_closet\x01";
