//! The secret that name servers make cookies with, from control to its nodes.

use bytes::Bytes;
use poterne_keys::Purpose;

use super::*;

const HOUR: u64 = 3600;

impl Node {
    fn cookies(&self) -> Vec<Bytes> {
        self.handle.load().node().cookie_secrets.clone()
    }

    /// What nodes have once it is no longer this.
    async fn cookies_after(&self, before: &[Bytes]) -> Vec<Bytes> {
        let mut applied = self.handle.subscribe();
        let changed = applied.wait_for(|_| self.cookies() != before);
        tokio::time::timeout(Duration::from_secs(10), changed).await.expect("it is published").unwrap();
        self.cookies()
    }

    /// The same, once so many seconds have passed and what is due was done.
    async fn later(&self, secs: u64) -> Vec<Bytes> {
        let before = self.cookies();
        self.now.fetch_add(secs, Ordering::SeqCst);
        self.app.tend_cookie_secrets().await.unwrap();
        self.cookies_after(&before).await
    }
}

/// RFC 9018 §5.
#[tokio::test]
async fn the_secret_of_cookies_reaches_nodes_and_is_followed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let first = node.cookies_after(&[]).await;
    assert_eq!(first.len(), 1);
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let secret = |wrapped: &Bytes| node_key.open(Purpose::CookieSecret, b"cookie", wrapped).unwrap().expose().to_vec();
    assert_eq!(secret(&first[0]).len(), 16);
    assert!(!node.app.tend_cookie_secrets().await.unwrap(), "nothing is due");
    let told = node.later(30 * 24 * HOUR).await;
    assert_eq!((told.len(), &told[0]), (2, &first[0]), "the next is believed");
    assert_ne!(secret(&told[1]), secret(&told[0]));
    assert_eq!(node.later(HOUR).await, [told[1].clone(), told[0].clone()], "and then makes them");
    assert_eq!(node.later(HOUR + 300).await, [told[1].clone()], "and the one before is forgotten");
    let kept = node.store.read().await.unwrap().cookie_secrets().await.unwrap();
    assert_eq!(kept.iter().map(|kept| kept.number).collect::<Vec<_>>(), [1]);
    assert_ne!(kept[0].sealed, kept[0].wrapped);
    node.stop.cancel();
}
