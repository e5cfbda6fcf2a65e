//! Health checks of zones, and what nodes told of them.

use std::collections::HashMap;

use poterne_model::{
    HealthCheckId, Timestamp, ZoneId,
    health_check::{HealthCheck, HealthCheckTerms, HealthStatus},
};

use crate::{
    Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parsed},
    touched::Touched,
};

impl Session {
    /// A new check; nodes are told.
    pub async fn insert_health_check(&mut self, zone: ZoneId, check: &HealthCheck) -> Result<(), StoreError> {
        let statement = "INSERT INTO health_check (id, zone, terms, told, failure_reason, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(check.id.to_string())
            .bind(zone.to_string())
            .bind(json(&check.terms))
            .bind(check.told.as_str())
            .bind(&check.failure_reason)
            .bind(check.created_on.as_micros())
            .bind(check.modified_on.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "health check")?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// Changes what a check says, and how its origin is; nodes are told.
    pub async fn update_health_check(&mut self, zone: ZoneId, check: &HealthCheck) -> Result<(), StoreError> {
        let statement = "UPDATE health_check SET terms = $3, told = $4, failure_reason = $5, modified_at = $6
            WHERE zone = $1 AND id = $2";
        let done = query(statement)
            .bind(zone.to_string())
            .bind(check.id.to_string())
            .bind(json(&check.terms))
            .bind(check.told.as_str())
            .bind(&check.failure_reason)
            .bind(check.modified_on.as_micros())
            .execute(self.connection())
            .await?;
        changed(done, "health check")?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// Keeps how a check's origin is; no node obeys that, and none is told.
    pub async fn tell_health_check(
        &mut self,
        zone: ZoneId,
        id: HealthCheckId,
        told: HealthStatus,
        failure_reason: &str,
    ) -> Result<(), StoreError> {
        let statement = query("UPDATE health_check SET told = $3, failure_reason = $4 WHERE zone = $1 AND id = $2");
        let statement = statement.bind(zone.to_string()).bind(id.to_string()).bind(told.as_str()).bind(failure_reason);
        changed(statement.execute(self.connection()).await?, "health check")
    }

    /// Takes a check away; nodes are told.
    pub async fn delete_health_check(&mut self, zone: ZoneId, id: HealthCheckId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM health_check WHERE zone = $1 AND id = $2");
        let done = statement.bind(zone.to_string()).bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "health check")?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// A zone's checks, oldest first.
    pub async fn health_checks(&mut self, zone: ZoneId) -> Result<Vec<HealthCheck>, StoreError> {
        let statement = query("SELECT * FROM health_check WHERE zone = $1 ORDER BY created_at, id").bind(zone.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(check).collect()
    }

    /// One of them.
    pub async fn health_check(&mut self, zone: ZoneId, id: HealthCheckId) -> Result<Option<HealthCheck>, StoreError> {
        let statement = query("SELECT * FROM health_check WHERE zone = $1 AND id = $2").bind(zone.to_string());
        statement.bind(id.to_string()).fetch_optional(self.connection()).await?.as_ref().map(check).transpose()
    }

    /// The checks of all zones, each zone's oldest first.
    pub async fn health_checks_of_all(&mut self) -> Result<HashMap<ZoneId, Vec<HealthCheck>>, StoreError> {
        let rows = query("SELECT * FROM health_check ORDER BY created_at, id").fetch_all(self.connection()).await?;
        let mut all: HashMap<ZoneId, Vec<HealthCheck>> = HashMap::new();
        for row in &rows {
            all.entry(parsed(row, "zone")?).or_default().push(check(row)?);
        }
        Ok(all)
    }
}

fn json(terms: &HealthCheckTerms) -> String {
    serde_json::to_string(terms).expect("terms are always JSON")
}

fn check(row: &Row) -> Result<HealthCheck, StoreError> {
    let damaged = |why: String| StoreError::Damaged { what: "health check", why };
    let told: &str = cell(row, "told")?;
    Ok(HealthCheck {
        id: parsed(row, "id")?,
        terms: serde_json::from_str(cell(row, "terms")?).map_err(|error| damaged(error.to_string()))?,
        told: HealthStatus::of_word(told).ok_or_else(|| damaged(format!("it is {told:?}")))?,
        failure_reason: cell(row, "failure_reason")?,
        created_on: Timestamp::from_micros(cell(row, "created_at")?),
        modified_on: Timestamp::from_micros(cell(row, "modified_at")?),
    })
}
