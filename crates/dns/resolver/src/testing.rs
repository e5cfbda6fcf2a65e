//! What tests use: records in a line, and a small authoritative server on real sockets, whose zones are text that can be changed while
//! it serves.
//!
//! It answers as RFC 1034 §4.3.2 says (cuts with glue, CNAME, wildcard, NODATA, NXDOMAIN) and gives AXFR where it is told to. As a
//! resolver it sees no cuts and holds one zone, the root.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{
    base::{
        Message, MessageBuilder, Name as WireName, ToName,
        iana::{Class, Rcode, Rtype},
    },
    dep::octseq::OctetsInto as _,
    zonefile::inplace,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use crate::message::{Data, Record};

/// The TTL of [`record`].
pub const TTL_SECS: u32 = 7200;

/// A name.
pub fn name(text: &str) -> poterne_model::Name {
    poterne_model::Name::parse(text).unwrap()
}

/// A record as a reply holds it, its data as zone files write them.
pub fn record(owner: &str, rtype: poterne_model::Rtype, content: &str) -> Record {
    let rdata = poterne_model::Rdata::parse(rtype, content, None, poterne_model::rdata::Hosts::default()).unwrap();
    Record { owner: name(owner), ttl_secs: TTL_SECS, data: Data::Held(rdata) }
}

type Owner = WireName<Vec<u8>>;

/// How it behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// It answers for names of any zone, as a resolver would.
    pub recursive: bool,
    /// It gives whole zones.
    pub transfers: bool,
    /// It answers nothing.
    pub silent: bool,
    /// It refuses everything.
    pub refuses: bool,
    /// It does not know EDNS, and says so.
    pub old: bool,
}

/// A server; it ends with its last handle.
#[derive(Clone)]
pub struct TestServer {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: Arc<JoinSet<()>>,
}

struct State {
    zones: Mutex<BTreeMap<String, Vec<Line>>>,
    manner: Mutex<Manner>,
    asked: Mutex<Vec<String>>,
}

#[derive(Clone)]
struct Line {
    owner: Owner,
    record: inplace::ScannedRecord,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestServer {
    /// On this address; port 0 lets the kernel choose, with one number for UDP and TCP.
    pub async fn start(address: &str, port: u16, manner: Manner) -> Self {
        let ip: IpAddr = address.parse().unwrap();
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind((ip, port)).await.unwrap();
            match UdpSocket::bind(tcp.local_addr().unwrap()).await {
                Ok(udp) => break (udp, tcp),
                Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => panic!("{error}"),
            }
        };
        let address = tcp.local_addr().unwrap();
        let state = Arc::new(State { zones: Mutex::default(), manner: Mutex::new(manner), asked: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(over_udp(udp, Arc::clone(&state)));
        tasks.spawn(over_tcp(tcp, Arc::clone(&state)));
        Self { address, state, _tasks: Arc::new(tasks) }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a zone from now on, in place of the one it had of that name; `.` is the root. Names are relative to it.
    #[must_use]
    pub fn with(self, apex: &str, text: &str) -> Self {
        self.set(apex, text);
        self
    }

    /// The same, while it serves.
    pub fn set(&self, apex: &str, text: &str) {
        let origin = WireName::bytes_from_str(apex).unwrap();
        let text = format!("$TTL 300\n@ SOA ns.{0} host.{0} 7 600 600 86400 60\n{text}\n", apex.trim_start_matches('.'));
        let mut reader = inplace::Zonefile::from(text.as_str());
        reader.set_origin(origin);
        reader.set_default_class(Class::IN);
        let mut lines = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap_or_else(|error| panic!("{error}: {text}")) {
            let inplace::Entry::Record(record) = entry else { continue };
            lines.push(Line { owner: record.owner().to_vec(), record });
        }
        lock(&self.state.zones).insert(key(apex), lines);
    }

    /// Behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        *lock(&self.state.manner) = manner;
    }

    /// What it was asked, as `name type`.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state.asked).clone()
    }
}

fn key(apex: &str) -> String {
    apex.trim_matches('.').to_ascii_lowercase()
}

async fn over_udp(socket: UdpSocket, state: Arc<State>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let Some(mut replies) = state.answer(&buffer[..length], true) else { continue };
        if replies[0].len() > 1232 {
            // Nothing but the question, and TC.
            let query = Message::from_octets(buffer[..length].to_vec()).unwrap();
            let mut truncated = MessageBuilder::new_vec().start_answer(&query, Rcode::NOERROR).unwrap();
            truncated.header_mut().set_tc(true);
            replies[0] = truncated.finish();
        }
        let _ = socket.send_to(&replies[0], peer).await;
    }
}

async fn over_tcp(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(mut stream: TcpStream, state: Arc<State>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        for reply in state.answer(&query, false).unwrap_or_default() {
            let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
            if stream.write_all(&[&length[..], &reply].concat()).await.is_err() {
                return;
            }
        }
    }
}

/// The three sections, and how it went.
#[derive(Default)]
struct Said {
    code: Option<Rcode>,
    authoritative: bool,
    sections: [Vec<(Owner, inplace::ScannedRecord)>; 3],
}

impl State {
    fn answer(&self, octets: &[u8], udp: bool) -> Option<Vec<Vec<u8>>> {
        let query = Message::from_octets(octets.to_vec()).ok()?;
        let question = query.sole_question().ok()?;
        let (name, rtype): (Owner, Rtype) = (question.qname().to_vec(), question.qtype());
        lock(&self.asked).push(format!("{name} {rtype}"));
        let manner = *lock(&self.manner);
        if manner.silent {
            return None;
        }
        if manner.old && query.opt().is_some() {
            let answer = MessageBuilder::new_vec().start_error(&query, Rcode::FORMERR);
            return Some(vec![answer.finish()]);
        }
        let zones = lock(&self.zones);
        // Below a cut the parent answers for DS alone (RFC 4035 §3.1.4.1).
        let above = if rtype == Rtype::DS { name.parent().map(|parent| parent.octets_into()) } else { None };
        let start: Owner = above.unwrap_or_else(|| name.clone());
        let zone = start.iter_suffixes().find_map(|suffix| {
            let apex: Owner = suffix.to_vec();
            zones.get(&key(&apex.to_string())).map(|lines| (apex, lines))
        });
        let said = match zone {
            Some(_) if manner.refuses => Said { code: Some(Rcode::REFUSED), ..Said::default() },
            Some((apex, lines)) if rtype == Rtype::AXFR => {
                if udp || !manner.transfers || apex != name {
                    Said { code: Some(Rcode::REFUSED), ..Said::default() }
                } else {
                    return Some(transfer(&query, lines));
                }
            }
            Some((apex, lines)) => said(&name, rtype, &apex, lines, manner.recursive),
            None => Said { code: Some(Rcode::REFUSED), ..Said::default() },
        };
        Some(vec![write(&query, &said)])
    }
}

fn said(name: &Owner, rtype: Rtype, apex: &Owner, lines: &[Line], recursive: bool) -> Said {
    let at = |owner: &Owner| lines.iter().filter(|line| line.owner == *owner).collect::<Vec<_>>();
    let of = |owner: &Owner, rtype: Rtype| at(owner).into_iter().filter(move |line| line.record.rtype() == rtype);
    let shown = |owner: &Owner, line: &Line| (owner.clone(), line.record.clone());
    let mut said = Said::default();
    let cut = name
        .iter_suffixes()
        .map(|suffix| suffix.to_vec())
        .take_while(|suffix: &Owner| suffix != apex)
        .filter(|suffix| of(suffix, Rtype::NS).next().is_some())
        .last();
    if let Some(cut) = cut.filter(|cut| !(recursive || rtype == Rtype::DS && cut == name)) {
        said.sections[1] = of(&cut, Rtype::NS).map(|line| shown(&cut, line)).collect();
        for line in of(&cut, Rtype::NS) {
            let domain::rdata::ZoneRecordData::Ns(ns) = line.record.data() else { continue };
            let host: Owner = ns.nsdname().to_vec();
            said.sections[2].extend(of(&host, Rtype::A).chain(of(&host, Rtype::AAAA)).map(|line| shown(&host, line)));
        }
        return said;
    }
    said.authoritative = true;
    let exists = lines.iter().any(|line| line.owner.ends_with(name));
    let mut owner = name.clone();
    if !exists {
        let wildcard = name.parent().map(|parent| WireName::vec_from_str(&format!("*.{parent}")).unwrap());
        match wildcard.filter(|wildcard| !at(wildcard).is_empty()) {
            Some(wildcard) => owner = wildcard,
            None => said.code = Some(Rcode::NXDOMAIN),
        }
    }
    let mut records: Vec<_> = of(&owner, rtype).collect();
    if records.is_empty() {
        records = of(&owner, Rtype::CNAME).collect();
    }
    said.sections[0] = records.iter().map(|line| shown(name, line)).collect();
    if recursive && rtype != Rtype::CNAME {
        let mut next = records.first().map(|line| line.record.data().clone());
        while let Some(domain::rdata::ZoneRecordData::Cname(cname)) = next {
            let target: Owner = cname.cname().to_vec();
            let more: Vec<_> = of(&target, rtype).chain(of(&target, Rtype::CNAME)).collect();
            next = more.first().map(|line| line.record.data().clone());
            said.sections[0].extend(more.into_iter().map(|line| shown(&target, line)));
            if said.sections[0].len() > 20 {
                break;
            }
        }
    }
    if said.sections[0].is_empty() {
        said.sections[1] = of(apex, Rtype::SOA).map(|line| shown(apex, line)).collect();
    }
    said
}

fn write(query: &Message<Vec<u8>>, said: &Said) -> Vec<u8> {
    let mut answer = MessageBuilder::new_vec().start_answer(query, said.code.unwrap_or(Rcode::NOERROR)).unwrap();
    answer.header_mut().set_aa(said.authoritative);
    let push = |owner: &Owner, record: &inplace::ScannedRecord| (owner.clone(), Class::IN, record.ttl(), record.data().clone());
    for (owner, record) in &said.sections[0] {
        answer.push(push(owner, record)).unwrap();
    }
    let mut authority = answer.authority();
    for (owner, record) in &said.sections[1] {
        authority.push(push(owner, record)).unwrap();
    }
    let mut additional = authority.additional();
    for (owner, record) in &said.sections[2] {
        additional.push(push(owner, record)).unwrap();
    }
    additional.finish()
}

/// In two messages, the second without its question, as some servers do.
fn transfer(query: &Message<Vec<u8>>, lines: &[Line]) -> Vec<Vec<u8>> {
    let half = lines.len() / 2 + 1;
    let mut first = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR).unwrap();
    for line in &lines[..half] {
        first.push((line.owner.clone(), Class::IN, line.record.ttl(), line.record.data().clone())).unwrap();
    }
    let mut second = MessageBuilder::new_vec();
    second.header_mut().set_id(query.header().id());
    second.header_mut().set_qr(true);
    let mut second = second.answer();
    for line in lines[half..].iter().chain(&lines[..1]) {
        second.push((line.owner.clone(), Class::IN, line.record.ttl(), line.record.data().clone())).unwrap();
    }
    vec![first.finish(), second.finish()]
}
