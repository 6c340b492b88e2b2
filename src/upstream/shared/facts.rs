//! What is known of a broker and its shared connections before a session has a place on one.

/// What a broker says of itself, and what the operator allows on its shared connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// connection.start's own table, as encoded fields without the length before them.
    pub server_properties: Vec<u8>,
    /// connection.start's own locales, separated by spaces.
    pub locales: Vec<u8>,
    /// The server property `version`, if the product is RabbitMQ.
    pub version: Option<Version>,
    /// Largest frame in the broker's connection.tune, in bytes; never 0.
    pub frame_max: u32,
    /// Channels that each session may have.
    pub channel_max: u16,
    /// The broker's own wish in connection.tune, in seconds; 0 means none.
    pub heartbeat: u16,
    /// The broker as logs and metrics name it.
    pub broker: String,
    /// The vhost of the service.
    pub vhost: String,
    /// What sessions may do.
    pub policy: Policy,
}

/// What the operator allows to sessions on shared connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The types exchanges may be declared with; any other would cost the whole connection.
    pub exchange_types: Vec<String>,
    /// Whether a queue whose kind is not known may be used as if its kind allowed everything.
    pub trust_queue_types: bool,
    /// The largest message a client may publish, in bytes.
    pub message_bytes: usize,
    /// Deliveries that may be on their way to a client whose consumer asked for no acknowledgement.
    pub prefetch: u16,
}

/// Major and minor version of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16);
