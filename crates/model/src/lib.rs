//! The nouns of Poterne, and the decisions that need nothing but them.
//!
//! No IO, no async, no third-party wire format: whatever speaks a foreign dialect converts into these types at its own
//! door, and refuses there what does not parse. Everybody inside says [`Name`], [`RecordSet`], [`TunnelId`].
//!
//! * [`id`]: one type per kind of id, so that a [`ZoneId`] never fits where a [`TunnelId`] goes;
//! * [`name`]: owner names and host names, parsed once;
//! * [`record`]: what a zone holds, as routing needs it; [`rdata`]: the data of one record, as people and clients write it;
//! * [`entry`]: one record with its attributes, and the draft a client submits; [`conflict`]: which records may stand together at
//!   one name; [`proxy`]: whether the edge can stand before one; [`filter`]: which records a list holds;
//! * [`delegation`]: when a zone's delegation is looked at, and what becomes of the zone;
//! * [`chain`]: where a proxied name leads, by walking its CNAMEs;
//! * [`tunnel`]: tunnels, their connectors, and the status anyone may ask for;
//! * [`ruleset`]: rules in phases, and how they are edited;
//! * [`network`]: addresses and networks in one spelling; [`address`]: which of them mean the same to everybody;
//! * [`list`]: addresses, hosts, networks and redirects that rules refer to by name;
//! * [`access_rule`]: one culprit or friend, let in or kept out;
//! * [`private_network`]: routes through tunnels, and virtual networks;
//! * [`health_check`]: what origins are asked again and again;
//! * [`notification`]: which events of an account are told, and to whom;
//! * [`permission`]: what a verb needs, and whether a token's policies give it;
//! * [`secondary`]: zones that are shared with other name servers;
//! * [`setting`]: the settings of a zone;
//! * [`time`]: an instant of the calendar;
//! * [`visitor_certificate`]: by which a visitor shows who it is;
//! * [`schema`]: what a body may be, for whoever describes the API;
//! * [`shape`]: a JSON tree, looked at with its place. What an engine will read one day is kept as the tree it came as.
#![forbid(unsafe_code)]

pub mod access_rule;
pub mod address;
pub mod chain;
pub mod conflict;
pub mod delegation;
pub mod entry;
pub mod filter;
pub mod health_check;
pub mod id;
pub mod list;
pub mod name;
pub mod network;
pub mod notification;
mod openapi;
pub mod permission;
pub mod private_network;
pub mod proxy;
pub mod rdata;
pub mod record;
pub mod ruleset;
pub mod schema;
pub mod secondary;
pub mod setting;
pub mod shape;
pub mod spelling;
pub mod time;
pub mod tunnel;
pub mod visitor_certificate;
mod word;
pub mod zone;
pub mod zone_life;

pub use entry::{Draft, Entry, EntryError};
pub use id::{
    AccessRuleId, AccountId, AclId, AuditId, CertificateId, CertificatePackId, ChallengeId, ConnectionId, ConnectorId,
    HealthCheckId, IdError, ListId, ListItemId, ListOperationId, MembershipId, NoticeId, NotificationPolicyId, PasskeyId, PeerId,
    PermissionGroupId, PolicyId, RecordId, RouteId, RuleId, RulesetId, SessionId, TokenId, TsigId, TunnelId, UserId,
    VirtualNetworkId, WebhookId, ZoneId,
};
pub use name::{Name, NameError};
pub use network::{Network, NetworkError};
pub use rdata::{Rdata, RdataError, Rtype};
pub use record::{RecordData, RecordSet, RecordType};
pub use schema::{Schema, Variation};
pub use shape::{At, ShapeError};
pub use time::Timestamp;
pub use tunnel::{ConnectionInfo, ConnectorInfo, TunnelStatus};
pub use visitor_certificate::{ClientAuth, ShownCertificate};
pub use zone::{ZoneHold, ZoneKind, ZoneStatus};
