//! Tunnels, their connections and connectors on the wire (api-v4 §6.2, §6.3). The agent's command line reads them too.
//!
//! Read leniently: what only the API's other clients need may be absent.

use std::net::IpAddr;

use poterne_model::{AccountId, ConnectionId, ConnectorId, ConnectorInfo, RecordId, Timestamp, TunnelId, TunnelStatus};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::WireTime;

/// A tunnel.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TunnelObject {
    /// Its id.
    pub id: TunnelId,
    /// Its owner.
    #[serde(default)]
    pub account_tag: Option<AccountId>,
    /// Its name, unique among the account's live tunnels.
    pub name: String,
    /// When it was made.
    pub created_at: WireTime,
    /// When it was deleted.
    #[serde(default)]
    pub deleted_at: Option<WireTime>,
    /// Since when it is connected, while it is.
    #[serde(default)]
    pub conns_active_at: Option<WireTime>,
    /// Since when it is not connected, while it is not.
    #[serde(default)]
    pub conns_inactive_at: Option<WireTime>,
    /// Of all its connectors.
    #[serde(default, deserialize_with = "or_none")]
    pub connections: Vec<ConnectionObject>,
    /// Always `cfd_tunnel`.
    #[serde(default)]
    pub tun_type: String,
    /// How it is.
    #[serde(default)]
    pub status: Option<TunnelStatus>,
    /// `cloudflare`: its configuration is kept by the server; `local`: by the agent.
    #[serde(default)]
    pub config_src: String,
    /// The same, as a truth.
    #[serde(default)]
    pub remote_config: bool,
    /// Empty.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Value,
    /// Told to whoever makes it, and not again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The same, as the agent keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub credentials_file: Option<Value>,
}

/// Without token and credentials.
impl std::fmt::Debug for TunnelObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunnelObject").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// One connection of a connector.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionObject {
    /// Its id.
    pub id: ConnectionId,
    /// The same.
    #[serde(default)]
    pub uuid: Option<ConnectionId>,
    /// Its connector.
    #[serde(default)]
    pub client_id: Option<ConnectorId>,
    /// The agent's version.
    #[serde(default)]
    pub client_version: String,
    /// The edge it leads to, by its short name.
    #[serde(default)]
    pub colo_name: String,
    /// Whether it ends soon.
    #[serde(default)]
    pub is_pending_reconnect: bool,
    /// When it was made.
    pub opened_at: WireTime,
    /// Where it came from; some servers write an empty text where they do not know.
    #[serde(default, deserialize_with = "address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub origin_ip: Option<IpAddr>,
}

/// One running agent.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorObject {
    /// Its id, new with each start.
    pub id: ConnectorId,
    /// What it can do.
    #[serde(default, deserialize_with = "or_none")]
    pub features: Vec<String>,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its platform, as `linux_amd64`.
    #[serde(default)]
    pub arch: String,
    /// When it was started.
    pub run_at: WireTime,
    /// The configuration it has.
    #[serde(default)]
    pub config_version: i32,
    /// Its connections.
    #[serde(default, deserialize_with = "or_none")]
    pub conns: Vec<ConnectionObject>,
}

/// The answer to `route dns`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedObject {
    /// `new`, `updated` or `unchanged`.
    pub cname: String,
    /// The name, which may have got the zone's at its end.
    #[serde(default)]
    pub name: String,
    /// The record.
    #[serde(default)]
    pub dns_tag: Option<RecordId>,
}

fn seconds(secs: u64) -> WireTime {
    WireTime(Timestamp::from_secs(i64::try_from(secs).unwrap_or(i64::MAX)))
}

impl ConnectionObject {
    /// All of a connector.
    pub fn of(connector: &ConnectorInfo) -> Vec<Self> {
        let object = |connection: &poterne_model::ConnectionInfo| Self {
            id: connection.id,
            uuid: Some(connection.id),
            client_id: Some(connector.id),
            client_version: connector.version.clone(),
            colo_name: connection.location.clone(),
            is_pending_reconnect: connection.draining,
            opened_at: seconds(connection.opened_at),
            origin_ip: Some(connection.origin_ip),
        };
        connector.connections.iter().map(object).collect()
    }
}

impl ConnectorObject {
    /// A connector as it is now.
    pub fn new(connector: &ConnectorInfo, config_version: i32) -> Self {
        Self {
            id: connector.id,
            features: connector.features.clone(),
            version: connector.version.clone(),
            arch: connector.arch.clone(),
            run_at: seconds(connector.run_at),
            config_version,
            conns: ConnectionObject::of(connector),
        }
    }
}

/// A list, or null for none.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TUNNEL: &str = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
    const AT: &str = "2026-01-02T03:04:05.678901Z";

    #[test]
    fn the_least_that_a_server_says_is_read() {
        let least = json!({"id": TUNNEL, "name": "web", "created_at": AT, "deleted_at": null, "connections": null});
        let tunnel: TunnelObject = serde_json::from_value(least).unwrap();
        assert_eq!((tunnel.name.as_str(), tunnel.connections.len(), tunnel.deleted_at), ("web", 0, None));
        let connector = json!({"id": TUNNEL, "version": "1", "arch": "linux_amd64", "run_at": AT, "features": null,
            "conns": [{"id": TUNNEL, "colo_name": "par01", "opened_at": AT, "origin_ip": ""}]});
        let connector: ConnectorObject = serde_json::from_value(connector).unwrap();
        assert_eq!((connector.conns[0].origin_ip, connector.conns[0].is_pending_reconnect), (None, false));
    }

    #[test]
    fn a_tunnel_is_told_as_it_is_read_and_its_token_is_not_shown() {
        let told = json!({"id": TUNNEL, "account_tag": "0a".repeat(16), "name": "web", "created_at": AT, "deleted_at": null,
            "conns_active_at": AT, "conns_inactive_at": null, "tun_type": "cfd_tunnel", "status": "healthy", "config_src": "local",
            "remote_config": false, "metadata": {}, "token": "s3cret",
            "connections": [{"id": TUNNEL, "uuid": TUNNEL, "client_id": TUNNEL, "client_version": "1", "colo_name": "par01",
                "is_pending_reconnect": false, "opened_at": AT, "origin_ip": "192.0.2.7"}]});
        let tunnel: TunnelObject = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(&tunnel).unwrap(), told);
        assert!(!format!("{tunnel:?}").contains("s3cret"));
    }
}
