//! Health checks.

use poterne_model::{
    At, HealthCheckId, Timestamp, ZoneId,
    health_check::{HealthCheck, HealthCheckTerms, HealthStatus},
};
use serde_json::json;

use super::{Engine, Fixture, ZONE, begun};
use crate::{StoreError, Touched};

on_both! { checks_are_kept_and_what_they_say_is_told_to_nodes }

fn check(id: u8, at: i64) -> HealthCheck {
    let body = json!({ "name": format!("server-{id}"), "address": "192.0.2.7", "type": "HTTPS",
        "http_config": { "header": { "Host": ["www.example.com"] }, "expected_codes": ["2xx"] } });
    HealthCheck {
        id: HealthCheckId::from_bytes([id; 16]),
        terms: HealthCheckTerms::read(&At::body(&body), None).unwrap(),
        told: HealthStatus::Unknown,
        failure_reason: String::new(),
        created_on: Timestamp::from_micros(at),
        modified_on: Timestamp::from_micros(at),
    }
}

async fn checks_are_kept_and_what_they_say_is_told_to_nodes(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let other = ZoneId::from_bytes([9; 16]);
    for one in [check(2, 20), check(1, 30)] {
        session.insert_health_check(ZONE, &one).await.unwrap();
    }
    assert!(matches!(session.insert_health_check(ZONE, &check(2, 20)).await, Err(StoreError::Conflict(_))));
    let before = session.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().touched_since(before - 1, 9).await.unwrap().unwrap(), [Touched::Zone(ZONE)]);

    let mut session = store.write().await.unwrap();
    assert_eq!(session.health_checks(ZONE).await.unwrap(), [check(2, 20), check(1, 30)], "oldest first");
    assert_eq!(session.health_check(other, check(1, 30).id).await.unwrap(), None, "a check is its zone's");
    session.tell_health_check(ZONE, check(1, 30).id, HealthStatus::Unhealthy, "it answered 500").await.unwrap();
    let change = session.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().touched_since(change - 1, 9).await.unwrap().unwrap(), [], "no node need know");

    let mut session = store.write().await.unwrap();
    let told = session.health_check(ZONE, check(1, 30).id).await.unwrap().unwrap();
    assert_eq!((told.told, told.failure_reason.as_str()), (HealthStatus::Unhealthy, "it answered 500"));
    let later = HealthCheck { modified_on: Timestamp::from_micros(40), ..check(1, 30) };
    session.update_health_check(ZONE, &later).await.unwrap();
    assert_eq!(session.health_checks_of_all().await.unwrap()[&ZONE], [check(2, 20), later.clone()]);
    session.delete_health_check(ZONE, later.id).await.unwrap();
    assert!(matches!(session.delete_health_check(ZONE, later.id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(session.update_health_check(ZONE, &later).await, Err(StoreError::NotFound(_))));
    session.delete_zone(ZONE).await.unwrap();
    assert!(session.health_checks_of_all().await.unwrap().is_empty());
}
