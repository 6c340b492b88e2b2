//! The door of the private listener: every request passes here first, and is let in or gets its reason.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use actix_web::body::EitherBody;
use actix_web::body::MessageBody;
use actix_web::dev::ServiceRequest;
use actix_web::dev::ServiceResponse;
use actix_web::http::header;
use actix_web::http::header::HeaderMap;
use actix_web::http::header::HeaderName;
use actix_web::http::header::HeaderValue;
use actix_web::http::Method;
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::Error;
use actix_web::HttpMessage;
use actix_web::HttpResponse;

use crate::admin::keys::Denied;
use crate::admin::keys::Keys;
use crate::admin::keys::Pass;
use crate::admin::login;
use crate::admin::metrics::Refused;
use crate::admin::Admin;
use crate::admin::TEXT;

/// Lets a request in, with its [`Pass`] among its extensions, or answers it.
///
/// # Errors
/// Those of what is behind the door.
pub async fn guard<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let Some(admin) = request.app_data::<Data<Admin>>().cloned() else {
        let answer = HttpResponse::InternalServerError().finish();
        return Ok(request.into_response(answer).map_into_right_body());
    };
    let mut response = match let_in(&admin, &request).await {
        Ok(pass) => {
            request.extensions_mut().insert(pass);
            next.call(request).await?.map_into_left_body()
        }
        Err(answer) => request.into_response(answer).map_into_right_body(),
    };
    for (name, value) in ALWAYS {
        let value = HeaderValue::from_static(value);
        if !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn let_in(admin: &Data<Admin>, request: &ServiceRequest) -> Result<Pass, HttpResponse> {
    if OPEN.contains(&request.path()) {
        return Ok(Pass::Open);
    }
    let headers = request.headers();
    let address = address(request.peer_addr());
    let host = text(headers, &header::HOST);
    let checked = admin.keys.check(
        text(headers, &header::AUTHORIZATION),
        cookie(headers, &admin.cookie),
        address,
        Instant::now(),
    );
    // Whatever a guess calls itself, it is answered late and counted.
    if let Err(denied @ (Denied::Wrong | Denied::TooMany)) = checked {
        return Err(deny(admin, denied, address).await);
    }
    // A strange page cannot know the token, whatever it calls itself.
    let has_token = matches!(checked, Ok(Pass::Token(_)));
    if !has_token && !admin.hosts.allow(host) {
        return Err(refuse(admin, Refused::Host));
    }
    let acts = *request.method() != Method::GET && *request.method() != Method::HEAD;
    let upgrades = headers.contains_key(header::UPGRADE);
    let origin = text(headers, &header::ORIGIN);
    let site = text(headers, &SEC_FETCH_SITE);
    if (acts || upgrades) && !admin.hosts.is_own(host, origin, site) {
        return Err(refuse(admin, Refused::Origin));
    }
    match checked {
        Ok(pass) => Ok(pass),
        Err(Denied::Missing) if request.path() == login::PATH => Ok(Pass::Open),
        Err(Denied::Missing) if PAGES.contains(&request.path()) => {
            admin.metrics.refused(Refused::CredentialsMissing);
            Err(login::page(StatusCode::UNAUTHORIZED, None))
        }
        Err(denied) => Err(deny(admin, denied, address).await),
    }
}

/// Says that somebody is not let in; a wrong token hears it late.
pub async fn deny(admin: &Admin, denied: Denied, address: IpAddr) -> HttpResponse {
    match denied {
        Denied::Missing => refuse(admin, Refused::CredentialsMissing),
        Denied::TooMany => refuse(admin, Refused::TooManyGuesses),
        Denied::Wrong => {
            late(&admin.keys, address).await;
            refuse(admin, Refused::CredentialsWrong)
        }
    }
}

/// Returns when the answer to a wrong token is due.
pub async fn late(keys: &Arc<Keys>, address: IpAddr) {
    keys.hold_back(address);
    let keys = Arc::clone(keys);
    // Whoever does not wait for the answer has made the guess all the same.
    let held = actix_rt::spawn(async move {
        actix_rt::time::sleep(HELD_BACK).await;
        keys.answered(address);
    });
    // It fails only where the listener is ending.
    let _ = held.await;
}

/// The answer to a request that is refused: its code and a sentence.
pub fn refuse(admin: &Admin, why: Refused) -> HttpResponse {
    admin.metrics.refused(why);
    let (status, sentence) = match why {
        Refused::Host => (
            StatusCode::MISDIRECTED_REQUEST,
            "this listener is not known by this name; admin.hosts can add it",
        ),
        Refused::Origin => (
            StatusCode::FORBIDDEN,
            "the request comes from a page of another origin",
        ),
        Refused::CredentialsMissing => (
            StatusCode::UNAUTHORIZED,
            "the token of admin.token_file is asked for",
        ),
        Refused::CredentialsWrong => (StatusCode::UNAUTHORIZED, "this is not the token"),
        Refused::TooManyGuesses => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens from this address, try again in a moment",
        ),
        Refused::TooManyViewers => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages of the live view are open",
        ),
    };
    let mut answer = HttpResponse::build(status);
    match status {
        StatusCode::UNAUTHORIZED => {
            answer.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            answer.insert_header((header::RETRY_AFTER, "5"));
        }
        _ => {}
    }
    answer
        .content_type(TEXT)
        .body(format!("{}: {sentence}\n", why.label()))
}

/// A header's text, if there is exactly one such header; two are as good as a wrong one.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    if values.next().is_some() {
        return Some("");
    }
    Some(value.to_str().unwrap_or_default())
}

/// The value of a cookie (RFC 6265 section 4.2.1).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE);
    let mut pairs = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// The address a request came from.
pub fn address(peer: Option<std::net::SocketAddr>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// Probes have no token, and call the listener what they like.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Where a browser without a login is shown the form.
const PAGES: [&str; 2] = ["/", "/live"];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// RFC 6750 section 3.
pub const CHALLENGE: &str = "Bearer realm=\"smeuse\"";

/// A person hardly notices; whoever guesses does.
const HELD_BACK: Duration = Duration::from_secs(1);

/// In every answer that does not say otherwise.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    // Not "no-referrer": then browsers would say that a form comes from nowhere.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
