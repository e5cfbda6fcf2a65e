//! Health checks: what a zone's owner wants to be asked of an origin, again and again, and what came of it (edge-behaviour §2.13).
//!
//! * [`terms`]: what a check says, as a client writes it;
//! * [`code`]: the statuses that it takes for good.
//!
//! What is not here: how an origin is asked, and when it is called unhealthy (`edge/upstream`).

pub mod code;
pub mod terms;

use serde::{Deserialize, Serialize};

pub use code::CodeRange;
pub use terms::{CheckKind, CheckedAddress, HealthCheckTerms, HttpMethod, HttpTerms, Region, TcpTerms};

use crate::{HealthCheckId, Timestamp, word::words};

words! {
    /// How a check's origin is.
    #[derive(Default)]
    pub enum HealthStatus {
        /// It was not asked often enough yet, since the check was made or changed.
        #[default]
        Unknown = "unknown",
        /// It answers as it should.
        Healthy = "healthy",
        /// It does not.
        Unhealthy = "unhealthy",
        /// Nobody asks it.
        Suspended = "suspended",
    }
}

/// A check, and how its origin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Its id.
    pub id: HealthCheckId,
    /// What it says.
    pub terms: HealthCheckTerms,
    /// How the origin was when it was last told; of a suspended check see [`HealthCheck::status`].
    pub told: HealthStatus,
    /// Why it is unhealthy; else empty.
    pub failure_reason: String,
    /// When it was made.
    pub created_on: Timestamp,
    /// When it was last changed: of two results the one that belongs to what it says now is known by this.
    pub modified_on: Timestamp,
}

impl HealthCheck {
    /// How the origin is.
    pub const fn status(&self) -> HealthStatus {
        if self.terms.suspended { HealthStatus::Suspended } else { self.told }
    }
}

/// A check as nodes obey it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its id.
    pub id: HealthCheckId,
    /// When it was last changed, in microseconds since the epoch: results are told with it.
    pub revision: i64,
    /// What it says.
    pub terms: HealthCheckTerms,
}
