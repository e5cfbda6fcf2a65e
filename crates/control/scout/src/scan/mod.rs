//! A scan of what a zone has at its present name servers (edge-behaviour §1.3).
//!
//! ```text
//! delegation ─→ name servers ─→ AXFR of each of two ──(refused)──→ wildcard? ─→ probes ─→ what exists: its AAAA ─→ propose
//! ```
//!
//! [`probes`] is what is asked, [`mod@propose`] what becomes of the answers; both are pure. Here are the asking, and its bounds: 20
//! questions at once, [`probes::QUESTIONS_MAX`] in all, and of each answer [`ANSWER_RECORDS_MAX`] records: whoever runs a name server chooses
//! how much it says.

pub mod probes;
pub mod propose;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use poterne_control_app::{DueZone, ScanDone};
use poterne_dns_resolver::{Delegation, Question, Rcode, Record, Reply, Resolver};
use poterne_model::{AccountId, Name, Rdata, Rtype};
use tokio::task::JoinSet;

use propose::{Wildcard, propose, warnings};

/// Most questions of one scan on their way at once.
const AT_ONCE_MAX: usize = 20;

/// Most records of one answer that are looked at: 32,000 in all, where every question is answered with more than anybody needs.
pub const ANSWER_RECORDS_MAX: usize = 100;

/// Most servers that are asked for the whole zone, and among which questions are shared out.
const TRANSFERS_MAX: usize = 2;
const SERVERS_MAX: usize = 4;

/// Scans a zone.
pub async fn scan(resolver: &Resolver, due: &DueZone) -> ScanDone {
    let (apex, account) = (&due.zone.apex, due.zone.account);
    let delegation = match resolver.delegation(Some(account), apex).await {
        Ok(delegation) => delegation,
        Err(error) => return told(format!("the servers above {apex} are not found: {error}")),
    };
    let name_servers = delegation.name_servers();
    if name_servers.is_empty() {
        return told(format!("{apex} is delegated to nobody: there is nothing to find"));
    }
    if name_servers.iter().all(|name| due.assigned.contains(name)) {
        return ScanDone {
            name_servers,
            ..told(format!("{apex} is delegated to this node already: there is nothing else to find"))
        };
    }
    let (servers, trouble) = addresses(resolver, account, &delegation, &name_servers).await;
    if servers.is_empty() {
        let why = format!("none of the name servers of {apex} has an address that may be asked{}", trouble.join(""));
        return ScanDone { name_servers, ..told(why) };
    }
    let ds = delegation.ds().len();
    let done = |proposed: propose::Proposed, whole, more: Option<String>| {
        let warnings = warnings(apex, ds, &proposed.found).into_iter().chain(more).collect();
        ScanDone { found: proposed.found, passed_over: proposed.passed_over, warnings, name_servers: name_servers.clone(), whole }
    };
    for server in servers.iter().take(TRANSFERS_MAX) {
        match resolver.transfer(Some(account), *server, apex).await {
            Ok(records) => return done(propose(apex, &records, None), true, None),
            Err(error) => tracing::debug!(zone = %apex, %server, %error, "a name server does not give the zone"),
        }
    }
    let asker =
        Asker { resolver: resolver.clone(), account, servers: servers.into(), turn: Arc::default(), is_cut: Arc::default() };
    let (records, wildcard, unanswered) = asker.probe(apex).await;
    let more = if unanswered > 0 {
        Some(format!("{unanswered} questions were not answered: there may be more than was found"))
    } else if asker.is_cut.load(Ordering::Relaxed) {
        Some(format!("a name has more than {ANSWER_RECORDS_MAX} records of a type: the others were not looked at"))
    } else {
        None
    };
    done(propose(apex, &records, wildcard.as_ref()), false, more)
}

fn told(warning: String) -> ScanDone {
    ScanDone { warnings: vec![warning], ..ScanDone::default() }
}

/// Where the name servers are: as the parent says, else as they are found; and why some are left out.
async fn addresses(
    resolver: &Resolver,
    account: AccountId,
    delegation: &Delegation,
    name_servers: &[Name],
) -> (Vec<IpAddr>, Vec<String>) {
    let glue: Vec<&(Name, IpAddr)> =
        delegation.views.iter().filter_map(|view| view.seen.as_ref().ok()).flat_map(|seen| &seen.glue).collect();
    let (mut servers, mut trouble) = (Vec::new(), Vec::new());
    for name in name_servers.iter().take(SERVERS_MAX) {
        let mut own: Vec<IpAddr> = glue.iter().filter(|(owner, _)| owner == name).map(|(_, address)| *address).collect();
        if own.is_empty() {
            match resolver.addresses(Some(account), name).await {
                Ok(found) => {
                    trouble.extend(found.refused.iter().map(|refusal| format!("; {name}: {refusal}")));
                    own = found.reached;
                }
                Err(error) => trouble.push(format!("; {name}: {error}")),
            }
        }
        own.retain(|address| match resolver.settings().guard.admits_address(Some(account), *address) {
            Ok(_) => true,
            Err(refusal) => {
                trouble.push(format!("; {name}: {refusal}"));
                false
            }
        });
        // One address each is enough; IPv6 where there is nothing else, since not every node has it.
        own.sort_by_key(IpAddr::is_ipv6);
        servers.extend(own.first().filter(|address| !servers.contains(*address)).copied());
    }
    (servers, trouble)
}

/// Whoever puts a scan's questions.
#[derive(Clone)]
struct Asker {
    resolver: Resolver,
    account: AccountId,
    servers: Arc<[IpAddr]>,
    turn: Arc<AtomicUsize>,
    /// Whether an answer had more records than are looked at.
    is_cut: Arc<AtomicBool>,
}

impl Asker {
    /// Asks everything; the answers, what a wildcard answers where there is one, and how many questions nobody answered.
    async fn probe(&self, apex: &Name) -> (Vec<Record>, Option<Wildcard>, usize) {
        // Names that nobody has.
        let labels = [0; 2].map(|_| format!("poterne-{:016x}", rand::random::<u64>()));
        let of_wildcard = self.ask_all(probes::wildcard_questions(apex, [&labels[0], &labels[1]])).await;
        let of = |label: &str| -> Vec<Record> {
            let records = of_wildcard.iter().filter_map(|(_, reply)| reply.as_ref());
            records.flat_map(own).filter(|record| record.owner.as_str().starts_with(label)).collect()
        };
        let wildcard = Wildcard::detect(&of(&labels[0]), &of(&labels[1]));
        let answered = self.ask_all(probes::questions(apex)).await;
        let left = probes::QUESTIONS_MAX.saturating_sub(answered.len() + of_wildcard.len());
        let more = answered.iter().filter_map(|(question, reply)| {
            let reply = reply.as_ref()?;
            let exists = reply.code == Rcode::NoError && reply.authoritative && question.name != *apex;
            exists.then(|| probes::follow_up(question, own(reply).any(|record| is_alias(&record)))).flatten()
        });
        let more = self.ask_all(more.take(left).collect()).await;
        let all: Vec<_> = answered.into_iter().chain(more).collect();
        let unanswered = all.iter().filter(|(_, reply)| reply.is_none()).count();
        let records = all.iter().filter_map(|(_, reply)| reply.as_ref()).flat_map(own).collect();
        (records, wildcard, unanswered)
    }

    async fn ask_all(&self, questions: Vec<Question>) -> Vec<(Question, Option<Reply>)> {
        let mut waiting = questions.into_iter();
        let (mut asked, mut replies) = (JoinSet::new(), Vec::new());
        loop {
            while asked.len() < AT_ONCE_MAX
                && let Some(question) = waiting.next()
            {
                let this = self.clone();
                asked.spawn(async move { this.ask(question).await });
            }
            match asked.join_next().await {
                Some(Ok(reply)) => replies.push(reply),
                Some(Err(error)) => tracing::error!(%error, "a question of a scan was not put to its end"),
                None => return replies,
            }
        }
    }

    /// Asks one of the servers, each in its turn, and the next where it fails.
    async fn ask(&self, question: Question) -> (Question, Option<Reply>) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for n in 0..self.servers.len().min(TRANSFERS_MAX) {
            let server = self.servers[(turn + n) % self.servers.len()];
            match self.resolver.at(Some(self.account), server, &question).await {
                Ok(reply) if matches!(reply.code, Rcode::NoError | Rcode::NxDomain) => {
                    return (question, Some(self.bounded(reply)));
                }
                Ok(_) | Err(_) => {}
            }
        }
        (question, None)
    }

    /// What is looked at of a reply; all of them are kept until the last has come.
    fn bounded(&self, mut reply: Reply) -> Reply {
        reply.additionals = Vec::new();
        for section in [&mut reply.answers, &mut reply.authorities] {
            if section.len() > ANSWER_RECORDS_MAX {
                self.is_cut.store(true, Ordering::Relaxed);
                section.truncate(ANSWER_RECORDS_MAX);
                section.shrink_to_fit();
            }
        }
        reply
    }
}

/// The records of an answer, and a delegation where it is one: what lies below is somebody else's.
fn own(reply: &Reply) -> impl Iterator<Item = Record> {
    let referral = reply.authorities.iter().filter(|record| !reply.authoritative && record.name_server().is_some());
    let answers = reply.answers.iter().filter(|_| reply.authoritative);
    answers.chain(referral).cloned()
}

fn is_alias(record: &Record) -> bool {
    matches!(record.held(), Some(Rdata::Cname(_))) && record.number() == Rtype::Cname.number()
}
