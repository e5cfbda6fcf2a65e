//! Virtual networks: the same addresses may mean different machines in two of them.
//!
//! One of an account's is always the default: the one that routes and clients mean when they name none. It may be handed on, and
//! neither given up nor deleted.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::COMMENT_CHARS_MAX;
use crate::{At, Schema, ShapeError, Timestamp, VirtualNetworkId};

/// What the one is called that every account has from the start.
pub const DEFAULT_NAME: &str = "default";

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 256;

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetwork {
    /// Its id.
    pub id: VirtualNetworkId,
    /// Unique among those of its account that are in force.
    pub name: String,
    /// For people; may be empty.
    pub comment: String,
    /// Whether it is meant where none is named.
    pub is_default: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted; none: it is in force.
    pub deleted_at: Option<Timestamp>,
}

/// What a body says of one; what is none stays, or is left to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `VirtualNetwork`")]
pub struct VirtualNetworkDraft {
    pub name: Option<String>,
    pub comment: Option<String>,
    pub is_default: Option<bool>,
}

/// Why a virtual network stayed as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VirtualNetworkError {
    /// There is none of that id.
    #[error("there is no virtual network {0}")]
    NotFound(VirtualNetworkId),
    /// The name is taken.
    #[error("a virtual network named {0:?} exists already")]
    NameTaken(String),
    /// A new one has to be called something.
    #[error("a virtual network needs a name: write \"name\"")]
    Nameless,
    /// The default would be none.
    #[error("{0:?} is the default: make another virtual network the default instead")]
    DefaultGivenUp(String),
    /// The default cannot go.
    #[error("{0:?} is the default and cannot be deleted: make another virtual network the default first")]
    DefaultDeleted(String),
    /// Routes would lead nowhere.
    #[error("{name:?} still has {routes} routes: delete them first, or delete it with force=true")]
    InUse {
        /// Its name.
        name: String,
        /// How many.
        routes: usize,
    },
}

impl VirtualNetworkDraft {
    /// What [`Self::read`] reads, of a new one and of one that is there.
    pub fn schema(is_new: bool) -> Schema {
        let name = Schema::text(NAME_CHARS_MAX).not_empty();
        let members = [
            ("name", if is_new { name.required() } else { name }),
            ("comment", Schema::text(COMMENT_CHARS_MAX)),
            ("is_default", Schema::boolean().about("routes and clients that name none mean the default one")),
            ("is_default_network", Schema::boolean().about("the same, as cloudflared spells it")),
        ];
        let name = if is_new { "NewVirtualNetwork" } else { "VirtualNetworkChanges" };
        Schema::object(members).named(name).example(json!({ "name": "lab", "comment": "behind the lab's router" }))
    }

    /// From a body. The flag comes as `is_default` (SDKs) or `is_default_network` (cloudflared).
    ///
    /// # Errors
    /// A member is wrong, or the two spellings disagree.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let name = body.member("name").map(|given| match given.text(NAME_CHARS_MAX)?.trim() {
            "" => Err(given.wrong("write a name")),
            name => Ok(name.to_owned()),
        });
        let flag = |key: &str| body.member(key).map(|flag| flag.boolean()).transpose();
        let is_default = match (flag("is_default")?, flag("is_default_network")?) {
            (Some(one), Some(other)) if one != other => {
                let why = "is_default and is_default_network say different things: write one of them";
                return Err(ShapeError::new("/is_default_network", why));
            }
            (one, other) => one.or(other),
        };
        let comment = body.member("comment").map(|comment| comment.text(COMMENT_CHARS_MAX).map(str::to_owned));
        Ok(Self { name: name.transpose()?, comment: comment.transpose()?, is_default })
    }
}

impl VirtualNetwork {
    /// The one every account has from the start.
    pub fn first(id: VirtualNetworkId, now: Timestamp) -> Self {
        let name = DEFAULT_NAME.to_owned();
        Self { id, name, comment: String::new(), is_default: true, created_at: now, deleted_at: None }
    }

    /// Makes one beside `all` the account's. Those that changed: the new one first.
    ///
    /// # Errors
    /// It has no name, or one that is taken.
    pub fn create(
        all: &[Self],
        id: VirtualNetworkId,
        draft: VirtualNetworkDraft,
        now: Timestamp,
    ) -> Result<Vec<Self>, VirtualNetworkError> {
        let name = draft.name.ok_or(VirtualNetworkError::Nameless)?;
        free(all, id, &name)?;
        let comment = draft.comment.unwrap_or_default();
        let is_default = draft.is_default.unwrap_or(false);
        let new = Self { id, name, comment, is_default, created_at: now, deleted_at: None };
        Ok(handed_on(all, new))
    }

    /// Changes one of `all`. Those that changed, itself first; none when nothing did.
    ///
    /// # Errors
    /// There is none, the name is taken, or no default would be left.
    pub fn change(all: &[Self], id: VirtualNetworkId, draft: VirtualNetworkDraft) -> Result<Vec<Self>, VirtualNetworkError> {
        let before = live(all, id)?;
        let mut after = before.clone();
        if let Some(name) = draft.name {
            free(all, id, &name)?;
            after.name = name;
        }
        after.comment = draft.comment.unwrap_or(after.comment);
        after.is_default = draft.is_default.unwrap_or(after.is_default);
        if before.is_default && !after.is_default {
            return Err(VirtualNetworkError::DefaultGivenUp(before.name.clone()));
        }
        Ok(if after == *before { Vec::new() } else { handed_on(all, after) })
    }

    /// Deletes one of `all` that has so many routes in force; with `force` these go too. The one, deleted.
    ///
    /// # Errors
    /// There is none, it is the default, or it is in use.
    pub fn delete(
        all: &[Self],
        id: VirtualNetworkId,
        routes: usize,
        force: bool,
        now: Timestamp,
    ) -> Result<Self, VirtualNetworkError> {
        let before = live(all, id)?;
        if before.is_default {
            return Err(VirtualNetworkError::DefaultDeleted(before.name.clone()));
        }
        if routes > 0 && !force {
            return Err(VirtualNetworkError::InUse { name: before.name.clone(), routes });
        }
        Ok(Self { deleted_at: Some(now), ..before.clone() })
    }
}

fn live(all: &[VirtualNetwork], id: VirtualNetworkId) -> Result<&VirtualNetwork, VirtualNetworkError> {
    all.iter().find(|one| one.id == id && one.deleted_at.is_none()).ok_or(VirtualNetworkError::NotFound(id))
}

fn free(all: &[VirtualNetwork], id: VirtualNetworkId, name: &str) -> Result<(), VirtualNetworkError> {
    let taken = all.iter().any(|one| one.id != id && one.deleted_at.is_none() && one.name == name);
    if taken { Err(VirtualNetworkError::NameTaken(name.to_owned())) } else { Ok(()) }
}

/// The changed one and, when it is the default now, the one that was.
fn handed_on(all: &[VirtualNetwork], changed: VirtualNetwork) -> Vec<VirtualNetwork> {
    let was = |one: &&VirtualNetwork| changed.is_default && one.is_default && one.id != changed.id && one.deleted_at.is_none();
    let mut out: Vec<VirtualNetwork> =
        all.iter().filter(was).map(|one| VirtualNetwork { is_default: false, ..one.clone() }).collect();
    out.insert(0, changed);
    out
}

/// Which virtual networks a list holds; what is none is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualNetworkFilter {
    /// That one.
    pub id: Option<VirtualNetworkId>,
    /// Of exactly that name.
    pub name: Option<String>,
    /// The default, or the others.
    pub is_default: Option<bool>,
    /// Deleted, or in force; none: both.
    pub is_deleted: Option<bool>,
}

impl VirtualNetworkFilter {
    /// Whether the list holds it.
    pub fn matches(&self, one: &VirtualNetwork) -> bool {
        self.id.is_none_or(|id| id == one.id)
            && self.name.as_ref().is_none_or(|name| name == &one.name)
            && self.is_default.is_none_or(|is_default| is_default == one.is_default)
            && self.is_deleted.is_none_or(|deleted| deleted == one.deleted_at.is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn id(number: u8) -> VirtualNetworkId {
        VirtualNetworkId::from_bytes([number; 16])
    }

    fn named(name: &str, is_default: Option<bool>) -> VirtualNetworkDraft {
        VirtualNetworkDraft { name: Some(name.into()), comment: None, is_default }
    }

    fn apply(all: &mut Vec<VirtualNetwork>, changed: Vec<VirtualNetwork>) {
        for one in changed {
            match all.iter_mut().find(|other| other.id == one.id) {
                Some(other) => *other = one,
                None => all.push(one),
            }
        }
    }

    #[test]
    fn both_spellings_of_the_flag_are_read() {
        let read =
            |body| VirtualNetworkDraft::read(&At::body(&body)).map(|draft| draft.is_default).map_err(|error| error.pointer);
        assert_eq!(read(json!({"is_default": true})), Ok(Some(true)));
        assert_eq!(read(json!({"is_default_network": true})), Ok(Some(true)));
        assert_eq!(read(json!({"is_default": null})), Ok(None));
        assert_eq!(read(json!({"is_default": true, "is_default_network": false})), Err("/is_default_network".into()));
        assert_eq!(read(json!({"name": " "})), Err("/name".into()));
    }

    #[test]
    fn the_default_is_handed_on_and_never_given_up() {
        let mut all = vec![VirtualNetwork::first(id(1), NOW)];
        apply_new(&mut all, 2, named("lab", Some(true)));
        assert_eq!(all.iter().map(|one| one.is_default).collect::<Vec<_>>(), [false, true]);
        let give_up = VirtualNetworkDraft { is_default: Some(false), ..Default::default() };
        assert_eq!(VirtualNetwork::change(&all, id(2), give_up), Err(VirtualNetworkError::DefaultGivenUp("lab".into())));
        assert_eq!(VirtualNetwork::delete(&all, id(2), 0, true, NOW), Err(VirtualNetworkError::DefaultDeleted("lab".into())));
        assert!(matches!(VirtualNetwork::delete(&all, id(1), 3, false, NOW), Err(VirtualNetworkError::InUse { routes: 3, .. })));
        let gone = VirtualNetwork::delete(&all, id(1), 3, true, NOW).unwrap();
        apply(&mut all, vec![gone]);
        assert!(VirtualNetwork::create(&all, id(3), named("default", None), NOW).is_ok(), "its name is free again");
        assert_eq!(
            VirtualNetwork::create(&all, id(3), named("lab", None), NOW),
            Err(VirtualNetworkError::NameTaken("lab".into()))
        );
    }

    fn apply_new(all: &mut Vec<VirtualNetwork>, number: u8, draft: VirtualNetworkDraft) {
        let changed = VirtualNetwork::create(all, id(number), draft, NOW).unwrap();
        apply(all, changed);
    }

    proptest! {
        #[test]
        fn exactly_one_in_force_is_the_default(steps in prop::collection::vec((0..3_u8, 1..6_u8, any::<Option<bool>>()), 0..30)) {
            let mut all = vec![VirtualNetwork::first(id(1), NOW)];
            for (step, number, is_default) in steps {
                let changed = match step {
                    0 if all.iter().all(|one| one.id != id(number)) => {
                        VirtualNetwork::create(&all, id(number), named(&format!("n{number}"), is_default), NOW)
                    }
                    1 => VirtualNetwork::change(&all, id(number), VirtualNetworkDraft { is_default, ..Default::default() }),
                    _ => VirtualNetwork::delete(&all, id(number), 0, false, NOW).map(|one| vec![one]),
                };
                apply(&mut all, changed.unwrap_or_default());
                let defaults = all.iter().filter(|one| one.is_default && one.deleted_at.is_none()).count();
                prop_assert_eq!(defaults, 1);
            }
        }
    }
}
