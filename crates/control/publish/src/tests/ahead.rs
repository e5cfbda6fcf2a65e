//! Files that are handed over while they are written: they come to what the store says, whether they are taken in as they are or not.

use std::{future::poll_fn, task::Poll};

use super::*;

fn file(count: u32) -> bytes::Bytes {
    let plain = (0..count).map(|number| format!("h{number} 300 A 192.0.2.{}\n", number % 250));
    // Several at a name, in another order than the store's; chains within the file, out of it and into it.
    let more = "m TXT \"b\"\nm MX 9 mx.example.org.\nm A 198.51.100.9\nm A 198.51.100.10\nm TXT \"a\"\nm MX 10 mx.example.org.\n\
        *.w CNAME one\none CNAME two\ntwo A 198.51.100.1 ; cf_tags=cf-proxied:true\nlong CNAME outside.other.test.\n\
        @ CAA 0 issue \"ca.example.net\"\nflat 60 CNAME m ; cf_tags=cf-flatten-cname:true,cf-proxied:false\n";
    (plain.collect::<String>() + more).into()
}

/// Everything read anew says the same.
async fn is_what_the_store_says(node: &mut ByHand) {
    node.publisher.world = None;
    assert!(node.obey().await.is_empty());
}

#[tokio::test]
async fn a_file_is_taken_in_as_it_was_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    let other = node.app.zone_add(&OPERATOR, "other.test").await.unwrap().id;
    let into = "outside A 198.51.100.7 ; cf_tags=cf-proxied:true\nin CNAME one.example.test. ; cf_tags=cf-proxied:true\n";
    node.app.record_import(&OPERATOR, other, into.into(), true).await.unwrap();
    node.obey().await;
    for rounds in 1..=3_usize {
        // Into a zone that is empty; into one that has some of the names, of which one changes by itself, too.
        let count = u32::try_from(3000 * rounds).unwrap();
        let done = node.app.record_import(&OPERATOR, zone, file(count), rounds == 1).await.unwrap();
        assert!(done.added >= 3000);
        node.hosts(&["h5.example.test", "new.example.test"][..usize::from(rounds == 2) * 2]).await;
        assert!(!node.obey().await.is_empty());
        assert_eq!(node.publisher.taken_ahead, rounds);
        assert!(node.is_routed("in.other.test") && node.is_routed("x.w.example.test"));
        is_what_the_store_says(&mut node).await;
    }
    // Under a zone that does not proxy, and again when it does.
    node.app.zone_pause(&OPERATOR, zone, true).await.unwrap();
    node.obey().await;
    node.app.record_import(&OPERATOR, zone, file(13_000), true).await.unwrap();
    node.obey().await;
    assert_eq!(node.publisher.taken_ahead, 4);
    is_what_the_store_says(&mut node).await;
}

#[tokio::test]
async fn a_file_that_is_not_all_there_is_to_know_is_read_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    node.obey().await;
    // Very many names changed once more.
    node.app.record_import(&OPERATOR, zone, file(3000), false).await.unwrap();
    let mut session = node.store.write().await.unwrap();
    for record in session.records_at(zone, "h7.example.test").await.unwrap() {
        session.delete_record(record.id).await.unwrap();
    }
    session.touch_all_names(zone).await.unwrap();
    session.commit().await.unwrap();
    node.obey().await;
    is_what_the_store_says(&mut node).await;
    // The zone does not proxy any more.
    node.app.record_import(&OPERATOR, zone, file(6000), true).await.unwrap();
    node.app.zone_pause(&OPERATOR, zone, true).await.unwrap();
    node.obey().await;
    is_what_the_store_says(&mut node).await;
    // It is gone.
    node.app.record_import(&OPERATOR, zone, file(9000), true).await.unwrap();
    node.app.zone_delete(&OPERATOR, zone).await.unwrap();
    node.obey().await;
    is_what_the_store_says(&mut node).await;
    assert_eq!(node.publisher.taken_ahead, 0);
}

/// Whoever sent the file goes away while it is written: its number is another change's.
#[tokio::test]
async fn a_file_that_was_not_kept_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    node.obey().await;
    let app = node.app.clone();
    let mut import = Box::pin(app.record_import(&OPERATOR, zone, file(9000), false));
    poll_fn(|context| match import.as_mut().poll(context) {
        Poll::Ready(done) => panic!("nobody commits meanwhile: {done:?}"),
        Poll::Pending if node.publisher.ahead.is_begun() => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    })
    .await;
    drop(import);
    let mut session = node.store.write().await.unwrap();
    session.touch_all_names(zone).await.unwrap();
    session.commit().await.unwrap();
    node.obey().await;
    assert!(!node.publisher.ahead.is_begun());
    assert_eq!((node.publisher.taken_ahead, node.handle.load().zone(zone).unwrap().names_len()), (0, 0));
    is_what_the_store_says(&mut node).await;
}
