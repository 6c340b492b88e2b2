//! Decides on logins that AMQP brings, where the gateway is the AMQP server: by the service's users file, at the pace of all
//! other logins.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::downstream::Gate;
use crate::handshake::extended;
use crate::relay::tenant;
use crate::relay::tenant::Identity;

/// Asks for one client of one service.
struct Doorkeeper {
    gate: Arc<Gate>,
    service: usize,
    client: IpAddr,
}

impl Gate {
    /// What is known of a client of a service on shared connections; `user` is who the handshake has found it to be.
    pub(super) fn identify(
        self: &Arc<Self>,
        service: usize,
        client: IpAddr,
        user: Option<&str>,
    ) -> Identity {
        match (user, &self.logins[service]) {
            (Some(user), _) => Identity::Known(user.to_owned()),
            (None, None) => Identity::Anybody,
            (None, Some(_)) => Identity::Ask(std::rc::Rc::new(Doorkeeper {
                gate: Arc::clone(self),
                service,
                client,
            })),
        }
    }
}

impl tenant::Doorkeeper for Doorkeeper {
    fn check(&self, user: &str, password: &str) -> Pin<Box<dyn Future<Output = tenant::Verdict>>> {
        let (gate, service, client) = (Arc::clone(&self.gate), self.service, self.client);
        let Some(login) = gate.logins[service].clone() else {
            return Box::pin(std::future::ready(tenant::Verdict::Accepted(None)));
        };
        let Ok(credentials) = login.read_amqp(user, password) else {
            gate.handshakes.unreadable(&gate.names[service]);
            return Box::pin(std::future::ready(tenant::Verdict::Refused));
        };
        Box::pin(async move {
            match gate.check(service, &login, credentials, client).await {
                extended::Verdict::Accepted(principal) => {
                    tenant::Verdict::Accepted(Some(principal.name))
                }
                extended::Verdict::Refused => tenant::Verdict::Refused,
                extended::Verdict::Forbidden => tenant::Verdict::Forbidden,
                extended::Verdict::Unavailable => tenant::Verdict::Unavailable,
            }
        })
    }
}
