//! All of it together: found once, remembered, and bounded.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use poterne_dns_wire::Rcode;
use poterne_guard::{Guard, Refusal};
use poterne_model::{AccountId, Name, Rdata, Rtype, rdata::Host};
use tokio::sync::Semaphore;

use crate::{
    cache::{Cache, FRESH_MAX, Verdict},
    client::{self, AskError, How},
    message::{Question, Record, Reply},
    referral::{Step, step},
    transfer::{TransferError, transfer},
};

/// Most questions on their way at once.
pub const IN_FLIGHT_MAX: usize = 64;
/// Most questions that one look-up costs others (CVE-2020-12662).
pub const QUESTIONS_MAX: u32 = 50;
/// How long one look-up goes on asking, in seconds: what many silent servers could make of [`QUESTIONS_MAX`] questions would keep others from theirs.
pub const LOOKUP_SECS_MAX: u64 = 30;
/// Most CNAMEs that are followed.
pub const ALIASES_MAX: usize = 8;
/// Most referrals from the root to a name.
const REFERRALS_MAX: usize = 16;
/// How deep looking for a name server's address may lead to looking for another's.
const DEPTH_MAX: u8 = 4;
/// Most servers of a zone that are tried.
const SERVERS_TRIED_MAX: usize = 4;
/// Most addresses of a name that are handed out.
const ADDRESSES_MAX: usize = 32;
/// The port of the world's name servers.
pub const PORT: u16 = 53;

/// How names are found.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses of the root's servers; where there are none, resolvers say who serves what.
    pub roots: Vec<IpAddr>,
    /// Resolvers, asked one after the other; where there are none, the root is begun at.
    pub resolvers: Vec<SocketAddr>,
    /// The port of name servers. [`PORT`], but for a world of one's own.
    pub port: u16,
    /// Where learned addresses may lead.
    pub guard: Guard,
    /// How long one attempt may take, and how many are made.
    pub timeout: Duration,
    /// See `timeout`.
    pub tries: u32,
}

impl Settings {
    /// With these resolvers, or from these roots.
    pub fn new(roots: Vec<IpAddr>, resolvers: Vec<SocketAddr>, guard: Guard) -> Self {
        Self { roots, resolvers, port: PORT, guard, timeout: client::TIMEOUT, tries: client::TRIES_MAX }
    }
}

/// A name server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// What it is called; the operator's root hints are known by address alone.
    pub name: Option<Name>,
    /// Where it is.
    pub address: IpAddr,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the name is called in the end.
    pub canonical: Name,
    /// Its records of the type; there may be none.
    pub records: Vec<Record>,
    /// For how long, in seconds: the least on the way.
    pub ttl_secs: u32,
    /// Whether the name is there at all.
    pub exists: bool,
    /// A resolver has validated it.
    pub authentic: bool,
    /// It has run out, and nobody could be asked.
    pub stale: bool,
}

/// The addresses of a name that may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// They.
    pub reached: Vec<IpAddr>,
    /// Those that are not, and why.
    pub refused: Vec<Refusal>,
    /// For how long, in seconds.
    pub ttl_secs: u32,
}

/// Why nothing was found, not even that there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nobody to ask.
    #[error("there is nobody to ask: set `resolvers` or `root_hints` under [dns], or name a resolver in /etc/resolv.conf")]
    NoServer,
    /// The servers that should know do not answer so that it helps.
    #[error("{name}: {why}")]
    Failed {
        /// What was asked for.
        name: Name,
        /// What the last of them did.
        why: String,
    },
    /// It failed a moment ago, and is not asked for again yet.
    #[error("{why}; that was a moment ago, so {name} is not asked for again yet")]
    Resting {
        /// What was asked for.
        name: Name,
        /// Why it failed.
        why: Arc<str>,
    },
    /// It leads on and on.
    #[error("{0} leads on through more than {ALIASES_MAX} CNAMEs or {REFERRALS_MAX} referrals")]
    TooLong(Name),
    /// It costs too much.
    #[error("{0} takes more than {QUESTIONS_MAX} questions or {LOOKUP_SECS_MAX} seconds to find")]
    TooDear(Name),
}

/// Finds what other name servers say. Clones share one.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    settings: Settings,
    cache: Cache,
    in_flight: Semaphore,
}

/// What one look-up may still cost.
pub(crate) struct Budget {
    questions: u32,
    until: Instant,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { questions: QUESTIONS_MAX, until: now + Duration::from_secs(LOOKUP_SECS_MAX) }
    }

    /// One question less; none where there is no more of it, or no more time.
    fn take(&mut self, now: Instant) -> Option<()> {
        self.questions = self.questions.checked_sub(1).filter(|_| now < self.until)?;
        Some(())
    }
}

/// At which names whoever asks wants a chain of CNAMEs left, since they know the rest.
pub type Ends<'e> = &'e (dyn Fn(&Name) -> bool + Send + Sync);

/// Chains are followed to their end.
const NOWHERE: Ends<'static> = &|_| false;

/// A walk on a walk's way, to the address of a name server.
type Walk<'w> = Pin<Box<dyn Future<Output = Result<Found, ResolveError>> + Send + 'w>>;

/// Where the way down ended.
pub(crate) struct Arrived {
    /// The zone whose servers were asked last; none: the root.
    pub(crate) zone: Option<Name>,
    /// They.
    pub(crate) servers: Vec<Server>,
    /// What they said.
    pub(crate) step: Step,
}

impl Resolver {
    /// With these settings.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner { settings, cache: Cache::new(), in_flight: Semaphore::new(IN_FLIGHT_MAX) }))
    }

    /// How names are found.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether there is anybody to ask.
    pub fn has_servers(&self) -> bool {
        !(self.0.settings.roots.is_empty() && self.0.settings.resolvers.is_empty())
    }

    /// How many questions are on their way, of [`IN_FLIGHT_MAX`], and how many answers are remembered, of
    /// [`ENTRIES_MAX`](crate::cache::ENTRIES_MAX).
    pub fn fill(&self) -> (usize, usize) {
        (IN_FLIGHT_MAX - self.0.in_flight.available_permits(), self.0.cache.len())
    }

    /// What a name's records of a type are: remembered, asked for, or stale where nobody answers.
    ///
    /// # Errors
    /// Nobody answers so that it helps, and nothing is remembered.
    pub async fn lookup(&self, name: &Name, rtype: Rtype) -> Result<Arc<Found>, ResolveError> {
        let key = (name.clone(), rtype);
        let old = match self.0.cache.verdict(&key, Instant::now()) {
            Verdict::Fresh(found) => return Ok(found),
            Verdict::Resting(found) => return Ok(Arc::new(Found { stale: true, ..Found::clone(&found) })),
            Verdict::Stale(found) => Some(found),
            Verdict::Gone => None,
        };
        if old.is_none()
            && let Some(why) = self.0.cache.failure(&key, Instant::now())
        {
            return Err(ResolveError::Resting { name: name.clone(), why });
        }
        match (self.find(name, rtype, &mut Budget::new(Instant::now()), 0, NOWHERE).await, old) {
            (Ok(found), _) => {
                let found = Arc::new(found);
                self.0.cache.keep(key, Arc::clone(&found), Instant::now());
                Ok(found)
            }
            (Err(error), Some(old)) => {
                tracing::debug!(%name, %rtype, %error, "a name cannot be asked for; what is remembered of it goes out stale");
                self.0.cache.failed(key, Instant::now());
                Ok(Arc::new(Found { stale: true, ..Found::clone(&old) }))
            }
            (Err(error), None) => {
                self.0.cache.fail(key, &error.to_string(), Instant::now());
                Err(error)
            }
        }
    }

    /// What a name's records of a type are, asked for now, whatever is remembered; and nothing of it is remembered here. A CNAME that leads
    /// to a name that `ends` is not followed: what is found is then called that, and has no records.
    ///
    /// # Errors
    /// Nobody answers so that it helps.
    pub async fn lookup_until(&self, name: &Name, rtype: Rtype, ends: Ends<'_>) -> Result<Found, ResolveError> {
        self.find(name, rtype, &mut Budget::new(Instant::now()), 0, ends).await
    }

    /// The addresses of a name that may be reached for an account; none: for nobody in particular.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup), for both families.
    pub async fn addresses(&self, account: Option<AccountId>, name: &Name) -> Result<Addresses, ResolveError> {
        let (v4, v6) = tokio::join!(self.lookup(name, Rtype::A), self.lookup(name, Rtype::Aaaa));
        let found = match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => v4.into_iter().chain(v6),
        };
        let mut addresses =
            Addresses { reached: Vec::new(), refused: Vec::new(), ttl_secs: u32::try_from(FRESH_MAX.as_secs()).unwrap_or(3600) };
        for found in found {
            addresses.ttl_secs = addresses.ttl_secs.min(found.ttl_secs);
            for address in found.records.iter().filter_map(Record::address).take(ADDRESSES_MAX) {
                match self.0.settings.guard.admits_address(account, address) {
                    Ok(_) => addresses.reached.push(address),
                    Err(refusal) => addresses.refused.push(refusal),
                }
            }
        }
        Ok(addresses)
    }

    /// What one server says, asked for itself: nothing is remembered.
    ///
    /// # Errors
    /// It may not be asked, or does not answer.
    pub async fn at(&self, account: Option<AccountId>, server: IpAddr, question: &Question) -> Result<Reply, AskError> {
        self.0.settings.guard.admits_address(account, server)?;
        self.ask((server, self.0.settings.port).into(), question, false).await
    }

    /// The same of a server that the operator named.
    pub(crate) async fn at_known(&self, server: IpAddr, question: &Question) -> Result<Reply, AskError> {
        self.ask((server, self.0.settings.port).into(), question, false).await
    }

    /// What each resolver says, asked for itself.
    pub async fn at_resolvers(&self, question: &Question) -> Vec<(SocketAddr, Result<Reply, AskError>)> {
        self.at_each(&self.0.settings.resolvers, question).await
    }

    /// The same of others, which the operator names.
    pub async fn at_each(&self, resolvers: &[SocketAddr], question: &Question) -> Vec<(SocketAddr, Result<Reply, AskError>)> {
        let mut said = Vec::new();
        for resolver in resolvers {
            said.push((*resolver, self.ask(*resolver, question, true).await));
        }
        said
    }

    /// A whole zone from one server.
    ///
    /// # Errors
    /// It may not be asked, or does not give it.
    pub async fn transfer(&self, account: Option<AccountId>, server: IpAddr, zone: &Name) -> Result<Vec<Record>, TransferError> {
        self.0.settings.guard.admits_address(account, server).map_err(AskError::Refused)?;
        let _permit = self.0.in_flight.acquire().await.expect("nobody closes it");
        transfer((server, self.0.settings.port).into(), zone).await
    }

    async fn ask(&self, server: SocketAddr, question: &Question, recursion: bool) -> Result<Reply, AskError> {
        self.ask_often(server, question, recursion, self.0.settings.tries).await
    }

    async fn ask_often(&self, server: SocketAddr, question: &Question, recursion: bool, tries: u32) -> Result<Reply, AskError> {
        let _permit = self.0.in_flight.acquire().await.expect("nobody closes it");
        let timeout = self.0.settings.timeout;
        client::ask(server, question, How { recursion, dnssec: false, timeout, tries }).await
    }

    async fn find(
        &self,
        name: &Name,
        rtype: Rtype,
        budget: &mut Budget,
        depth: u8,
        ends: Ends<'_>,
    ) -> Result<Found, ResolveError> {
        if self.0.settings.resolvers.is_empty() {
            self.walk(name, rtype, budget, depth, ends).await
        } else {
            self.hand(name, rtype, ends).await
        }
    }

    /// Hands the question to the resolvers, the next where one fails; the silent ones again when all were asked, so that one that is away
    /// costs one wait.
    async fn hand(&self, name: &Name, rtype: Rtype, ends: Ends<'_>) -> Result<Found, ResolveError> {
        let question = Question::new(name.clone(), rtype);
        let mut why = String::new();
        let mut asked: Vec<SocketAddr> = self.0.settings.resolvers.clone();
        for _ in 0..self.0.settings.tries.max(1) {
            let mut silent = Vec::new();
            for resolver in asked {
                match self.ask_often(resolver, &question, true, 1).await {
                    Ok(reply) if matches!(reply.code, Rcode::NoError | Rcode::NxDomain) => {
                        return of_resolver(&reply, &question, ends).ok_or_else(|| ResolveError::TooLong(name.clone()));
                    }
                    Ok(reply) => why = format!("{resolver} answers {}", reply.code),
                    Err(error) => {
                        silent.push(resolver);
                        why = error.to_string();
                    }
                }
            }
            asked = silent;
        }
        Err(ResolveError::Failed { name: name.clone(), why })
    }

    /// From the root down, and anew from there where a CNAME leads.
    fn walk<'w>(&'w self, name: &'w Name, rtype: Rtype, budget: &'w mut Budget, depth: u8, ends: Ends<'w>) -> Walk<'w> {
        Box::pin(self.walk_on(name, rtype, budget, depth, ends))
    }

    async fn walk_on(
        &self,
        name: &Name,
        rtype: Rtype,
        budget: &mut Budget,
        depth: u8,
        ends: Ends<'_>,
    ) -> Result<Found, ResolveError> {
        let (mut canonical, mut least) = (name.clone(), u32::MAX);
        for _ in 0..=ALIASES_MAX {
            let found = |records: Vec<Record>, ttl_secs: u32, exists| Found {
                canonical: canonical.clone(),
                records,
                ttl_secs,
                exists,
                authentic: false,
                stale: false,
            };
            match self.descend(&canonical, rtype, None, None, budget, depth).await?.step {
                Step::Answer(records) => {
                    let ttl = records.iter().map(|record| record.ttl_secs).min().unwrap_or(0);
                    return Ok(found(records, ttl.min(least), true));
                }
                Step::Nothing { exists, ttl_secs } => return Ok(found(Vec::new(), ttl_secs.min(least), exists)),
                Step::Alias(target, ttl_secs) => {
                    least = least.min(ttl_secs);
                    canonical = target;
                    if ends(&canonical) {
                        return Ok(ended(canonical, least));
                    }
                }
                Step::Referral { .. } | Step::Lame(_) => break,
            }
        }
        Err(ResolveError::TooLong(name.clone()))
    }

    /// From the root to those who know the name, or who know who knows `stop_at`.
    pub(crate) async fn descend(
        &self,
        name: &Name,
        rtype: Rtype,
        stop_at: Option<&Name>,
        account: Option<AccountId>,
        budget: &mut Budget,
        depth: u8,
    ) -> Result<Arrived, ResolveError> {
        if self.0.settings.roots.is_empty() {
            return Err(ResolveError::NoServer);
        }
        let question = Question::new(name.clone(), rtype);
        let mut servers: Vec<Server> =
            self.0.settings.roots.iter().map(|address| Server { name: None, address: *address }).collect();
        let mut zone = None;
        for _ in 0..REFERRALS_MAX {
            let step = self.ask_any(&servers, &question, zone.as_ref(), budget).await?;
            match step {
                Step::Referral { cut, servers: named } if stop_at != Some(&cut) => {
                    servers = self.located(name, named, account, budget, depth).await?;
                    zone = Some(cut);
                }
                step => return Ok(Arrived { zone, servers, step }),
            }
        }
        Err(ResolveError::TooLong(name.clone()))
    }

    /// What the first of a zone's servers says that does what it is there for.
    async fn ask_any(
        &self,
        servers: &[Server],
        question: &Question,
        zone: Option<&Name>,
        budget: &mut Budget,
    ) -> Result<Step, ResolveError> {
        let failed = |why| ResolveError::Failed { name: question.name.clone(), why };
        let mut why = "none of its name servers has an address that may be asked".to_owned();
        for server in servers.iter().take(SERVERS_TRIED_MAX) {
            budget.take(Instant::now()).ok_or_else(|| ResolveError::TooDear(question.name.clone()))?;
            match self.ask((server.address, self.0.settings.port).into(), question, false).await {
                Ok(reply) => match step(&reply, question, zone) {
                    Step::Lame(lame) => why = format!("{}: {lame}", server.address),
                    step => return Ok(step),
                },
                Err(error) => why = error.to_string(),
            }
        }
        Err(failed(why))
    }

    /// The servers of a referral where they are; a server without glue is looked for, as long as none is known.
    async fn located(
        &self,
        name: &Name,
        named: Vec<(Name, Vec<IpAddr>)>,
        account: Option<AccountId>,
        budget: &mut Budget,
        depth: u8,
    ) -> Result<Vec<Server>, ResolveError> {
        let mut servers: Vec<Server> = Vec::new();
        let admits = |address: &IpAddr| self.0.settings.guard.admits_address(account, *address).is_ok();
        for (server, glue) in &named {
            let located = glue.iter().filter(|address| admits(address));
            servers.extend(located.map(|address| Server { name: Some(server.clone()), address: *address }));
        }
        // Those one machine may lack a route to come last.
        servers.sort_by_key(|server| server.address.is_ipv6());
        let without = named.iter().filter(|(_, glue)| glue.is_empty());
        for (server, _) in without.take(SERVERS_TRIED_MAX) {
            if servers.len() >= SERVERS_TRIED_MAX || depth >= DEPTH_MAX {
                break;
            }
            for rtype in [Rtype::A, Rtype::Aaaa] {
                match self.walk(server, rtype, budget, depth + 1, NOWHERE).await {
                    Ok(found) => {
                        let located = found.records.iter().filter_map(Record::address).filter(admits).take(2);
                        servers.extend(located.map(|address| Server { name: Some(server.clone()), address }));
                    }
                    Err(ResolveError::TooDear(_)) => return Err(ResolveError::TooDear(name.clone())),
                    Err(_) => {}
                }
                if servers.iter().any(|known| known.name.as_ref() == Some(server)) {
                    break;
                }
            }
        }
        Ok(servers)
    }
}

/// What is found of a chain that was left where it ends for whoever asked.
fn ended(canonical: Name, ttl_secs: u32) -> Found {
    Found { canonical, records: Vec::new(), ttl_secs, exists: true, authentic: false, stale: false }
}

/// What a resolver's answer holds, through its CNAMEs; none where they do not end.
fn of_resolver(reply: &Reply, question: &Question, ends: Ends<'_>) -> Option<Found> {
    let mut canonical = question.name.clone();
    let mut least = u32::MAX;
    for _ in 0..=ALIASES_MAX {
        let own: Vec<&Record> = reply.answers.iter().filter(|record| record.owner == canonical).collect();
        let records: Vec<Record> =
            own.iter().filter(|record| record.number() == question.rtype.number()).map(|record| (*record).clone()).collect();
        let alias = own.iter().find_map(|record| match record.held() {
            Some(Rdata::Cname(Host::Name(target))) if question.rtype != Rtype::Cname => Some((target.clone(), record.ttl_secs)),
            _ => None,
        });
        match (records.is_empty(), alias) {
            (true, Some((target, ttl_secs))) => {
                least = least.min(ttl_secs);
                canonical = target;
                if ends(&canonical) {
                    return Some(ended(canonical, least));
                }
            }
            (none, _) => {
                let ttl = records.iter().map(|record| record.ttl_secs).min();
                let ttl_secs = ttl.or(reply.negative_ttl_secs()).unwrap_or(0).min(least);
                let exists = !none || reply.code == Rcode::NoError;
                return Some(Found { canonical, records, ttl_secs, exists, authentic: reply.authentic, stale: false });
            }
        }
    }
    None
}
