//! Rules in force, a zone's or an account's: what came, and what was compiled of it, once.

use std::sync::Arc;

use poterne_rules::{Program, ZoneRules};

/// The rules of a zone, or of an account.
pub struct RulesInForce {
    rules: ZoneRules,
    program: Arc<Program>,
}

impl RulesInForce {
    /// Where a rule does not compile, the program in force before goes on; where there is none, the other rules are in force. Control
    /// refuses such rules when they are saved: one comes of another version of it.
    pub(crate) fn new(of: impl std::fmt::Display, rules: ZoneRules, before: Option<&Self>) -> Self {
        let (program, refused) = Program::compile(&rules);
        for (rule, error) in &refused {
            tracing::error!(%of, %rule, %error, "a rule does not compile: what was in force before goes on, as far as there was anything");
        }
        let program = match before {
            Some(before) if !refused.is_empty() => Arc::clone(&before.program),
            _ => Arc::new(program),
        };
        Self { rules, program }
    }

    /// What came.
    pub fn rules(&self) -> &ZoneRules {
        &self.rules
    }

    /// What is asked.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

impl PartialEq for RulesInForce {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for RulesInForce {}

impl std::fmt::Debug for RulesInForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rules.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use poterne_feed::Change;
    use poterne_model::{
        AccountId, Name, RuleId, ZoneId, ZoneStatus,
        ruleset::Phase,
        setting::{EdgeSettings, OriginSettings},
    };
    use poterne_rules::{Act, Definition};

    use super::*;
    use crate::{Chunk, ChunkKey, Snapshot, ZoneHead};

    fn rules(expression: &str) -> ZoneRules {
        let rule = Definition {
            id: RuleId::from_bytes([1; 16]),
            phase: Phase::FirewallCustom,
            expression: expression.into(),
            act: Act::Block(None),
        };
        ZoneRules { rules: vec![rule], ..ZoneRules::default() }
    }

    #[test]
    fn rules_are_compiled_when_they_come_and_what_does_not_compile_changes_nothing() {
        let id = ZoneId::from_bytes([1; 16]);
        let head = ZoneHead {
            id,
            account: AccountId::from_bytes([2; 16]),
            apex: Name::parse("example.com").unwrap(),
            status: ZoneStatus::Active,
            dns: None,
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        };
        let key = ChunkKey::Rules(id);
        let put = |snapshot: &Snapshot, rules: Option<ZoneRules>, head: Option<&ZoneHead>| {
            let mut chunks = vec![(key.encode(), rules.map(|rules| Chunk::Rules(rules).encode()))];
            chunks.extend(head.map(|head| (ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head.clone()).encode()))));
            snapshot.apply(&Change { generation: snapshot.generation() + 1, chunks }).unwrap().1
        };
        let program = |snapshot: &Snapshot| Arc::clone(&snapshot.zone(id).unwrap().rules().unwrap().program);
        let none = put(&Snapshot::default(), Some(rules("true")), None);
        assert!(!none.contains(&key), "of no zone there is nothing to keep");
        let first = put(&none, Some(rules("http.host eq \"a\"")), Some(&head));
        assert!(first.holds(&key, &Chunk::Rules(rules("http.host eq \"a\""))) && first.head_keys().any(|other| other == key));
        let broken = put(&first, Some(rules("http.hst eq \"a\"")), None);
        assert!(broken.holds(&key, &Chunk::Rules(rules("http.hst eq \"a\""))), "it is not sent again and again");
        assert!(Arc::ptr_eq(&program(&broken), &program(&first)));
        let again = Snapshot::default()
            .apply(&Change { generation: 1, chunks: broken.kept_chunks().map(|(key, body)| (key, Some(body))).collect() });
        let again = again.unwrap().1;
        assert_eq!(again.zone(id).unwrap().rules(), broken.zone(id).unwrap().rules());
        assert!(!Arc::ptr_eq(&program(&put(&again, Some(rules("true")), None)), &program(&again)));
        let without = put(&again, None, None);
        assert!(!without.contains(&key) && without.zone(id).unwrap().rules().is_none());
        let gone = first.apply(&Change { generation: first.generation() + 1, chunks: vec![(ChunkKey::Zone(id).encode(), None)] });
        assert_eq!(gone.unwrap().1.head_keys().count(), 0);
    }

    #[test]
    fn an_accounts_rules_are_found_with_each_of_its_zones() {
        let (id, account) = (ZoneId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
        let head = ZoneHead {
            id,
            account,
            apex: Name::parse("example.com").unwrap(),
            status: ZoneStatus::Active,
            dns: None,
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        };
        let name = ChunkKey::Name(id, head.apex.clone());
        let key = ChunkKey::AccountRules(account);
        let put = |snapshot: &Snapshot, rules: Option<&str>| {
            let mut chunks = vec![(key.encode(), rules.map(|text| Chunk::AccountRules(self::rules(text)).encode()))];
            if snapshot.generation() == 0 {
                chunks.push((name.encode(), Some(Chunk::Name(crate::NameChunk::leading_to(crate::Target::Broken)).encode())));
                chunks.push((ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head.clone()).encode())));
            }
            snapshot.apply(&Change { generation: snapshot.generation() + 1, chunks }).unwrap().1
        };
        let found = |snapshot: &Snapshot| match snapshot.route("example.com") {
            crate::Lookup::Route { account_rules, .. } => account_rules.map(|rules| rules.rules().clone()),
            other => panic!("{other:?}"),
        };
        let with = put(&Snapshot::default(), Some("true"));
        assert_eq!(found(&with), Some(rules("true")));
        assert!(with.holds(&key, &Chunk::AccountRules(rules("true"))) && with.contains(&key));
        assert!(with.head_keys().any(|other| other == key));
        let broken = put(&with, Some("http.hst eq 1"));
        assert!(Arc::ptr_eq(&broken.account_rules(account).unwrap().program, &with.account_rules(account).unwrap().program));
        let again = Change { generation: 1, chunks: with.kept_chunks().map(|(key, body)| (key, Some(body))).collect() };
        assert_eq!(found(&Snapshot::default().apply(&again).unwrap().1), Some(rules("true")));
        let without = put(&with, None);
        assert_eq!((found(&without), without.contains(&key)), (None, false));
    }
}
