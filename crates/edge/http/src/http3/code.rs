//! Error codes (RFC 9114 §8.1, RFC 9204 §6).

use std::fmt;

/// Why a stream or a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(u32);

impl Code {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0x100);
    /// It is our fault.
    pub const INTERNAL_ERROR: Self = Self(0x102);
    /// A stream of a kind that the peer may not open, or may open once.
    pub const STREAM_CREATION_ERROR: Self = Self(0x103);
    /// A stream ended that lasts as long as the connection.
    pub const CLOSED_CRITICAL_STREAM: Self = Self(0x104);
    /// A frame where it may not be.
    pub const FRAME_UNEXPECTED: Self = Self(0x105);
    /// A frame that is none.
    pub const FRAME_ERROR: Self = Self(0x106);
    /// The peer asks for too much.
    pub const EXCESSIVE_LOAD: Self = Self(0x107);
    /// A setting that is none.
    pub const SETTINGS_ERROR: Self = Self(0x109);
    /// No settings.
    pub const MISSING_SETTINGS: Self = Self(0x10a);
    /// The request was not looked at: it may be sent again elsewhere.
    pub const REQUEST_REJECTED: Self = Self(0x10b);
    /// The request, or its answer, is not wanted any more.
    pub const REQUEST_CANCELLED: Self = Self(0x10c);
    /// The request has no end.
    pub const REQUEST_INCOMPLETE: Self = Self(0x10d);
    /// The message is not well-formed.
    pub const MESSAGE_ERROR: Self = Self(0x10e);
    /// A field section does not decode.
    pub const DECOMPRESSION_FAILED: Self = Self(0x200);
    /// What is said of the dynamic table cannot be.
    pub const ENCODER_STREAM_ERROR: Self = Self(0x201);

    pub(super) fn quic(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
