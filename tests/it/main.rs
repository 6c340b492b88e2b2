//! The gateway from outside: the real binary between scripted peers, a suite per specification.

mod harness;

// The promises of the tree: imports, heads of files, lengths.
mod tidy;
// Files, environment, flags, and how wrong ones are told.
mod config;
// RFC 6455 section 4: openings that become sessions.
mod opening;
// RFC 6455 section 4: openings that do not, each with its status and code.
mod refusals;
// RFC 6455 sections 4.2.2 and 10.2: which pages may come.
mod origins;
// RFC 6455 section 11.3.4: which subprotocol is answered.
mod subprotocols;
// RFC 6455 section 5: frames.
mod framing;
// RFC 6455 sections 5.4 and 8.1: fragments, text, sizes.
mod messages;
// RFC 6455 section 7: the closing handshake, pings and silence.
mod closing;
// The extended handshake: dialogues, deadlines, hostile clients.
mod extended;
// Extensions and credentials in the opening request, and services that take only one of the two ways.
mod combined;
// The gateway's own users: at the broker, in the users file, in log and metrics.
mod logins;
// Guessing of passwords: how fast it may go.
mod guessing;
// The shipped extensions: each, in every order, counted, under pressure, at the end.
mod extensions;
// AMQP 0-9-1 section 4.2: frames cut anywhere by messages and packets.
mod cuts;
// AMQP 0-9-1 section 4.2: what a client may not do, each with its reply code.
mod violations;
// AMQP 0-9-1 section 2.2.4: the negotiation, logins written by the gateway, the tune.
mod login;
// The commands that make entries of a users file.
mod login_commands;
// How a broker is reached: order, deadlines, TLS, PROXY protocol, addresses behind proxies.
mod upstreams;
// Brokers that fail: order, back-off, the bound on connects, health.
mod brokers;
// The gateway as a client of its own broker: events, commands, permissions, alarms, restarts.
mod control;
// The gateway's own connections: what they tell of a broker's health, and commands during an alarm.
mod own;
// The table of endings, row by row.
mod endings;
// Back-pressure: whoever stalls pauses the other side and costs no memory.
mod pressure;
// Sessions and handshakes: at the limit and one past it.
mod limits;
// Signals: ending by plan, and what is read again.
mod drain;
// TLS at the public listener.
mod tls;
// What pages load: the browser library, its configuration, modules of extensions.
mod library;
// The program asking a gateway how it is, as a container's health check does.
mod health;
// What changes for pages while the gateway runs: modules, and what the configuration says of extensions.
mod library_changes;
// Extensions for a share of the clients.
mod trials;
// Connections that are kept for a page's further requests: deadlines, places, upgrades on them.
mod keep_alive;
// Web applications behind the gateway: proxying, rewriting of pages, their own WebSockets.
mod applications;
// The admin listener: metrics, health, readiness, the live list.
mod metrics;
// The admin listener: who is let in, strange pages, the list and the end of sessions, the live view.
mod admin;
// A real RabbitMQ behind the gateway, with lapin as the witness.
mod rabbitmq;
// Sessions that share a broker connection: police, exclusive queues, slow and vanishing pages, brokers that fail.
mod shared;
// Brokers that fail under load, with dedicated and with shared connections.
mod load;
// What an idle session costs.
mod idle;
// Damaged bytes from either side.
mod chaos;
