//! A tunnel's remote configuration on the wire (api-v4 §6.4).

use poterne_model::{AccountId, TunnelId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::WireTime;

/// The answer to GET and PUT.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationObject {
    /// Whose tunnel it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// Which.
    pub tunnel_id: TunnelId,
    /// Raised by one with every PUT; 0: never configured.
    pub version: u64,
    /// Null: never configured.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub config: Option<Value>,
    /// `cloudflare`: kept here; `local`: the agent's own file.
    pub source: String,
    /// When this version was made.
    pub created_at: WireTime,
}

#[cfg(test)]
mod tests {
    use poterne_model::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_never_configured_says_so() {
        let object = ConfigurationObject {
            account_id: None,
            tunnel_id: TunnelId::from_bytes([2; 16]),
            version: 0,
            config: None,
            source: "cloudflare".into(),
            created_at: Timestamp::from_secs(1_800_000_000).into(),
        };
        let told = serde_json::to_value(&object).unwrap();
        let expected = json!({"tunnel_id": "02020202-0202-0202-0202-020202020202", "version": 0, "config": null,
            "source": "cloudflare", "created_at": "2027-01-15T08:00:00.000000Z"});
        assert_eq!(told, expected);
        assert_eq!(serde_json::from_value::<ConfigurationObject>(told).unwrap(), object);
    }
}
