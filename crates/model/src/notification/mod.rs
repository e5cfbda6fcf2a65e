//! Notifications: which events of an account are told, and to whom.
//!
//! * [`alert`]: the kinds of events there are, and by what each can be narrowed;
//! * [`webhook`]: programs that are told;
//! * [`policy`]: who is told of what.

pub mod alert;
pub mod policy;
pub mod webhook;

pub use alert::{AlertType, Facts};
pub use policy::{Filters, Mechanisms, NotificationPolicy, PolicyDraft};
pub use webhook::{Webhook, WebhookDraft, WebhookSecret};

use crate::{At, ShapeError};

/// Longest name of a webhook or a policy, in characters.
pub const NAME_CHARS_MAX: usize = 255;

/// Longest description of a policy, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1000;

fn name(at: &At<'_>) -> Result<String, ShapeError> {
    let text = at.text(NAME_CHARS_MAX)?.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(at.wrong("write a name, without control characters"));
    }
    Ok(text.to_owned())
}
