//! What is kept and told: settings.

use poterne_model::{At, Timestamp, ZoneId};
use serde_json::json;

use super::{ACCOUNT, Engine, Fixture, ZONE, begun, zone};

on_both! {
    what_a_zone_sets_is_its_own_and_goes_with_it,
}

async fn what_a_zone_sets_is_its_own_and_goes_with_it(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_zone(&zone(4, ACCOUNT, "example.org", poterne_model::ZoneStatus::Pending)).await.unwrap();
    session.put_zone_setting(ZONE, "ssl", &json!("strict"), 7_000_000).await.unwrap();
    session.put_zone_setting(ZONE, "ssl", &json!("off"), 8_000_000).await.unwrap();
    session.put_zone_setting(ZONE, "nel", &json!({ "enabled": true }), 8_000_000).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    let settings = session.zone_settings(ZONE).await.unwrap();
    let ssl = settings.get(poterne_model::setting::find("ssl").unwrap(), Timestamp::from_secs(9));
    assert_eq!((ssl.value, ssl.modified_on), (json!("off"), Some(Timestamp::from_secs(8))));
    let mut again = settings.clone();
    assert!(again.set("nel", &At::body(&json!({ "enabled": true })), Timestamp::from_secs(9)).unwrap().is_none());
    assert_eq!(
        session
            .zone_settings_of(ZONE, "nel")
            .await
            .unwrap()
            .all(Timestamp::from_secs(9))
            .filter(|one| one.modified_on.is_some())
            .count(),
        1
    );
    assert_eq!(session.zone_setting(ZONE, "nel").await.unwrap(), Some(json!({ "enabled": true })));
    assert_eq!(session.zone_settings(ZoneId::from_bytes([4; 16])).await.unwrap(), Default::default());
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!(session.zone_settings(ZONE).await.unwrap(), Default::default());
}
