//! The bytes of RFC 6455: frames in and out, masks, UTF-8, close codes and
//! header fields, as values that do no I/O and know no time.

pub mod close_code;
pub mod decoder;
pub mod encoder;
pub mod mask;
pub mod utf8;
pub mod violation;

pub mod header;

pub use close_code::CloseCode;
pub use decoder::{Control, Decoded, Decoder, Limits, Opcode, Piece};
pub use encoder::FrameOpcode;
pub use violation::Violation;
