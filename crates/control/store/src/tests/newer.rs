//! Tables that a newer program has brought up to date, and that was all it did.

use super::*;
use crate::Tables;

const STEP: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (9999, 'of a newer program', TRUE, $1, 0)";

#[tokio::test]
async fn a_former_program_goes_on_with_them_and_another_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    filled(Store::open(&path).await.unwrap()).await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut newer = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("ALTER TABLE zone ADD COLUMN colour TEXT").execute(&mut newer).await.unwrap();
    sqlx::query(STEP).bind(&b"x"[..]).execute(&mut newer).await.unwrap();
    newer.close().await.unwrap();
    assert!(matches!(Store::open(&path).await, Err(StoreError::Open { .. })), "nobody knows what they mean");
    let store = Store::open_with(&path, Tables::PerhapsNewer).await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.zones(None).await.unwrap().len(), 1);
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    session.commit().await.unwrap();
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn a_former_program_goes_on_with_them_and_another_does_not() {
        let fixture = begun(Engine::Postgres).await;
        let url = fixture.url.as_deref().unwrap();
        let mut newer = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query(STEP).bind(&b"x"[..]).execute(&mut newer).await.unwrap();
        assert!(matches!(Store::connect(url).await, Err(StoreError::Open { .. })));
        let store = Store::connect_with(url, Tables::PerhapsNewer).await.unwrap();
        assert_eq!(store.read().await.unwrap().zones(None).await.unwrap().len(), 1);
    }
}
