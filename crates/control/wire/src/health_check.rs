//! Health checks on the wire (the v4 API's `/zones/{zone}/healthchecks`).

use std::collections::BTreeMap;

use poterne_model::{
    HealthCheckId,
    health_check::{CheckKind, HealthCheck, HealthCheckTerms, HealthStatus, HttpMethod, HttpTerms, Region, TcpTerms},
};
use serde::{Deserialize, Serialize};

use crate::WireTime;

/// A check, and how its origin is.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `HealthCheckTerms`")]
pub struct HealthCheckObject {
    pub id: HealthCheckId,
    pub name: String,
    pub description: String,
    /// An address, or a name.
    pub address: String,
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// In seconds.
    pub interval: u32,
    /// In seconds.
    pub timeout: u32,
    pub retries: u32,
    pub consecutive_fails: u32,
    pub consecutive_successes: u32,
    pub suspended: bool,
    pub check_regions: Option<Vec<Region>>,
    pub http_config: Option<HttpConfigObject>,
    pub tcp_config: Option<TcpConfigObject>,
    pub status: HealthStatus,
    /// Why it is unhealthy; else empty.
    pub failure_reason: String,
    pub created_on: WireTime,
    pub modified_on: WireTime,
}

/// What is asked by a request, and what is a good answer.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `HttpTerms`")]
pub struct HttpConfigObject {
    pub method: HttpMethod,
    pub path: String,
    /// 0: the scheme's own.
    pub port: u16,
    /// As in `200` and `2xx`.
    pub expected_codes: Vec<String>,
    pub expected_body: String,
    pub follow_redirects: bool,
    pub allow_insecure: bool,
    /// By name, as it was written; null where there is none.
    pub header: Option<BTreeMap<String, Vec<String>>>,
}

/// Values of fields may let whoever has them in.
impl std::fmt::Debug for HttpConfigObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfigObject").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is asked by a connection.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `TcpTerms`")]
pub struct TcpConfigObject {
    /// `connection_established`.
    pub method: String,
    /// 0: 80.
    pub port: u16,
}

impl From<HealthCheck> for HealthCheckObject {
    fn from(check: HealthCheck) -> Self {
        let status = check.status();
        let HealthCheck { id, terms, failure_reason, created_on, modified_on, .. } = check;
        let address = terms.address.to_string();
        let HealthCheckTerms { name, description, kind, interval_secs, timeout_secs, retries, suspended, .. } = terms;
        Self {
            id,
            name,
            description,
            address,
            kind,
            interval: interval_secs,
            timeout: timeout_secs,
            retries,
            consecutive_fails: terms.consecutive_fails,
            consecutive_successes: terms.consecutive_successes,
            suspended,
            check_regions: terms.regions,
            http_config: terms.http.map(HttpConfigObject::from),
            tcp_config: terms.tcp.map(TcpConfigObject::from),
            status,
            failure_reason: if status == HealthStatus::Unhealthy { failure_reason } else { String::new() },
            created_on: created_on.into(),
            modified_on: modified_on.into(),
        }
    }
}

impl From<HttpTerms> for HttpConfigObject {
    fn from(terms: HttpTerms) -> Self {
        let HttpTerms { method, path, port, expected_codes, expected_body, follow_redirects, allow_insecure, header } = terms;
        let expected_codes = expected_codes.iter().map(ToString::to_string).collect();
        let header = (!header.is_empty()).then_some(header);
        Self { method, path, port, expected_codes, expected_body, follow_redirects, allow_insecure, header }
    }
}

impl From<TcpTerms> for TcpConfigObject {
    fn from(terms: TcpTerms) -> Self {
        Self { method: "connection_established".to_owned(), port: terms.port }
    }
}
