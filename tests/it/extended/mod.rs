//! The extended handshake over a real socket: every dialogue, every deadline, and clients that do what none should.

mod deadlines;
mod dialogues;
mod ends;
mod hostile;

use crate::harness::broker::Broker;
use crate::harness::configuration;
use crate::harness::gateway::Gateway;
use crate::harness::users;
use crate::harness::users::UsersFile;

/// A gateway with an `amqp` service that anybody may use.
fn open_to_all(settings: &str) -> (Broker, Gateway) {
    let broker = Broker::polite();
    let gateway = Gateway::start(&(settings.to_owned() + &configuration::amqp(broker.uri())));
    (broker, gateway)
}

/// A gateway whose `amqp` service asks for a login; of `slow`, the check takes about a second.
fn with_login(settings: &str) -> (Broker, Gateway, UsersFile) {
    let file = UsersFile::new(&(users::entry("joe") + &users::slow_entry("slow")));
    let login = users::login(file.path(), "[\"application-basic\"]", "");
    let broker = Broker::polite();
    let service = configuration::amqp_with_lines(broker.uri(), &login);
    let gateway = Gateway::start(&(settings.to_owned() + &service));
    (broker, gateway, file)
}

/// `Authorization` of the user whose check takes long.
const SLOW: &str = "Basic c2xvdzp4";
