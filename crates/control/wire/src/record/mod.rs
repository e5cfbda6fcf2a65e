//! DNS records (api-v4 §4): requests into drafts, records into answers, list parameters into filters.
//!
//! Clients send more than there is and less than they should: unknown and read-only members, `null`, `""` and `{}` for "nothing",
//! numbers as text (§0.9 to §0.12). So a request is read member by member from JSON; what is wrong is told with a pointer to it.
//! What a record may be is [`poterne_model::entry`]'s to say.

mod answer;
mod list;
mod request;
#[cfg(test)]
mod tests;

pub use answer::{Kept, RecordAnswer, RecordMeta, RecordSettings, batch_answer, timestamp};
pub use list::{ParameterError, parse_list};
pub use request::{BATCH_OPERATIONS_MAX, Batch, RequestError, parse_batch, parse_draft};
