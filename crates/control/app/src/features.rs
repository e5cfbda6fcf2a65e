//! What of all that is kept is obeyed today.
//!
//! Settings, phases and objects are stored, versioned and told back before the engine that obeys them is there. Whoever relies on one
//! asks here. An engine that begins to obey something adds it to these lists, in the same change.

use poterne_model::{
    AccountId, ZoneId,
    permission::Subject,
    ruleset::{Phase, Scope},
    setting::{EdgeSettings, catalogue::CATALOGUE, managed},
};

use crate::{App, AppError, Caller};

/// Settings of the catalogue that nodes obey.
const SETTINGS: &[&str] = &[
    "always_use_https",
    "brotli",
    "http2",
    "http3",
    "ip_geolocation",
    "min_tls_version",
    "origin_max_http_version",
    "proxy_read_timeout",
    "pseudo_ipv4",
    "security_header",
    "ssl",
    "tls_1_3",
    "tls_client_auth",
    "true_client_ip_header",
    "websockets",
];

/// Phases whose rules nodes obey.
const PHASES: &[Phase] = poterne_rules::definition::PHASES;

/// Other stored objects that are obeyed; a hold by the control plane itself.
const OBJECTS: &[&str] = &["hold", "lists", "origin_tls_client_auth", "url_normalization"];

/// The other stored objects of a zone.
const OBJECTS_OF_ZONE: &[&str] = &["access_rules", "dns_settings", "hold", "origin_tls_client_auth", "url_normalization"];

/// Those of an account.
const OBJECTS_OF_ACCOUNT: &[&str] = &["access_rules", "dns_settings", "lists", "private_routes", "virtual_networks"];

/// Something that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// `setting`, `phase`, `managed_header` or `object`.
    pub kind: &'static str,
    /// By the API's word.
    pub id: &'static str,
    /// Whether nodes obey it.
    pub in_force: bool,
}

impl App {
    /// What is stored for an account, and whether it is in force.
    pub async fn features_of_account(&self, caller: &Caller, account: AccountId) -> Result<Vec<Feature>, AppError> {
        self.account_get(caller, account).await?;
        Ok(phases(Scope::Account).chain(objects(OBJECTS_OF_ACCOUNT)).collect())
    }

    /// What is stored for a zone, and whether it is in force.
    pub async fn features_of_zone(&self, caller: &Caller, zone: ZoneId) -> Result<Vec<Feature>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Zones.to_read()).await?;
        let setting = |id: &'static str| Feature { kind: "setting", id, in_force: SETTINGS.contains(&id) };
        let settings = CATALOGUE.iter().map(|known| setting(known.id));
        Ok(settings.chain(phases(Scope::Zone)).chain(managed_headers()).chain(objects(OBJECTS_OF_ZONE)).collect())
    }
}

fn phases(scope: Scope) -> impl Iterator<Item = Feature> {
    let offered = move |phase: &&Phase| Phase::find(phase.as_str(), scope).is_ok();
    let feature = |phase: &Phase| Feature { kind: "phase", id: phase.as_str(), in_force: PHASES.contains(phase) };
    Phase::ALL.iter().filter(offered).map(feature)
}

/// Fields that are added or removed by name alone, each of which is obeyed or not.
fn managed_headers() -> impl Iterator<Item = Feature> {
    let feature = |id: &&'static str| Feature { kind: "managed_header", id, in_force: EdgeSettings::MANAGED.contains(id) };
    managed::REQUEST.iter().chain(managed::RESPONSE).map(feature)
}

fn objects(ids: &'static [&'static str]) -> impl Iterator<Item = Feature> {
    ids.iter().map(|id| Feature { kind: "object", id, in_force: OBJECTS.contains(id) })
}

#[cfg(test)]
mod tests {
    use poterne_model::setting::OriginSettings;

    use super::*;

    #[test]
    fn what_is_in_force_is_known() {
        let settings = SETTINGS.iter().all(|id| poterne_model::setting::find(id).is_ok());
        let objects = OBJECTS.iter().all(|id| OBJECTS_OF_ZONE.contains(id) || OBJECTS_OF_ACCOUNT.contains(id));
        assert!(settings && objects, "an id that is misspelled here would never be told");
        let obeyed = OriginSettings::IDS.into_iter().chain(EdgeSettings::IDS);
        for id in obeyed.filter(|id| *id != poterne_model::setting::edge::MANAGED_HEADERS) {
            assert!(SETTINGS.contains(&id) || OBJECTS.contains(&id), "{id} is read for the nodes");
        }
    }
}
