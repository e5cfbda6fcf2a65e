//! Policies, and the one decision.

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Permission, PermissionGroup, Resource, Target, group, resource};
use crate::{
    AccountId, At, Network, NetworkError, PermissionGroupId, PolicyId, Schema, ShapeError, Timestamp, ZoneId, word::words,
};

/// Most policies of one token.
pub const POLICIES_MAX: usize = 100;

/// Most networks in one condition.
pub const NETWORKS_MAX: usize = 200;

words! {
    /// What a policy does with what it names.
    pub enum Effect {
        /// Gives it.
        Allow = "allow",
        /// Takes it, whatever others give.
        Deny = "deny",
    }
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// Gives or takes.
    pub effect: Effect,
    /// Over what.
    pub resources: BTreeSet<Resource>,
    /// What, in the order in which it was written, since clients compare lists, and without repetitions. An id that this version has no
    /// group for gives nothing; see [`Terms::may`] for what it takes.
    pub groups: Vec<PermissionGroupId>,
}

/// From where a token may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Only from these; none: from everywhere.
    pub within: Vec<Written>,
    /// Never from these.
    pub outside: Vec<Written>,
}

/// A network in the spelling of whoever wrote it: clients compare texts, and `192.0.2.7/32` is another one than `192.0.2.7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Written {
    network: Network,
    text: String,
}

impl FromStr for Written {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let text = text.trim();
        Ok(Self { network: text.parse()?, text: text.to_owned() })
    }
}

impl TryFrom<String> for Written {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Written> for String {
    fn from(written: Written) -> Self {
        written.text
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a token may do, from where and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The account that owns it, for a token of an account: it reaches nothing else. None: a user's, who reaches what its
    /// memberships let it, which is decided beside this.
    pub owner: Option<AccountId>,
    /// Allowing and denying.
    pub policies: Vec<Policy>,
    /// From where.
    pub condition: Condition,
    /// Not yet before this instant.
    pub not_before: Option<Timestamp>,
    /// No more from this instant on.
    pub expires_on: Option<Timestamp>,
}

impl Policy {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let group = Schema::object([("id", Schema::hex("a permission group").required())]);
        Schema::object([
            ("effect", Schema::one_of(Effect::WORDS).by_default("allow")),
            ("resources", resource::schema().required()),
            ("permission_groups", Schema::items(group, group::GROUPS.len() * 2).not_empty().required()),
        ])
    }

    /// From one item of `policies`. Its id is handed in: one that a body brings is kept only by whoever knows that it is this
    /// token's.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(at: &At<'_>, id: PolicyId) -> Result<Self, ShapeError> {
        at.object()?;
        let effect = at.member("effect").map_or(Ok(Effect::Allow), |effect| Effect::read(&effect))?;
        let resources = resource::read(&at.required("resources")?)?;
        let given = at.required("permission_groups")?;
        let mut groups = Vec::new();
        for item in given.items(group::GROUPS.len() * 2)? {
            let id = item.required("id")?;
            let parsed = id.text(64)?.parse::<PermissionGroupId>();
            let parsed = parsed.map_err(|error| ShapeError::new(id.pointer(), error.to_string()))?;
            if group::by_id(parsed).is_none() {
                return Err(id.wrong("there is no permission group of that id; list them at /user/tokens/permission_groups"));
            }
            if !groups.contains(&parsed) {
                groups.push(parsed);
            }
        }
        if groups.is_empty() {
            return Err(given.wrong("write at least one permission group"));
        }
        Ok(Self { id, effect, resources, groups })
    }

    fn gives(&self, permission: Permission, target: Target) -> bool {
        self.effect == Effect::Allow
            && self.resources.iter().any(|resource| resource.covers(target))
            && self.names(|group| group.gives(permission))
    }

    fn takes(&self, permission: Permission, target: Target) -> bool {
        let unknown = || self.groups.iter().any(|id| group::by_id(*id).is_none());
        self.effect == Effect::Deny
            && self.resources.iter().any(|resource| resource.bars(target))
            && (self.names(|group| group.takes(permission)) || unknown())
    }

    /// Whether one of its groups is such a one. The few that are come first and are then looked for: asked at every request, and a policy
    /// may name every group there is.
    fn names(&self, is_such: impl Fn(&PermissionGroup) -> bool) -> bool {
        group::GROUPS.iter().any(|group| is_such(group) && self.groups.contains(&group.id()))
    }
}

impl Condition {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let list = || Schema::items(Schema::network(), NETWORKS_MAX);
        Schema::object([("request_ip", Schema::object([("in", list()), ("not_in", list())]))])
    }

    /// From the `condition` of a body.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(at: &At<'_>) -> Result<Self, ShapeError> {
        at.object()?;
        let Some(request_ip) = at.member("request_ip") else { return Ok(Self::default()) };
        request_ip.object()?;
        let list = |key: &str| -> Result<Vec<Written>, ShapeError> {
            let Some(list) = request_ip.member(key) else { return Ok(Vec::new()) };
            list.items(NETWORKS_MAX)?
                .map(|item| {
                    item.text(64)?.parse().map_err(|error: NetworkError| ShapeError::new(item.pointer(), error.to_string()))
                })
                .collect()
        };
        Ok(Self { within: list("in")?, outside: list("not_in")? })
    }

    /// Whether an address is one it may be used from.
    pub fn holds(&self, address: IpAddr) -> bool {
        let lies_in = |networks: &[Written]| networks.iter().any(|written| written.network.contains(address));
        (self.within.is_empty() || lies_in(&self.within)) && !lies_in(&self.outside)
    }

    /// Whether it asks nothing.
    pub const fn is_empty(&self) -> bool {
        self.within.is_empty() && self.outside.is_empty()
    }
}

impl Terms {
    /// With the policies that say what one of `before` said under the id they had: a PUT that repeats a policy keeps it.
    #[must_use]
    pub fn keeping_ids(mut self, before: &Self) -> Self {
        let mut free: Vec<&Policy> = before.policies.iter().collect();
        for policy in &mut self.policies {
            let said = |old: &&Policy| {
                let groups = |of: &Policy| of.groups.iter().copied().collect::<BTreeSet<_>>();
                (old.effect, &old.resources, groups(old)) == (policy.effect, &policy.resources, groups(policy))
            };
            if let Some(place) = free.iter().position(said) {
                policy.id = free.swap_remove(place).id;
            }
        }
        self
    }

    /// The zones that a policy names, one by one. About all others [`Terms::may`] says the same, account by account.
    pub fn zones_named(&self) -> BTreeSet<ZoneId> {
        self.policies.iter().flat_map(|policy| &policy.resources).filter_map(Resource::zone).collect()
    }

    /// Whether it may be used at all, from there and now.
    pub fn is_usable(&self, address: IpAddr, now: Timestamp) -> bool {
        self.not_before.is_none_or(|start| start <= now)
            && self.expires_on.is_none_or(|end| now < end)
            && self.condition.holds(address)
    }

    /// **The decision**: whether the permission is given over the target, from there and now.
    ///
    /// Some policy must allow it, and none deny it; the order of policies says nothing. A policy that denies a group this version
    /// does not know denies everything over its resources: it was written to take something, and what is not known.
    pub fn may(&self, permission: Permission, target: Target, address: IpAddr, now: Timestamp) -> bool {
        let owned = match (self.owner, target) {
            (None, _) => true,
            (Some(owner), Target::Account(account) | Target::Zone(account, _) | Target::NewZone(account)) => owner == account,
            (Some(_), Target::User(_)) => false,
        };
        owned
            && permission.subject.level() == target.level()
            && self.is_usable(address, now)
            && self.policies.iter().any(|policy| policy.gives(permission, target))
            && !self.policies.iter().any(|policy| policy.takes(permission, target))
    }
}
