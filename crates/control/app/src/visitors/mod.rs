//! Certificates of visitors (edge-behaviour §7.9).
//!
//! * [`authorities`]: those that an account brings, to vouch for visitors of its zones;
//! * [`hosts`]: which hosts of a zone ask visitors for a certificate, and by whom it may be vouched for;
//! * [`issued`]: a zone's own authority, and what it issues and revokes.
//!
//! What becomes of a visitor that shows none, or one that nobody vouches for, the zone's rules decide (`cf.tls_client_auth.*`).

mod authorities;
mod hosts;
mod issued;

pub use self::{
    authorities::{MtlsCertificateDraft, MtlsCertificateUse},
    hosts::HostAssociations,
    issued::{VisitorCertificateDraft, VisitorCertificateShown},
};
