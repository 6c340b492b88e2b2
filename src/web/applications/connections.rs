//! Which connections to an origin are kept for further requests.

use std::cell::RefCell;

use http::uri::Authority;

use crate::web::applications::config::Application;
use crate::web::applications::origin;
use crate::web::applications::origin::Connector;
use crate::web::applications::origin::Pool;

/// One worker's connections to an origin. The HTTP client keeps them apart by the name that they were opened for, and where
/// HTTP/2 is possible that is the browser's to choose: so only connections of a few names are kept.
pub struct Connections {
    kept: Pool,
    unkept: Pool,
    names: RefCell<Vec<Authority>>,
}

impl Connections {
    /// None yet.
    pub fn new(connector: &Connector, application: &Application) -> Self {
        let pool = |idle| origin::pool(connector.clone(), application, idle);
        Self {
            kept: pool(application.idle_connections),
            unkept: pool(0),
            names: RefCell::default(),
        }
    }

    /// Connections that are opened for one request.
    pub fn anew(&self) -> &Pool {
        &self.unkept
    }

    /// Where a request by this name goes.
    pub fn by(&self, name: Option<&Authority>) -> &Pool {
        let mut names = self.names.borrow_mut();
        let Some(name) = name.filter(|name| !names.contains(name)) else {
            return &self.kept;
        };
        if names.len() == NAMES {
            return &self.unkept;
        }
        names.push(name.clone());
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
        let is_kept = |name: usize| {
            let name = format!("name-{name}").parse().unwrap();
            std::ptr::eq(connections.by(Some(&name)), &connections.kept)
        };
        assert!((0..NAMES).all(is_kept));
        assert!(!is_kept(NAMES));
        assert!(is_kept(0));
        assert!(!is_kept(NAMES));
    }
}
