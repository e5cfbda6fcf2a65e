//! Logins of agents on the wire; ours alone (`…/poterne/login`).

use poterne_model::{AccountId, Name, ZoneId};
use serde::{Deserialize, Serialize};

/// The answer to a login that was begun.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginObject {
    /// What the operator types, as `K7QM-2XPD`.
    pub code: String,
    /// What the agent shows when it asks again. Whoever has it gets what the operator approves.
    pub secret: String,
    /// How long the code is good, in seconds.
    pub expires_in: u64,
    /// How long to wait before asking again, in seconds.
    pub interval: u64,
}

/// Without the secret.
impl std::fmt::Debug for LoginObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginObject").field("code", &self.code).finish_non_exhaustive()
    }
}

/// What became of it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum LoginOutcome {
    /// Nothing yet.
    Waiting,
    /// All that a `cert.pem` says; told once.
    Approved {
        /// The zone it was approved for.
        zone_id: ZoneId,
        /// Its name.
        zone_name: Name,
        /// The zone's account.
        account_id: AccountId,
        /// A token made for this.
        api_token: String,
    },
}

/// Without the token.
impl std::fmt::Debug for LoginOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Waiting { "Waiting" } else { "Approved" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outcomes_are_told_apart_by_their_status_and_show_no_token() {
        assert_eq!(serde_json::to_value(LoginOutcome::Waiting).unwrap(), json!({"status": "waiting"}));
        let told = json!({"status": "approved", "zone_id": "0b".repeat(16), "zone_name": "example.org",
            "account_id": "0a".repeat(16), "api_token": "s3cret"});
        let outcome: LoginOutcome = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(&outcome).unwrap(), told);
        assert_eq!(format!("{outcome:?}"), "Approved");
        let begun: LoginObject =
            serde_json::from_value(json!({"code": "A", "secret": "s3cret", "expires_in": 600, "interval": 2})).unwrap();
        assert!(!format!("{begun:?}").contains("s3cret"));
    }
}
