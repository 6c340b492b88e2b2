//! What a session may do now. Each phase is named by what it awaits and is over when that has come.

use crate::ending::Ending;

/// The phases of a session, in their order. None is entered twice.
#[derive(Debug)]
pub enum Phase {
    /// Data flows both ways.
    Open,
    /// The ending is known; the relay says what AMQP still has to say to the client.
    ExpectFarewell {
        /// Why the session ends.
        ending: Ending,
        /// Whether the client will send nothing more that counts.
        heard_out: bool,
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
    },
    /// Our side of the socket is closed (RFC 6455 section 7.1.1). The client's last bytes are read
    /// and thrown away, since closing a socket with unread bytes could take back our Close frame.
    ExpectEnd {
        /// Why the session ends.
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
            | Self::Delivering { ending }
            | Self::ExpectEnd { ending } => Some(ending),
        }
    }

    /// Whether frames from the client still count.
    pub fn is_listening(&self) -> bool {
        match self {
            Self::Open
            | Self::ExpectFarewell {
                heard_out: false, ..
            }
            | Self::ExpectClose { .. } => true,
            Self::ExpectFarewell {
                heard_out: true, ..
            }
            | Self::Delivering { .. }
            | Self::ExpectEnd { .. } => false,
        }
    }

    /// Whether nothing may follow for the client (RFC 6455 section 5.5.1).
    pub fn close_is_queued(&self) -> bool {
        match self {
            Self::Open | Self::ExpectFarewell { .. } => false,
            Self::ExpectClose { .. } | Self::Delivering { .. } | Self::ExpectEnd { .. } => true,
        }
    }

    /// A reason to end has come up; the first one counts. Says whether this was the first.
    pub fn leave(&mut self, ending: Ending, heard_out: bool) -> bool {
        match self {
            Self::Open => {
                *self = Self::ExpectFarewell { ending, heard_out };
                true
            }
            Self::ExpectFarewell { .. }
            | Self::ExpectClose { .. }
            | Self::Delivering { .. }
            | Self::ExpectEnd { .. } => false,
        }
    }

    /// The relay has said its farewell (or there is none): the ending whose Close frame is due.
    pub fn farewell_said(&mut self) -> Option<&Ending> {
        let Self::ExpectFarewell { ending, heard_out } = self else {
            return None;
        };
        let ending = ending.clone();
        *self = if *heard_out {
            Self::Delivering { ending }
        } else {
            Self::ExpectClose { ending }
        };
        self.ending()
    }

    /// The client sends nothing more that counts: its Close has come, or its end, or a violation.
    pub fn heard_out(&mut self) {
        match self {
            Self::ExpectFarewell { heard_out, .. } => *heard_out = true,
            Self::ExpectClose { ending } => {
                *self = Self::Delivering {
                    ending: ending.clone(),
                };
            }
            Self::Open | Self::Delivering { .. } | Self::ExpectEnd { .. } => {}
        }
    }

    /// All was delivered: only the client's end of the socket remains.
    pub fn delivered(&mut self) {
        if let Self::Delivering { ending } = self {
            *self = Self::ExpectEnd {
                ending: ending.clone(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ending_counts() {
        let mut phase = Phase::Open;
        assert!(phase.leave(Ending::Drained, false));
        assert!(!phase.leave(Ending::OperatorEnded, false));
        assert_eq!(phase.ending(), Some(&Ending::Drained));
    }

    #[test]
    fn a_close_is_due_once_and_only_after_the_farewell() {
        let mut phase = Phase::Open;
        assert_eq!(phase.farewell_said(), None);
        phase.leave(Ending::Drained, false);
        assert_eq!(phase.farewell_said(), Some(&Ending::Drained));
        assert_eq!(phase.farewell_said(), None);
    }

    #[test]
    fn the_client_is_heard_until_its_own_close() {
        let mut phase = Phase::Open;
        phase.leave(Ending::Drained, false);
        assert!(phase.is_listening());
        phase.farewell_said();
        assert!(phase.is_listening());
        phase.heard_out();
        assert!(!phase.is_listening());
        assert!(matches!(phase, Phase::Delivering { .. }));
        phase.delivered();
        assert!(matches!(phase, Phase::ExpectEnd { .. }));
    }

    #[test]
    fn a_close_that_crosses_the_farewell_is_not_awaited_again() {
        let mut phase = Phase::Open;
        phase.leave(Ending::Drained, false);
        phase.heard_out();
        phase.farewell_said();
        assert!(matches!(phase, Phase::Delivering { .. }));
    }
}
