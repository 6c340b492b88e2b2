//! The extended handshake as a value: the second negotiation, inside the WebSocket, which gives browsers what they have
//! no headers for. Messages of the client's come in, messages for it and what they mean go out.

use std::net::IpAddr;

use crate::handshake::agreement::Agreement;
use crate::handshake::config::Service;
use crate::handshake::login::Credentials;
use crate::handshake::login::Login;
use crate::handshake::login::Principal;
use crate::handshake::opening::choose_subprotocol;
use crate::handshake::opening::Opening;
use crate::handshake::opening::EXTENDED_HANDSHAKE;
use crate::handshake::refusal::Refusal;
use crate::pipeline::Catalogue;
use crate::upstream::config::Secret;
use crate::wire::extended;
use crate::wire::extended::Request;
use crate::wire::extended::Response;
use crate::wire::websocket::header::parse_offers;
use crate::wire::websocket::header::parse_tokens;
use crate::wire::websocket::header::HeaderError;
use crate::wire::websocket::header::Offer;

/// How a client frames the extended handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As it was specified: a request, a response.
    Specification,
    /// As the published Kaazing clients speak it: "proceed", a request, a response, an empty message, "proceed".
    Legacy,
}

impl Dialect {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Specification => "specification",
            Self::Legacy => "legacy",
        }
    }
}

/// What a handshake is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its login, if it has one.
    pub login: Option<&'a Login>,
    /// The gateway's extensions.
    pub catalogue: &'a Catalogue,
    /// The client's address, as limits count it.
    pub address: IpAddr,
    /// Whether the gateway is finishing.
    pub is_draining: bool,
    /// The time, as HTTP writes it (RFC 9110 section 5.6.7).
    pub date: &'a str,
}

/// An extended handshake that is going on.
#[derive(Debug)]
pub struct Extended {
    dialect: Dialect,
    /// `Sec-WebSocket-Accept` of the opening, which is repeated.
    accept: String,
    query: Option<String>,
    /// The application's own subprotocols in the opening.
    subprotocols: Vec<String>,
    /// The names of the extensions in the opening.
    extensions: Vec<String>,
    /// Credentials in the opening, which count until others come.
    authorization: Option<Secret>,
    challenges: u32,
    unreadable: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    ExpectRequest,
    ExpectVerdict(Asked),
    Over,
}

/// What a request asks for.
#[derive(Debug)]
struct Asked {
    subprotocol: Option<String>,
    offers: Vec<Offer>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Check these credentials, and say what came of it by [`Extended::verdict`].
    Check(Credentials),
    /// Send these messages, BINARY each. An empty one is sent, too.
    Send(Vec<Vec<u8>>, Next),
}

/// What follows on the messages.
#[derive(Debug)]
pub enum Next {
    /// The client's request.
    Request,
    /// A new request of the client's, with credentials.
    Credentials,
    /// Data.
    Data(Agreement),
    /// The end.
    End(Refusal),
}

/// What came of checking credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is who the client is.
    Accepted(Principal),
    /// They are wrong.
    Refused,
    /// They are right, and not for this service.
    Forbidden,
    /// They could not be checked.
    Unavailable,
}

impl Extended {
    /// The handshake that follows an opening in which [`EXTENDED_HANDSHAKE`] was chosen.
    pub fn new(opening: &Opening, accept: String) -> Self {
        let is_legacy = extended::is_legacy(opening.query.as_deref());
        Self {
            dialect: if is_legacy {
                Dialect::Legacy
            } else {
                Dialect::Specification
            },
            accept,
            query: opening.query.clone(),
            subprotocols: opening.offered.clone(),
            extensions: opening.offers.iter().map(|o| o.name.clone()).collect(),
            authorization: opening.authorization.clone(),
            challenges: 0,
            unreadable: 0,
            state: State::ExpectRequest,
        }
    }

    /// How the client frames it.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How often credentials were asked for.
    pub fn challenges(&self) -> u32 {
        self.challenges
    }

    /// How often credentials came that could not be read.
    pub fn unreadable(&self) -> u32 {
        self.unreadable
    }

    /// What the gateway says first: in the legacy dialect "proceed", or where else to go.
    pub fn greet(&mut self, context: &Context<'_>) -> Step {
        match (self.dialect, &context.service.redirect) {
            (Dialect::Specification, _) => Step::Send(Vec::new(), Next::Request),
            (Dialect::Legacy, None) => Step::Send(vec![extended::PROCEED.to_vec()], Next::Request),
            (Dialect::Legacy, Some(redirect)) => {
                match redirect.location(self.query.as_deref()) {
                    Ok(location) => self.refuse(Refusal::Redirected { location }),
                    // No response is due before the request.
                    Err(refusal) => {
                        self.state = State::Over;
                        Step::Send(Vec::new(), Next::End(refusal))
                    }
                }
            }
        }
    }

    /// Takes one whole message of the client's.
    pub fn message(&mut self, message: &[u8], context: &Context<'_>) -> Step {
        match self.request(message, context) {
            Ok(step) => step,
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Takes what came of the credentials that [`Step::Check`] gave out.
    pub fn verdict(&mut self, verdict: Verdict, context: &Context<'_>) -> Step {
        let State::ExpectVerdict(asked) = std::mem::replace(&mut self.state, State::ExpectRequest)
        else {
            return self.refuse(Refusal::MessageTooEarly);
        };
        match verdict {
            Verdict::Accepted(principal) => match self.agree(asked, Some(principal), context) {
                Ok(step) => step,
                Err(refusal) => self.refuse(refusal),
            },
            Verdict::Refused => self.challenge(context, true),
            Verdict::Forbidden => self.refuse(Refusal::Forbidden),
            Verdict::Unavailable => self.refuse(Refusal::LoginUnavailable),
        }
    }

    /// A message of the client's that came while none was due.
    pub fn too_early(&mut self) -> Step {
        self.refuse(Refusal::MessageTooEarly)
    }

    fn request(&mut self, message: &[u8], context: &Context<'_>) -> Result<Step, Refusal> {
        if !matches!(self.state, State::ExpectRequest) {
            return Err(Refusal::MessageTooEarly);
        }
        // Who fails to speak HTTP is told so, whatever else could be said.
        let request = Request::parse(message).map_err(Refusal::RequestMalformed)?;
        check_names(&request)?;
        let asked = self.asked(&request, context.service)?;
        if context.is_draining {
            return Err(Refusal::Draining);
        }
        if let Some(redirect) = &context.service.redirect {
            let location = redirect.location(self.query.as_deref())?;
            return Err(Refusal::Redirected { location });
        }
        let Some(login) = context.login else {
            return self.agree(asked, None, context);
        };
        let own = single(&request, AUTHORIZATION)?.map(Secret::new);
        // Those of the opening are tried once, or not at all.
        let of_opening = self.authorization.take();
        let Some(authorization) = own.or(of_opening) else {
            if login.is_asked_by_amqp() {
                return self.agree(asked, None, context);
            }
            return Ok(self.challenge(context, false));
        };
        match login.read(authorization.expose()) {
            Ok(credentials) => {
                self.state = State::ExpectVerdict(asked);
                Ok(Step::Check(credentials))
            }
            Err(_) => {
                self.unreadable += 1;
                Ok(self.challenge(context, true))
            }
        }
    }

    /// The request merged with the opening: what it does not say, the opening has said.
    fn asked(&self, request: &Request<'_>, service: &Service) -> Result<Asked, Refusal> {
        let offers = parse_offers(filled(request.lines(EXTENSIONS)))
            .map_err(|error| malformed(EXTENSIONS, &error))?;
        if let Some(offer) = offers
            .iter()
            .find(|offer| self.extensions.contains(&offer.name))
        {
            return Err(Refusal::ExtensionOfferedTwice {
                name: offer.name.clone(),
            });
        }
        let lines = request.lines(PROTOCOL);
        let mut offered = if lines.is_empty() {
            self.subprotocols.clone()
        } else {
            parse_tokens(filled(lines)).map_err(|error| malformed(PROTOCOL, &error))?
        };
        offered.retain(|token| token != EXTENDED_HANDSHAKE);
        let chosen = choose_subprotocol(service.kind, &offered, false)?;
        Ok(Asked {
            subprotocol: chosen.map(str::to_owned),
            offers,
        })
    }

    fn agree(
        &mut self,
        asked: Asked,
        principal: Option<Principal>,
        context: &Context<'_>,
    ) -> Result<Step, Refusal> {
        let (service, catalogue) = (context.service, context.catalogue);
        let agreement = Agreement::reach(
            asked.subprotocol,
            &asked.offers,
            principal,
            context.address,
            service,
            catalogue,
        )?;
        self.state = State::Over;
        let response = self.switching_protocols(&agreement, context.date);
        let messages = match self.dialect {
            Dialect::Specification => vec![response],
            Dialect::Legacy => vec![response, Vec::new(), extended::PROCEED.to_vec()],
        };
        Ok(Step::Send(messages, Next::Data(agreement)))
    }

    fn switching_protocols(&self, agreement: &Agreement, date: &str) -> Vec<u8> {
        let mut headers = vec![
            ("Connection", "Upgrade".to_owned()),
            ("Date", date.to_owned()),
            ("Sec-WebSocket-Accept", self.accept.clone()),
        ];
        for agreed in &agreement.extensions {
            headers.push((EXTENSIONS, agreed.answer.to_string()));
        }
        let ending = [
            ("Server", SERVER.to_owned()),
            ("Upgrade", "websocket".to_owned()),
        ];
        let mut response = Response {
            status: 101,
            headers,
            body: None,
        };
        match (&agreement.subprotocol, self.dialect) {
            (Some(subprotocol), Dialect::Legacy) => {
                response.headers.extend(ending);
                response.encode_with_last(PROTOCOL, subprotocol)
            }
            (Some(subprotocol), Dialect::Specification) => {
                response.headers.push((PROTOCOL, subprotocol.clone()));
                response.headers.extend(ending);
                response.encode()
            }
            (None, _) => {
                response.headers.extend(ending);
                response.encode()
            }
        }
    }

    /// Asks for credentials, unless that was done as often as it may be.
    fn challenge(&mut self, context: &Context<'_>, is_wrong: bool) -> Step {
        let Some(login) = context.login else {
            return self.refuse(Refusal::CredentialsRefused);
        };
        if self.challenges >= login.attempts().get() {
            return self.refuse(Refusal::CredentialsRefused);
        }
        self.challenges += 1;
        self.state = State::ExpectRequest;
        let challenges = login.challenges();
        let refusal = if is_wrong {
            Refusal::CredentialsWrong { challenges }
        } else {
            Refusal::CredentialsRequired { challenges }
        };
        Step::Send(self.framed(&refusal), Next::Credentials)
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        self.state = State::Over;
        let messages = match (self.dialect, &refusal) {
            (Dialect::Legacy, Refusal::Redirected { location }) => {
                vec![extended::redirect(location)]
            }
            // Behind a 401 the published JavaScript client shows its page what a bare Close frame says, and hides that
            // frame behind any other response.
            (Dialect::Legacy, _) if self.challenges > 0 => Vec::new(),
            _ => self.framed(&refusal),
        };
        Step::Send(messages, Next::End(refusal))
    }

    /// A refusal as this dialect frames a response.
    fn framed(&self, refusal: &Refusal) -> Vec<Vec<u8>> {
        let mut headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
        headers.extend(refusal.headers());
        let response = Response {
            status: refusal.status(),
            headers,
            body: Some(refusal.body()),
        };
        match self.dialect {
            Dialect::Specification => vec![response.encode()],
            Dialect::Legacy => vec![response.encode(), Vec::new()],
        }
    }
}

/// Headers that only an opening, or a request with content, can have. Those that a browser's opening has may be
/// repeated; the opening's count.
fn check_names(request: &Request<'_>) -> Result<(), Refusal> {
    let is_out_of_place = |name: &&str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("proxy-") || OUT_OF_PLACE.contains(&name.as_str())
    };
    match request.names().find(is_out_of_place) {
        Some(name) => Err(Refusal::HeaderOutOfPlace {
            name: name.to_owned(),
        }),
        None => Ok(()),
    }
}

fn single<'a>(request: &Request<'a>, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    match filled(request.lines(name)).as_slice() {
        [] => Ok(None),
        [line] => Ok(Some(line)),
        [_, _, ..] => Err(Refusal::HeaderMalformed {
            name,
            reason: "appears more than once".to_owned(),
        }),
    }
}

/// The lines that say something: the published clients send headers with empty values.
fn filled(mut lines: Vec<&str>) -> Vec<&str> {
    lines.retain(|line| !line.is_empty());
    lines
}

fn malformed(name: &'static str, error: &HeaderError) -> Refusal {
    Refusal::HeaderMalformed {
        name,
        reason: format!("is malformed: {error}"),
    }
}

const AUTHORIZATION: &str = "Authorization";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// The value of `Server`.
const SERVER: &str = "Smeuse";

const OUT_OF_PLACE: [&str; 9] = [
    "content-length",
    "content-transfer-encoding",
    "content-encoding",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "via",
];

#[cfg(test)]
mod tests;
