//! Lists that rules name. Nodes have those that rules in force name.

use std::collections::HashSet;

use poterne_control_store::{Session, StoreError};
use poterne_keys::random_bytes;
use poterne_model::{
    AccountId, At, ListId, ListItemId, ListOperationId, RuleId,
    list::{self, List, ListDraft, ListItem, ListOperation, ListWrite, edit},
    permission::Right,
    ruleset::Rule,
};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
    audit::Traced,
};

/// Most lists of an account.
const LISTS_MAX: usize = 1000;

/// A list as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListInfo {
    /// The list.
    pub list: List,
    /// How many items it has.
    pub items: u64,
    /// How many rules name it.
    pub rules: u64,
}

/// What becomes of a list's items, as they stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemsChange {
    /// They are added; those that are there are changed.
    Append,
    /// They are all there is.
    Replace,
    /// They go, by id; ids that are not there are gone already.
    Delete,
}

impl App {
    /// An account's lists, by name.
    pub async fn list_all(&self, caller: &Caller, account: AccountId) -> Result<Vec<ListInfo>, AppError> {
        let mut session = self.reading(caller, account).await?;
        let lists = session.lists(account).await?;
        let mut rules = session.rules_with(account, "$").await?;
        rules.extend(session.rules_with(account, "from_list").await?);
        Ok(lists.into_iter().map(|(list, items)| ListInfo { rules: naming(&rules, &list.name), list, items }).collect())
    }

    /// One of them.
    pub async fn list_get(&self, caller: &Caller, account: AccountId, id: ListId) -> Result<ListInfo, AppError> {
        let mut session = self.reading(caller, account).await?;
        info(&mut session, account, id).await
    }

    /// Makes a list from the body of a POST.
    pub async fn list_create(&self, caller: &Caller, account: AccountId, body: &At<'_>) -> Result<ListInfo, AppError> {
        let mut session = self.writing(caller, account).await?;
        let ListDraft { name, kind, description } = ListDraft::read(body)?;
        if session.lists(account).await?.len() >= LISTS_MAX {
            return Err(AppError::Invalid { what: "lists", why: format!("there are {LISTS_MAX} already: delete one first") });
        }
        let now = self.instant();
        let list = List { id: ListId::from_bytes(random_bytes()), name, kind, description, created_on: now, modified_on: now };
        match session.insert_list(account, &list).await {
            Err(StoreError::Conflict(_)) => return Err(AppError::Exists(format!("a list named {:?} exists already", list.name))),
            done => done?,
        }
        self.trace(&mut session, caller, traced("add", account, &list, None, Some(shown(&list)))).await?;
        self.finish(session).await?;
        Ok(ListInfo { list, items: 0, rules: 0 })
    }

    /// Describes a list otherwise, as the body of a PUT says.
    pub async fn list_describe(
        &self,
        caller: &Caller,
        account: AccountId,
        id: ListId,
        body: &At<'_>,
    ) -> Result<ListInfo, AppError> {
        let mut session = self.writing(caller, account).await?;
        let mut info = info(&mut session, account, id).await?;
        let old = shown(&info.list);
        info.list.description = list::read_description(body)?;
        info.list.modified_on = self.instant();
        session.update_list(&info.list).await?;
        let new = Some(shown(&info.list));
        self.trace(&mut session, caller, traced("update", account, &info.list, Some(old), new)).await?;
        session.commit().await?;
        Ok(info)
    }

    /// Takes a list away, unless rules name it.
    pub async fn list_delete(&self, caller: &Caller, account: AccountId, id: ListId) -> Result<(), AppError> {
        let mut session = self.writing(caller, account).await?;
        let ListInfo { list, rules, .. } = info(&mut session, account, id).await?;
        if rules > 0 {
            let why = format!("{rules} rules name it: change or delete them first");
            return Err(AppError::InUse { what: "list", name: list.name, why });
        }
        session.delete_list(id).await?;
        self.trace(&mut session, caller, traced("delete", account, &list, Some(shown(&list)), None)).await?;
        session.commit().await?;
        Ok(())
    }

    /// Items by key: those after that one alone, those that a text stands in; at most `count`.
    pub async fn list_items(
        &self,
        caller: &Caller,
        account: AccountId,
        id: ListId,
        after: Option<&str>,
        search: Option<&str>,
        count: u32,
    ) -> Result<Vec<ListItem>, AppError> {
        let mut session = self.reading(caller, account).await?;
        let (list, _) = found(&mut session, account, id).await?;
        Ok(session.list_items(&list, after, search.map(str::to_lowercase).as_deref(), count).await?)
    }

    /// One of them.
    pub async fn list_item(
        &self,
        caller: &Caller,
        account: AccountId,
        id: ListId,
        item: ListItemId,
    ) -> Result<ListItem, AppError> {
        let mut session = self.reading(caller, account).await?;
        let (list, _) = found(&mut session, account, id).await?;
        session.list_item(&list, item).await?.ok_or(AppError::NotFound("list item"))
    }

    /// Changes a list's items as a body says: all of it, or none.
    pub async fn list_write(
        &self,
        caller: &Caller,
        account: AccountId,
        id: ListId,
        change: ItemsChange,
        body: &At<'_>,
    ) -> Result<ListOperation, AppError> {
        let mut session = self.writing(caller, account).await?;
        let (mut list, count) = found(&mut session, account, id).await?;
        let now = self.instant();
        let mut new_id = || ListItemId::from_bytes(random_bytes());
        let (action, write) = match change {
            ItemsChange::Append => {
                let drafts = edit::read_items(body, list.kind)?;
                let keys: HashSet<String> = drafts.iter().map(|draft| draft.value.key()).collect();
                let existing = session.list_items_of(&list, &keys.into_iter().collect::<Vec<_>>()).await?;
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                ("add_items", edit::append(&existing, count, drafts, &mut new_id, now)?)
            }
            ItemsChange::Replace => {
                let drafts = edit::read_items(body, list.kind)?;
                let existing = session.list_items_all(&list).await?;
                ("replace_items", edit::replace(&existing, drafts, &mut new_id, now)?)
            }
            ItemsChange::Delete => ("delete_items", ListWrite { removed: edit::read_ids(body)?, ..ListWrite::default() }),
        };
        if !write.is_empty() {
            session.write_list(&list, &write).await?;
            list.modified_on = now;
            session.update_list(&list).await?;
            // How much, and not what: an item each would make the trace longer than the list.
            let new = json!({ "inserted": write.inserted.len(), "updated": write.updated.len(), "removed": write.removed.len() });
            self.trace(&mut session, caller, traced(action, account, &list, None, Some(new))).await?;
        }
        let operation = ListOperation::completed(ListOperationId::from_bytes(random_bytes()), now);
        session.insert_list_operation(account, operation.id, now.as_micros()).await?;
        self.finish(session).await?;
        Ok(operation)
    }

    /// How far a writing of items is: done, if it is there at all.
    pub async fn list_operation(
        &self,
        caller: &Caller,
        account: AccountId,
        id: ListOperationId,
    ) -> Result<ListOperation, AppError> {
        let mut session = self.reading(caller, account).await?;
        session.list_operation(account, id).await?.ok_or(AppError::NotFound("bulk operation"))
    }

    async fn reading(&self, caller: &Caller, account: AccountId) -> Result<Session, AppError> {
        caller.needs(Permission { subject: Subject::Lists, right: Right::Read }, Target::Account(account))?;
        Ok(self.0.store.read().await?)
    }

    async fn writing(&self, caller: &Caller, account: AccountId) -> Result<Session, AppError> {
        caller.needs(Permission { subject: Subject::Lists, right: Right::Edit }, Target::Account(account))?;
        Ok(self.0.store.write().await?)
    }
}

async fn found(session: &mut Session, account: AccountId, id: ListId) -> Result<(List, u64), AppError> {
    session.list(account, id).await?.ok_or(AppError::NotFound("list"))
}

async fn info(session: &mut Session, account: AccountId, id: ListId) -> Result<ListInfo, AppError> {
    let (list, items) = found(session, account, id).await?;
    let rules = session.rules_with(account, &list.name).await?;
    Ok(ListInfo { rules: naming(&rules, &list.name), list, items })
}

/// How many of these rules, some of which may come twice, name that list: in an expression, or to redirect out of it.
fn naming(rules: &[Rule], name: &str) -> u64 {
    let named: HashSet<RuleId> = rules.iter().filter(|rule| names(rule, name)).map(|rule| rule.id).collect();
    named.len() as u64
}

fn names(rule: &Rule, name: &str) -> bool {
    let redirects =
        rule.body.action_parameters.as_ref().and_then(|parameters| parameters.get("from_list")?.get("name")?.as_str());
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut named = rule.body.expression.split('$').skip(1).map(|rest| rest.split(|c| !word(c)).next().unwrap_or_default());
    redirects.is_some_and(|list| list == name) || named.any(|list| list == name)
}

fn shown(list: &List) -> Value {
    json!({ "name": list.name, "kind": list.kind, "description": list.description })
}

fn traced(action: &'static str, account: AccountId, list: &List, old: Option<Value>, new: Option<Value>) -> Traced {
    Traced { account: Some(account), action, kind: "list", id: list.id.to_string(), old, new, ..Traced::default() }
}

#[cfg(test)]
mod tests {
    use poterne_model::{
        Timestamp,
        ruleset::{Kind, Phase, RuleDraft},
    };

    use super::*;

    #[test]
    fn a_rule_names_lists_by_whole_words() {
        let rule = |expression: &str| {
            let body = json!({ "action": "block", "expression": expression });
            let draft = RuleDraft::read(&At::body(&body), Phase::FirewallCustom, Kind::Zone).unwrap();
            let id = RuleId::from_bytes([1; 16]);
            Rule { id, reference: "r".into(), version: 1, last_updated: Timestamp::default(), body: draft.body }
        };
        assert!(names(&rule("ip.src in $office or ip.src in $home"), "home"));
        assert!(!names(&rule("ip.src in $office_2"), "office"));
        assert!(!names(&rule("http.host eq \"office\""), "office"));
        assert_eq!(naming(&[rule("ip.src in $a"), rule("ip.src in $a")], "a"), 1, "the same rule twice");
    }
}
