//! Zones that were deleted, and are kept for a while.

use poterne_model::{RecordType, ZoneId, ZoneStatus, delegation::Watch};
use serde_json::json;

use super::{ACCOUNT, Engine, Fixture, OTHER, ZONE, begun, name, record, zone};
use crate::{StoreError, Touched, ZoneWatch};

on_both! {
    a_deleted_zone_is_nowhere_and_comes_back_whole,
    its_name_is_free_and_its_place_may_be_taken,
    it_is_found_when_its_time_is_over_and_goes_with_its_account,
}

async fn a_deleted_zone_is_nowhere_and_comes_back_whole(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_record(&record(1, "www.example.com", RecordType::A, "192.0.2.1")).await.unwrap();
    session.put_zone_setting(ZONE, "ssl", &json!("strict"), 7_000_000).await.unwrap();
    let watch =
        ZoneWatch { due_at: 500, watch: Watch::new(ZoneStatus::Active), looked_at: None, triggered_at: None, original: None };
    session.put_zone_watch(ZONE, &watch).await.unwrap();
    let before = session.zone(ZONE).await.unwrap().unwrap();
    let change = session.commit().await.unwrap();

    let mut session = store.write().await.unwrap();
    session.put_zone_away(ZONE, 100).await.unwrap();
    let next = session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert!(session.touched_since(next - 1, 10).await.unwrap().unwrap().contains(&Touched::Zone(ZONE)), "{change}");
    assert_eq!(session.zone(ZONE).await.unwrap(), None);
    assert!(session.zones(None).await.unwrap().is_empty() && session.zone_names().await.unwrap().is_empty());
    assert!(session.zones_pending().await.unwrap().is_empty() && session.zones_ending(None, 9).await.unwrap().is_empty());
    assert_eq!(session.zone_named(ACCOUNT, &name("example.com")).await.unwrap(), None);
    assert_eq!(session.serving_zone_over(&name("www.example.com")).await.unwrap(), None);
    assert!(session.zones_for(ACCOUNT, &name("www.example.com")).await.unwrap().is_empty());
    assert!(session.zone_watch(ZONE).await.unwrap().is_none() && session.zone_ending(ZONE).await.unwrap().is_none());
    assert!(session.take_zones_due(i64::MAX / 1_000_000, 1, 9).await.unwrap().is_empty(), "not in this century");
    assert!(matches!(session.put_zone_away(ZONE, 101).await, Err(StoreError::NotFound(_))), "once");
    let kept = session.deleted_zone(ZONE).await.unwrap().unwrap();
    assert_eq!((kept.deleted_at, kept.zone.status, &kept.zone.apex), (100, ZoneStatus::Active, &name("example.com")));
    assert_eq!(session.deleted_zones(ACCOUNT).await.unwrap(), [kept]);
    assert!(session.deleted_zones(OTHER).await.unwrap().is_empty());

    session.bring_zone_back(ZONE, ZoneStatus::Active, 200).await.unwrap();
    assert_eq!(session.zone(ZONE).await.unwrap(), Some(crate::Zone { modified_at: 200, ..before }));
    assert_eq!(session.zone_watch(ZONE).await.unwrap().unwrap().1.due_at, 200);
    assert_eq!(session.records(Some(ZONE)).await.unwrap().len(), 1);
    assert_eq!(session.zone_setting(ZONE, "ssl").await.unwrap(), Some(json!("strict")));
    assert!(session.deleted_zone(ZONE).await.unwrap().is_none());
    assert!(matches!(session.bring_zone_back(ZONE, ZoneStatus::Active, 201).await, Err(StoreError::NotFound(_))));
}

async fn its_name_is_free_and_its_place_may_be_taken(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.put_zone_away(ZONE, 100).await.unwrap();
    // Of the same account, and then of another that serves it.
    session.insert_zone(&zone(5, ACCOUNT, "example.com", ZoneStatus::Pending)).await.unwrap();
    assert!(matches!(session.bring_zone_back(ZONE, ZoneStatus::Pending, 200).await, Err(StoreError::Conflict(_))));
    session.delete_zone(ZoneId::from_bytes([5; 16])).await.unwrap();
    session.insert_zone(&zone(6, OTHER, "example.com", ZoneStatus::Active)).await.unwrap();
    assert!(matches!(session.bring_zone_back(ZONE, ZoneStatus::Active, 200).await, Err(StoreError::Conflict(_))));
    session.bring_zone_back(ZONE, ZoneStatus::Pending, 200).await.unwrap();
    assert_eq!(session.zone(ZONE).await.unwrap().unwrap().status, ZoneStatus::Pending);
    // The same name several times.
    for number in 10..13 {
        session.insert_zone(&zone(number, ACCOUNT, "twice.example", ZoneStatus::Pending)).await.unwrap();
        session.put_zone_away(ZoneId::from_bytes([number; 16]), i64::from(number)).await.unwrap();
    }
    let deleted = session.deleted_zones(ACCOUNT).await.unwrap();
    assert_eq!(deleted.iter().map(|one| one.deleted_at).collect::<Vec<_>>(), [10, 11, 12]);
}

async fn it_is_found_when_its_time_is_over_and_goes_with_its_account(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_record(&record(1, "www.example.com", RecordType::A, "192.0.2.1")).await.unwrap();
    session.put_zone_away(ZONE, 100).await.unwrap();
    assert!(session.zones_deleted_before(100, 9).await.unwrap().is_empty());
    assert_eq!(session.zones_deleted_before(101, 9).await.unwrap().len(), 1);
    session.delete_account(ACCOUNT).await.unwrap();
    assert!(session.deleted_zone(ZONE).await.unwrap().is_none() && session.records(Some(ZONE)).await.unwrap().is_empty());
}
