//! Questions under way, and answers read by another reader than ours.

use domain::{
    base::{
        Message, Name as WireName, ParsedName, iana::Rtype as WireType, message::Section, name::ToName as _, opt::UnknownOptData,
    },
    rdata::AllRecordData,
};
use poterne_dns_wire::name;

use crate::net::Net;

/// A query to be put together.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) id: u16,
    pub(crate) name: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) opt: Option<Opt>,
}

#[derive(Clone, Default)]
pub(crate) struct Opt {
    pub(crate) octets: u16,
    pub(crate) version: u8,
    /// The first flags, of which DO is the first bit and CO the second.
    pub(crate) flags: u8,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) octets: Vec<u8>,
    /// The whole code, with what the OPT record adds.
    pub(crate) rcode: u16,
    pub(crate) aa: bool,
    pub(crate) tc: bool,
    /// `owner ttl TYPE data`, names without their last dots, each in its section, the OPT record aside.
    pub(crate) answer: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    pub(crate) opt: Option<OptTold>,
}

/// An answer's OPT record.
#[derive(Debug)]
pub(crate) struct OptTold {
    pub(crate) octets: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

/// The name as octets.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    name::push(text, &mut wire);
    wire
}

impl Ask {
    pub(crate) fn new(name: &str, rtype: u16) -> Self {
        Self { id: 0xabcd, name: wire(name), rtype, class: 1, opt: None }
    }

    pub(crate) fn with(mut self, opt: Opt) -> Self {
        self.opt = Some(opt);
        self
    }

    /// As one who validates asks.
    pub(crate) fn signed(self) -> Self {
        self.with(Opt { flags: 0x80, ..Opt::of(1232) })
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut octets = self.id.to_be_bytes().to_vec();
        octets.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(self.opt.is_some())]);
        octets.extend(&self.name);
        octets.extend(self.rtype.to_be_bytes());
        octets.extend(self.class.to_be_bytes());
        octets.extend(self.opt.iter().flat_map(Opt::octets));
        octets
    }

    pub(crate) fn udp(&self, net: &Net) -> Told {
        Told::of(net.udp(&self.octets()))
    }

    pub(crate) fn tcp(&self, net: &Net) -> Told {
        Told::of(net.tcp(&self.octets()))
    }

    pub(crate) fn tls(&self, net: &Net) -> Told {
        Told::of(net.tls(&self.octets()))
    }
}

impl Opt {
    pub(crate) fn of(octets: u16) -> Self {
        Self { octets, ..Self::default() }
    }

    pub(crate) fn option(mut self, code: u16, value: &[u8]) -> Self {
        self.options.push((code, value.to_vec()));
        self
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for (code, value) in &self.options {
            data.extend(code.to_be_bytes());
            data.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            data.extend(value);
        }
        let mut octets = vec![0, 0, 41];
        octets.extend(self.octets.to_be_bytes());
        octets.extend([0, self.version, self.flags, 0]);
        octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        octets.extend(data);
        octets
    }
}

impl Told {
    /// Reads an answer; what every answer must be is asserted here.
    pub(crate) fn of(octets: Vec<u8>) -> Self {
        let message = Message::from_octets(&*octets).expect("it has a header");
        let header = message.header();
        // RFC 1035 §4.1.1, RFC 4035 §3.1.6: an answer, of one who looks up nothing for others and validates nothing.
        assert!(header.qr() && !header.ra() && !header.ad() && octets[3] & 0x40 == 0, "{:02x?}", &octets[..4]);
        let (mut answer, mut authority, mut additional) = (Vec::new(), Vec::new(), Vec::new());
        let mut counted = 0;
        for record in &message {
            let (record, section) = record.expect("it parses");
            counted += 1;
            if record.rtype() == WireType::OPT {
                assert_eq!(section, Section::Additional);
                continue;
            }
            assert_eq!(record.class().to_int(), 1);
            let record = record.into_record::<AllRecordData<_, ParsedName<_>>>().expect("its data parses").unwrap();
            let owner: WireName<Vec<u8>> = record.owner().to_name();
            let line = format!("{owner} {} {} {}", record.ttl().as_secs(), record.rtype(), record.data());
            let line = line.replace(". ", " ").trim_end_matches('.').to_owned();
            match section {
                Section::Answer => answer.push(line),
                Section::Authority => authority.push(line),
                _ => additional.push(line),
            }
        }
        let counts = message.header_counts();
        assert_eq!(counted, counts.ancount() + counts.nscount() + counts.arcount(), "no octets too many or few");
        let opt = message.opt().map(|opt| {
            let options = opt.opt().iter::<UnknownOptData<_>>().map(|option| option.unwrap());
            let options = options.map(|option| (option.code().to_int(), option.as_slice().to_vec())).collect();
            OptTold { octets: opt.udp_payload_size(), version: opt.version(), dnssec_ok: opt.dnssec_ok(), options }
        });
        let (rcode, aa, tc) = (message.opt_rcode().to_int(), header.aa(), header.tc());
        Self { rcode, aa, tc, answer, authority, additional, opt, octets }
    }

    pub(crate) fn option(&self, code: u16) -> Option<&[u8]> {
        self.opt.as_ref()?.options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice())
    }

    /// The extended error's number.
    pub(crate) fn why(&self) -> Option<u16> {
        self.option(15).map(|value| u16::from_be_bytes([value[0], value[1]]))
    }

    /// The types of a section's records, signatures aside.
    pub(crate) fn types(lines: &[String]) -> Vec<&str> {
        lines.iter().map(|line| line.split(' ').nth(2).unwrap()).filter(|rtype| *rtype != "RRSIG").collect()
    }

    /// Nothing is there, and the zone's start of authority says so (RFC 2308 §2).
    pub(crate) fn is_nothing(&self, rcode: u16, apex: &str) -> bool {
        let soa = format!("{apex} ");
        self.rcode == rcode
            && self.aa
            && !self.tc
            && self.answer.is_empty()
            && self.authority.len() == 1
            && self.authority[0].starts_with(&soa)
            && self.authority[0].contains(" SOA ")
    }
}
