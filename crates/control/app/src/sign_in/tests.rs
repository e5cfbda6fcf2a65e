//! Signing in where two things happen at once; what a browser meets is tried where it comes in, in `control/api`.

use std::{sync::Arc, time::UNIX_EPOCH};

use poterne_control_store::{Store, Totp};
use poterne_keys::NodeKey;
use poterne_model::Timestamp;
use poterne_telemetry::Metrics;

use super::*;
use crate::Settings;

pub(super) const ADMIN: &str = "admin@poterne.localhost";
const PASSWORD: &str = "a few good words";

/// A node whose clock stands still.
pub(super) async fn node(sends_mail: bool) -> (App, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let settings = Settings { sends_mail, ..Settings::default() };
    let app = App::open(store, &NodeKey::generate(), settings, Arc::new(|| UNIX_EPOCH), None).await.unwrap();
    (app, dir)
}

pub(super) fn visit() -> Visit {
    let request = Request { ip: [192, 0, 2, 1].into(), now: Timestamp::from_secs(0), ray: String::new() };
    Visit { request, device: String::new() }
}

#[tokio::test]
async fn what_changed_while_a_password_was_looked_at_counts() {
    for has_second_factor in [true, false] {
        let (app, _dir) = node(false).await;
        app.user_password_set(&Caller::Operator, ADMIN, Some(PASSWORD), false).await.unwrap();
        let mut session = app.0.store.write().await.unwrap();
        let person = session.person_of_email(ADMIN).await.unwrap().unwrap();
        if has_second_factor {
            let totp = Totp { person: person.id, sealed: Vec::new(), last_step: 0, created_at: 0, confirmed_at: Some(0) };
            session.put_totp(&totp).await.unwrap();
        } else {
            session.update_person(&Person { password: Some("another".into()), ..person }).await.unwrap();
        }
        let signing_in = tokio::spawn({
            let app = app.clone();
            async move { app.sign_in(&visit(), ADMIN, PASSWORD).await }
        });
        // It reads who that is, looks at the password, and has then to wait for its turn to write.
        let tries = || app.0.entrance.entries().into_iter().find(|(table, _)| *table == "pairs").unwrap().1;
        while tries() == 0 {
            tokio::task::yield_now().await;
        }
        while tries() > 0 {
            tokio::task::yield_now().await;
        }
        session.commit().await.unwrap();
        match signing_in.await.unwrap() {
            Ok(Step::SecondFactor(asked)) => assert!(has_second_factor && asked.totp),
            Ok(Step::SignedIn(_)) => panic!("as if nothing had changed"),
            Err(error) => assert!(!has_second_factor && matches!(error, AppError::SignIn(SignInError::Unfinished)), "{error}"),
        }
    }
}

#[tokio::test]
async fn whoever_finds_no_place_has_lost_no_try() {
    let (app, _dir) = node(false).await;
    let bytes = "AAAA";
    let response = json!({ "authenticatorData": bytes, "clientDataJSON": bytes, "signature": bytes });
    let credential = json!({ "id": bytes, "rawId": bytes, "type": "public-key", "response": response, "extensions": {} });
    let mut places = Vec::new();
    while let Ok(place) = app.0.entrance.gate.enter() {
        places.push(place);
    }
    for _ in 0..40 {
        let refused = app.sign_in_with_passkey(&visit(), "unknown", credential.clone()).await.err();
        assert!(matches!(refused, Some(AppError::Busy)), "{refused:?}");
        let refused = app.sign_in(&visit(), ADMIN, PASSWORD).await.err();
        assert!(matches!(refused, Some(AppError::Busy)), "{refused:?}");
    }
    drop(places);
    assert_eq!(app.0.entrance.refused(), [("throttled", 0), ("busy", 81)]);
    let refused = app.sign_in_with_passkey(&visit(), "unknown", credential).await.err();
    assert!(matches!(refused, Some(AppError::SignIn(SignInError::Unfinished))), "{refused:?}");
}

#[tokio::test]
async fn what_is_kept_of_strangers_is_told_in_metrics() {
    let ((app, _dir), metrics) = (node(false).await, Metrics::new());
    app.tell_in(&metrics);
    assert!(app.sign_in(&visit(), ADMIN, "wrong words").await.is_err());
    let text = metrics.encode();
    for line in [
        r#"poterne_sign_in_entries{table="pairs"} 1"#,
        r#"poterne_sign_in_entries{table="ceremonies"} 0"#,
        r#"poterne_sign_in_refused_total{reason="throttled"} 0"#,
        r#"poterne_credentials_entries{table="identities"} 0"#,
        r#"poterne_credentials_refused_total{reason="limited"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}
