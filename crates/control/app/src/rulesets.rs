//! Rulesets and their entry points: kept with every expression checked, told, and published; which phases nodes obey is asked elsewhere.
//!
//! What a phase's rules may be read and changed with is the phase's subject: a token for redirects does not see the firewall.

use std::collections::HashSet;

use poterne_control_store::{RulesetOwner, Session, StoreError};
use poterne_keys::random_bytes;
use poterne_model::{
    AccountId, At, RuleId, RulesetId, ShapeError,
    permission::Right,
    ruleset::{Kind, MANAGED, Phase, Position, Rule, RuleDraft, Ruleset, RulesetDraft, RulesetPut, Scope},
};
use poterne_rules::{
    definition::{REGEXES_PER_RULESET_MAX, RULESET_BYTES_MAX},
    executes,
};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
    audit::Traced,
};

/// Most rulesets of one zone, or of one account.
const RULESETS_MAX: u64 = 200;

/// Whose rulesets are meant, once it is known that they are there.
struct Owned {
    owner: RulesetOwner,
    account: AccountId,
    target: Target,
    scope: Scope,
    zone: Option<(poterne_model::ZoneId, String)>,
}

impl Owned {
    /// Refuses whoever lacks the right over rules of that phase.
    fn needs(&self, caller: &Caller, phase: Phase, right: Right) -> Result<(), AppError> {
        caller.needs(Permission { subject: Subject::of_phase(phase, self.scope), right }, self.target)
    }

    fn traced(&self, action: &'static str, old: Option<&Ruleset>, new: Option<&Ruleset>) -> Traced {
        let id = new.or(old).map_or_else(String::new, |ruleset| ruleset.id.to_string());
        let zone = self.zone.clone();
        let (old, new) = (old.map(|ruleset| shown(ruleset, new)), new.map(|ruleset| shown(ruleset, old)));
        Traced { account: Some(self.account), zone, action, kind: "ruleset", id, old, new }
    }
}

impl App {
    /// The rulesets of an owner that the caller may read, by id, without their rules.
    pub async fn ruleset_list(&self, caller: &Caller, owner: RulesetOwner) -> Result<Vec<Ruleset>, AppError> {
        let mut session = self.0.store.read().await?;
        let owned = owned(&mut session, owner).await?;
        let readable = |phase| caller.may(Subject::of_phase(phase, owned.scope).to_read(), owned.target);
        if !Phase::ALL.iter().any(|phase| readable(*phase)) {
            owned.needs(caller, Phase::FirewallCustom, Right::Read)?;
        }
        let mut rulesets = session.rulesets(owner).await?;
        rulesets.retain(|ruleset| readable(ruleset.phase));
        Ok(rulesets)
    }

    /// One of them, whole.
    pub async fn ruleset_get(&self, caller: &Caller, owner: RulesetOwner, id: RulesetId) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.read().await?;
        found(&mut session, caller, owner, id, Right::Read).await.map(|(_, ruleset)| ruleset)
    }

    /// The entry point of a phase.
    pub async fn entry_point_get(&self, caller: &Caller, owner: RulesetOwner, phase: &str) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.read().await?;
        let owned = owned(&mut session, owner).await?;
        let phase = Phase::find(phase, owned.scope)?;
        owned.needs(caller, phase, Right::Read)?;
        session.entry_point(owner, phase).await?.ok_or(AppError::NoEntryPoint(phase))
    }

    /// Makes a ruleset from the body of a POST.
    pub async fn ruleset_create(&self, caller: &Caller, owner: RulesetOwner, body: &At<'_>) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.write().await?;
        let owned = owned(&mut session, owner).await?;
        let draft = RulesetDraft::read(body, owned.scope);
        // What may not be seen at all is not there, whatever the body says.
        owned.needs(caller, draft.as_ref().map_or(Phase::FirewallCustom, |draft| draft.phase), Right::Edit)?;
        self.insert_ruleset(session, caller, &owned, draft?).await
    }

    /// Replaces what the body of a PUT names; the entry point of a phase is made where there is none.
    pub async fn entry_point_put(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        phase: &str,
        body: &At<'_>,
    ) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.write().await?;
        let owned = owned(&mut session, owner).await?;
        let phase = Phase::find(phase, owned.scope)?;
        owned.needs(caller, phase, Right::Edit)?;
        let put = RulesetPut::read(body, phase, owned.scope.entry_point())?;
        let Some(before) = session.entry_point(owner, phase).await? else {
            return self.insert_ruleset(session, caller, &owned, put.into_entry_point(phase, owned.scope)).await;
        };
        let (mut after, pointers) = (before.clone(), pointers(put.rules.as_deref().unwrap_or_default()));
        after.put(put, &mut new_id, self.instant())?;
        self.keep_ruleset(session, caller, &owned, before, after, &pointers).await
    }

    /// Replaces what the body of a PUT names.
    pub async fn ruleset_put(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        id: RulesetId,
        body: &At<'_>,
    ) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.write().await?;
        let (owned, before) = found(&mut session, caller, owner, id, Right::Edit).await?;
        let put = RulesetPut::read(body, before.phase, before.kind)?;
        let (mut after, pointers) = (before.clone(), pointers(put.rules.as_deref().unwrap_or_default()));
        after.put(put, &mut new_id, self.instant())?;
        self.keep_ruleset(session, caller, &owned, before, after, &pointers).await
    }

    /// Takes a ruleset away, unless rules execute it.
    pub async fn ruleset_delete(&self, caller: &Caller, owner: RulesetOwner, id: RulesetId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let (owned, before) = found(&mut session, caller, owner, id, Right::Edit).await?;
        let rules = session.rules_with(owned.account, &id.to_string()).await?;
        let executing =
            rules.iter().filter(|rule| executes(&rule.body).is_some_and(|executed| *executed == *id.to_string())).count();
        if executing > 0 {
            let why = format!("{executing} rules execute it: change or delete them first");
            return Err(AppError::InUse { what: "ruleset", name: before.name, why });
        }
        session.delete_ruleset(id).await?;
        self.trace(&mut session, caller, owned.traced("delete", Some(&before), None)).await?;
        self.finish(session).await
    }

    /// Adds the rule of a POST where its `position` says.
    pub async fn rule_add(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        id: RulesetId,
        body: &At<'_>,
    ) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.write().await?;
        let (owned, before) = found(&mut session, caller, owner, id, Right::Edit).await?;
        let (draft, position) = (RuleDraft::read(body, before.phase, before.kind)?, Position::read(body)?);
        let mut after = before.clone();
        after.insert(draft, position, &mut new_id, self.instant())?;
        self.keep_ruleset(session, caller, &owned, before, after, &[]).await
    }

    /// Changes a rule as a PATCH says, or moves it.
    pub async fn rule_patch(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        id: RulesetId,
        rule: RuleId,
        body: &At<'_>,
    ) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.write().await?;
        let (owned, before) = found(&mut session, caller, owner, id, Right::Edit).await?;
        let old = before.rules.iter().find(|old| old.id == rule).ok_or(AppError::NotFound("rule"))?;
        let (draft, position) = (RuleDraft::patching(old, body, before.phase, before.kind)?, Position::read(body)?);
        let mut after = before.clone();
        after.patch(rule, draft, position, self.instant())?;
        self.keep_ruleset(session, caller, &owned, before, after, &[]).await
    }

    /// Takes a rule away.
    pub async fn rule_delete(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        id: RulesetId,
        rule: RuleId,
    ) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.write().await?;
        let (owned, before) = found(&mut session, caller, owner, id, Right::Edit).await?;
        let mut after = before.clone();
        after.remove(rule, self.instant())?;
        self.keep_ruleset(session, caller, &owned, before, after, &[]).await
    }

    /// A ruleset's versions that are kept, newest first, without their rules.
    pub async fn ruleset_versions(&self, caller: &Caller, owner: RulesetOwner, id: RulesetId) -> Result<Vec<Ruleset>, AppError> {
        let mut session = self.0.store.read().await?;
        found(&mut session, caller, owner, id, Right::Read).await?;
        Ok(session.ruleset_versions(id).await?)
    }

    /// One of them, whole.
    pub async fn ruleset_version(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        id: RulesetId,
        version: u64,
    ) -> Result<Ruleset, AppError> {
        let mut session = self.0.store.read().await?;
        found(&mut session, caller, owner, id, Right::Read).await?;
        session.ruleset_version(id, version).await?.ok_or(AppError::NotFound("ruleset version"))
    }

    /// Takes an older version away.
    pub async fn ruleset_version_delete(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        id: RulesetId,
        version: u64,
    ) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let (owned, ruleset) = found(&mut session, caller, owner, id, Right::Edit).await?;
        if ruleset.version == version {
            let why = format!("version {version} is the newest: delete the ruleset, or change it first");
            return Err(AppError::InUse { what: "ruleset version", name: ruleset.name, why });
        }
        let old = session.ruleset_version(id, version).await?.ok_or(AppError::NotFound("ruleset version"))?;
        session.delete_ruleset_version(id, version).await?;
        self.trace(&mut session, caller, owned.traced("delete_version", Some(&old), None)).await?;
        session.commit().await?;
        Ok(())
    }

    async fn insert_ruleset(
        &self,
        mut session: Session,
        caller: &Caller,
        owned: &Owned,
        draft: RulesetDraft,
    ) -> Result<Ruleset, AppError> {
        if session.ruleset_count(owned.owner).await? >= RULESETS_MAX {
            let why = format!("there are {RULESETS_MAX} already: delete one first");
            return Err(AppError::Invalid { what: "rulesets", why });
        }
        let pointers = pointers(&draft.rules);
        let ruleset = Ruleset::new(RulesetId::from_bytes(random_bytes()), draft, &mut new_id, self.instant())?;
        check_expressions(&ruleset, None, &pointers)?;
        check_executed(&mut session, owned, &ruleset).await?;
        match session.insert_ruleset(owned.owner, &ruleset).await {
            Err(StoreError::Conflict(_)) => {
                let phase = ruleset.phase;
                let message = format!("the phase {phase} has its ruleset already: PUT to …/rulesets/phases/{phase}/entrypoint");
                return Err(AppError::Exists(message));
            }
            done => done?,
        }
        self.trace(&mut session, caller, owned.traced("add", None, Some(&ruleset))).await?;
        self.finish(session).await?;
        Ok(ruleset)
    }

    async fn keep_ruleset(
        &self,
        mut session: Session,
        caller: &Caller,
        owned: &Owned,
        before: Ruleset,
        after: Ruleset,
        pointers: &[String],
    ) -> Result<Ruleset, AppError> {
        if before == after {
            return Ok(after);
        }
        check_expressions(&after, Some(&before), pointers)?;
        check_executed(&mut session, owned, &after).await?;
        session.update_ruleset(&after).await?;
        self.trace(&mut session, caller, owned.traced("update", Some(&before), Some(&after))).await?;
        self.finish(session).await?;
        Ok(after)
    }
}

fn new_id() -> RuleId {
    RuleId::from_bytes(random_bytes())
}

/// A ruleset for the trace, with those of its rules that are not in `other` just so: a thousand that stay say nothing of a change.
fn shown(ruleset: &Ruleset, other: Option<&Ruleset>) -> Value {
    let same: HashSet<(RuleId, u64)> =
        other.into_iter().flat_map(|other| &other.rules).map(|rule| (rule.id, rule.version)).collect();
    let rules: Vec<Value> = ruleset
        .rules
        .iter()
        .filter(|rule| !same.contains(&(rule.id, rule.version)))
        .map(|rule| {
            let mut members = rule.body.members();
            members.insert("id".into(), rule.id.to_string().into());
            Value::Object(members)
        })
        .collect();
    json!({ "name": ruleset.name, "description": ruleset.description, "kind": ruleset.kind, "phase": ruleset.phase,
        "version": ruleset.version.to_string(), "rules": rules })
}

async fn owned(session: &mut Session, owner: RulesetOwner) -> Result<Owned, AppError> {
    Ok(match owner {
        RulesetOwner::Account(account) => {
            session.account(account).await?.ok_or(AppError::NotFound("account"))?;
            Owned { owner, account, target: Target::Account(account), scope: Scope::Account, zone: None }
        }
        RulesetOwner::Zone(id) => {
            let zone = session.zone(id).await?.ok_or(AppError::NotFound("zone"))?;
            let (account, target) = (zone.account, Target::Zone(zone.account, id));
            Owned { owner, account, target, scope: Scope::Zone, zone: Some((id, zone.apex.to_string())) }
        }
    })
}

async fn found(
    session: &mut Session,
    caller: &Caller,
    owner: RulesetOwner,
    id: RulesetId,
    right: Right,
) -> Result<(Owned, Ruleset), AppError> {
    let owned = owned(session, owner).await?;
    let Some(ruleset) = session.ruleset(owner, id).await? else {
        owned.needs(caller, Phase::FirewallCustom, Right::Read)?;
        return Err(AppError::NotFound("ruleset"));
    };
    owned.needs(caller, ruleset.phase, right)?;
    Ok((owned, ruleset))
}

/// Where in a body each of its rules stands.
fn pointers(rules: &[RuleDraft]) -> Vec<String> {
    rules.iter().map(|rule| rule.pointer.clone()).collect()
}

/// Every expression of a rule that is new or another is one, and edges can hold the whole. `pointers`: where each rule stands in the body;
/// none: the body is one rule.
fn check_expressions(after: &Ruleset, before: Option<&Ruleset>, pointers: &[String]) -> Result<(), AppError> {
    let known = |rule: &Rule| before.is_some_and(|before| before.rules.iter().any(|old| old.body == rule.body));
    let mut regexes = 0;
    for (index, rule) in after.rules.iter().enumerate() {
        let at = pointers.get(index).map_or("", String::as_str);
        match poterne_rules::read(after.phase, &rule.body) {
            Ok(reading) => regexes += reading.regexes,
            // An older version took it; whoever changes another rule is not to be stopped by it.
            Err(_) if known(rule) => {}
            Err(wrong) => return Err(ShapeError::new(format!("{at}{}", wrong.pointer), wrong.to_string()).into()),
        }
    }
    if regexes > REGEXES_PER_RULESET_MAX {
        let why = format!(
            "the rules have {regexes} regular expressions: a ruleset has {REGEXES_PER_RULESET_MAX} at most, so join some by |"
        );
        return Err(ShapeError::new("/rules", why).into());
    }
    let bytes = serde_json::to_vec(&after.rules).map_or(0, |json| json.len());
    if bytes > RULESET_BYTES_MAX {
        let why = format!("the rules take {bytes} bytes: a ruleset has {RULESET_BYTES_MAX} at most");
        return Err(ShapeError::new("/rules", why).into());
    }
    Ok(())
}

/// A rule that executes a ruleset names one that is there, of its own phase: a managed one, or a custom one of the account or zone.
async fn check_executed(session: &mut Session, owned: &Owned, ruleset: &Ruleset) -> Result<(), AppError> {
    let mut known: Vec<&str> = Vec::new();
    for (index, rule) in ruleset.rules.iter().enumerate() {
        let Some(executed) = executes(&rule.body) else { continue };
        if known.contains(&executed) || MANAGED.iter().any(|(id, _)| *id == executed) {
            continue;
        }
        let mut there = false;
        if let Ok(id) = executed.parse::<RulesetId>() {
            for owner in [owned.owner, RulesetOwner::Account(owned.account)] {
                let other = session.ruleset(owner, id).await?;
                there |=
                    other.is_some_and(|other| other.kind == Kind::Custom && other.phase == ruleset.phase && id != ruleset.id);
            }
        }
        if !there {
            let executed: String = executed.chars().take(64).collect();
            let why = format!("there is no ruleset {executed:?} of the phase {} to execute", ruleset.phase);
            return Err(ShapeError::new(format!("/rules/{index}/action_parameters/id"), why).into());
        }
        known.push(executed);
    }
    Ok(())
}
