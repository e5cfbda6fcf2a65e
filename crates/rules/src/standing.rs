//! Of each stored rule, whether edges obey it, and why not: what [`ZoneRules::of`](crate::ZoneRules::of) leaves behind, told to whoever wrote it.

use poterne_model::ruleset::{Kind, Rule, Ruleset};

use crate::{
    NamedList, Unobeyed,
    definition::{self, Known, Wrong},
    listed,
};

/// What rules of a zone, or of an account, can name.
#[derive(Debug, Default)]
pub struct KnownNames {
    known: Known,
    /// As those of rulesets know it that are executed.
    inside: Known,
}

impl KnownNames {
    /// Of the lists that the rules name, and of the custom rulesets that they execute, those that there is room for.
    pub fn of(lists: Vec<NamedList>, entry_points: &[Ruleset], customs: &[Ruleset]) -> Self {
        let known = Known::of(&listed::that_fit(lists), entry_points, customs);
        Self { inside: known.without_rulesets(), known }
    }
}

/// How a rule of a zone's stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Edges obey it.
    InForce,
    /// Its owner switched it off.
    Off,
    /// It is in order, and does nothing.
    Dormant(Unobeyed),
    /// An older version took it, and no edge does.
    Wrong(Wrong),
    /// Its ruleset is none that edges begin with, and no rule that is in force executes it.
    Unreached,
}

impl Standing {
    /// Of a rule of this ruleset, whose rules may be left out.
    pub fn of(ruleset: &Ruleset, rule: &Rule, names: &KnownNames) -> Self {
        if !rule.body.enabled {
            return Self::Off;
        }
        let known = match ruleset.kind {
            Kind::Zone | Kind::Root => &names.known,
            Kind::Custom if names.known.rulesets.contains(&ruleset.id) => &names.inside,
            Kind::Custom | Kind::Managed => return Self::Unreached,
        };
        match definition::read_with(ruleset.phase, &rule.body, known) {
            Err(wrong) => Self::Wrong(wrong),
            Ok(reading) => reading.act.map_or_else(Self::Dormant, |_| Self::InForce),
        }
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::{
        RuleId, RulesetId, Timestamp,
        ruleset::{Action, Phase, RuleBody},
        setting::UrlNormalization,
    };
    use serde_json::json;

    use super::*;
    use crate::{Items, Lacking, ZoneRules, listed::ITEMS_MAX};

    fn ruleset(kind: Kind, phase: Phase, rules: &[(Action, &str, bool)]) -> Ruleset {
        let rule = |(number, (action, expression, enabled)): (usize, &(Action, &str, bool))| Rule {
            id: RuleId::from_bytes([u8::try_from(number).unwrap(); 16]),
            reference: number.to_string(),
            version: 1,
            last_updated: Timestamp::from_micros(0),
            body: RuleBody {
                action: *action,
                action_parameters: (*action == Action::Skip).then(|| json!({ "rules": {} }).as_object().unwrap().clone()),
                expression: (*expression).to_owned(),
                description: String::new(),
                enabled: *enabled,
                categories: Vec::new(),
                logging: None,
                ratelimit: None,
                exposed_credential_check: None,
            },
        };
        Ruleset {
            id: RulesetId::from_bytes([1; 16]),
            name: "r".into(),
            description: String::new(),
            kind,
            phase,
            version: 1,
            last_updated: Timestamp::from_micros(0),
            rules: rules.iter().enumerate().map(rule).collect(),
        }
    }

    fn list(name: &str, count: usize) -> NamedList {
        NamedList { name: name.into(), items: Items::Networks(vec!["192.0.2.0/24".parse().unwrap(); count]) }
    }

    #[test]
    fn what_is_said_to_be_in_force_is_what_travels() {
        let firewall = ruleset(
            Kind::Zone,
            Phase::FirewallCustom,
            &[
                (Action::Block, "true", true),
                (Action::Block, "true", false),
                (Action::Block, "ip.src.country eq \"FR\"", true),
                (Action::Block, "ip.src in $office", true),
                (Action::Block, "ip.src in $huge", true),
                (Action::Block, "ip.src in $nowhere and cf.client.bot", true),
                (Action::Challenge, "true", true),
                (Action::Skip, "true", true),
                (Action::Block, "http.nothing eq 1", true),
            ],
        );
        let lists = vec![list("huge", ITEMS_MAX + 1), list("office", 1)];
        let known = KnownNames::of(lists.clone(), std::slice::from_ref(&firewall), &[]);
        let told: Vec<_> = firewall.rules.iter().map(|rule| Standing::of(&firewall, rule, &known)).collect();
        let lacking = |fields: &[&str], lists: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            Standing::Dormant(Unobeyed::Lacking(Lacking { fields: owned(fields), lists: owned(lists) }))
        };
        assert_eq!(
            told[..8],
            [
                Standing::InForce,
                Standing::Off,
                lacking(&["ip.src.country"], &[]),
                Standing::InForce,
                lacking(&[], &["huge"]),
                lacking(&["cf.client.bot"], &["nowhere"]),
                Standing::Dormant(Unobeyed::Action(Action::Challenge)),
                Standing::Dormant(Unobeyed::Parameters(Action::Skip)),
            ]
        );
        assert!(matches!(&told[8], Standing::Wrong(wrong) if wrong.pointer == "/expression"), "{:?}", told[8]);
        let travels = ZoneRules::of(UrlNormalization::default(), std::slice::from_ref(&firewall), &[], lists);
        let in_force = firewall.rules.iter().zip(&told).filter(|(_, standing)| **standing == Standing::InForce);
        assert_eq!(
            in_force.map(|(rule, _)| rule.id).collect::<Vec<_>>(),
            travels.rules.iter().map(|rule| rule.id).collect::<Vec<_>>()
        );
    }

    #[test]
    fn phases_and_rulesets_that_are_not_obeyed_are_told() {
        let rules = [(Action::Block, "true", true), (Action::Block, "true", false)];
        let told = |kind, phase| {
            let ruleset = ruleset(kind, phase, &rules);
            ruleset.rules.iter().map(|rule| Standing::of(&ruleset, rule, &KnownNames::default())).collect::<Vec<_>>()
        };
        assert_eq!(told(Kind::Custom, Phase::FirewallCustom), [Standing::Unreached, Standing::Off]);
        assert_eq!(told(Kind::Root, Phase::FirewallCustom), [Standing::InForce, Standing::Off]);
        let unobeyed = Standing::Dormant(Unobeyed::Phase(Phase::Ratelimit));
        assert_eq!(told(Kind::Zone, Phase::Ratelimit), [unobeyed, Standing::Off]);
    }
}
