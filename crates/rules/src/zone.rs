//! A zone's rules, compiled, and what they make of a request: phase by phase in the order of edge-behaviour §4.1.
//!
//! Within a phase every rule sees the request as the phase before left it. The first redirect that matches wins; of rewrites, settings and
//! routes the last one wins, part by part; changes of fields are made one after the other.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use poterne_model::{
    Name, RuleId, RulesetId,
    ruleset::Phase,
    setting::{SslMode, UrlNormalization, normalization::NormalizationScope},
};

use crate::{
    Computed, Condition, ExpressionError, Facts, Spent, ZoneRules,
    definition::{self, Act, Change, Definition, PHASES, Payload, Response},
    listed::{self, Listed, Lists},
    redirects::Redirects,
    url::{self, PathError},
};

#[cfg(test)]
mod tests;

/// Longest target that rules may write, in bytes: what origins commonly take.
pub const TARGET_BYTES_MAX: usize = 8192;

/// Most lines in the log about one request.
const LOGGED_MAX: usize = 10;

/// A zone's rules, ready to be asked.
#[derive(Debug)]
pub struct Program {
    normalization: UrlNormalization,
    /// In the order of [`PHASES`].
    phases: [Vec<Rule>; PHASES.len()],
    /// Those of rulesets that these execute.
    executed: Vec<Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    id: RuleId,
    when: Condition,
    act: Ready,
}

/// An [`Act`] with its expressions compiled.
#[derive(Debug)]
enum Ready {
    Redirect {
        target: Text,
        status: u16,
        keeps_query: bool,
    },
    RedirectFrom {
        redirects: Arc<Redirects>,
        key: Box<Computed>,
    },
    Rewrite {
        path: Option<Text>,
        query: Option<Text>,
    },
    Config {
        ssl: Option<SslMode>,
    },
    Route(Box<Route>),
    Fields(Vec<(HeaderName, Write)>),
    Block(Option<Arc<Response>>),
    Skip,
    Pass {
        next: Next,
        phases: Vec<Phase>,
    },
    /// Which of [`Program::executed`].
    Execute(usize),
    Log,
}

#[derive(Debug)]
enum Text {
    Value(Vec<u8>),
    Computed(Box<Computed>),
}

#[derive(Debug)]
enum Write {
    Set(Text),
    Add(Text),
    Remove,
}

/// How the origin is reached, where rules say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The `Host` it sees.
    pub host_header: Option<Name>,
    /// The name it is asked for in TLS.
    pub sni: Option<Name>,
    /// The name whose addresses it has.
    pub host: Option<Name>,
    /// Its port.
    pub port: Option<u16>,
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldChange {
    /// It has this value alone.
    Set(HeaderValue),
    /// It has this value besides.
    Add(HeaderValue),
    /// It goes.
    Remove,
}

/// What the rules make of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Goes(Box<Going>),
    /// It is answered with another address.
    Redirect {
        /// The rule.
        rule: RuleId,
        /// The status.
        status: u16,
        /// The address.
        location: HeaderValue,
    },
    /// It is refused.
    Blocked {
        /// The rule.
        rule: RuleId,
        /// The answer; none: the edge's own page.
        answer: Option<Arc<Response>>,
    },
    /// A rule could not be followed.
    Failed(Trouble),
    /// The path has no normal form.
    BadPath(PathError),
}

/// A request that goes on, and what is changed of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Going {
    /// Path and query as the origin gets them; none: as they came.
    pub target: Option<String>,
    /// The path that later rules see.
    pub path: String,
    /// The query that later rules see.
    pub query: String,
    /// How the origin is spoken to, where rules say so.
    pub ssl: Option<SslMode>,
    /// How it is reached.
    pub route: Route,
    /// What becomes of fields, in order.
    pub fields: Vec<(HeaderName, FieldChange)>,
    /// The rules that want to be in the log.
    pub logged: Vec<RuleId>,
    /// Whether there are rules to be asked of its answer.
    pub asks_answer: bool,
}

/// A rule that could not be followed (edge-behaviour §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// The rule.
    pub rule: RuleId,
    /// What went wrong.
    pub what: TroubleKind,
}

/// What went wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TroubleKind {
    /// The path it writes does not begin with `/`. Error 1035.
    #[error("the path that it writes does not begin with /")]
    Path,
    /// What it writes is longer than [`TARGET_BYTES_MAX`]. Error 1036.
    #[error("what it writes is longer than {TARGET_BYTES_MAX} bytes")]
    Length,
    /// An expression came to nothing. Error 1037.
    #[error("its expression comes to nothing on this request")]
    Nothing,
    /// An expression cost too much. Error 1037.
    #[error("{0}")]
    Spent(#[from] Spent),
    /// What it writes is no field value. Error 1041.
    #[error("what it writes into a field has control characters in it")]
    Value,
}

impl TroubleKind {
    /// The code of the error page.
    pub const fn code(self) -> u16 {
        match self {
            Self::Path => 1035,
            Self::Length => 1036,
            Self::Nothing | Self::Spent(_) => 1037,
            Self::Value => 1041,
        }
    }
}

impl Program {
    /// Compiles a zone's rules. Those that do not compile are left out, and told.
    pub fn compile(rules: &ZoneRules) -> (Self, Vec<(RuleId, ExpressionError)>) {
        let mut program = Self {
            normalization: rules.normalization,
            phases: Default::default(),
            executed: Vec::with_capacity(rules.executed.len()),
        };
        let mut refused = Vec::new();
        let known = Names { lists: listed::ready(&rules.lists), executed: rules.executed.iter().map(|one| one.id).collect() };
        for definition in &rules.rules {
            let Some(place) = PHASES.iter().position(|phase| *phase == definition.phase) else { continue };
            match ready(definition, &known) {
                Ok(rule) => program.phases[place].extend(rule),
                Err(error) => refused.push((definition.id, error)),
            }
        }
        let inside = Names { lists: known.lists, executed: Vec::new() };
        for executed in &rules.executed {
            let mut all = Vec::with_capacity(executed.rules.len());
            for definition in &executed.rules {
                match ready(definition, &inside) {
                    Ok(rule) => all.extend(rule),
                    Err(error) => refused.push((definition.id, error)),
                }
            }
            program.executed.push(all);
        }
        (program, refused)
    }

    fn phase(&self, phase: Phase) -> &[Rule] {
        PHASES.iter().position(|known| *known == phase).map_or(&[], |place| &self.phases[place])
    }

    /// Whether it has rules that are asked when there is an answer.
    pub fn has_response_rules(&self) -> bool {
        !self.phase(Phase::ResponseHeadersTransform).is_empty()
    }

    /// Shows the rules that a request meets, in order; those of a ruleset that one executes in that one's place. One that costs too much is
    /// not met.
    fn ask<'p, E>(
        &'p self,
        rules: &'p [Rule],
        facts: &Facts<'_>,
        visit: &mut impl FnMut(&'p Rule) -> Result<Next, E>,
    ) -> Result<Next, E> {
        for rule in rules.iter().filter(|rule| rule.when.holds(facts).unwrap_or(false)) {
            let next = match &rule.act {
                Ready::Execute(at) => match self.executed.get(*at) {
                    Some(rules) => self.ask(rules, facts, visit)?,
                    None => Next::Rule,
                },
                _ => visit(rule)?,
            };
            match (next, &rule.act) {
                // What it passes over is the ruleset that is executed.
                (Next::Rule, _) | (Next::Ruleset, Ready::Execute(_)) => {}
                (Next::Ruleset | Next::Phase, _) => return Ok(next),
            }
        }
        Ok(Next::Rule)
    }

    /// What it makes of a request, where no rules of its account come before. In `facts`, path and query in force are the ones that came.
    pub fn request(&self, facts: &Facts<'_>) -> Outcome {
        Programs { account: None, zone: Some(self) }.request(facts)
    }

    /// What becomes of an answer's fields, likewise. `facts` has the answer in it.
    ///
    /// # Errors
    /// A rule writes what is no field value, or cost too much.
    pub fn response(&self, facts: &Facts<'_>) -> Result<Vec<(HeaderName, FieldChange)>, Trouble> {
        Programs { account: None, zone: Some(self) }.response(facts)
    }
}

/// What is asked after a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The rule behind it.
    Rule,
    /// None of its ruleset.
    Ruleset,
    /// None of its phase.
    Phase,
}

/// Why no further rule is asked.
enum Stop {
    Ended(Outcome),
    Failed(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

/// The rules of an account and of its zone: in each phase the account's are asked first (edge-behaviour §4.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct Programs<'p> {
    /// The account's.
    pub account: Option<&'p Program>,
    /// The zone's; none: paths are put in normal form, and that is all.
    pub zone: Option<&'p Program>,
}

impl<'p> Programs<'p> {
    /// Whether there are rules that are asked when there is an answer.
    pub fn has_response_rules(&self) -> bool {
        self.all().any(Program::has_response_rules)
    }

    fn all(&self) -> impl Iterator<Item = &'p Program> + use<'p> {
        self.account.into_iter().chain(self.zone)
    }

    fn ask<E>(&self, phase: Phase, facts: &Facts<'_>, mut visit: impl FnMut(&'p Rule) -> Result<Next, E>) -> Result<(), E> {
        for program in self.all() {
            if program.ask(program.phase(phase), facts, &mut visit)? == Next::Phase {
                break;
            }
        }
        Ok(())
    }

    /// What they make of a request. In `facts`, path and query in force are the ones that came.
    pub fn request(&self, facts: &Facts<'_>) -> Outcome {
        let normalization = self.zone.map(|zone| zone.normalization).unwrap_or_default();
        let normal = match url::normal_path(facts.raw_path, normalization.kind) {
            Ok(normal) => normal,
            Err(error) => return Outcome::BadPath(error),
        };
        let facts = Facts { path: &normal, query: facts.raw_query, ..*facts };
        match self.phases_of_request(&facts, normalization) {
            Ok(going) => Outcome::Goes(Box::new(going)),
            Err(Stop::Ended(outcome)) => outcome,
            Err(Stop::Failed(trouble)) => Outcome::Failed(trouble),
        }
    }

    fn phases_of_request(&self, facts: &Facts<'_>, normalization: UrlNormalization) -> Result<Going, Stop> {
        self.redirects(Phase::DynamicRedirect, facts)?;
        let (mut path, mut query) = (None, None);
        self.ask(Phase::Transform, facts, |rule| {
            if let Ready::Rewrite { path: new_path, query: new_query } = &rule.act {
                let told = |what| Trouble { rule: rule.id, what };
                if let Some(text) = new_path {
                    path = Some(written_path(text, facts).map_err(told)?);
                }
                if let Some(text) = new_query {
                    query = Some(written_query(text, facts).map_err(told)?);
                }
            }
            Ok::<_, Trouble>(Next::Rule)
        })?;
        let target = target(normalization.scope, facts, path.as_deref(), query.as_deref());
        let (path, query) = (path.unwrap_or_else(|| facts.path.to_owned()), query.unwrap_or_else(|| facts.query.to_owned()));
        let facts = Facts { path: &path, query: &query, ..*facts };
        let mut going = Going { target, ..Going::default() };
        self.ask(Phase::ConfigSettings, &facts, |rule| {
            if let Ready::Config { ssl } = rule.act {
                going.ssl = ssl.or(going.ssl);
            }
            Ok::<_, Stop>(Next::Rule)
        })?;
        self.ask(Phase::Origin, &facts, |rule| {
            if let Ready::Route(route) = &rule.act {
                let Route { host_header, sni, host, port } = (**route).clone();
                let before = std::mem::take(&mut going.route);
                going.route = Route {
                    host_header: host_header.or(before.host_header),
                    sni: sni.or(before.sni),
                    host: host.or(before.host),
                    port: port.or(before.port),
                };
            }
            Ok::<_, Stop>(Next::Rule)
        })?;
        let mut passed: &[Phase] = &[];
        let mut more = Vec::new();
        self.ask(Phase::FirewallCustom, &facts, |rule| {
            match &rule.act {
                Ready::Block(answer) => return Err(Stop::Ended(Outcome::Blocked { rule: rule.id, answer: answer.clone() })),
                Ready::Skip => return Ok(Next::Ruleset),
                Ready::Pass { next, phases } => {
                    // Hardly ever more than one rule says so.
                    match passed {
                        [] => passed = phases,
                        _ => more.extend_from_slice(phases),
                    }
                    return Ok(*next);
                }
                Ready::Log if going.logged.len() < LOGGED_MAX => going.logged.push(rule.id),
                _ => {}
            }
            Ok(Next::Rule)
        })?;
        let is_passed = |phase| passed.contains(&phase) || more.contains(&phase);
        if !is_passed(Phase::Redirect) {
            self.redirects(Phase::Redirect, &facts)?;
        }
        if !is_passed(Phase::LateTransform) {
            going.fields = self.fields(Phase::LateTransform, &facts)?;
        }
        going.asks_answer = self.has_response_rules() && !is_passed(Phase::ResponseHeadersTransform);
        (going.path, going.query) = (path, query);
        Ok(going)
    }

    /// The first that is met ends it.
    fn redirects(&self, phase: Phase, facts: &Facts<'_>) -> Result<(), Stop> {
        self.ask(phase, facts, |rule| {
            let told = |what| Trouble { rule: rule.id, what };
            let found = match &rule.act {
                Ready::Redirect { target, status, keeps_query } => {
                    let address = target.of(facts).map_err(told)?;
                    Some((*status, with_query(url::address_of(&address), *keeps_query, facts)))
                }
                Ready::RedirectFrom { redirects, key } => {
                    // What has no address is in no list.
                    let key = key.text(facts).map_err(|spent| told(spent.into()))?.unwrap_or_default();
                    let found = redirects.find(&key);
                    found.map(|(found, to)| (found.status, with_query(url::address_of(to.as_bytes()), found.keeps_query, facts)))
                }
                _ => None,
            };
            match found {
                Some((status, location)) => {
                    let location = location.map_err(told)?;
                    Err(Stop::Ended(Outcome::Redirect { rule: rule.id, status, location }))
                }
                None => Ok(Next::Rule),
            }
        })
    }

    /// What becomes of an answer's fields. `facts` has the answer in it.
    ///
    /// # Errors
    /// A rule writes what is no field value, or cost too much.
    pub fn response(&self, facts: &Facts<'_>) -> Result<Vec<(HeaderName, FieldChange)>, Trouble> {
        self.fields(Phase::ResponseHeadersTransform, facts)
    }

    fn fields(&self, phase: Phase, facts: &Facts<'_>) -> Result<Vec<(HeaderName, FieldChange)>, Trouble> {
        let mut changes = Vec::new();
        self.ask(phase, facts, |rule| {
            let Ready::Fields(fields) = &rule.act else { return Ok(Next::Rule) };
            for (name, write) in fields {
                let told = |what| Trouble { rule: rule.id, what };
                let value = |text: &Text| -> Result<Option<HeaderValue>, TroubleKind> {
                    let text = match text.of(facts) {
                        Ok(text) => text,
                        Err(TroubleKind::Nothing) => return Ok(None),
                        Err(other) => return Err(other),
                    };
                    if text.len() > TARGET_BYTES_MAX {
                        return Err(TroubleKind::Length);
                    }
                    HeaderValue::from_bytes(&text).map(Some).map_err(|_| TroubleKind::Value)
                };
                let change = match write {
                    // What is not there is not what came under its name.
                    Write::Set(text) => Some(value(text).map_err(told)?.map_or(FieldChange::Remove, FieldChange::Set)),
                    Write::Add(text) => value(text).map_err(told)?.map(FieldChange::Add),
                    Write::Remove => Some(FieldChange::Remove),
                };
                changes.extend(change.map(|change| (name.clone(), change)));
            }
            Ok::<_, Trouble>(Next::Rule)
        })?;
        Ok(changes)
    }
}

/// What the origin gets; none where it is what came.
fn target(scope: NormalizationScope, facts: &Facts<'_>, path: Option<&str>, query: Option<&str>) -> Option<String> {
    let sent = match (path, scope) {
        (Some(path), _) => path,
        (None, NormalizationScope::Both) => facts.path,
        (None, NormalizationScope::Incoming) => facts.raw_path,
    };
    if sent == facts.raw_path && query.is_none_or(|query| query == facts.raw_query) {
        return None;
    }
    let query = query.unwrap_or(facts.raw_query);
    Some(if query.is_empty() { sent.to_owned() } else { format!("{sent}?{query}") })
}

/// The path that is in force where a zone has no rules of its own, and whether the origin gets it: normal form is the default.
///
/// # Errors
/// It has no normal form.
pub fn default_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    url::normal_path(path, UrlNormalization::default().kind)
}

/// Makes the changes, one after the other.
pub fn change_fields(headers: &mut HeaderMap, changes: Vec<(HeaderName, FieldChange)>) {
    for (name, change) in changes {
        match change {
            FieldChange::Set(value) => drop(headers.insert(name, value)),
            FieldChange::Add(value) => drop(headers.append(name, value)),
            FieldChange::Remove => drop(headers.remove(name)),
        }
    }
}

impl Text {
    fn of<'t>(&'t self, facts: &Facts<'_>) -> Result<Cow<'t, [u8]>, TroubleKind> {
        match self {
            Self::Value(text) => Ok(Cow::Borrowed(text)),
            Self::Computed(computed) => computed.text(facts)?.map(Cow::Owned).ok_or(TroubleKind::Nothing),
        }
    }
}

/// An address, perhaps with the request's query behind its own.
fn with_query(mut address: String, keeps_query: bool, facts: &Facts<'_>) -> Result<HeaderValue, TroubleKind> {
    if address.is_empty() {
        return Err(TroubleKind::Nothing);
    }
    if keeps_query && !facts.query.is_empty() {
        let fragment = address.find('#').map(|at| address.split_off(at));
        let between = if address.contains('?') { '&' } else { '?' };
        address.push(between);
        address.push_str(facts.query);
        address.push_str(&fragment.unwrap_or_default());
    }
    if address.len() > TARGET_BYTES_MAX {
        return Err(TroubleKind::Length);
    }
    HeaderValue::try_from(address).map_err(|_| TroubleKind::Value)
}

fn written_path(text: &Text, facts: &Facts<'_>) -> Result<String, TroubleKind> {
    let path = url::path_of(&text.of(facts)?);
    match path.as_bytes() {
        [b'/', ..] if path.len() <= TARGET_BYTES_MAX => Ok(path),
        [b'/', ..] => Err(TroubleKind::Length),
        _ => Err(TroubleKind::Path),
    }
}

fn written_query(text: &Text, facts: &Facts<'_>) -> Result<String, TroubleKind> {
    let query = url::query_of(&text.of(facts)?);
    if query.len() <= TARGET_BYTES_MAX { Ok(query) } else { Err(TroubleKind::Length) }
}

/// What rules may name.
struct Names {
    lists: Lists,
    /// Rulesets that may be executed, in the order in which they are compiled.
    executed: Vec<RulesetId>,
}

/// None where it names what did not come.
fn ready(definition: &Definition, known: &Names) -> Result<Option<Rule>, ExpressionError> {
    let moment = definition::moment(definition.phase);
    let computed = |expression: &str| Computed::with_lists(expression, moment, &known.lists);
    let text = |payload: &Payload| {
        Ok(match payload {
            Payload::Value(text) => Text::Value(text.clone().into_bytes()),
            Payload::Expression(expression) => Text::Computed(Box::new(computed(expression)?)),
        })
    };
    let act = match &definition.act {
        Act::Redirect { target, status, keeps_query } => {
            Ready::Redirect { target: text(target)?, status: *status, keeps_query: *keeps_query }
        }
        Act::RedirectFrom { list, key } => {
            let Some(Listed::Redirects(redirects)) = known.lists.get(list) else { return Ok(None) };
            Ready::RedirectFrom { redirects: Arc::clone(redirects), key: Box::new(computed(key)?) }
        }
        Act::Rewrite { path, query } => {
            let part = |part: &Option<Payload>| part.as_ref().map(text).transpose();
            Ready::Rewrite { path: part(path)?, query: part(query)? }
        }
        Act::Config { ssl } => Ready::Config { ssl: *ssl },
        Act::Route { host_header, sni, host, port } => {
            let (host_header, sni, host) = (host_header.clone(), sni.clone(), host.clone());
            Ready::Route(Box::new(Route { host_header, sni, host, port: *port }))
        }
        Act::Fields(fields) => {
            let mut written = Vec::with_capacity(fields.len());
            for (name, change) in fields {
                // That it is a name was checked when the rule was saved.
                let Ok(name) = HeaderName::try_from(name.as_str()) else { continue };
                let write = match change {
                    Change::Set(payload) => Write::Set(text(payload)?),
                    Change::Add(payload) => Write::Add(text(payload)?),
                    Change::Remove => Write::Remove,
                };
                written.push((name, write));
            }
            Ready::Fields(written)
        }
        Act::Block(response) => Ready::Block(response.clone().map(Arc::new)),
        Act::Skip => Ready::Skip,
        Act::Pass { ruleset, phase, phases } => {
            let next = match (phase, ruleset) {
                (true, _) => Next::Phase,
                (false, true) => Next::Ruleset,
                (false, false) => Next::Rule,
            };
            Ready::Pass { next, phases: phases.clone() }
        }
        Act::Execute(id) => {
            let Some(at) = known.executed.iter().position(|executed| executed == id) else { return Ok(None) };
            Ready::Execute(at)
        }
        Act::Log => Ready::Log,
    };
    Ok(Some(Rule { id: definition.id, when: Condition::with_lists(&definition.expression, moment, &known.lists)?, act }))
}
