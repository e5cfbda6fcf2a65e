//! How edge and origins know each other (edge-behaviour §7.9).
//!
//! * [`client`]: what the edge shows a zone's origins: its own certificate of this instance's authority, or one that somebody brought;
//!   [`hosts`]: which of those that were brought for hosts it shows the origins of which;
//! * [`certificates`]: certificates of this instance's authority for origins (Origin CA), which `strict` accepts and no browser does.

mod certificates;
mod client;
mod hosts;

use std::sync::Arc;

use poterne_keys::LocalCa;

use crate::{App, AppError};

pub use self::{certificates::OriginCertificateDraft, client::ClientCertificateDraft, hosts::OriginPullHosts};

/// This instance's authorities for the way to origins. Handed in by the program, which has their keys.
pub struct OriginAuthorities {
    /// Vouches for origins towards the edge.
    pub origins: Arc<LocalCa>,
    /// Vouches for the edge towards origins.
    pub pulls: Arc<LocalCa>,
}

impl App {
    /// From now on certificates for origins are issued by these; whoever comes second is not heard.
    pub fn certify_origins_by(&self, authorities: OriginAuthorities) {
        let _ = self.0.origin_authorities.set(authorities);
    }

    fn origin_authorities(&self) -> Result<&OriginAuthorities, AppError> {
        let none = || AppError::Invalid { what: "certificate", why: "no node runs here that could issue one".to_owned() };
        self.0.origin_authorities.get().ok_or_else(none)
    }
}
