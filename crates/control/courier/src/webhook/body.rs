//! What a webhook is sent: the members that the hosted service's generic webhooks have, with the event's own facts under `data`.

use poterne_control_app::{
    notice::Notice,
    outbox::{Dispatch, Recipient},
};
use poterne_model::{TunnelStatus, health_check::HealthStatus, notification::AlertType};
use serde_json::{Value, json};

use crate::text::{self, Languages};

/// The body, in JSON.
pub fn body(dispatch: &Dispatch, languages: Languages, node: &str) -> Vec<u8> {
    let Dispatch { notice, policy, account, to, created_at, .. } = dispatch;
    let name = match to {
        Recipient::Webhook { name, .. } => name.as_str(),
        Recipient::Mail(_) => "",
    };
    let body = json!({
        "name": name,
        "text": text::short(notice, languages, node),
        "data": data(notice),
        "ts": notice.at().unwrap_or(*created_at).as_secs(),
        "account_id": account,
        "policy_id": policy.as_ref().map(|policy| policy.id),
        "policy_name": policy.as_ref().map(|policy| &policy.name),
        "alert_type": alert_type(notice),
    });
    body.to_string().into_bytes()
}

fn alert_type(notice: &Notice) -> Option<AlertType> {
    match notice {
        Notice::TunnelHealth { .. } => Some(AlertType::TunnelHealth),
        Notice::TunnelUpdate { .. } => Some(AlertType::TunnelUpdate),
        Notice::MemberAdded { .. } | Notice::MemberRemoved { .. } => Some(AlertType::Members),
        Notice::TokenCreated { .. } => Some(AlertType::Tokens),
        Notice::ZoneStatus { .. } | Notice::ZoneEnd { .. } => Some(AlertType::ZoneStatus),
        Notice::SecondaryZone { .. } => Some(AlertType::SecondaryZone),
        Notice::HealthCheck { .. } => Some(AlertType::HealthCheck),
        Notice::Invitation { .. }
        | Notice::PasswordReset { .. }
        | Notice::NewSignIn { .. }
        | Notice::SignInChanged { .. }
        | Notice::Test { .. } => None,
    }
}

/// The event's facts. What is for one person alone has none here: a link is in no webhook.
fn data(notice: &Notice) -> Value {
    let status = |status: &TunnelStatus| format!("TUNNEL_STATUS_TYPE_{}", status.as_str().to_ascii_uppercase());
    match notice {
        Notice::TunnelHealth { tunnel, name, status: new, before, .. } => {
            json!({ "tunnel_id": tunnel, "tunnel_name": name, "new_status": status(new), "old_status": status(before) })
        }
        Notice::TunnelUpdate { tunnel, name, deleted, by, .. } => {
            let event = if *deleted { "delete" } else { "create" };
            json!({ "tunnel_id": tunnel, "tunnel_name": name, "event": event, "by": by })
        }
        Notice::MemberAdded { account, email, roles, .. } => {
            json!({ "event": "added", "account_name": account, "email": email, "roles": roles })
        }
        Notice::MemberRemoved { account, email, .. } => json!({ "event": "removed", "account_name": account, "email": email }),
        Notice::ZoneStatus { zone, name, status, before, .. } => {
            json!({ "event": status, "zone_id": zone, "zone_name": name, "new_status": status, "old_status": before })
        }
        Notice::ZoneEnd { zone, name, status, ends_at, over, .. } => {
            let event = if *over { "deleted" } else { "ending" };
            json!({ "event": event, "zone_id": zone, "zone_name": name, "old_status": status, "ends_at": ends_at.as_secs() })
        }
        Notice::SecondaryZone { zone, name, event, why, .. } => {
            json!({ "event": event, "zone_id": zone, "zone_name": name, "error": why })
        }
        Notice::HealthCheck { zone, zone_name, check, name, address, status, before, why, .. } => {
            json!({ "health_check_id": check, "health_check_name": name, "address": address, "status": health(*status),
                "old_status": health(*before), "failure_reason": why, "zone_id": zone, "zone_name": zone_name })
        }
        Notice::TokenCreated { name, by, ip, .. } => json!({ "event": "created", "token_name": name, "by": by, "ip": ip }),
        Notice::Invitation { .. }
        | Notice::PasswordReset { .. }
        | Notice::NewSignIn { .. }
        | Notice::SignInChanged { .. }
        | Notice::Test { .. } => json!({}),
    }
}

/// As the API's filters write it.
const fn health(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy => "Healthy",
        HealthStatus::Unhealthy => "Unhealthy",
        HealthStatus::Unknown | HealthStatus::Suspended => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use poterne_control_app::{notice::Link, outbox::PolicyNamed};
    use poterne_model::{AccountId, NoticeId, NotificationPolicyId, Timestamp, TunnelId, WebhookId};

    use super::*;

    fn told(notice: Notice) -> Value {
        let account = AccountId::from_bytes([1; 16]);
        let id = WebhookId::from_bytes([2; 16]);
        let to = Recipient::Webhook { account, id, name: "ops".into(), url: String::new(), secret: None };
        let policy = PolicyNamed { id: NotificationPolicyId::from_bytes([3; 16]), name: "tunnels".into() };
        let dispatch = Dispatch {
            id: NoticeId::from_bytes([4; 16]),
            account: Some(account),
            to,
            notice,
            policy: Some(policy),
            created_at: Timestamp::from_secs(7),
            attempt: 1,
        };
        serde_json::from_slice(&body(&dispatch, Languages::English, "node.example.net")).unwrap()
    }

    #[test]
    fn a_tunnels_health_is_told_in_the_services_words() {
        let (tunnel, at) = (TunnelId::from_bytes([5; 16]), Timestamp::from_secs(9));
        let status = (TunnelStatus::Down, TunnelStatus::Degraded);
        let told = told(Notice::TunnelHealth { tunnel, name: "home".into(), status: status.0, before: status.1, at });
        let expected = json!({
            "name": "ops", "text": "The tunnel “home” on node.example.net is down. It was degraded before.", "ts": 9,
            "account_id": "01010101010101010101010101010101", "policy_id": "03030303030303030303030303030303",
            "policy_name": "tunnels", "alert_type": "tunnel_health_event",
            "data": { "tunnel_id": "05050505-0505-0505-0505-050505050505", "tunnel_name": "home",
                "new_status": "TUNNEL_STATUS_TYPE_DOWN", "old_status": "TUNNEL_STATUS_TYPE_DEGRADED" },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_link_is_in_no_webhook() {
        let link = Link::new("https://node.example.net/password#hush");
        let told = told(Notice::PasswordReset { link, expires_at: Timestamp::from_secs(9), ip: None });
        assert!(!told.to_string().contains("hush") && told["ts"] == 7, "{told}");
    }
}
