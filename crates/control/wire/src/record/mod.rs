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

pub use answer::{BatchAnswer, Kept, RecordAnswer, RecordMeta, RecordSettings, timestamp};
pub use list::{ParameterError, list_parameters, parse_list};
pub use request::{
    BATCH_OPERATIONS_MAX, Batch, RequestError, Review, batch_schema, draft_schema, parse_batch, parse_draft, parse_review,
    review_schema,
};
