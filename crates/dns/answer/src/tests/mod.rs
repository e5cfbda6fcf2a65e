//! One file a subject; each test asks as a resolver would, and reads answers with the `domain` crate.

mod chains;
mod challenges;
mod delegation;
mod edns;
mod elsewhere;
mod messages;
mod model;
mod partial;
mod proxied;
mod signed;
mod transfer;
mod transfer_signed;
mod validator;
mod world;
mod zones;

use std::sync::Arc;

use domain::{
    base::{Message, Name as WireName, ParsedName, iana::Rtype as WireType, opt::UnknownOptData},
    rdata::AllRecordData,
};
use poterne_dns_wire::{name, rtype};
use poterne_snapshot::Snapshot;

use crate::{Client, Reply, Service, Signer, Transport, answer};

/// A query under way.
#[derive(Clone)]
struct Ask {
    name: Vec<u8>,
    rtype: u16,
    class: u16,
    opt: Option<Opt>,
    client: Client,
}

#[derive(Clone, Default)]
struct Opt {
    octets: u16,
    version: u8,
    dnssec_ok: bool,
    compact_ok: bool,
    options: Vec<(u16, Vec<u8>)>,
}

/// An answer, read.
#[derive(Debug)]
struct Told {
    reply: Reply,
    octets: Vec<u8>,
    /// The whole code, with what the OPT record adds.
    rcode: u16,
    aa: bool,
    tc: bool,
    /// `owner ttl TYPE data`, each in its section, the OPT record aside.
    answer: Vec<String>,
    authority: Vec<String>,
    additional: Vec<String>,
    opt: Option<OptTold>,
}

/// What it takes over UDP, DO, and its options.
type OptTold = (u16, bool, Vec<(u16, Vec<u8>)>);

fn client(transport: Transport) -> Client {
    Client { address: "198.51.100.100".parse().unwrap(), transport, now_secs: 1_559_731_985, turn: 0 }
}

fn service() -> Service {
    Service { nsid: b"node-1".to_vec(), cookie_secrets: vec![[7; 16]], ..Service::default() }
}

fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    name::push(text, &mut wire);
    wire
}

impl Ask {
    fn new(name: &str, rtype: u16) -> Self {
        Self { name: wire(name), rtype, class: rtype::CLASS_IN, opt: None, client: client(Transport::Udp) }
    }

    fn over(mut self, transport: Transport) -> Self {
        self.client.transport = transport;
        self
    }

    fn with(mut self, opt: Opt) -> Self {
        self.opt = Some(opt);
        self
    }

    fn octets(&self) -> Vec<u8> {
        let additional = u8::from(self.opt.is_some());
        let mut octets = vec![0xab, 0xcd, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, additional];
        octets.extend(&self.name);
        octets.extend(self.rtype.to_be_bytes());
        octets.extend(self.class.to_be_bytes());
        if let Some(opt) = &self.opt {
            octets.extend(opt.octets());
        }
        octets
    }

    fn told(&self, snapshot: &Snapshot) -> Told {
        told(snapshot, &self.client, &self.octets())
    }
}

impl Opt {
    fn of(octets: u16) -> Self {
        Self { octets, ..Self::default() }
    }

    fn option(mut self, code: u16, value: &[u8]) -> Self {
        self.options.push((code, value.to_vec()));
        self
    }

    fn octets(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for (code, value) in &self.options {
            data.extend(code.to_be_bytes());
            data.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            data.extend(value);
        }
        let mut octets = vec![0, 0, 41];
        octets.extend(self.octets.to_be_bytes());
        octets.extend([0, self.version, u8::from(self.dnssec_ok) << 7 | u8::from(self.compact_ok) << 6, 0]);
        octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        octets.extend(data);
        octets
    }
}

fn raw(snapshot: &Snapshot, client: &Client, query: &[u8]) -> (Reply, Vec<u8>) {
    raw_by(snapshot, &service(), client, query)
}

fn raw_by(snapshot: &Snapshot, service: &Service, client: &Client, query: &[u8]) -> (Reply, Vec<u8>) {
    let mut out = vec![0xee; crate::MESSAGE_OCTETS_MAX];
    let reply = answer(snapshot, service, client, query, &mut out);
    out.truncate(reply.length);
    (reply, out)
}

fn told(snapshot: &Snapshot, client: &Client, query: &[u8]) -> Told {
    told_by(snapshot, None, client, query)
}

fn told_by(snapshot: &Snapshot, signer: Option<Arc<Signer>>, client: &Client, query: &[u8]) -> Told {
    told_of(snapshot, &Service { signer, ..service() }, client, query)
}

fn told_of(snapshot: &Snapshot, service: &Service, client: &Client, query: &[u8]) -> Told {
    let (reply, octets) = raw_by(snapshot, service, client, query);
    let message = Message::from_octets(&*octets).expect("it has a header");
    assert!(message.header().qr() && !message.header().ra() && !message.header().ad());
    let (mut answer, mut authority, mut additional) = (Vec::new(), Vec::new(), Vec::new());
    let mut counted = 0;
    for record in &message {
        let (record, section) = record.expect("it parses");
        counted += 1;
        if record.rtype() == WireType::OPT {
            continue;
        }
        let record = record.into_record::<AllRecordData<_, ParsedName<_>>>().expect("its data parses").unwrap();
        let owner: WireName<Vec<u8>> = domain::base::name::ToName::to_name(record.owner());
        let line = format!("{owner} {} {} {}", record.ttl().as_secs(), record.rtype(), record.data());
        match section {
            domain::base::message::Section::Answer => answer.push(line),
            domain::base::message::Section::Authority => authority.push(line),
            _ => additional.push(line),
        }
    }
    let counts = message.header_counts();
    assert_eq!(counted, counts.ancount() + counts.nscount() + counts.arcount(), "no octets too many or few");
    let opt = message.opt().map(|opt| {
        let options = opt.opt().iter::<UnknownOptData<_>>().map(|option| option.unwrap());
        let options = options.map(|option| (option.code().to_int(), option.as_slice().to_vec())).collect();
        (opt.udp_payload_size(), opt.dnssec_ok(), options)
    });
    let rcode = message.opt_rcode().to_int();
    assert_eq!(rcode & 0x0f, reply.rcode.number() & 0x0f);
    let header = message.header();
    let (aa, tc) = (header.aa(), header.tc());
    Told { reply, octets: octets.clone(), rcode, aa, tc, answer, authority, additional, opt }
}

impl Told {
    fn option(&self, code: u16) -> Option<&[u8]> {
        let (_, _, options) = self.opt.as_ref()?;
        options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice())
    }

    /// The extended error's number.
    fn why(&self) -> Option<u16> {
        self.option(15).map(|value| u16::from_be_bytes([value[0], value[1]]))
    }

    /// The types of its sections, for a glance.
    fn shape(&self) -> (u16, usize, Vec<String>) {
        let types = self.authority.iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
        (self.rcode, self.answer.len(), types)
    }
}
