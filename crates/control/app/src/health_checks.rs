//! Health checks of zones' origins: what is to be asked, and what nodes tell of the answers (docs/health-checks.md).

use poterne_control_store::{Session, Zone};
use poterne_keys::random_bytes;
use poterne_model::{
    AccountId, At, HealthCheckId, ShapeError, Timestamp, ZoneId,
    health_check::{CheckedAddress, HealthCheck, HealthCheckTerms, HealthStatus},
};
use serde_json::{Value, json};

use crate::{App, AppError, Caller, access::Subject, audit::Traced, notice::Notice};

/// Most checks of a zone.
pub const HEALTH_CHECKS_OF_ZONE_MAX: usize = 50;

/// Longest reason that is kept, in characters; a node's own words are shorter.
const REASON_CHARS_MAX: usize = 500;

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrite {
    /// PUT: what it does not say has its default.
    Whole,
    /// PATCH: what it does not say stays.
    Part,
}

impl App {
    /// A zone's checks, oldest first.
    pub async fn health_checks(&self, caller: &Caller, zone: ZoneId) -> Result<Vec<HealthCheck>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::HealthChecks.to_read()).await?;
        Ok(session.health_checks(zone).await?)
    }

    /// One of them.
    pub async fn health_check(&self, caller: &Caller, zone: ZoneId, id: HealthCheckId) -> Result<HealthCheck, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::HealthChecks.to_read()).await?;
        found(&mut session, zone, id).await
    }

    /// Makes one from the body of a POST.
    pub async fn health_check_create(&self, caller: &Caller, zone: ZoneId, body: &At<'_>) -> Result<HealthCheck, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::HealthChecks.to_edit()).await?;
        let terms = HealthCheckTerms::read(body, None)?;
        self.check_reach(zone.account, &terms)?;
        if session.health_checks(zone.id).await?.len() >= HEALTH_CHECKS_OF_ZONE_MAX {
            let why = format!("{} has {HEALTH_CHECKS_OF_ZONE_MAX} already: delete one first", zone.apex);
            return Err(AppError::Invalid { what: "health checks", why });
        }
        let now = self.instant();
        let check = HealthCheck {
            id: HealthCheckId::from_bytes(random_bytes()),
            terms,
            told: HealthStatus::Unknown,
            failure_reason: String::new(),
            created_on: now,
            modified_on: now,
        };
        session.insert_health_check(zone.id, &check).await?;
        self.trace(&mut session, caller, traced("create", &zone, None, Some(&check))).await?;
        self.finish(session).await?;
        Ok(check)
    }

    /// Changes one. How its origin is nobody knows afterwards, where something else is asked or made of the answers.
    pub async fn health_check_change(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: HealthCheckId,
        body: &At<'_>,
        rewrite: Rewrite,
    ) -> Result<HealthCheck, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::HealthChecks.to_edit()).await?;
        let before = found(&mut session, zone.id, id).await?;
        let terms = HealthCheckTerms::read(body, (rewrite == Rewrite::Part).then_some(&before.terms))?;
        if terms == before.terms {
            return Ok(before);
        }
        self.check_reach(zone.account, &terms)?;
        let mut after = HealthCheck { terms, modified_on: later(self.instant(), before.modified_on), ..before.clone() };
        if !after.terms.asks_the_same(&before.terms) {
            (after.told, after.failure_reason) = (HealthStatus::Unknown, String::new());
        }
        session.update_health_check(zone.id, &after).await?;
        self.trace(&mut session, caller, traced("update", &zone, Some(&before), Some(&after))).await?;
        self.finish(session).await?;
        Ok(after)
    }

    /// Takes one away.
    pub async fn health_check_delete(&self, caller: &Caller, zone: ZoneId, id: HealthCheckId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::HealthChecks.to_edit()).await?;
        let before = found(&mut session, zone.id, id).await?;
        session.delete_health_check(zone.id, id).await?;
        self.trace(&mut session, caller, traced("delete", &zone, Some(&before), None)).await?;
        self.finish(session).await
    }

    /// Refuses an address that no node ever asks. Where a name leads is seen when it is asked.
    fn check_reach(&self, account: AccountId, terms: &HealthCheckTerms) -> Result<(), ShapeError> {
        let CheckedAddress::Ip(address) = terms.address else { return Ok(()) };
        let admitted = self.guard().admits(account, (address, terms.port()).into(), false);
        admitted.map(drop).map_err(|refusal| ShapeError::new("/address", format!("/address: {refusal}")))
    }

    /// A node found out how a check's origin is: `why` it is unhealthy; none: it is healthy. Of a check that says something else by now, or
    /// is gone, nothing is kept.
    pub(crate) async fn origin_checked(
        &self,
        zone: ZoneId,
        id: HealthCheckId,
        revision: i64,
        why: Option<String>,
    ) -> Result<(), AppError> {
        let is = if why.is_some() { HealthStatus::Unhealthy } else { HealthStatus::Healthy };
        let reason: String = why.unwrap_or_default().chars().take(REASON_CHARS_MAX).collect();
        let is_news = |check: &HealthCheck| {
            let is_current = check.modified_on.as_micros() == revision && !check.terms.suspended;
            is_current && (check.told, &check.failure_reason) != (is, &reason)
        };
        // Most of what is told again is known: nobody who writes waits for that.
        if !self.0.store.read().await?.health_check(zone, id).await?.is_some_and(|check| is_news(&check)) {
            return Ok(());
        }
        let mut session = self.0.store.write().await?;
        let Some(check) = session.health_check(zone, id).await?.filter(is_news) else { return Ok(()) };
        let Some(zone) = session.zone(zone).await? else { return Ok(()) };
        session.tell_health_check(zone.id, id, is, &reason).await?;
        // That what nobody knew of is well is no news.
        if check.told != is && (check.told, is) != (HealthStatus::Unknown, HealthStatus::Healthy) {
            tracing::info!(zone = %zone.apex, account = %zone.account, check = check.terms.name, status = %is, reason, "the origin of a health check changed");
            let notice = Notice::HealthCheck {
                zone: zone.id,
                zone_name: zone.apex.to_string(),
                check: id,
                name: check.terms.name.clone(),
                address: check.terms.address.to_string(),
                status: is,
                before: check.told,
                why: (!reason.is_empty()).then_some(reason),
                at: self.instant(),
            };
            self.alert(&mut session, zone.account, &notice).await?;
        }
        session.commit_silently().await?;
        Ok(())
    }
}

async fn found(session: &mut Session, zone: ZoneId, id: HealthCheckId) -> Result<HealthCheck, AppError> {
    session.health_check(zone, id).await?.ok_or(AppError::NotFound("health check"))
}

/// Later than what was: a version is known by its time, and clocks stand still and go back.
fn later(now: Timestamp, before: Timestamp) -> Timestamp {
    now.max(Timestamp::from_micros(before.as_micros().saturating_add(1)))
}

/// Without the values of fields, which may let whoever has them in.
fn shown(check: &HealthCheck) -> Value {
    let terms = &check.terms;
    let http = terms.http.as_ref().map(|http| {
        let codes: Vec<String> = http.expected_codes.iter().map(ToString::to_string).collect();
        let fields: Vec<&String> = http.header.keys().collect();
        json!({ "method": http.method, "path": http.path, "port": http.port, "expected_codes": codes,
            "follow_redirects": http.follow_redirects, "allow_insecure": http.allow_insecure, "header": fields })
    });
    json!({ "name": terms.name, "address": terms.address.to_string(), "type": terms.kind, "interval": terms.interval_secs,
        "timeout": terms.timeout_secs, "retries": terms.retries, "consecutive_fails": terms.consecutive_fails,
        "consecutive_successes": terms.consecutive_successes, "suspended": terms.suspended, "http_config": http,
        "tcp_config": terms.tcp.as_ref().map(|tcp| json!({ "port": tcp.port })) })
}

fn traced(action: &'static str, zone: &Zone, old: Option<&HealthCheck>, new: Option<&HealthCheck>) -> Traced {
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action,
        kind: "health_check",
        id: new.or(old).map_or_else(String::new, |check| check.id.to_string()),
        old: old.map(shown),
        new: new.map(shown),
    }
}
