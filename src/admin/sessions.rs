//! The list of sessions as JSON, and the end of one in an operator's name.

use std::net::IpAddr;
use std::time::Instant;

use actix_web::web::Data;
use actix_web::web::Path;
use actix_web::web::Query;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use ipnet::IpNet;
use serde::Deserialize;
use serde::Serialize;
use tracing::info;

use crate::admin::guard;
use crate::admin::Admin;
use crate::admin::TEXT;
use crate::downstream::registry::Entry;
use crate::downstream::SessionId;

/// Which sessions are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    user: Option<String>,
    address: Option<String>,
    limit: Option<usize>,
}

/// One row of the list.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    client: IpAddr,
    service: String,
    stage: &'static str,
    opened_seconds_ago: u64,
    bytes_from_client: u64,
    bytes_to_client: u64,
    messages_from_client: u64,
    messages_to_client: u64,
    subprotocol: String,
    extensions: Vec<String>,
    user: String,
}

/// The sessions, in no order, at most [`MOST`] or as many as asked for; how many there are says `Smeuse-Sessions`.
pub async fn list(admin: Data<Admin>, wish: Result<Query<Wish>, actix_web::Error>) -> HttpResponse {
    let malformed = |reason: &str| {
        HttpResponse::BadRequest()
            .content_type(TEXT)
            .body(format!("request_malformed: {reason}\n"))
    };
    let wish = match wish {
        Ok(wish) => wish.into_inner(),
        Err(_) => return malformed("only user, address and limit (a number) can be asked for"),
    };
    let network = wish.address.as_deref().map(|text| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse::<IpNet>())
    });
    let Ok(network) = network.transpose() else {
        return malformed("address is neither an address nor a network");
    };
    let is_wanted = |entry: &Entry| {
        let is_of_user = |user: &String| entry.traffic.user() == user;
        let is_from = |network: &IpNet| network.contains(&entry.client);
        wish.user.as_ref().is_none_or(is_of_user) && network.as_ref().is_none_or(is_from)
    };
    let entries = admin.sessions.entries();
    let found = entries.iter().filter(|(_, entry)| is_wanted(entry));
    let found: Vec<_> = found.collect();
    let now = Instant::now();
    let limit = wish.limit.unwrap_or(USUAL).min(MOST);
    let rows = found.iter().take(limit);
    let rows: Vec<_> = rows.map(|(id, entry)| Row::new(*id, entry, now)).collect();
    HttpResponse::Ok()
        .insert_header(("Smeuse-Sessions", found.len().to_string()))
        .json(rows)
}

impl Row {
    fn new(id: SessionId, entry: &Entry, now: Instant) -> Self {
        let traffic = &entry.traffic;
        let [bytes_from_client, bytes_to_client, messages_from_client, messages_to_client] =
            traffic.counts();
        let agreed = traffic.agreed.get();
        Self {
            id: id.to_string(),
            client: entry.client,
            service: entry.service.to_string(),
            stage: traffic.stage().label(),
            opened_seconds_ago: now.saturating_duration_since(entry.opened).as_secs(),
            bytes_from_client,
            bytes_to_client,
            messages_from_client,
            messages_to_client,
            subprotocol: agreed.map_or_else(String::new, |agreed| agreed.subprotocol.clone()),
            extensions: agreed.map_or_else(Vec::new, |agreed| agreed.extensions.clone()),
            user: traffic.user().to_owned(),
        }
    }
}

/// Ends one session.
pub async fn end(admin: Data<Admin>, request: HttpRequest, id: Path<String>) -> HttpResponse {
    let id = id.parse::<SessionId>().ok();
    match id.filter(|id| admin.sessions.end(*id)) {
        Some(id) => {
            let operator = guard::address(request.peer_addr());
            info!(session = %id, %operator, "operator ends session");
            HttpResponse::NoContent().finish()
        }
        None => HttpResponse::NotFound()
            .content_type(TEXT)
            .body("session_not_found: no session has this id\n"),
    }
}

/// Sessions that are listed if nobody says how many.
const USUAL: usize = 1000;

/// Sessions that are listed at most: some 3 MB.
const MOST: usize = 10_000;
