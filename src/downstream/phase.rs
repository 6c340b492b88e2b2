//! What a session may do now. Each phase is named by what it awaits and is over when that has come.

use crate::ending::Ending;

/// What may still come from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Data, until its Close frame.
    Speaks,
    /// Bytes that no longer count: it broke the rules, or had its time.
    Ignored,
    /// Nothing: its Close frame, or the end of its socket, has come.
    Silent,
}

/// The phases of a session, in their order. None is entered twice.
#[derive(Debug)]
pub enum Phase {
    /// Data flows both ways.
    Open,
    /// The ending is known; the relay says what AMQP still has to say to the client.
    ExpectFarewell {
        /// Why the session ends.
        ending: Ending,
        /// What may still come from the client.
        client: Client,
    },
    /// Our Close frame is queued. What the client sends before its own is still relayed
    /// (RFC 6455 section 5.5.1 lets it finish), acknowledgements above all.
    ExpectClose {
        /// Why the session ends.
        ending: Ending,
    },
    /// The client is heard out. What was accepted is being delivered, both ways.
    Delivering {
        /// Why the session ends.
        ending: Ending,
        /// What may still come from the client.
        client: Client,
    },
    /// Our side of the socket is closed (RFC 6455 section 7.1.1), the client's is not. Its last bytes
    /// are read and thrown away: closing a socket with unread bytes could take back our Close frame.
    ExpectEnd {
        /// Why the session ends.
        ending: Ending,
    },
    /// Both sides are closed.
    Over {
        /// Why the session ended.
        ending: Ending,
    },
}

impl Phase {
    /// Why the session ends, once that is known.
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Open => None,
            Self::ExpectFarewell { ending, .. }
            | Self::ExpectClose { ending }
            | Self::Delivering { ending, .. }
            | Self::ExpectEnd { ending }
            | Self::Over { ending } => Some(ending),
        }
    }

    /// Whether frames from the client still count.
    pub fn is_listening(&self) -> bool {
        match self {
            Self::Open | Self::ExpectClose { .. } => true,
            Self::ExpectFarewell { client, .. } => *client == Client::Speaks,
            Self::Delivering { .. } | Self::ExpectEnd { .. } | Self::Over { .. } => false,
        }
    }

    /// Whether nothing may follow for the client (RFC 6455 section 5.5.1).
    pub fn close_is_queued(&self) -> bool {
        match self {
            Self::Open | Self::ExpectFarewell { .. } => false,
            Self::ExpectClose { .. }
            | Self::Delivering { .. }
            | Self::ExpectEnd { .. }
            | Self::Over { .. } => true,
        }
    }

    /// A reason to end has come up; the first one counts. Says whether this was the first.
    pub fn leave(&mut self, ending: Ending) -> bool {
        let first = matches!(self, Self::Open);
        if first {
            *self = Self::ExpectFarewell {
                ending,
                client: Client::Speaks,
            };
        }
        first
    }

    /// AMQP had come to its own end when the client sent a Close frame without a code: that end is
    /// the reason, and the client may not know it yet.
    pub fn explain(&mut self, come_to: Ending) {
        let is_end_of_amqp = matches!(
            come_to,
            Ending::AmqpClosed
                | Ending::AmqpViolation { .. }
                | Ending::BrokerClosed { .. }
                | Ending::VersionRefused
        );
        if let Self::ExpectFarewell { ending, .. } = self {
            if *ending == Ending::ClientClosed(None) && is_end_of_amqp {
                *ending = come_to;
            }
        }
    }

    /// The relay has said its farewell (or there is none): the ending whose Close frame is due.
    pub fn farewell_said(&mut self) -> Option<&Ending> {
        let Self::ExpectFarewell { ending, client } = self else {
            return None;
        };
        let (ending, client) = (ending.clone(), *client);
        *self = match client {
            Client::Speaks => Self::ExpectClose { ending },
            Client::Ignored | Client::Silent => Self::Delivering { ending, client },
        };
        self.ending()
    }

    /// The client sends nothing more that counts.
    pub fn heard_out(&mut self, now: Client) {
        match self {
            Self::ExpectFarewell { client, .. } | Self::Delivering { client, .. } => {
                // Who is silent cannot speak again.
                if *client != Client::Silent {
                    *client = now;
                }
            }
            Self::ExpectClose { ending } => {
                *self = Self::Delivering {
                    ending: ending.clone(),
                    client: now,
                };
            }
            Self::ExpectEnd { ending } if now == Client::Silent => {
                *self = Self::Over {
                    ending: ending.clone(),
                };
            }
            Self::Open | Self::ExpectEnd { .. } | Self::Over { .. } => {}
        }
    }

    /// All was delivered and our side of the socket is closed.
    pub fn delivered(&mut self) {
        if let Self::Delivering { ending, client } = self {
            let ending = ending.clone();
            *self = match client {
                Client::Speaks | Client::Ignored => Self::ExpectEnd { ending },
                Client::Silent => Self::Over { ending },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::CloseCode;

    #[test]
    fn the_first_ending_counts() {
        let mut phase = Phase::Open;
        assert!(phase.leave(Ending::Drained));
        assert!(!phase.leave(Ending::OperatorEnded));
        assert_eq!(phase.ending(), Some(&Ending::Drained));
    }

    #[test]
    fn a_close_is_due_once_and_only_after_the_farewell() {
        let mut phase = Phase::Open;
        assert_eq!(phase.farewell_said(), None);
        phase.leave(Ending::Drained);
        assert!(!phase.close_is_queued());
        assert_eq!(phase.farewell_said(), Some(&Ending::Drained));
        assert!(phase.close_is_queued());
        assert_eq!(phase.farewell_said(), None);
    }

    #[test]
    fn the_client_is_heard_until_its_own_close() {
        let mut phase = Phase::Open;
        phase.leave(Ending::Drained);
        assert!(phase.is_listening());
        phase.farewell_said();
        assert!(phase.is_listening());
        phase.heard_out(Client::Silent);
        assert!(!phase.is_listening());
        phase.delivered();
        assert!(matches!(phase, Phase::Over { .. }));
    }

    #[test]
    fn a_close_that_crosses_the_farewell_is_not_awaited_again() {
        let mut phase = Phase::Open;
        phase.leave(Ending::Drained);
        phase.heard_out(Client::Silent);
        phase.farewell_said();
        assert!(matches!(phase, Phase::Delivering { .. }));
    }

    #[test]
    fn a_close_without_a_code_is_explained_by_amqp_and_others_are_not() {
        let mut phase = Phase::Open;
        phase.leave(Ending::ClientClosed(None));
        phase.explain(Ending::AmqpClosed);
        assert_eq!(phase.farewell_said(), Some(&Ending::AmqpClosed));

        let mut phase = Phase::Open;
        phase.leave(Ending::ClientClosed(None));
        phase.explain(Ending::BrokerLost("was closed".to_owned()));
        assert_eq!(phase.farewell_said(), Some(&Ending::ClientClosed(None)));

        let own = Ending::ClientClosed(Some((CloseCode(4000), String::new())));
        for known in [own, Ending::Drained] {
            let mut phase = Phase::Open;
            phase.leave(known.clone());
            phase.explain(Ending::AmqpClosed);
            assert_eq!(phase.farewell_said(), Some(&known));
        }
    }

    #[test]
    fn a_client_that_is_ignored_is_read_to_its_end() {
        let mut phase = Phase::Open;
        phase.leave(Ending::TextMessage);
        phase.heard_out(Client::Ignored);
        phase.farewell_said();
        phase.delivered();
        assert!(matches!(phase, Phase::ExpectEnd { .. }));
        phase.heard_out(Client::Ignored);
        assert!(matches!(phase, Phase::ExpectEnd { .. }));
        phase.heard_out(Client::Silent);
        assert!(matches!(phase, Phase::Over { .. }));
    }

    #[test]
    fn a_lost_client_stays_silent() {
        let mut phase = Phase::Open;
        phase.leave(Ending::Drained);
        phase.heard_out(Client::Silent);
        phase.heard_out(Client::Ignored);
        phase.farewell_said();
        phase.delivered();
        assert!(matches!(phase, Phase::Over { .. }));
    }
}
