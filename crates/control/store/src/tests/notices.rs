//! What waits to be sent, and who asked for it.

use poterne_model::{
    At, ConnectorId, ConnectorInfo, NoticeId, NotificationPolicyId, Timestamp, TunnelId, TunnelStatus, WebhookId,
    notification::{AlertType, NotificationPolicy, PolicyDraft, Webhook},
};
use serde_json::json;

use super::{ACCOUNT, Engine, Fixture, OTHER, TUNNEL, begun, connection, tunnel};
use crate::{Channel, NoticeCounts, QueuedNotice, TunnelTold};

on_both! {
    a_notice_belongs_to_whoever_took_it_up_until_its_lease_is_over,
    what_waits_is_counted_and_taken_back,
    a_webhook_and_its_policies_are_an_accounts_own,
    tunnels_are_told_with_their_live_connections,
}

fn notice(id: u8, channel: Channel, due_at: i64) -> QueuedNotice {
    QueuedNotice {
        id: NoticeId::from_bytes([id; 16]),
        account: Some(ACCOUNT),
        channel,
        recipient: "ada@example.com".into(),
        kind: "invitation".into(),
        sealed: vec![id, 2, 3],
        created_at: 1,
        due_at,
        attempts: 0,
    }
}

async fn a_notice_belongs_to_whoever_took_it_up_until_its_lease_is_over(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    for (id, channel, due_at) in [(1, Channel::Mail, 10), (2, Channel::Mail, 20), (3, Channel::Webhook, 5)] {
        session.queue_notice(&notice(id, channel, due_at)).await.unwrap();
    }
    assert!(session.queue_notice(&notice(1, Channel::Mail, 1)).await.is_err(), "an id is one notice's");
    assert_eq!(session.next_notice_due(Channel::Mail).await.unwrap(), Some(10));
    assert_eq!(session.take_notices("one", Channel::Mail, 9, 100, 9).await.unwrap(), []);
    let taken = session.take_notices("one", Channel::Mail, 50, 100, 1).await.unwrap();
    assert_eq!(taken, [QueuedNotice { due_at: 100, attempts: 1, ..notice(1, Channel::Mail, 10) }]);
    let rest = session.take_notices("one", Channel::Mail, 50, 100, 9).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.id).collect::<Vec<_>>(), [NoticeId::from_bytes([2; 16])], "not the one that was taken");
    assert_eq!(session.take_notices("one", Channel::Mail, 99, 200, 9).await.unwrap(), []);
    // Whoever had it is gone: another takes it up, and what the first says of it then does not count.
    assert_eq!(session.take_notices("one", Channel::Mail, 100, 200, 1).await.unwrap()[0].attempts, 2);
    session.postpone_notice(taken[0].id, 1, 101).await.unwrap();
    assert_eq!(session.take_notices("one", Channel::Mail, 150, 300, 9).await.unwrap().len(), 1, "the other of the two");
    session.postpone_notice(taken[0].id, 2, 160).await.unwrap();
    assert_eq!(session.next_notice_due(Channel::Mail).await.unwrap(), Some(160));
    session.release_notices("other", 155).await.unwrap();
    session.release_notices("one", 155).await.unwrap();
    assert_eq!(
        session.next_notice_due(Channel::Mail).await.unwrap(),
        Some(155),
        "what a node had that begins anew; and only that"
    );
    assert_eq!(session.take_notices("one", Channel::Mail, 155, 300, 9).await.unwrap().len(), 1);
    session.delete_notice(taken[0].id).await.unwrap();
    session.delete_notice(taken[0].id).await.unwrap();
    assert_eq!(session.next_notice_due(Channel::Mail).await.unwrap(), Some(300));
    assert_eq!(session.next_notice_due(Channel::Webhook).await.unwrap(), Some(5));
}

async fn what_waits_is_counted_and_taken_back(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.queue_notice(&notice(1, Channel::Mail, 1)).await.unwrap();
    session.queue_notice(&QueuedNotice { account: None, ..notice(2, Channel::Mail, 1) }).await.unwrap();
    session.queue_notice(&QueuedNotice { recipient: "b@example.com".into(), ..notice(3, Channel::Mail, 1) }).await.unwrap();
    session.queue_notice(&QueuedNotice { kind: "other".into(), ..notice(4, Channel::Mail, 1) }).await.unwrap();
    let counts = session.notice_counts(Some(ACCOUNT), Channel::Mail, "ada@example.com").await.unwrap();
    assert_eq!(counts, NoticeCounts { all: 4, of_account: 3, for_recipient: 3 });
    let counts = session.notice_counts(None, Channel::Webhook, "ada@example.com").await.unwrap();
    assert_eq!(counts, NoticeCounts { all: 4, of_account: 0, for_recipient: 0 });
    session.delete_notices_for(ACCOUNT, Channel::Mail, "ada@example.com", Some("invitation")).await.unwrap();
    session.delete_notices_for(OTHER, Channel::Mail, "ada@example.com", None).await.unwrap();
    let left = session.take_notices("one", Channel::Mail, 9, 10, 9).await.unwrap();
    let mut ids: Vec<_> = left.iter().map(|one| one.id.as_bytes()[0]).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 3, 4]);
    session.delete_notices_for(ACCOUNT, Channel::Mail, "ada@example.com", None).await.unwrap();
    assert_eq!(session.notice_counts(None, Channel::Mail, "").await.unwrap().all, 2);
}

async fn a_webhook_and_its_policies_are_an_accounts_own(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let id = WebhookId::from_bytes([7; 16]);
    let webhook = Webhook {
        id,
        name: "ops".into(),
        url: "https://a.example/".into(),
        created_at: Timestamp::from_micros(5),
        last_success: None,
        last_failure: None,
    };
    session.insert_webhook(ACCOUNT, &webhook, &[1, 2]).await.unwrap();
    assert_eq!(session.webhook(ACCOUNT, id).await.unwrap(), Some((webhook.clone(), vec![1, 2])));
    assert_eq!(session.webhook(OTHER, id).await.unwrap(), None);
    let renamed = Webhook { name: "dev".into(), ..webhook };
    session.update_webhook(&renamed, &[3]).await.unwrap();
    session.webhook_called(id, false, 8).await.unwrap();
    session.webhook_called(id, true, 9).await.unwrap();
    let instant = |micros| Some(Timestamp::from_micros(micros));
    let expected = Webhook { last_success: instant(9), last_failure: instant(8), ..renamed };
    assert_eq!(session.webhooks(ACCOUNT).await.unwrap(), [expected]);

    let body = json!({ "name": "t", "alert_type": "tunnel_health_event", "mechanisms": { "webhooks": [{ "id": id }] } });
    let text = PolicyDraft::read(&At::body(&body), None).unwrap();
    let (made, now) = (NotificationPolicyId::from_bytes([8; 16]), Timestamp::from_micros(5));
    let policy = NotificationPolicy { id: made, text, created_at: now, modified_at: now };
    session.put_notification_policy(ACCOUNT, &policy).await.unwrap();
    assert_eq!(session.notification_policies(ACCOUNT).await.unwrap(), std::slice::from_ref(&policy));
    assert_eq!(session.notification_policies(OTHER).await.unwrap(), []);
    assert_eq!(session.notification_policies_for(ACCOUNT, AlertType::TunnelHealth).await.unwrap(), std::slice::from_ref(&policy));
    assert_eq!(session.accounts_notified_of(AlertType::TunnelHealth).await.unwrap(), [ACCOUNT]);
    let text = PolicyDraft { alert_type: AlertType::Tokens, ..policy.text.clone() };
    session.put_notification_policy(ACCOUNT, &NotificationPolicy { text, ..policy }).await.unwrap();
    assert_eq!(session.accounts_notified_of(AlertType::TunnelHealth).await.unwrap(), []);
    assert_eq!(session.notification_policies_for(ACCOUNT, AlertType::Tokens).await.unwrap().len(), 1);
    session.delete_notification_policy(made).await.unwrap();
    session.delete_webhook(id).await.unwrap();
    assert_eq!(session.webhooks(ACCOUNT).await.unwrap(), []);
    assert_eq!(session.notification_policies(ACCOUNT).await.unwrap(), []);
}

async fn tunnels_are_told_with_their_live_connections(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let idle = TunnelId::from_bytes([5; 16]);
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    session.insert_tunnel(&tunnel(idle, "idle")).await.unwrap();
    session.insert_tunnel(&crate::Tunnel { quick: true, ..tunnel(TunnelId::from_bytes([6; 16]), "quick") }).await.unwrap();
    for (connector, connections) in [(1, 0..3u8), (2, 3..5)] {
        let connector = ConnectorInfo {
            id: ConnectorId::from_bytes([connector; 16]),
            version: "1".into(),
            arch: "linux_amd64".into(),
            features: Vec::new(),
            run_at: 100,
            connections: Vec::new(),
        };
        for id in connections {
            let one = poterne_model::ConnectionInfo { draining: id == 0, ..connection(id, 100) };
            session.open_connection(TUNNEL, &connector, &one).await.unwrap();
        }
    }
    session.tell_tunnel(idle, TunnelStatus::Healthy).await.unwrap();
    session.tell_tunnel(idle, TunnelStatus::Down).await.unwrap();
    assert_eq!(session.tunnel_told(idle).await.unwrap(), Some(TunnelStatus::Down));
    assert_eq!(session.tunnel_told(TUNNEL).await.unwrap(), None);
    let told = session.tunnels_told(ACCOUNT).await.unwrap();
    let facts = |one: &TunnelTold| (one.tunnel.id, one.told, one.connections_of_best, one.connections);
    let expected = [(TUNNEL, None, 2, 4), (idle, Some(TunnelStatus::Down), 0, 0)];
    assert_eq!(told.iter().map(facts).collect::<Vec<_>>(), expected);
}
