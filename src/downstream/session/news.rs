//! What backends are told of a session: that it is opened, that it has ended, that it was not let in.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use crate::control::event::End;
use crate::control::event::What;
use crate::control::event::Who;
use crate::downstream::close;
use crate::downstream::registry;
use crate::downstream::session::Session;
use crate::ending::Ending;
use crate::wire::amqp::ReplyCode;

impl<S> Session<S> {
    /// The session is opened: its login was accepted, or data may flow where there is none.
    pub(super) fn tell_opened(&mut self) {
        if std::mem::replace(&mut self.is_known, true) {
            return;
        }
        self.traffic.reach(registry::Stage::Open);
        let opened = || What::SessionOpened { who: self.who() };
        self.gate.events.tell(opened);
    }

    /// The session is over; told of those that were opened.
    pub(super) fn tell_ended(&self, ending: &Ending) {
        if self.is_known {
            let ended = || What::SessionEnded {
                who: self.who(),
                end: self.end(ending),
            };
            return self.gate.events.tell(ended);
        }
        let was_refused = match ending {
            Ending::BrokerClosed { reply_code, .. } => {
                *reply_code == ReplyCode::ACCESS_REFUSED || *reply_code == ReplyCode::NOT_ALLOWED
            }
            _ => false,
        };
        if was_refused {
            self.gate.events.tell(|| What::LoginRefused {
                service: Arc::clone(&self.gate.names[self.service]),
                client: self.client.ip(),
                session: Some(self.id.to_string()),
                reason: "broker",
            });
        }
    }

    fn who(&self) -> Who {
        Who {
            session: self.id.to_string(),
            service: Arc::clone(&self.gate.names[self.service]),
            user: self.traffic.user().to_owned(),
            client: self.client,
        }
    }

    fn end(&self, ending: &Ending) -> End {
        let traffic = &self.traffic;
        End {
            by: ending.by().label(),
            reason: ending.reason(),
            close_code: close::close(ending).code.map(|code| code.0),
            duration_seconds: self.timer.opened().elapsed().as_secs_f64(),
            bytes_from_client: traffic.bytes_from_client.load(Ordering::Relaxed),
            bytes_to_client: traffic.bytes_to_client.load(Ordering::Relaxed),
        }
    }
}
