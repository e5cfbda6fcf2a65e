//! The settings of a zone: which there are, what each may say, and what holds where nobody said anything (api-v4 §10).
//!
//! A zone keeps only what was changed; [`catalogue`] holds the rest, so that a default improved here reaches every zone that
//! never chose. Every setting of the catalogue is kept and told back, also those that no engine obeys yet: which are in force is
//! asked elsewhere. All of them may be edited by whoever may edit settings at all, there being no plans: `editable` is always true.
//!
//! * [`kind`]: what a value may be, and its normal form;
//! * [`catalogue`]: every setting by id;
//! * [`zone`]: a zone's own values over the catalogue, and development mode, which ends by itself;
//! * [`dns`]: the settings of a zone's DNS (api-v4 §5);
//! * [`origin`]: what of them concerns origins;
//! * [`edge`]: what of them concerns visitors, and the fields that the edge writes;
//! * [`normalization`]: what is done to a URL before rules see it;
//! * [`managed`]: fields that are added or removed by name alone.

pub mod catalogue;
pub mod dns;
pub mod edge;
pub mod kind;
pub mod managed;
pub mod normalization;
pub mod origin;
pub mod zone;

pub use catalogue::{Setting, find};
pub use dns::DnsSettings;
pub use edge::{EdgeSettings, Hsts, PseudoIpv4, TlsVersions};
pub use managed::ManagedHeaders;
pub use normalization::UrlNormalization;
pub use origin::{OriginSettings, SslMode};
pub use zone::{Change, DevelopmentMode, SettingView, ZoneSettings};

use crate::ShapeError;

/// Why a setting was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No setting of that id.
    #[error("there is no zone setting {id:?}{}", nearest.map(|id| format!(": did you mean {id:?}?")).unwrap_or_default())]
    Unknown {
        /// As asked for, at most 64 characters of it.
        id: String,
        /// The id that is spelled most alike, if any is close.
        nearest: Option<&'static str>,
    },
    /// Not a value of that setting.
    #[error("the zone setting {id:?} was not changed: {error}")]
    Value {
        /// The setting.
        id: &'static str,
        /// Where and why, and what is allowed.
        error: ShapeError,
    },
}
