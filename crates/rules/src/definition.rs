//! A zone's rules as they travel to the edge, and how they are read out of rulesets.
//!
//! What travels is what edges obey and nothing else: rules that are off, and those that this node keeps without obeying them, stay behind.
//! [`read`] is asked when a rule is saved, too: whatever an edge would refuse is refused there.

use std::{collections::BTreeSet, fmt};

use poterne_model::{
    Name, RuleId, RulesetId,
    ruleset::{Action, Kind, Phase, Rule, RuleBody, Ruleset},
    setting::{SslMode, UrlNormalization},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Computed, Condition, ExpressionError, Lacking, Moment, NamedList,
    listed::{self, Listed, Lists},
};

/// The phases whose rules edges obey, in their order; bulk redirects are an account's alone.
pub const PHASES: &[Phase] = &[
    Phase::DynamicRedirect,
    Phase::Transform,
    Phase::ConfigSettings,
    Phase::Origin,
    Phase::FirewallCustom,
    Phase::Redirect,
    Phase::LateTransform,
    Phase::ResponseHeadersTransform,
];

/// Most regular expressions of one ruleset: each may take some megabytes of an edge's memory.
pub const REGEXES_PER_RULESET_MAX: usize = 64;

/// Most bytes of a ruleset's rules, as JSON: those of all phases fit into one chunk.
pub const RULESET_BYTES_MAX: usize = 256 * 1024;

/// Most rulesets that the rules of a zone, or of an account, execute, and most bytes of their rules as JSON together; one beyond it is not
/// executed.
pub const EXECUTED_MAX: usize = 16;
/// See [`EXECUTED_MAX`].
pub const EXECUTED_BYTES_MAX: usize = 512 * 1024;

/// What edges obey of the rules of a zone, or of those that an account has for all its zones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRules {
    /// What is done to paths; nothing of an account's own.
    pub normalization: UrlNormalization,
    /// Phase by phase in [`PHASES`]' order, and within one in the ruleset's.
    pub rules: Vec<Definition>,
    /// The account's lists that they name.
    pub lists: Vec<NamedList>,
    /// The rulesets that they execute.
    pub executed: Vec<Executed>,
}

/// A ruleset that rules execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// Its id.
    pub id: RulesetId,
    /// Its rules.
    pub rules: Vec<Definition>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its id.
    pub id: RuleId,
    /// When it is asked.
    pub phase: Phase,
    /// Of which requests it is.
    pub expression: String,
    /// What is done to them.
    pub act: Act,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Answers with another address.
    Redirect {
        /// The address.
        target: Payload,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Whether the request's query goes along.
        keeps_query: bool,
    },
    /// Writes path or query anew.
    Rewrite {
        /// The path; none: it stays.
        path: Option<Payload>,
        /// The query, without `?`; none: it stays.
        query: Option<Payload>,
    },
    /// Sets settings for this request alone.
    Config {
        /// How the origin is spoken to.
        ssl: Option<SslMode>,
    },
    /// Chooses how the origin is reached.
    Route {
        /// The `Host` it sees.
        host_header: Option<Name>,
        /// The name it is asked for in TLS.
        sni: Option<Name>,
        /// The name whose addresses it has, instead of the record's.
        host: Option<Name>,
        /// Its port.
        port: Option<u16>,
    },
    /// Changes fields: of the request to the origin, or in a response phase of the answer.
    Fields(Vec<(String, Change)>),
    /// Ends the request; with an answer of its own, or the edge's page.
    Block(Option<Response>),
    /// Passes over the rules behind it in its ruleset.
    Skip,
    /// Says so in the log.
    Log,
    /// Asks the rules of another ruleset, in their order.
    Execute(RulesetId),
    /// Answers with the address that a list of redirects has for another one.
    RedirectFrom {
        /// The list.
        list: String,
        /// What comes to the address that is looked for.
        key: String,
    },
    /// Passes over more than the rest of its ruleset.
    Pass {
        /// The rules behind it in its ruleset.
        ruleset: bool,
        /// All rules behind it in its phase, those of the zone behind an account's too.
        phase: bool,
        /// The rules of later phases.
        phases: Vec<Phase>,
    },
}

/// A text, or an expression that comes to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// As it is.
    Value(String),
    /// To be computed.
    Expression(String),
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It has this value alone.
    Set(Payload),
    /// It has this value besides.
    Add(Payload),
    /// It goes.
    Remove,
}

/// An answer of a rule's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// 400 to 499.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The body.
    pub content: String,
}

/// A rule that is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What edges do, or why they do nothing.
    pub act: Result<Act, Unobeyed>,
    /// How many regular expressions it has.
    pub regexes: usize,
}

/// Why a rule is kept and not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unobeyed {
    /// It asks for what this node does not have.
    Lacking(Lacking),
    /// Edges do not do that.
    Action(Action),
    /// Nothing that it sets is obeyed.
    Parameters(Action),
    /// Edges have no rules of that phase.
    Phase(Phase),
    /// The ruleset that it executes is not there for it.
    Ruleset(String),
}

impl fmt::Display for Unobeyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacking(Lacking { fields, lists }) => {
                let lists = lists.iter().map(|list| format!("${list}"));
                let all: Vec<String> = fields.iter().cloned().chain(lists).collect();
                write!(f, "this node does not fill {}", all.join(", "))
            }
            Self::Action(action) => write!(f, "the action {action} is not obeyed yet"),
            Self::Parameters(action) => write!(f, "nothing that this {action} sets is obeyed yet"),
            Self::Phase(phase) => write!(f, "the phase {phase} is not obeyed yet"),
            Self::Ruleset(id) => write!(
                f,
                "the ruleset {id} is not executed: it is a managed one, is executed by a ruleset that is executed itself, or is beyond the {EXECUTED_MAX} rulesets and {EXECUTED_BYTES_MAX} bytes that there is room for"
            ),
        }
    }
}

/// An expression of a rule that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Wrong {
    /// JSON pointer from the rule to it.
    pub pointer: String,
    /// What is wrong.
    pub error: ExpressionError,
}

/// When the rules of a phase are asked.
pub const fn moment(phase: Phase) -> Moment {
    match phase {
        Phase::ResponseCacheSettings
        | Phase::ResponseHeadersTransform
        | Phase::ResponseFirewallManaged
        | Phase::CustomErrors
        | Phase::ResponseCompression
        | Phase::LogCustomFields => Moment::Response,
        _ => Moment::Request,
    }
}

/// Reads a rule whose shape is right, with every expression in it.
///
/// # Errors
/// An expression is wrong.
pub fn read(phase: Phase, body: &RuleBody) -> Result<Reading, Wrong> {
    read_with(phase, body, &Known::default())
}

/// What rules may name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) lists: Lists,
    /// Rulesets that may be executed.
    pub(crate) rulesets: Vec<RulesetId>,
}

pub(crate) fn read_with(phase: Phase, body: &RuleBody, known: &Known) -> Result<Reading, Wrong> {
    let mut reader = Reader { moment: moment(phase), known, lacking: Lacking::default(), regexes: 0 };
    reader.condition("/expression", &body.expression, reader.moment)?;
    let empty = Map::new();
    let parameters = body.action_parameters.as_ref().unwrap_or(&empty);
    let act = reader.act(phase, body.action, parameters)?;
    // What counts may ask for the answer.
    if let Some(counting) = body.ratelimit.as_ref().and_then(|limit| text(limit.get("counting_expression"))) {
        // An empty one is what clients write for none.
        if !counting.trim().is_empty() {
            reader.condition("/ratelimit/counting_expression", counting, Moment::Response)?;
        }
    }
    for key in ["username_expression", "password_expression"] {
        if let Some(expression) = body.exposed_credential_check.as_ref().and_then(|check| text(check.get(key))) {
            reader.computed(format!("/exposed_credential_check/{key}"), expression)?;
        }
    }
    let act = if !PHASES.contains(&phase) {
        Err(Unobeyed::Phase(phase))
    } else if reader.lacking.is_nothing() {
        act
    } else {
        Err(Unobeyed::Lacking(reader.lacking))
    };
    Ok(Reading { act, regexes: reader.regexes })
}

impl ZoneRules {
    /// What edges obey of entry points, in whatever order they come, with the custom rulesets that their rules may execute, and with those
    /// lists of the account that they name ([`ZoneRules::lists_of`]). Rules that no edge would take were refused when they were saved; one
    /// that an older version let in is left out.
    pub fn of(normalization: UrlNormalization, entry_points: &[Ruleset], customs: &[Ruleset], lists: Vec<NamedList>) -> Self {
        let lists = listed::that_fit(lists);
        let known = Known::of(&lists, entry_points, customs);
        let rules = definitions(readings(entry_points, &known));
        let executed = known.rulesets.iter().filter_map(|id| customs.iter().find(|custom| custom.id == *id));
        let inside = known.without_rulesets();
        let executed = executed
            .map(|custom| Executed { id: custom.id, rules: definitions(readings(std::slice::from_ref(custom), &inside)) });
        let executed = executed.collect();
        Self { normalization, rules, lists, executed }
    }

    /// The names of the lists that rules of entry points ask for, and of the custom rulesets that they execute.
    pub fn lists_of(entry_points: &[Ruleset], customs: &[Ruleset]) -> BTreeSet<String> {
        let known = Known::of(&[], entry_points, customs);
        let asked = |(_, _, reading): (Phase, &Rule, Reading)| match reading.act {
            Err(Unobeyed::Lacking(lacking)) if lacking.fields.is_empty() => lacking.lists,
            _ => Vec::new(),
        };
        let executed = mentioned(entry_points, customs);
        let executed = executed.flat_map(|custom| readings(std::slice::from_ref(custom), &known).flat_map(asked));
        readings(entry_points, &known).flat_map(asked).chain(executed).collect()
    }
}

impl Known {
    /// Of these lists, and of those rulesets that rules of entry points execute, as many as there is room for.
    pub(crate) fn of(lists: &[NamedList], entry_points: &[Ruleset], customs: &[Ruleset]) -> Self {
        let mut known = Self { lists: listed::ready(lists), rulesets: customs.iter().map(|custom| custom.id).collect() };
        let (mut room, mut chosen) = (EXECUTED_BYTES_MAX, Vec::new());
        for (phase, _, reading) in readings(entry_points, &known) {
            let Ok(Act::Execute(id)) = reading.act else { continue };
            let Some(custom) = customs.iter().find(|custom| custom.id == id && custom.phase == phase) else { continue };
            let bytes = serde_json::to_vec(&custom.rules).map_or(usize::MAX, |json| json.len());
            if !chosen.contains(&id) && chosen.len() < EXECUTED_MAX && bytes <= room {
                room -= bytes;
                chosen.push(id);
            }
        }
        known.rulesets = chosen;
        known
    }

    /// As rules of a ruleset know it that is executed itself.
    pub(crate) fn without_rulesets(&self) -> Self {
        Self { lists: self.lists.clone(), rulesets: Vec::new() }
    }
}

/// The custom rulesets that rules which are on may execute.
fn mentioned<'r>(entry_points: &'r [Ruleset], customs: &'r [Ruleset]) -> impl Iterator<Item = &'r Ruleset> {
    let rules = || entry_points.iter().flat_map(|ruleset| &ruleset.rules).filter(|rule| rule.body.enabled);
    customs.iter().filter(move |custom| {
        custom.kind == Kind::Custom && rules().any(|rule| executes(&rule.body).is_some_and(|id| *id == *custom.id.to_string()))
    })
}

/// The id of the ruleset that a rule executes.
pub fn executes(body: &RuleBody) -> Option<&str> {
    let parameters = body.action_parameters.as_ref().filter(|_| body.action == Action::Execute)?;
    text(parameters.get("id"))
}

fn definitions<'r>(readings: impl Iterator<Item = (Phase, &'r Rule, Reading)>) -> Vec<Definition> {
    let rules = readings.filter_map(|(phase, rule, reading)| {
        let (id, expression, act) = (rule.id, rule.body.expression.clone(), reading.act.ok()?);
        Some(Definition { id, phase, expression, act })
    });
    rules.collect()
}

/// The rules that are on, in the phases' order.
fn readings<'r>(rulesets: &'r [Ruleset], known: &Known) -> impl Iterator<Item = (Phase, &'r Rule, Reading)> {
    let of_phase = |phase: Phase| rulesets.iter().filter(move |ruleset| ruleset.phase == phase);
    let rules =
        PHASES.iter().flat_map(move |phase| of_phase(*phase).flat_map(|ruleset| &ruleset.rules).map(|rule| (*phase, rule)));
    let rules = rules.filter(|(_, rule)| rule.body.enabled);
    rules.filter_map(move |(phase, rule)| Some((phase, rule, read_with(phase, &rule.body, known).ok()?)))
}

struct Reader<'k> {
    moment: Moment,
    known: &'k Known,
    lacking: Lacking,
    regexes: usize,
}

fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str()
}

fn name(value: Option<&Value>) -> Option<Name> {
    Name::parse(value?.as_str()?).ok()
}

/// A number, which some clients write as a text.
fn number(value: Option<&Value>) -> Option<u16> {
    let value = value?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok()
}

impl Reader<'_> {
    fn condition(&mut self, pointer: &str, expression: &str, moment: Moment) -> Result<(), Wrong> {
        let condition = Condition::with_lists(expression, moment, &self.known.lists);
        let condition = condition.map_err(|error| Wrong { pointer: pointer.to_owned(), error })?;
        self.regexes += condition.regexes();
        self.lacking.add(condition.lacking().clone());
        Ok(())
    }

    fn computed(&mut self, pointer: String, expression: &str) -> Result<(), Wrong> {
        let computed =
            Computed::with_lists(expression, self.moment, &self.known.lists).map_err(|error| Wrong { pointer, error })?;
        self.regexes += computed.regexes();
        self.lacking.add(computed.lacking().clone());
        Ok(())
    }

    fn payload(&mut self, at: &str, given: Option<&Value>) -> Result<Option<Payload>, Wrong> {
        let Some(given) = given else { return Ok(None) };
        if let Some(expression) = text(given.get("expression")) {
            self.computed(format!("{at}/expression"), expression)?;
            return Ok(Some(Payload::Expression(expression.to_owned())));
        }
        Ok(text(given.get("value")).map(|value| Payload::Value(value.to_owned())))
    }

    fn act(&mut self, phase: Phase, action: Action, parameters: &Map<String, Value>) -> Result<Result<Act, Unobeyed>, Wrong> {
        let nothing = Err(Unobeyed::Parameters(action));
        Ok(match action {
            Action::Redirect => {
                if let Some(from) = parameters.get("from_list") {
                    let (Some(list), Some(key)) = (text(from.get("name")), text(from.get("key"))) else { return Ok(nothing) };
                    self.computed("/action_parameters/from_list/key".to_owned(), key)?;
                    if !matches!(self.known.lists.get(list), Some(Listed::Redirects(_))) {
                        self.lacking.lists.push(list.to_owned());
                    }
                    return Ok(Ok(Act::RedirectFrom { list: list.to_owned(), key: key.to_owned() }));
                }
                let Some(from) = parameters.get("from_value") else { return Ok(nothing) };
                let at = "/action_parameters/from_value/target_url";
                let Some(target) = self.payload(at, from.get("target_url"))? else { return Ok(nothing) };
                let status = number(from.get("status_code")).unwrap_or(301);
                let keeps_query = from.get("preserve_query_string").and_then(Value::as_bool).unwrap_or_default();
                Ok(Act::Redirect { target, status, keeps_query })
            }
            Action::Rewrite => {
                let uri = parameters.get("uri");
                let path = self.payload("/action_parameters/uri/path", uri.and_then(|uri| uri.get("path")))?;
                let query = self.payload("/action_parameters/uri/query", uri.and_then(|uri| uri.get("query")))?;
                let fields = self.fields(parameters)?;
                match phase {
                    Phase::Transform if path.is_some() || query.is_some() => Ok(Act::Rewrite { path, query }),
                    Phase::LateTransform | Phase::ResponseHeadersTransform if !fields.is_empty() => Ok(Act::Fields(fields)),
                    _ => nothing,
                }
            }
            Action::SetConfig => match text(parameters.get("ssl")).and_then(SslMode::of_word) {
                Some(ssl) => Ok(Act::Config { ssl: Some(ssl) }),
                None => nothing,
            },
            Action::Route => {
                let origin = parameters.get("origin");
                Ok(Act::Route {
                    host_header: name(parameters.get("host_header")),
                    sni: name(parameters.get("sni").and_then(|sni| sni.get("value"))),
                    host: name(origin.and_then(|origin| origin.get("host"))),
                    port: number(origin.and_then(|origin| origin.get("port"))),
                })
            }
            Action::Block => Ok(Act::Block(parameters.get("response").and_then(|response| {
                let content_type = text(response.get("content_type"))?.to_owned();
                let content = text(response.get("content"))?.to_owned();
                Some(Response { status: number(response.get("status_code"))?, content_type, content })
            }))),
            // What is passed over by its id is a managed ruleset, or a rule of one.
            Action::Skip if parameters.contains_key("rulesets") || parameters.contains_key("rules") => nothing,
            Action::Skip => {
                let says = |key| parameters.contains_key(key);
                if says("ruleset") && !says("phase") && !says("phases") {
                    return Ok(Ok(Act::Skip));
                }
                // Of the others, and of products, edges have no rules to pass over.
                let phases = parameters.get("phases").and_then(Value::as_array).into_iter().flatten();
                let phases = phases.filter_map(|phase| Phase::of_word(phase.as_str()?)).filter(|phase| PHASES.contains(phase));
                Ok(Act::Pass { ruleset: says("ruleset"), phase: says("phase") && !says("products"), phases: phases.collect() })
            }
            Action::Execute => {
                let id = text(parameters.get("id")).unwrap_or_default();
                match id.parse::<RulesetId>().ok().filter(|id| self.known.rulesets.contains(id)) {
                    Some(_) if parameters.contains_key("overrides") => nothing,
                    Some(id) => Ok(Act::Execute(id)),
                    None => Err(Unobeyed::Ruleset(id.to_owned())),
                }
            }
            Action::Log => Ok(Act::Log),
            other => Err(Unobeyed::Action(other)),
        })
    }

    fn fields(&mut self, parameters: &Map<String, Value>) -> Result<Vec<(String, Change)>, Wrong> {
        let mut fields = Vec::new();
        for (name, given) in parameters.get("headers").and_then(Value::as_object).into_iter().flatten() {
            // RFC 6901 §3: neither stands in a field's name but `~`.
            let at = format!("/action_parameters/headers/{}", name.replace('~', "~0"));
            let payload = self.payload(&at, Some(given))?;
            let change = match (text(given.get("operation")), payload) {
                (Some("remove"), _) => Change::Remove,
                (Some("add"), Some(payload)) => Change::Add(payload),
                (_, Some(payload)) => Change::Set(payload),
                _ => continue,
            };
            fields.push((name.to_ascii_lowercase(), change));
        }
        Ok(fields)
    }
}
