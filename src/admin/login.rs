//! The login of a browser. It cannot send a token with a page that it opens or with a WebSocket, so a form takes the
//! token once, and a cookie stands for it: a random value, good for half a day, that is not the token.

use std::sync::OnceLock;
use std::time::Instant;

use actix_web::http::header;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::web::Form;
use actix_web::web::ReqData;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use base64::Engine;
use serde::Deserialize;
use sha2::Digest;
use sha2::Sha256;
use tracing::info;
use tracing::warn;
use zeroize::Zeroizing;

use crate::admin::guard;
use crate::admin::keys::Denied;
use crate::admin::keys::Pass;
use crate::admin::metrics::Refused;
use crate::admin::tickets::LIFE;
use crate::admin::Admin;

/// Where the form is sent.
pub const PATH: &str = "/login";

/// What the form sends.
#[derive(Deserialize)]
pub struct Fields {
    token: String,
}

/// Takes the token of the form, and answers with the cookie and the way back to the page.
pub async fn log_in(admin: Data<Admin>, request: HttpRequest, form: Form<Fields>) -> HttpResponse {
    let token = Zeroizing::new(form.into_inner().token);
    let address = guard::address(request.peer_addr());
    if !admin.keys.are_asked_for() {
        return back();
    }
    match admin.keys.log_in(token.trim(), address, Instant::now()) {
        Ok(cookie) => {
            info!(operator = %address, "operator logged in");
            let name = &admin.cookie;
            let life = LIFE.as_secs();
            let value = format!(
                "{name}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={life}",
                *cookie.0
            );
            let mut answer = back();
            if let Ok(value) = header::HeaderValue::from_str(&value) {
                answer.headers_mut().insert(header::SET_COOKIE, value);
            }
            answer
        }
        Err(Denied::TooMany) => {
            admin.metrics.refused(Refused::TooManyGuesses);
            page(
                StatusCode::TOO_MANY_REQUESTS,
                Some("Too many wrong tokens. Try again in a moment."),
            )
        }
        Err(Denied::Missing | Denied::Wrong) => {
            guard::late(&admin.keys, address).await;
            warn!(operator = %address, "operator login refused");
            admin.metrics.refused(Refused::CredentialsWrong);
            page(StatusCode::UNAUTHORIZED, Some("This is not the token."))
        }
    }
}

/// Ends the login of this browser; its open pages end with it.
pub async fn log_out(admin: Data<Admin>, pass: ReqData<Pass>) -> HttpResponse {
    admin.keys.log_out(*pass);
    let mut answer = back();
    let gone = format!(
        "{}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0",
        admin.cookie
    );
    if let Ok(value) = header::HeaderValue::from_str(&gone) {
        answer.headers_mut().insert(header::SET_COOKIE, value);
    }
    answer
}

fn back() -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/"))
        .finish()
}

/// The form, and what went wrong. It needs nothing that only those who are let in can load.
pub fn page(status: StatusCode, problem: Option<&str>) -> HttpResponse {
    static POLICY: OnceLock<String> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        )
    });
    let problem = problem.map_or_else(String::new, |text| {
        format!("<p role=\"alert\" class=\"problem\">{text}</p>")
    });
    let body = FORM
        .replace("/*style*/", STYLE)
        .replace("<!--problem-->", &problem);
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header((header::WWW_AUTHENTICATE, guard::CHALLENGE));
    }
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy.as_str()))
        .body(body)
}

const FORM: &str = include_str!("view/login.html");
const STYLE: &str = include_str!("view/login.css");
