//! What signing in leaves: sessions, second factors, links.

use poterne_model::{AccountId, MembershipId, PasskeyId, SessionId, UserId};

use super::{ACCOUNT, Engine, Fixture, OTHER, begun};
use crate::{Membership, MembershipStatus, Micros, OneTimeLink, Passkey, Person, Session, Store, StoreError, Totp, UserSession};

const ADA: UserId = UserId::from_bytes([1; 16]);
const BOB: UserId = UserId::from_bytes([2; 16]);

on_both! {
    sessions_end_by_word_by_time_and_with_their_person,
    places_are_remembered_up_to_a_bound,
    a_step_and_a_recovery_code_are_used_once,
    a_second_factor_is_told_with_the_person,
    a_link_is_replaced_expires_and_is_used_once,
    what_an_account_asks_of_its_members_is_kept,
}

fn person(id: UserId, email: &str) -> Person {
    Person {
        id,
        email: email.into(),
        first_name: None,
        last_name: None,
        password: None,
        suspended: false,
        second_factor: false,
        created_at: 1,
        modified_at: 1,
    }
}

async fn people(store: &Store) -> Session {
    let mut session = store.write().await.unwrap();
    session.insert_person(&person(ADA, "ada@example.com")).await.unwrap();
    session.insert_person(&person(BOB, "bob@example.com")).await.unwrap();
    session
}

fn user_session(id: u8, person: UserId, last_seen_at: Micros) -> UserSession {
    UserSession {
        id: SessionId::from_bytes([id; 16]),
        digest: [id; 32],
        person,
        device: "a browser".into(),
        factors: "password".into(),
        ip: "192.0.2.1".into(),
        last_ip: "192.0.2.1".into(),
        created_at: 5,
        confirmed_at: 5,
        last_seen_at,
        expires_at: 100,
    }
}

fn passkey(id: u8, credential_id: &[u8]) -> Passkey {
    Passkey {
        id: PasskeyId::from_bytes([id; 16]),
        person: ADA,
        credential_id: credential_id.to_vec(),
        site: "node.example.net".into(),
        name: "key".into(),
        credential: "{}".into(),
        created_at: i64::from(id),
        last_used_at: None,
    }
}

async fn sessions_end_by_word_by_time_and_with_their_person(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = people(store).await;
    for (id, of, seen) in [(1, ADA, 10), (2, ADA, 20), (3, ADA, 30), (4, BOB, 10)] {
        session.insert_user_session(&user_session(id, of, seen)).await.unwrap();
    }
    let same = UserSession { id: SessionId::from_bytes([9; 16]), ..user_session(1, ADA, 1) };
    let again = session.insert_user_session(&same).await;
    assert!(matches!(again, Err(StoreError::Conflict("session"))), "two never share a secret");
    let ids = |sessions: Vec<UserSession>| sessions.iter().map(|one| one.id.as_bytes()[0]).collect::<Vec<_>>();
    assert_eq!(ids(session.user_sessions(ADA).await.unwrap()), [3, 2, 1]);
    session.user_session_seen(SessionId::from_bytes([1; 16]), "2001:db8::1", 40).await.unwrap();
    session.user_session_confirmed(SessionId::from_bytes([1; 16]), 41).await.unwrap();
    let seen = session.user_session_of_digest(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((seen.last_seen_at, seen.confirmed_at, seen.last_ip.as_str()), (40, 41, "2001:db8::1"));
    assert_eq!(session.user_session_of_digest(&[7; 32]).await.unwrap(), None);
    assert!(!session.delete_user_session(BOB, SessionId::from_bytes([2; 16])).await.unwrap(), "it is another's");
    assert!(session.delete_user_session(ADA, SessionId::from_bytes([2; 16])).await.unwrap());
    session.delete_user_sessions_over(99, 30).await.unwrap();
    assert_eq!(ids(session.user_sessions(ADA).await.unwrap()), [1], "3 was seen last at 30");
    assert_eq!(ids(session.user_sessions(BOB).await.unwrap()), [0u8; 0]);
    session.insert_user_session(&user_session(5, ADA, 50)).await.unwrap();
    assert_eq!(session.delete_user_sessions(ADA, Some(SessionId::from_bytes([5; 16]))).await.unwrap(), 1);
    session.delete_user_sessions_over(100, 0).await.unwrap();
    assert_eq!(session.user_sessions(ADA).await.unwrap(), []);
    session.insert_user_session(&user_session(6, BOB, 50)).await.unwrap();
    session.delete_person_unless_used(BOB).await.unwrap();
    assert_eq!(session.user_session_of_digest(&[6; 32]).await.unwrap(), None);
    assert_eq!(session.delete_user_sessions(ADA, None).await.unwrap(), 0);
}

async fn places_are_remembered_up_to_a_bound(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = people(store).await;
    for (at, source) in [(1, "192.0.2.1"), (2, "192.0.2.2"), (3, "2001:db8::"), (4, "192.0.2.1")] {
        session.note_source(ADA, source, at, 2).await.unwrap();
    }
    assert!(session.is_known_source(ADA, "192.0.2.1", 4).await.unwrap());
    assert!(session.is_known_source(ADA, "2001:db8::", 3).await.unwrap());
    assert!(!session.is_known_source(ADA, "2001:db8::", 4).await.unwrap(), "too long ago");
    assert!(!session.is_known_source(ADA, "192.0.2.2", 0).await.unwrap(), "the oldest went");
    assert!(!session.is_known_source(BOB, "192.0.2.1", 0).await.unwrap());
}

async fn a_step_and_a_recovery_code_are_used_once(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = people(store).await;
    assert_eq!(session.totp(ADA).await.unwrap(), None);
    let begun = Totp { person: ADA, sealed: vec![1, 2], last_step: 0, created_at: 5, confirmed_at: None };
    session.put_totp(&begun).await.unwrap();
    let done = Totp { confirmed_at: Some(6), last_step: 70, ..begun };
    session.put_totp(&done).await.unwrap();
    assert_eq!(session.totp(ADA).await.unwrap(), Some(done));
    for (step, taken) in [(70, false), (71, true), (71, false), (69, false), (73, true), (72, false)] {
        assert_eq!(session.use_totp_step(ADA, step).await.unwrap(), taken, "{step}");
    }
    assert!(!session.use_totp_step(BOB, 99).await.unwrap());
    session.put_recovery_codes(ADA, &[[1; 32], [2; 32]]).await.unwrap();
    assert!(!session.use_recovery_code(BOB, &[1; 32]).await.unwrap());
    assert!(session.use_recovery_code(ADA, &[1; 32]).await.unwrap());
    assert!(!session.use_recovery_code(ADA, &[1; 32]).await.unwrap());
    assert_eq!(session.recovery_codes(ADA).await.unwrap(), 1);
    session.put_recovery_codes(ADA, &[]).await.unwrap();
    assert_eq!(session.recovery_codes(ADA).await.unwrap(), 0);
    assert!(session.delete_totp(ADA).await.unwrap() && !session.delete_totp(ADA).await.unwrap());
}

async fn a_second_factor_is_told_with_the_person(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = people(store).await;
    let told = async |session: &mut Session| session.person(ADA).await.unwrap().unwrap().second_factor;
    assert!(!told(&mut session).await);
    let begun = Totp { person: ADA, sealed: vec![1], last_step: 0, created_at: 5, confirmed_at: None };
    session.put_totp(&begun).await.unwrap();
    assert!(!told(&mut session).await, "it has shown no code yet");
    session.put_totp(&Totp { confirmed_at: Some(6), ..begun }).await.unwrap();
    assert!(told(&mut session).await);
    session.delete_totp(ADA).await.unwrap();
    session.insert_passkey(&passkey(1, b"one")).await.unwrap();
    assert!(told(&mut session).await);
    assert!(session.person_of_email("ada@example.com").await.unwrap().unwrap().second_factor);
    assert!(!session.people().await.unwrap()[1].second_factor);
    assert!(matches!(session.insert_passkey(&passkey(2, b"one")).await, Err(StoreError::Conflict("passkey"))));
    session.insert_passkey(&passkey(2, b"two")).await.unwrap();
    session.rename_passkey(PasskeyId::from_bytes([2; 16]), "blue").await.unwrap();
    session.passkey_used(PasskeyId::from_bytes([2; 16]), "{\"counter\":1}", 9).await.unwrap();
    let found = session.passkey_of_credential(b"two").await.unwrap().unwrap();
    let expected =
        Passkey { name: "blue".into(), credential: "{\"counter\":1}".into(), last_used_at: Some(9), ..passkey(2, b"two") };
    assert_eq!(found, expected);
    session.delete_person_unless_used(ADA).await.unwrap();
    assert_eq!(session.passkeys(ADA).await.unwrap().len(), 2, "whoever has a passkey stays");
    session.delete_passkey(PasskeyId::from_bytes([1; 16])).await.unwrap();
    assert!(matches!(session.delete_passkey(PasskeyId::from_bytes([1; 16])).await, Err(StoreError::NotFound("passkey"))));
    assert_eq!(session.delete_passkeys(ADA).await.unwrap(), 1);
    assert!(!told(&mut session).await);
    assert!(!session.has_person_key(ADA).await.unwrap());
    session.set_person_key(ADA, Some(&[3; 32])).await.unwrap();
    assert!(session.has_person_key(ADA).await.unwrap());
    assert_eq!(session.person_of_key("ada@example.com", &[3; 32]).await.unwrap().unwrap().id, ADA);
    session.set_person_key(ADA, None).await.unwrap();
    assert!(!session.has_person_key(ADA).await.unwrap());
}

async fn a_link_is_replaced_expires_and_is_used_once(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = people(store).await;
    let link = |digest: u8, person, membership, created_at| OneTimeLink {
        digest: [digest; 32],
        person,
        membership,
        created_at,
        expires_at: created_at + 10,
    };
    let membership = Membership {
        id: MembershipId::from_bytes([1; 16]),
        account: ACCOUNT,
        person: ADA,
        status: MembershipStatus::Pending,
        roles: vec![],
        created_at: 1,
        modified_at: 1,
    };
    session.insert_membership(&membership).await.unwrap();
    session.put_one_time_link(&link(1, ADA, None, 1)).await.unwrap();
    session.put_one_time_link(&link(2, ADA, Some(membership.id), 1)).await.unwrap();
    session.put_one_time_link(&link(3, BOB, None, 1)).await.unwrap();
    session.put_one_time_link(&link(4, ADA, None, 2)).await.unwrap();
    assert_eq!(session.one_time_link(&[1; 32], 2).await.unwrap(), None, "it was replaced");
    assert_eq!(session.one_time_link(&[2; 32], 2).await.unwrap(), Some(link(2, ADA, Some(membership.id), 1)));
    assert_eq!(session.one_time_link(&[4; 32], 11).await.unwrap(), Some(link(4, ADA, None, 2)));
    assert_eq!(session.one_time_link(&[4; 32], 12).await.unwrap(), None, "it is over");
    assert!(session.use_one_time_link(&[4; 32]).await.unwrap() && !session.use_one_time_link(&[4; 32]).await.unwrap());
    session.delete_password_links(BOB).await.unwrap();
    assert_eq!(session.one_time_link(&[3; 32], 2).await.unwrap(), None);
    session.delete_membership(membership.id).await.unwrap();
    assert_eq!(session.one_time_link(&[2; 32], 2).await.unwrap(), None, "it goes with its invitation");
}

async fn what_an_account_asks_of_its_members_is_kept(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = people(store).await;
    for (id, account) in [(1, ACCOUNT), (2, OTHER)] {
        let membership = Membership {
            id: MembershipId::from_bytes([id; 16]),
            account,
            person: ADA,
            status: MembershipStatus::Accepted,
            roles: vec![],
            created_at: 1,
            modified_at: 1,
        };
        session.insert_membership(&membership).await.unwrap();
    }
    let asking = async |session: &mut Session| -> Vec<AccountId> {
        let accounts = session.accounts_of_person(ADA).await.unwrap();
        accounts.iter().filter(|account| account.enforces_second_factor).map(|account| account.id).collect()
    };
    assert_eq!(session.accounts_of_person(ADA).await.unwrap().len(), 2);
    assert_eq!(session.accounts_of_person(BOB).await.unwrap(), []);
    assert_eq!(asking(&mut session).await, []);
    session.enforce_second_factor(ACCOUNT, true, 9).await.unwrap();
    assert_eq!(asking(&mut session).await, [ACCOUNT]);
    session.enforce_second_factor(ACCOUNT, false, 9).await.unwrap();
    assert_eq!(asking(&mut session).await, []);
}
