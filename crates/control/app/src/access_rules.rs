//! Access rules. They are kept and told; no node asks them yet.

use poterne_control_store::Session;
use poterne_keys::random_bytes;
use poterne_model::{
    AccessRuleId, AccountId, At, ZoneId,
    access_rule::{AccessRule, AccessRuleDraft, AccessScope},
    permission::Right,
};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
    audit::Traced,
};

/// Most rules of one scope.
const RULES_MAX: u64 = 10_000;

/// Where a scope's changes are traced.
struct Place {
    account: Option<AccountId>,
    zone: Option<(ZoneId, String)>,
}

impl App {
    /// A scope's rules, newest first.
    pub async fn access_rule_list(&self, caller: &Caller, scope: AccessScope) -> Result<Vec<AccessRule>, AppError> {
        let mut session = self.0.store.read().await?;
        place(&mut session, caller, scope, Right::Read).await?;
        Ok(session.access_rules(scope).await?)
    }

    /// One of them.
    pub async fn access_rule_get(&self, caller: &Caller, scope: AccessScope, id: AccessRuleId) -> Result<AccessRule, AppError> {
        let mut session = self.0.store.read().await?;
        place(&mut session, caller, scope, Right::Read).await?;
        session.access_rule(scope, id).await?.ok_or(AppError::NotFound("access rule"))
    }

    /// Makes a rule from the body of a POST, unless one for the same is there.
    pub async fn access_rule_create(&self, caller: &Caller, scope: AccessScope, body: &At<'_>) -> Result<AccessRule, AppError> {
        let mut session = self.0.store.write().await?;
        let place = place(&mut session, caller, scope, Right::Edit).await?;
        let draft = AccessRuleDraft::read(body)?;
        let same = session.access_rule_for(scope, &draft.configuration).await?;
        let rule = draft.into_rule(AccessRuleId::from_bytes(random_bytes()), scope, same.iter(), self.instant())?;
        if session.access_rule_count(scope).await? >= RULES_MAX {
            let why = format!("there are {RULES_MAX} already: delete some, or put addresses into a list");
            return Err(AppError::Invalid { what: "access rules", why });
        }
        session.insert_access_rule(&rule).await?;
        self.trace(&mut session, caller, traced("add", place, None, Some(&rule))).await?;
        session.commit().await?;
        Ok(rule)
    }

    /// Changes a rule's mode and notes as a PATCH says.
    pub async fn access_rule_patch(
        &self,
        caller: &Caller,
        scope: AccessScope,
        id: AccessRuleId,
        body: &At<'_>,
    ) -> Result<AccessRule, AppError> {
        let mut session = self.0.store.write().await?;
        let place = place(&mut session, caller, scope, Right::Edit).await?;
        let before = session.access_rule(scope, id).await?.ok_or(AppError::NotFound("access rule"))?;
        let mut after = before.clone();
        if after.patch(body, self.instant())? {
            session.update_access_rule(&after).await?;
            self.trace(&mut session, caller, traced("update", place, Some(&before), Some(&after))).await?;
            session.commit().await?;
        }
        Ok(after)
    }

    /// Takes a rule away.
    pub async fn access_rule_delete(&self, caller: &Caller, scope: AccessScope, id: AccessRuleId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let place = place(&mut session, caller, scope, Right::Edit).await?;
        let before = session.access_rule(scope, id).await?.ok_or(AppError::NotFound("access rule"))?;
        session.delete_access_rule(id).await?;
        self.trace(&mut session, caller, traced("delete", place, Some(&before), None)).await?;
        session.commit().await?;
        Ok(())
    }
}

async fn place(session: &mut Session, caller: &Caller, scope: AccessScope, right: Right) -> Result<Place, AppError> {
    let (subject, target, place) = match scope {
        AccessScope::User(id) => (Subject::UserDetails, Target::User(id), Place { account: None, zone: None }),
        AccessScope::Account(id) => (Subject::AccountAccessRules, Target::Account(id), Place { account: Some(id), zone: None }),
        AccessScope::Zone(id) => {
            let zone = session.zone(id).await?.ok_or(AppError::NotFound("zone"))?;
            let place = Place { account: Some(zone.account), zone: Some((id, zone.apex.to_string())) };
            (Subject::ZoneAccessRules, Target::Zone(zone.account, id), place)
        }
    };
    caller.needs(Permission { subject, right }, target)?;
    Ok(place)
}

fn shown(rule: &AccessRule) -> Value {
    json!({ "mode": rule.mode, "configuration": rule.configuration, "notes": rule.notes })
}

fn traced(action: &'static str, place: Place, old: Option<&AccessRule>, new: Option<&AccessRule>) -> Traced {
    let id = new.or(old).map_or_else(String::new, |rule| rule.id.to_string());
    let Place { account, zone } = place;
    Traced { account, zone, action, kind: "access_rule", id, old: old.map(shown), new: new.map(shown) }
}
