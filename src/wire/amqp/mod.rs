//! AMQP 0-9-1 as far as a relay has to read it: protocol header, frames and their boundaries, the
//! methods of class connection that negotiate, reply codes, and whether a broker can decode the
//! arguments of the other methods, tables and properties. Everything else stays bytes.

pub mod arguments;
pub mod fields;
pub mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod method;
pub mod reply_code;
pub mod scanner;

pub use frame::FrameError;
pub use frame::FrameHeader;
pub use frame::FrameKind;
pub use frame::Limits;
pub use method::MethodId;
pub use reply_code::ReplyCode;
