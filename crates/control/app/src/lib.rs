//! The verbs: everything that changes anything, and who may.
//!
//! The API, the dashboard, `admin.sock` and the demo are doors to the methods of [`App`]; none of them touches the store. Each
//! verb names the permission it needs ([`access`]), decides within one transaction, and returns once its change is durable and,
//! where a node runs in this process, obeyed.
#![forbid(unsafe_code)]

pub mod access;
mod access_rules;
mod accounts;
mod agents;
mod api_tokens;
mod audit;
pub mod certificates;
mod chain;
mod challenges;
pub mod configuration;
mod cookie_secrets;
pub mod copies;
mod delegation;
mod dnssec;
mod error;
mod events;
mod features;
mod generation;
mod health_checks;
mod holds;
mod identity;
pub mod idn;
mod ingress;
mod lists;
mod logins;
mod management;
mod members;
mod metrics;
pub mod notice;
mod notifications;
mod open;
mod origin_tls;
pub mod outbox;
mod people;
mod private_networks;
mod quick;
mod records;
mod refusals;
pub mod role;
mod route;
mod route_dns;
mod rule_standings;
mod rulesets;
mod scans;
mod secrets;
mod service;
mod settings;
mod sign_in;
mod ticket_keys;
mod transfers;
mod tunnel_health;
mod tunnel_objects;
mod tunnels;
mod visitors;
mod zone_deleted;
mod zone_life;
mod zones;

pub use access::{Caller, Identity, Request};
pub use agents::Agents;
pub use api_tokens::TokenText;
pub use certificates::{
    AcmeCredentials, AcmeSettings, CustomDraft, DuePack, IssuedCertificate, PackDraft, PackShown, ProofsShown, Revocation,
};
pub use challenges::{CHALLENGE_LIFE_SECS_MAX, CHALLENGES_OF_NAME_MAX, CHALLENGES_OF_ZONE_MAX};
pub use copies::{Copied, CopiedRecord, DueCopy, Primary};
pub use delegation::{DueZone, SeenDelegation};
pub use dnssec::Dnssec;
pub use error::AppError;
pub use features::Feature;
pub use generation::{GENERATION_WAIT_MAX, Generations, Live, NodeGeneration};
pub use health_checks::{HEALTH_CHECKS_OF_ZONE_MAX, Rewrite};
pub use identity::Credentials;
pub use lists::{ItemsChange, ListInfo};
pub use logins::{LOGIN_LIFE, LOGIN_POLL, LOGINS_MAX, LOGINS_OF_SOURCE_MAX, LoginBegun, LoginWaiting};
pub use management::ManagementToken;
pub use members::InvitationMade;
pub use open::{App, Clock, Settings, system_clock};
pub use origin_tls::{ClientCertificateDraft, OriginAuthorities, OriginCertificateDraft, OriginPullHosts};
pub use poterne_control_store::{
    Account, ApiToken, AuditEvent, AuditFilter, Certificate, CertificatePack, Challenge, ClientCertificate, ConfigSource,
    Configuration, DeletedZone, Membership, MembershipStatus, MtlsCertificate, OriginCertificate, OriginPullHost, Passkey,
    Person, RulesetOwner, StatusFilter, TextMatch, TokenOwner, TransferAcl, TransferPeer, Trouble, TsigKey, Tunnel, TunnelFilter,
    UserSession, Zone, ZoneIncoming, ZoneOrder, ZoneOutgoing,
};
pub use poterne_control_zonefile::import::FILE_OCTETS_MAX as ZONE_FILE_OCTETS_MAX;
pub use poterne_dns_sign::{Algorithm as DnssecAlgorithm, keyset::Role as DnssecRole, keyset::Status as DnssecStatus};
pub use poterne_guard::Range as OriginRange;
pub use private_networks::RouteNamed;
pub use quick::{QUICK_CREATIONS_MAX, QUICK_LIFE, QUICK_TUNNELS_MAX, QuickTunnel};
pub use records::{BatchDone, BatchDrafts, Brought, BroughtRecords, Imported, KeptRecord};
pub use refusals::{LOOK_BACK_AFTER, LOOKS_MAX};
pub use route::{Leads, RecordOutcome, Routed};
pub use route_dns::NameRouted;
pub use rule_standings::{Named, Reason, RuleStanding, RuleState, names_of};
pub use scans::{Found, PassedOver, Reviewed, ScanDone, ScanState};
pub use secrets::{Rotation, Token};
pub use service::{OriginKeys, Service};
pub use sign_in::{
    CONFIRMED_FOR, Enrolment, Invited, LinkTo, PASSWORD_BYTES, Proof, SESSION_IDLE, SESSION_LIFE, SecondFactorAsked,
    SecondFactors, SignInError, SignedIn, Site, Step, Visit,
};
pub use tunnel_health::LOOK_EVERY as TUNNELS_LOOKED_AT_EVERY;
pub use tunnels::{Deleted, NewTunnel, TunnelInfo};
pub use visitors::{
    HostAssociations, MtlsCertificateDraft, MtlsCertificateUse, VisitorCertificateDraft, VisitorCertificateShown,
};
pub use zone_deleted::{ZONE_KEPT_SECS, ZONES_KEPT_MAX};
pub use zones::{PartialProof, ZoneListed, ZoneWanted};
