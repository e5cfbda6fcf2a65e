//! Signed zones, from the verb to the zone's head.

use poterne_control_app::{DnssecAlgorithm, DnssecRole, DnssecStatus};
use poterne_dns_wire::rtype;
use poterne_keys::Purpose;
use poterne_model::ZoneId;
use poterne_snapshot::ZoneKeys;

use super::*;

const DAY: u64 = 86_400;

impl Node {
    fn keys(&self, zone: ZoneId) -> Option<ZoneKeys> {
        self.handle.load().zone(zone)?.head().dns.as_ref()?.keys.clone()
    }

    /// Lets time pass and what is due be done; returns the keys once they are no longer these.
    async fn keys_after(&self, zone: ZoneId, secs: u64) -> Option<ZoneKeys> {
        let before = self.keys(zone);
        self.now.fetch_add(secs, Ordering::SeqCst);
        assert_eq!(self.app.tend_zone_keys().await.unwrap(), 1);
        assert_eq!(self.app.tend_zone_keys().await.unwrap(), 0, "nothing is due twice");
        let mut applied = self.handle.subscribe();
        let changed = applied.wait_for(|_| self.keys(zone) != before);
        tokio::time::timeout(Duration::from_secs(10), changed).await.expect("it is published").unwrap();
        self.keys(zone)
    }
}

fn count(keys: &ZoneKeys, rtype: u16) -> usize {
    keys.signed.get(rtype).map_or(0, |set| set.count())
}

#[tokio::test]
async fn a_zones_keys_reach_its_head_and_go_on_by_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "signed.test").await.unwrap().id;
    assert_eq!(node.keys(zone), None);
    let made = node.app.zone_dnssec_enable(&OPERATOR, zone, DnssecAlgorithm::default()).await.unwrap();
    assert_eq!(made.status, DnssecStatus::Pending);
    let first = node.keys(zone).expect("the verb returns once it is in force");
    assert_eq!([48, 59, 60, 46].map(|rtype| count(&first, rtype)), [2, 1, 1, 3]);
    // A node opens the key that signs, and no other is there.
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let secret = node_key.open(Purpose::ZoneKey, zone.as_bytes(), &first.key).unwrap();
    let pair = poterne_dns_sign::KeyPair::of_secret(DnssecAlgorithm::default(), secret.expose()).unwrap();
    assert!(first.signed.get(rtype::DNSKEY).unwrap().records().any(|data| data[..2] == [1, 0] && &data[4..] == pair.public()));
    assert_ne!(pair.public(), made.public_key);
    // Nothing is due, and nothing is made anew.
    assert_eq!(node.app.tend_zone_keys().await.unwrap(), 0);
    // The keys are signed anew in time, with the same keys.
    let anew = node.keys_after(zone, 8 * DAY).await.unwrap();
    assert_eq!((anew.key == first.key, count(&anew, 48)), (true, 2));
    assert_ne!(anew.signed, first.signed);
    // The other key is rolled by itself: announced, then used, then the old one goes.
    let announced = node.keys_after(zone, 22 * DAY).await.unwrap();
    assert_eq!((announced.key == first.key, count(&announced, 48)), (true, 3));
    let used = node.keys_after(zone, 2 * 3600).await.unwrap();
    assert_eq!((used.key == first.key, count(&used, 48)), (false, 3));
    let gone = node.keys_after(zone, 2 * DAY).await.unwrap();
    assert_eq!((gone.key == used.key, count(&gone, 48)), (true, 2));
    node.stop.cancel();
}

#[tokio::test]
async fn keys_go_once_the_parent_has_shown_no_ds_for_long_enough() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "signed.test").await.unwrap().id;
    node.app.zone_dnssec_enable(&OPERATOR, zone, DnssecAlgorithm::Ed25519).await.unwrap();
    node.app.ds_seen(zone, true).await.unwrap();
    assert_eq!(node.app.zone_dnssec(&OPERATOR, zone).await.unwrap().unwrap().status, DnssecStatus::Active);
    let disabled = node.app.zone_dnssec_disable(&OPERATOR, zone).await.unwrap().unwrap();
    assert_eq!(disabled.status, DnssecStatus::PendingDisabled);
    let keys = node.keys(zone).expect("it is signed still");
    assert_eq!(keys.signed.get(rtype::CDS).unwrap().records().next().unwrap(), [0, 0, 0, 0, 0]);
    node.app.ds_seen(zone, false).await.unwrap();
    assert_eq!(node.app.tend_zone_keys().await.unwrap(), 0);
    assert_eq!(node.keys_after(zone, 2 * DAY).await, None);
    assert_eq!(node.app.zone_dnssec(&OPERATOR, zone).await.unwrap(), None);
    let mut session = node.store.read().await.unwrap();
    assert!(session.zone_keys(zone).await.unwrap().is_empty(), "the private parts are gone too");
    node.stop.cancel();
}

#[tokio::test]
async fn the_key_that_signs_keys_is_rolled_with_the_parent() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "signed.test").await.unwrap().id;
    let old = node.app.zone_dnssec_enable(&OPERATOR, zone, DnssecAlgorithm::default()).await.unwrap();
    node.app.ds_seen(zone, true).await.unwrap();
    node.app.zone_dnssec_roll(&OPERATOR, zone, DnssecRole::Entry).await.unwrap();
    let keys = node.keys(zone).unwrap();
    assert_eq!([48, 59].map(|rtype| count(&keys, rtype)), [2, 2], "two digests are asked for, one key is shown");
    node.app.ds_seen(zone, true).await.unwrap();
    let keys = node.keys_after(zone, 2 * DAY).await.unwrap();
    assert_eq!([48, 59].map(|rtype| count(&keys, rtype)), [2, 2]);
    let new = node.app.zone_dnssec(&OPERATOR, zone).await.unwrap().unwrap();
    assert_eq!((new.status, new.key_tag == old.key_tag), (DnssecStatus::Active, false));
    let keys = node.keys_after(zone, 3 * 3600).await.unwrap();
    assert_eq!(count(&keys, 59), 1);
    node.stop.cancel();
}

#[tokio::test]
async fn a_zone_whose_keys_cannot_be_used_keeps_no_other_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let mut zones = Vec::new();
    for name in ["broken.test", "signed.test"] {
        zones.push(node.app.zone_add(&OPERATOR, name).await.unwrap().id);
        node.app.zone_dnssec_enable(&OPERATOR, zones[zones.len() - 1], DnssecAlgorithm::default()).await.unwrap();
    }
    let mut session = node.store.write().await.unwrap();
    // Its private parts are gone.
    session.delete_zone_key(zones[0], 0).await.unwrap();
    session.commit_silently().await.unwrap();
    let before = zones.iter().map(|zone| node.keys(*zone)).collect::<Vec<_>>();
    let after = node.keys_after(zones[1], 8 * DAY).await;
    assert_ne!(after, before[1]);
    assert_eq!(node.keys(zones[0]), before[0], "it is answered with what it had");
    node.stop.cancel();
}

#[tokio::test]
async fn a_node_with_another_key_gets_the_zones_key_wrapped_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "signed.test").await.unwrap().id;
    node.app.zone_dnssec_enable(&OPERATOR, zone, DnssecAlgorithm::default()).await.unwrap();
    let right = node.keys(zone).unwrap();
    // As after the node's key was changed: what is kept is wrapped for another one.
    let mut session = node.store.write().await.unwrap();
    let mut kept = session.zone_signing(zone).await.unwrap().unwrap();
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let secret = node_key.open(Purpose::ZoneKey, zone.as_bytes(), &kept.head.wrapped).unwrap();
    kept.head.wrapped = NodeKey::generate().seal(Purpose::ZoneKey, zone.as_bytes(), secret.expose());
    session.put_zone_signing(&kept, false).await.unwrap();
    session.commit_silently().await.unwrap();
    let keys = node.keys_after(zone, 0).await.unwrap();
    assert_eq!((keys.signed == right.signed, keys.key == right.key), (true, false));
    assert!(node_key.open(Purpose::ZoneKey, zone.as_bytes(), &keys.key).is_ok());
    node.stop.cancel();
}
