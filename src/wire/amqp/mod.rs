//! AMQP 0-9-1 as far as a relay has to read it: protocol header, frames and their boundaries, the
//! methods of class connection that negotiate, and reply codes. Everything else stays bytes.

pub mod frame;
pub mod method;
pub mod reply_code;
pub mod scanner;

pub use frame::FrameError;
pub use frame::FrameHeader;
pub use frame::FrameKind;
pub use frame::Limits;
pub use method::MethodId;
pub use reply_code::ReplyCode;
