//! What is kept of zones that are looked at.

use poterne_model::{ChallengeId, Name, Timestamp, ZoneStatus, delegation::Watch, zone_life::End};

use super::{ACCOUNT, Engine, Fixture, ZONE, begun, zone};
use crate::{Challenge, EndingZone, Touched};

on_both! {
    a_zone_is_due_until_it_is_taken_up_and_again_when_it_is_not_told_of,
    a_zones_end_is_kept_until_it_is_active,
    challenges_are_told_of_and_go_with_their_zone,
}

async fn a_zone_is_due_until_it_is_taken_up_and_again_when_it_is_not_told_of(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let new = zone(4, ACCOUNT, "example.org", ZoneStatus::Pending);
    let begins = new.created_at + 60_000_000;
    let mut session = store.write().await.unwrap();
    session.insert_zone(&new).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.next_zone_due().await.unwrap(), Some(begins));
    assert!(session.take_zones_due(begins - 1, begins + 5, 9).await.unwrap().is_empty());
    let taken = session.take_zones_due(begins, begins + 5, 9).await.unwrap();
    assert_eq!(taken.len(), 2, "the one that was there before, too");
    assert!(session.take_zones_due(begins + 4, begins + 9, 9).await.unwrap().is_empty());
    assert_eq!(session.take_zones_due(begins + 5, begins + 9, 1).await.unwrap().len(), 1);

    let (_, mut watch) = session.zone_watch(new.id).await.unwrap().unwrap();
    assert_eq!((watch.watch, watch.original.clone()), (Watch::new(ZoneStatus::Pending), None));
    watch.watch = Watch { looks: 3, delegated: true, failures: 2, failing_since: Some(Timestamp::from_secs(7)), ..watch.watch };
    watch.due_at = 99_000_000_000;
    watch.looked_at = Some(8);
    watch.triggered_at = Some(9);
    watch.original = Some(vec![Name::parse("a.net").unwrap(), Name::parse("b.net").unwrap()]);
    session.put_zone_watch(new.id, &watch).await.unwrap();
    assert_eq!(session.zone_watch(new.id).await.unwrap().unwrap(), (new.clone(), watch.clone()));
    let originals = session.original_name_servers([new.id, ZONE].into_iter()).await.unwrap();
    assert_eq!((originals.len(), &originals[&new.id]), (1, watch.original.as_ref().unwrap()));
    session.delete_zone(new.id).await.unwrap();
    assert_eq!(session.zone_watch(new.id).await.unwrap(), None);
}

async fn a_zones_end_is_kept_until_it_is_active(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let new = zone(4, ACCOUNT, "example.org", ZoneStatus::Pending);
    let mut session = store.write().await.unwrap();
    session.insert_zone(&new).await.unwrap();
    let ending = session.zones_ending(None, 9).await.unwrap();
    let expected = EndingZone { zone: new.clone(), triggered_at: None, told: None };
    assert_eq!(ending, std::slice::from_ref(&expected), "the active one is none");
    assert!(session.zones_ending(Some(new.id), 9).await.unwrap().is_empty());
    for told in [Some(End { at: Timestamp::from_secs(9), reminded: true }), None] {
        session.put_zone_end(new.id, told).await.unwrap();
        let kept = session.zone_ending(new.id).await.unwrap();
        assert_eq!(kept, Some(EndingZone { told, ..expected.clone() }));
    }
    session.set_zone_status(new.id, ZoneStatus::Active, 8).await.unwrap();
    assert_eq!(session.zone_ending(new.id).await.unwrap(), None);
}

async fn challenges_are_told_of_and_go_with_their_zone(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let change = session.change().await.unwrap();
    let challenge = |number: u8, owner: &str, expires_at| Challenge {
        id: ChallengeId::from_bytes([number; 16]),
        zone: ZONE,
        kind: "dns-01".into(),
        owner: Name::parse(owner).unwrap(),
        token: String::new(),
        text: format!("token-{number}"),
        created_at: 1,
        expires_at,
    };
    let (one, two) = (challenge(1, "_acme-challenge.b.example.com", 50), challenge(2, "_acme-challenge.a.example.com", 70));
    session.insert_challenge(&one).await.unwrap();
    session.insert_challenge(&two).await.unwrap();
    assert_eq!(session.challenges(Some(ZONE)).await.unwrap(), [two.clone(), one.clone()]);
    assert_eq!(session.challenges(None).await.unwrap().len(), 2);
    assert_eq!(session.challenge(one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(session.challenges_expired(60, 9).await.unwrap(), [one.id]);
    session.extend_challenge(one.id, 90).await.unwrap();
    assert_eq!(session.challenges_expired(80, 9).await.unwrap(), [two.id]);
    assert!(session.delete_challenge(two.id).await.unwrap() && !session.delete_challenge(two.id).await.unwrap());
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    let touched = session.touched_since(change, 9).await.unwrap().unwrap();
    assert!(touched.contains(&Touched::Challenge(one.id)) && touched.contains(&Touched::Challenge(two.id)), "{touched:?}");
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!(session.challenge(one.id).await.unwrap(), None);
}
