//! Challenges, from the verb to what is shown.

use poterne_control_app::{CHALLENGE_LIFE_SECS_MAX, CHALLENGES_OF_NAME_MAX};
use poterne_snapshot::Shown;

use super::*;

const OWNER: &str = "_acme-challenge.www.home.test";

impl Node {
    /// What is shown at an owner, as text.
    fn shown(&self, owner: &str) -> Vec<String> {
        let now_secs = u32::try_from(self.now.load(Ordering::SeqCst)).unwrap();
        let snapshot = self.handle.load();
        let live = snapshot.challenges(owner).iter().filter(|challenge| challenge.is_live(now_secs));
        let mut texts: Vec<String> = live
            .map(|challenge| match &challenge.shown {
                Shown::Txt { data, .. } => String::from_utf8(data[1..].to_vec()).unwrap(),
                other => panic!("{other:?} is no record"),
            })
            .collect();
        texts.sort();
        texts
    }

    /// How many are in the snapshot, over or not.
    fn held(&self, owner: &str) -> usize {
        self.handle.load().challenges(owner).len()
    }
}

#[tokio::test]
async fn a_challenge_is_shown_when_its_verb_returns_and_is_over_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    let www = name("www.home.test");
    let first = node.app.challenge_put(&OPERATOR, zone.id, &www, "one", 3600).await.unwrap();
    assert_eq!((first.owner.as_str(), node.shown(OWNER)), (OWNER, vec!["one".to_owned()]));
    let serial = |node: &Node| node.handle.load().zone(zone.id).unwrap().head().dns.as_ref().unwrap().serial;
    let before = serial(&node);
    let second = node.app.challenge_put_at(&OPERATOR, "*.www.home.test", "two", 60).await.unwrap();
    assert_eq!(node.shown(OWNER), ["one", "two"], "a wildcard is proven by the name it stands under");
    assert_eq!(serial(&node), before, "it is no record of the zone");
    // Once more is for longer, and no second one.
    let again = node.app.challenge_put(&OPERATOR, zone.id, &www, "one", 7200).await.unwrap();
    assert_eq!((again.id, again.expires_at - first.expires_at, node.held(OWNER)), (first.id, 3_600_000_000, 2));
    node.now.fetch_add(60, Ordering::SeqCst);
    assert_eq!((node.shown(OWNER), node.held(OWNER)), (vec!["one".to_owned()], 2), "no node waits for control");
    assert_eq!(node.app.expire_challenges().await.unwrap(), 1);
    let mut applied = node.handle.subscribe();
    tokio::time::timeout(Duration::from_secs(10), applied.wait_for(|_| node.held(OWNER) == 1)).await.unwrap().unwrap();
    assert!(!node.app.challenge_remove(&OPERATOR, second.id).await.unwrap());
    assert!(node.app.challenge_remove(&OPERATOR, first.id).await.unwrap());
    assert_eq!(node.held(OWNER), 0);
    node.stop.cancel();
}

#[tokio::test]
async fn challenges_go_with_their_zone_and_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    for text in ["one", "two", "three"] {
        node.app.challenge_put_at(&OPERATOR, "www.home.test", text, 60).await.unwrap();
    }
    let gone = node.app.challenges_remove_at(&OPERATOR, "www.home.test", Some("two")).await.unwrap();
    assert_eq!((gone.len(), node.shown(OWNER)), (1, vec!["one".to_owned(), "three".to_owned()]));
    assert_eq!(node.app.challenges_remove_at(&OPERATOR, "www.home.test", None).await.unwrap().len(), 2);
    node.app.challenge_put_at(&OPERATOR, "www.home.test", "four", 60).await.unwrap();
    node.app.zone_delete(&OPERATOR, zone.id).await.unwrap();
    assert_eq!(node.held(OWNER), 0, "nothing of it stays");
    node.stop.cancel();
}

#[tokio::test]
async fn what_could_not_be_seen_or_is_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "home.test").await.unwrap();
    node.record("home.test", "_acme-challenge.led.home.test", RecordType::Cname, "led.dcv.example.net").await;
    node.record("home.test", "cut.home.test", RecordType::Other("NS".into()), "ns.example.net").await;
    let why = async |name: &str, text: &str, life_secs| {
        node.app.challenge_put_at(&OPERATOR, name, text, life_secs).await.unwrap_err().to_string()
    };
    assert!(why("led.home.test", "x", 60).await.contains("is a CNAME to led.dcv.example.net"));
    assert!(why("a.cut.home.test", "x", 60).await.contains("cut.home.test is delegated"));
    for (text, life_secs) in [("", 60), ("two words", 60), (&*"x".repeat(256), 60), ("x", 0), ("x", CHALLENGE_LIFE_SECS_MAX + 1)]
    {
        assert!(matches!(
            node.app.challenge_put_at(&OPERATOR, "home.test", text, life_secs).await,
            Err(AppError::Invalid { .. })
        ));
    }
    assert!(why("_acme-challenge.home.test", "x", 60).await.contains("without _acme-challenge"));
    assert!(matches!(node.app.challenge_put_at(&OPERATOR, "www.elsewhere.test", "x", 60).await, Err(AppError::NoZone { .. })));
    for number in 0..CHALLENGES_OF_NAME_MAX {
        node.app.challenge_put_at(&OPERATOR, "home.test", &number.to_string(), 60).await.unwrap();
    }
    assert!(why("home.test", "more", 60).await.contains("16 are shown for _acme-challenge.home.test already"));
    // Those that are over take no room.
    node.now.fetch_add(60, Ordering::SeqCst);
    node.app.challenge_put_at(&OPERATOR, "home.test", "more", 60).await.unwrap();
    let anybody = node.app.challenge_put(&Caller::Anybody, zone.id, &name("home.test"), "x", 60).await;
    assert!(matches!(anybody, Err(AppError::OperatorOnly)));
    node.stop.cancel();
}
