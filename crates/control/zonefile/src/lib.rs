//! Zone files (RFC 1035 §5): read into records, and written from them (api-v4 §4.4).
//!
//! [`import()`] reads `$ORIGIN`, `$TTL`, entries over several lines, and TTL and class in either order. What the v4 API keeps and DNS
//! does not, stands in comments, as the hosted service writes it:
//!
//! ```text
//! www.example.com. 1 IN A 192.0.2.1 ; cf_tags=cf-proxied:true,owner:anna ; the web server
//! ```
//!
//! [`export()`] writes the same, so that `import(export(x))` is `x`. Nothing here looks into a store: whether records may stand beside
//! those of the zone is decided when they are saved.
//!
//! The reader is our own (docs/decisions/0008): the one of the `domain` crate drops comments, and makes octets of data whose
//! spelling is kept here. A crate of its own, since neither needs a database.
//!
//! * [`lines`]: text into entries, of which each has a line number, words and a comment;
//! * [`import`](mod@import): entries into records, or [`each`] as it comes; [`export`](mod@export): records into text; `attributes`: the comment.
#![forbid(unsafe_code)]

mod attributes;
pub mod export;
pub mod import;
pub mod lines;
#[cfg(test)]
mod tests;

pub use export::{Soa, export};
pub use import::{Import, LineError, Problem, each, import};
