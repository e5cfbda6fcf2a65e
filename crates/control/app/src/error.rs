//! Why a verb refused, in words for whoever called it.

use std::sync::Arc;

use poterne_control_store::{StoreError, Trouble};
use poterne_dns_sign::KeyError;
use poterne_keys::EnvelopeError;
use poterne_model::{
    EntryError, Name, NameError, ShapeError,
    access_rule::DuplicateAccessRule,
    chain::ChainError,
    conflict::Conflict,
    list::ListError,
    private_network::{RouteError, VirtualNetworkError},
    ruleset::{Phase, PhaseError, RulesetError},
    setting::SettingError,
};

use crate::{SignInError, access::Permission};

/// Why a verb did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The caller lacks the permission.
    #[error("this needs the permission {permission}")]
    Forbidden {
        /// Which.
        permission: Permission,
    },
    /// Only the operator of the node may.
    #[error("only the operator of the node can do this, with `poterne` on its machine")]
    OperatorOnly,
    /// Only those who own the node's first account may.
    #[error("only a Super Administrator of this node's first account may make accounts, with a token that may edit that account")]
    FirstAccountOnly,
    /// Not there, or not for this caller to see.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// There already.
    #[error("{0}")]
    Exists(String),
    /// A token nobody has.
    #[error("this API token is not known: it was mistyped, deleted, or is another instance's")]
    UnknownToken,
    /// A token that may not be used.
    #[error("this API token cannot be used: {0}")]
    Unusable(&'static str),
    /// Too many tokens or keys that nobody has were shown from one place.
    #[error("too many unknown tokens or keys were shown from your address: try again in {retry_secs} seconds")]
    RefusedTooOften {
        /// When to try again.
        retry_secs: u64,
    },
    /// An address and key nobody has.
    #[error("no user has this X-Auth-Email and X-Auth-Key")]
    UnknownKey,
    /// A value that cannot be.
    #[error("{what}: {why}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// Why, and what to do.
        why: String,
    },
    /// A record that cannot be.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A record that cannot stand beside others at its name.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// One operation of a batch cannot be, so nothing of it was done.
    #[error("{error}")]
    InBatch {
        /// Which, as a JSON pointer into the batch.
        pointer: String,
        /// Why.
        error: Box<AppError>,
    },
    /// A zone file that cannot be taken: codes and what is wrong, line by line.
    #[error("the zone file was not taken: {}", .0.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("; "))]
    ZoneFile(Vec<(i64, String)>),
    /// A member of a body that cannot be.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A setting that was not changed.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A phase that has no rules here.
    #[error(transparent)]
    Phase(#[from] PhaseError),
    /// A phase whose rules nobody wrote yet.
    #[error("the phase {0} has no ruleset here yet: a PUT of its entry point makes one")]
    NoEntryPoint(Phase),
    /// A ruleset that was not changed.
    #[error(transparent)]
    Ruleset(#[from] RulesetError),
    /// A list that was not changed.
    #[error(transparent)]
    List(#[from] ListError),
    /// An access rule for the same is there.
    #[error(transparent)]
    AccessRule(#[from] DuplicateAccessRule),
    /// A private route that cannot be.
    #[error(transparent)]
    PrivateRoute(#[from] RouteError),
    /// A virtual network that was not changed.
    #[error(transparent)]
    VirtualNetwork(#[from] VirtualNetworkError),
    /// Something else leans on it.
    #[error("the {what} {name:?} stays: {why}")]
    InUse {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
        /// Who leans on it, and what to do.
        why: String,
    },
    /// The zone's parent shows a DS record of it.
    #[error(
        "the zone {0} stays: the zone above shows a DS record of it, and once it is gone resolvers that validate find nothing true under \
         that name, here or elsewhere. Take the DS away at the registrar, set DNSSEC to \"disabled\", and delete the zone two days later; \
         or delete it all the same (force=true, --force)"
    )]
    DsAtParent(Name),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A zone name that cannot be one.
    #[error("{name} cannot be a zone: {why}")]
    ZoneName {
        /// The name.
        name: Name,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The zone is there.
    #[error("the zone {0} exists already; see `poterne zone list`")]
    ZoneExists(Name),
    /// The zone is not there.
    #[error("there is no zone {0}: add it with `poterne zone add {0}`")]
    ZoneNotFound(Name),
    /// Another account holds the name.
    #[error("{name} may not be added: another account of this node holds {held}")]
    ZoneHeld {
        /// What was to be added.
        name: Name,
        /// The zone that is held.
        held: Name,
    },
    /// Another account's zone of that name serves.
    #[error("another account's zone {0} is active: only one can be in force")]
    ZoneServedElsewhere(Name),
    /// A hostname in no zone.
    #[error("{hostname} is in no zone of this account: add the zone first, for example `poterne zone add {suggestion}`")]
    NoZone {
        /// The hostname.
        hostname: Name,
        /// Its likely zone.
        suggestion: String,
    },
    /// A hostname that cannot be published.
    #[error("{hostname} cannot be published: {why}")]
    Hostname {
        /// The hostname.
        hostname: Name,
        /// Why.
        why: &'static str,
    },
    /// Records that are not ours stand at the name.
    #[error("an A, AAAA or CNAME record for {hostname} exists already: delete it first if the tunnel should take its place")]
    RecordExists {
        /// The name.
        hostname: Name,
    },
    /// Records stand at the name, and were not to be replaced.
    #[error("An A, AAAA, or CNAME record with that host already exists: {0}")]
    HostExists(Name),
    /// The chain of CNAMEs is wrong.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A tunnel name that cannot be one.
    #[error("{name:?} cannot be a tunnel's name: {why}")]
    TunnelName {
        /// The name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A tunnel of this name is there.
    #[error("a tunnel named {0:?} exists already; see `poterne tunnel list`")]
    TunnelExists(String),
    /// No such tunnel.
    #[error("there is no tunnel {0:?}; see `poterne tunnel list`")]
    TunnelNotFound(String),
    /// The tunnel is in use.
    #[error("the tunnel {name:?} has {connections} active connections: stop its agents first, or delete it with --force")]
    TunnelConnected {
        /// Its name.
        name: String,
        /// How many.
        connections: u64,
    },
    /// The configuration would not be accepted by agents.
    #[error("the tunnel's configuration is wrong: {0}")]
    Configuration(String),
    /// A key of a rule that no agent could use.
    #[error("originRequest.{key} cannot be {value:?}: it must be visible characters, at most 4096")]
    OriginKey {
        /// The key.
        key: &'static str,
        /// Its value, cut to 100 characters.
        value: String,
    },
    /// Quick tunnels are not offered here.
    #[error("this node offers no quick tunnels: its operator can set `quick_domain` under [tunnel] in poterne.toml")]
    QuickTunnelsOff,
    /// The quick domain is somebody's zone.
    #[error("[tunnel] quick_domain = {0:?} is a zone of another account: choose a name of its own for it, such as quick.{0}")]
    QuickDomainTaken(Name),
    /// Too many quick tunnels from one address, or in all.
    #[error("too many quick tunnels were made {whose}: try again in {retry_secs} seconds")]
    QuickTunnelsLimited {
        /// By whom.
        whose: &'static str,
        /// When to try again.
        retry_secs: u64,
    },
    /// Too many agents wait to be logged in.
    #[error(
        "too many agents wait to be logged in here or from your address; try again later, or use what `poterne cert` prints on the node"
    )]
    LoginsLimited {
        /// When to try again.
        retry_secs: u64,
    },
    /// Too many invitations of one account, or to one address.
    #[error("too many invitations were sent from this account, or to this address: try again in {retry_secs} seconds")]
    InvitationsLimited {
        /// When to try again.
        retry_secs: u64,
    },
    /// A zone's delegation was looked at a moment ago.
    #[error(
        "the delegation of {zone} was looked at a moment ago on request: ask again in {retry_secs} seconds; it is looked at by itself meanwhile"
    )]
    ChecksLimited {
        /// The zone.
        zone: Name,
        /// When to try again.
        retry_secs: u64,
    },
    /// A zone was scanned a moment ago.
    #[error("{zone} was scanned a moment ago: ask again in {retry_secs} seconds")]
    ScansLimited {
        /// The zone.
        zone: Name,
        /// When to try again.
        retry_secs: u64,
    },
    /// A scan takes longer than anybody waits.
    #[error("the scan goes on: what it finds can be reviewed when it has ended")]
    ScanGoesOn,
    /// Somebody was not signed in, or must show who they are.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// As much of the heavy work as the machine has room for is being done.
    #[error("too many people are signing in at this moment: try again in a second")]
    Busy,
    /// Hashing a password, or reading what is kept of a factor, failed.
    #[error("signing in failed within the node: {0}")]
    Hashing(String),
    /// The store holds keys of another node key.
    #[error("the store's keys do not open with this node key ({0}): restore the node key that belongs to this state directory")]
    Keys(#[from] EnvelopeError),
    /// Keys of a zone could not be made or used.
    #[error("signing the zone failed within the node: {0}")]
    Signing(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppError {
    /// The same of what is asked of the store once a change is kept: a store that is gone by then leaves whoever asked in doubt. It would
    /// be false to say that nothing was changed.
    #[must_use]
    pub fn once_kept(self) -> Self {
        match self {
            Self::Store(cause) if !matches!(cause, StoreError::InDoubt(_)) => Self::Store(StoreError::InDoubt(Arc::new(cause))),
            other => other,
        }
    }

    /// What is the matter with the node, where the failure is its own.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Store(error) => error.trouble(),
            Self::InBatch { error, .. } => error.trouble(),
            _ => Trouble::Broken,
        }
    }
}
