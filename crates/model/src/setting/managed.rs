//! Fields that are added or removed by name alone ("managed transforms"; api-v4 §10).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{At, Schema, ShapeError};

/// What can be done to requests on their way to the origin.
pub const REQUEST: &[&str] = &[
    "add_bot_protection_headers",
    "add_client_certificate_headers",
    "add_true_client_ip_headers",
    "add_visitor_location_headers",
    "add_waf_credential_check_status_header",
    "remove_visitor_ip_headers",
];

/// What can be done to responses on their way to the visitor.
pub const RESPONSE: &[&str] = &["add_security_headers", "remove_x-powered-by_header"];

/// Two that undo each other: one tells the origin the visitor's address, the other hides it.
const CONFLICT: [&str; 2] = ["add_true_client_ip_headers", "remove_visitor_ip_headers"];

/// Those that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManagedHeaders {
    on: BTreeSet<String>,
}

impl ManagedHeaders {
    /// What [`Self::patched`] reads.
    pub fn changes() -> Schema {
        let list = |known: &[&str]| {
            let one = [("id", Schema::one_of(known).required()), ("enabled", Schema::boolean().required())];
            Schema::items(Schema::object(one), known.len() * 2)
        };
        let members = [("managed_request_headers", list(REQUEST)), ("managed_response_headers", list(RESPONSE))];
        let example = json!({ "managed_response_headers": [{ "id": RESPONSE[0], "enabled": true }] });
        Schema::object(members).named("ManagedHeadersChanges").example(example)
    }

    /// Whether one is on.
    pub fn is_on(&self, id: &str) -> bool {
        self.on.contains(id)
    }

    /// What an id undoes, and is undone by.
    pub fn conflict_of(id: &str) -> Option<&'static str> {
        match CONFLICT {
            [one, other] if id == one => Some(other),
            [one, other] if id == other => Some(one),
            _ => None,
        }
    }

    /// With the items of a PATCH in their places; those it does not name stay.
    ///
    /// # Errors
    /// An id is not known, an item has no true or false, or two that undo each other would both be on.
    pub fn patched(&self, body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let mut after = self.clone();
        for (key, known) in [("managed_request_headers", REQUEST), ("managed_response_headers", RESPONSE)] {
            let Some(list) = body.member(key) else { continue };
            for item in list.items(known.len() * 2)? {
                let id = item.required("id")?.one_of(known)?;
                if item.required("enabled")?.boolean()? {
                    after.on.insert(id.to_owned());
                } else {
                    after.on.remove(id);
                }
            }
        }
        if CONFLICT.iter().all(|id| after.is_on(id)) {
            let why = format!("{} and {} undo each other: enable one of them", CONFLICT[0], CONFLICT[1]);
            return Err(ShapeError::new("/managed_request_headers", why));
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(from: &ManagedHeaders, id: &str, enabled: bool) -> Result<ManagedHeaders, ShapeError> {
        from.patched(&At::body(&json!({"managed_request_headers": [{"id": id, "enabled": enabled}]})))
    }

    #[test]
    fn what_a_patch_does_not_name_stays() {
        let one = patch(&ManagedHeaders::default(), "add_visitor_location_headers", true).unwrap();
        let two = patch(&one, "add_true_client_ip_headers", true).unwrap();
        assert!(two.is_on("add_visitor_location_headers") && two.is_on("add_true_client_ip_headers"));
        assert_eq!(patch(&two, "add_true_client_ip_headers", false).unwrap(), one);
    }

    #[test]
    fn what_undoes_itself_is_refused() {
        let one = patch(&ManagedHeaders::default(), CONFLICT[0], true).unwrap();
        assert!(patch(&one, CONFLICT[1], true).unwrap_err().why.contains("undo each other"));
        assert_eq!(patch(&one, "add_nothing", true).unwrap_err().pointer, "/managed_request_headers/0/id");
    }
}
