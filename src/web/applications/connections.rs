//! Which connections to an origin are kept for further requests.

use std::cell::RefCell;
use std::time::Duration;

use http::uri::Authority;
use tokio::time::Instant;

use crate::web::applications::config::Application;
use crate::web::applications::origin;
use crate::web::applications::origin::Connector;
use crate::web::applications::origin::Pool;

/// One worker's connections to an origin. The HTTP client keeps them apart by the name that they were opened for, and where
/// HTTP/2 is possible that is the browser's to choose: so only connections of a few names are kept.
pub struct Connections {
    kept: Pool,
    unkept: Pool,
    /// When each was last asked for.
    names: RefCell<Vec<(Authority, Instant)>>,
    /// How long a connection is kept: a name that is not asked for any longer has none.
    idle: Duration,
}

impl Connections {
    /// None yet.
    pub fn new(connector: &Connector, application: &Application) -> Self {
        let pool = |idle| origin::pool(connector.clone(), application, idle);
        Self {
            kept: pool(application.idle_connections),
            unkept: pool(0),
            names: RefCell::default(),
            idle: application.idle,
        }
    }

    /// Connections that are opened for one request.
    pub fn anew(&self) -> &Pool {
        &self.unkept
    }

    /// Where a request by this name goes.
    pub fn by(&self, name: Option<&Authority>, now: Instant) -> &Pool {
        let Some(name) = name else {
            return &self.kept;
        };
        let mut names = self.names.borrow_mut();
        if let Some((_, asked)) = names.iter_mut().find(|(known, _)| known == name) {
            *asked = now;
            return &self.kept;
        }
        if names.len() == NAMES {
            let is_over = |asked: Instant| now.saturating_duration_since(asked) > self.idle;
            let Some(over) = names.iter().position(|(_, asked)| is_over(*asked)) else {
                return &self.unkept;
            };
            names.swap_remove(over);
        }
        names.push((name.clone(), now));
        &self.kept
    }
}

/// Names under which an application is known, as far as its connections are concerned.
const NAMES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn invented_names_leave_no_connections_behind() {
        let application = Application {
            origin: Some("http://127.0.0.1:9".parse().unwrap()),
            ..Application::default()
        };
        let connector = Connector::load(&application, application.origin().unwrap()).unwrap();
        let connections = Connections::new(&connector, &application);
        let is_kept = |name: usize, now| {
            let name = format!("name-{name}").parse().unwrap();
            std::ptr::eq(connections.by(Some(&name), now), &connections.kept)
        };
        let begin = Instant::now();
        assert!((0..NAMES).all(|name| is_kept(name, begin)));
        assert!(!is_kept(NAMES, begin));
        let later = begin + application.idle;
        assert!(is_kept(0, later));
        assert!(!is_kept(NAMES, later));
        // Names that nobody asks for any longer make room.
        let end = later + Duration::from_millis(1);
        assert!((NAMES..2 * NAMES - 1).all(|name| is_kept(name, end)));
        assert!(!is_kept(2 * NAMES, end));
        assert!(is_kept(0, end));
    }
}
