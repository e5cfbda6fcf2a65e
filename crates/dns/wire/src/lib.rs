//! Names, record data and record sets as octets of the DNS, and nothing that decides.
//!
//! ```text
//! model::Rdata ──rdata──→ octets ──┐
//!                                  ├─RecordSets─→ control/publish → a name's chunk → snapshot → dns/answer → a response
//! type, TTL, flags ────────────────┘
//! ```
//!
//! [`RecordSets`] is the form in which a name's records travel, are kept and are answered: one buffer, made once when a record is
//! published ([decision 0013](../../../../docs/decisions/0013-records-in-wire-form.md)). The name server copies from it; it parses no
//! presentation text and makes no object of a record.
//!
//! * [`name`]: names between text and labels, and [`KeyName`], the form a name is looked up in;
//! * [`mod@rdata`]: the data of one record, names in it whole and in lower case (RFC 4034 §6.2), so that comparing octets compares records;
//! * [`sets`]: that buffer, [`RecordSets`];
//! * [`rtype`]: the numbers of types; [`rcode`]: those of response codes.
//!
//! What is not here: whole messages (`dns/answer` reads queries and writes responses), and signing.
#![forbid(unsafe_code)]

pub mod name;
pub mod rcode;
pub mod rdata;
pub mod rtype;
pub mod sets;

pub use name::KeyName;
pub use rcode::Rcode;
pub use rdata::rdata;
pub use sets::{Record, RecordSet, RecordSets, Sets};
