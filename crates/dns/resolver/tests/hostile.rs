//! Name servers that mean harm: what they say of others is not believed, and what they cost is bounded (edge-behaviour §5.11).
//!
//! A world on loopback: a root and a top-level domain of our own, an honest zone `bank.test`, and `evil.test`, whose server says whatever a
//! test wants it to.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use poterne_dns_resolver::{
    Resolver, Settings, TransferError,
    resolver::QUESTIONS_MAX,
    testing::{Manner, TestServer},
    transfer,
};
use poterne_guard::{Guard, Range};
use poterne_model::{Name, Rtype};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

/// Attempts at one question.
const TRIES: u32 = 2;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// What a server says to a query, in one message or several; over a stream where it is so asked.
type Says = dyn Fn(&Query, bool) -> Vec<Vec<u8>> + Send + Sync;

/// A query, as far as a liar needs it.
struct Query {
    octets: Vec<u8>,
    /// Where the question ends.
    end: usize,
}

impl Query {
    fn of(octets: &[u8]) -> Self {
        let mut at = 12;
        while octets[at] != 0 {
            at += usize::from(octets[at]) + 1;
        }
        Self { octets: octets.to_vec(), end: at + 5 }
    }

    fn rtype(&self) -> u16 {
        u16::from_be_bytes([self.octets[self.end - 4], self.octets[self.end - 3]])
    }

    /// A reply to it, with authority or without, of records in three sections.
    fn reply(&self, authoritative: bool, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
        let mut reply = self.octets[..self.end].to_vec();
        (reply[2], reply[3]) = (if authoritative { 0x84 } else { 0x80 }, 0);
        reply[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        for (section, records) in sections.iter().enumerate() {
            reply[6 + 2 * section..8 + 2 * section].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
            records.iter().for_each(|record| reply.extend(record));
        }
        reply
    }
}

fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn record(owner: &str, rtype: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&wire(owner)[..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 1, 0], &length, data].concat()
}

fn a(owner: &str, address: [u8; 4]) -> Vec<u8> {
    record(owner, 1, &address)
}

fn ns(owner: &str, host: &str) -> Vec<u8> {
    record(owner, 2, &wire(host))
}

fn cname(owner: &str, target: &str) -> Vec<u8> {
    record(owner, 5, &wire(target))
}

struct World {
    root: TestServer,
    top: TestServer,
    bank: TestServer,
    port: u16,
    /// Datagrams and streams that came to the liar.
    asked: Arc<AtomicUsize>,
}

const PLAIN: Manner = Manner { recursive: false, transfers: false, silent: false, refuses: false, old: false };

impl World {
    async fn new(says: impl Fn(&Query, bool) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let root = TestServer::start("127.0.0.31", 0, PLAIN).await;
        let port = root.address().port();
        let root = root.with(".", "test. NS a.nic.test.\na.nic.test. A 127.0.0.32");
        let top = TestServer::start("127.0.0.32", port, PLAIN).await.with(
            "test",
            "@ NS a.nic.test.\na.nic A 127.0.0.32\nbank NS ns.bank\nns.bank A 127.0.0.33\nevil NS ns.evil\nns.evil A 127.0.0.34\n\
             worse NS ns.worse\nns.worse A 127.0.0.34",
        );
        let bank =
            TestServer::start("127.0.0.33", port, PLAIN).await.with("bank.test", "@ NS ns\nns A 127.0.0.33\nwww A 9.9.9.9");
        let asked = Arc::new(AtomicUsize::new(0));
        serve(("127.0.0.34".parse::<IpAddr>().unwrap(), port).into(), Arc::new(says), Arc::clone(&asked)).await;
        Self { root, top, bank, port, asked }
    }

    fn resolver(&self) -> Resolver {
        let allowed = vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }];
        Resolver::new(Settings {
            port: self.port,
            timeout: Duration::from_millis(200),
            tries: TRIES,
            ..Settings::new(vec![self.root.address().ip()], Vec::new(), Guard { allowed, own: Vec::new() })
        })
    }

    /// The honest zone is still found where it is.
    async fn is_honest(&self, resolver: &Resolver) {
        let found = resolver.lookup(&name("www.bank.test"), Rtype::A).await.unwrap();
        let addresses: Vec<_> = found.records.iter().filter_map(poterne_dns_resolver::Record::address).collect();
        assert_eq!(addresses, ["9.9.9.9".parse::<IpAddr>().unwrap()]);
    }

    /// Questions that everybody was asked.
    fn questions(&self) -> usize {
        [&self.root, &self.top, &self.bank].iter().map(|server| server.asked().len()).sum::<usize>() + self.asked.load(Relaxed)
    }
}

async fn serve(address: SocketAddr, says: Arc<Says>, asked: Arc<AtomicUsize>) {
    let (udp, tcp) = (UdpSocket::bind(address).await.unwrap(), TcpListener::bind(address).await.unwrap());
    let (over_tcp, counted) = (Arc::clone(&says), Arc::clone(&asked));
    tokio::spawn(async move {
        let mut octets = [0; 4096];
        while let Ok((length, peer)) = udp.recv_from(&mut octets).await {
            asked.fetch_add(1, Relaxed);
            for reply in says(&Query::of(&octets[..length]), false) {
                let _ = udp.send_to(&reply, peer).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            counted.fetch_add(1, Relaxed);
            let says = Arc::clone(&over_tcp);
            tokio::spawn(async move {
                let Ok(length) = stream.read_u16().await else { return };
                let mut octets = vec![0; length.into()];
                if stream.read_exact(&mut octets).await.is_err() {
                    return;
                }
                for reply in says(&Query::of(&octets), true) {
                    let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                    if stream.write_all(&[&length[..], &reply].concat()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// RFC 5452 §6: what a server says of names that are not its own is not believed, in whichever section it says it.
#[tokio::test]
async fn nobody_speaks_for_others() {
    let world = World::new(|query, _| {
        let lies = [a("www.bank.test", [6, 6, 6, 6]), ns("bank.test", "ns.evil.test"), ns("test", "ns.evil.test")];
        let glue = [a("ns.bank.test", [127, 0, 0, 34]), a("a.nic.test", [127, 0, 0, 34]), a("www.bank.test", [6, 6, 6, 6])];
        let own = [vec![a("www.evil.test", [9, 9, 9, 6])], lies.to_vec()].concat();
        vec![query.reply(true, [&own, &lies, &glue])]
    })
    .await;
    let resolver = world.resolver();
    let found = resolver.lookup(&name("www.evil.test"), Rtype::A).await.unwrap();
    assert_eq!(found.records.len(), 1, "its own it may say");
    world.is_honest(&resolver).await;
    // Not even as the name that a CNAME of its own leads to.
    let world = World::new(|query, _| {
        vec![query.reply(true, [&[cname("www.evil.test", "www.bank.test"), a("www.bank.test", [6, 6, 6, 6])], &[], &[]])]
    })
    .await;
    let resolver = world.resolver();
    let found = resolver.lookup(&name("www.evil.test"), Rtype::A).await.unwrap();
    assert_eq!(
        found.records.iter().filter_map(poterne_dns_resolver::Record::address).collect::<Vec<_>>(),
        ["9.9.9.9".parse::<IpAddr>().unwrap()]
    );
    world.is_honest(&resolver).await;
}

/// RFC 5452 §9: what has another number, another question, or no question at all is passed over while the answer is waited for.
#[tokio::test]
async fn forgeries_are_passed_over() {
    let world = World::new(|query, _| {
        let good = query.reply(true, [&[a("www.evil.test", [9, 9, 9, 6])], &[], &[]]);
        let forged = query.reply(true, [&[a("www.evil.test", [6, 6, 6, 6])], &[], &[]]);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut octets = forged.clone();
            change(&mut octets);
            octets
        };
        let mut all: Vec<Vec<u8>> = (1..20u8).map(|number| with(&|octets| octets[1] ^= number)).collect();
        all.push(with(&|octets| octets[13] = b'x'));
        all.push(with(&|octets| octets[2] = 0));
        all.push(with(&|octets| octets[5] = 0));
        all.push(b"no message".to_vec());
        all.push(Vec::new());
        all.push(good);
        all
    })
    .await;
    let found = world.resolver().lookup(&name("www.evil.test"), Rtype::A).await.unwrap();
    let addresses: Vec<_> = found.records.iter().filter_map(poterne_dns_resolver::Record::address).collect();
    assert_eq!(addresses, ["9.9.9.6".parse::<IpAddr>().unwrap()]);
    // However many come: what is not the answer is never taken for it.
    let world = World::new(|query, _| {
        let mut forged = query.reply(true, [&[a("www.evil.test", [6, 6, 6, 6])], &[], &[]]);
        forged[0] ^= 1;
        vec![forged; 100]
    })
    .await;
    assert!(world.resolver().lookup(&name("www.evil.test"), Rtype::A).await.is_err());
}

/// RFC 1035 §4.1.4: what cannot be read is no reply, and reading it ends.
#[tokio::test]
async fn what_cannot_be_read_is_no_reply() {
    let world = World::new(|query, _| {
        let loops = |owner: &[u8]| {
            let tail = [&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &[6, 6, 6, 6]].concat();
            let mut reply = query.reply(true, [&[], &[], &[]]);
            reply[7] = 1;
            let end = u16::try_from(reply.len()).unwrap() | 0xc000;
            reply.extend(owner.iter().copied().chain(end.to_be_bytes()));
            reply.extend(tail);
            reply
        };
        let mut short = query.reply(true, [&[a("www.evil.test", [6, 6, 6, 6])], &[], &[]]);
        short.truncate(short.len() - 2);
        let mut many = query.reply(true, [&[], &[], &[]]);
        many[6..8].copy_from_slice(&[0xff, 0xff]);
        vec![loops(b""), loops(b"\x01a"), short, many]
    })
    .await;
    let resolver = world.resolver();
    assert!(resolver.lookup(&name("www.evil.test"), Rtype::A).await.is_err());
    world.is_honest(&resolver).await;
}

/// CVE-2020-12662: a referral to many servers of which only names are known costs those who would be asked for them no more than a look-up
/// may cost anybody.
#[tokio::test]
async fn a_referral_to_many_names_costs_a_bounded_number_of_questions() {
    let world = World::new(|query, _| {
        let servers: Vec<_> = (0..100).map(|number| ns("deep.evil.test", &format!("ns{number}.bank.test"))).collect();
        vec![query.reply(false, [&[], &servers, &[]])]
    })
    .await;
    let resolver = world.resolver();
    assert!(resolver.lookup(&name("www.deep.evil.test"), Rtype::A).await.is_err());
    let most = usize::try_from(QUESTIONS_MAX * TRIES).unwrap();
    assert!(world.questions() <= most, "{} questions", world.questions());
    world.is_honest(&resolver).await;
}

/// Zones whose servers lie in each other, and zones whose servers lie below themselves: nobody can be asked, and that is found out.
#[tokio::test]
async fn referrals_that_need_each_other_end() {
    let world = World::new(|query, _| {
        let text = String::from_utf8_lossy(&query.octets).into_owned();
        let (cut, host) =
            if text.contains("worse") { ("sub.worse.test", "ns.sub.evil.test") } else { ("sub.evil.test", "ns.sub.worse.test") };
        vec![query.reply(false, [&[], &[ns(cut, host)], &[]])]
    })
    .await;
    let resolver = world.resolver();
    assert!(resolver.lookup(&name("www.sub.evil.test"), Rtype::A).await.is_err());
    assert!(world.questions() <= usize::try_from(QUESTIONS_MAX * TRIES).unwrap());
    // To itself, upwards, and to the same again: no way down.
    for cut in ["evil.test", "test", "bank.test", "a.evil.test"] {
        let world = World::new(move |query, _| {
            vec![query.reply(false, [&[], &[ns(cut, "ns.evil.test")], &[a("ns.evil.test", [127, 0, 0, 34])]])]
        })
        .await;
        let resolver = world.resolver();
        assert!(resolver.lookup(&name("www.a.evil.test"), Rtype::A).await.is_err(), "{cut}");
        assert!(world.questions() <= usize::try_from(QUESTIONS_MAX * TRIES).unwrap(), "{cut}");
        world.is_honest(&resolver).await;
    }
}

/// A chain of CNAMEs without an end, each name new.
#[tokio::test]
async fn a_chain_without_an_end_ends() {
    let counter = AtomicUsize::new(0);
    let world = World::new(move |query, _| {
        let owner_end = query.end - 4;
        let data = wire(&format!("n{}.evil.test", counter.fetch_add(1, Relaxed)));
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let owner = &query.octets[12..owner_end];
        vec![query.reply(true, [&[[owner, &[0, 5, 0, 1, 0, 0, 1, 0], &length, &data].concat()], &[], &[]])]
    })
    .await;
    let error = world.resolver().lookup(&name("www.evil.test"), Rtype::A).await.unwrap_err();
    assert!(error.to_string().contains("CNAMEs"), "{error}");
    assert!(world.questions() <= usize::try_from(QUESTIONS_MAX * TRIES).unwrap());
}

/// A server that says "over TCP" and then takes its time, says something else, or says far too much.
#[tokio::test]
async fn a_stream_is_no_way_around_the_bounds() {
    let cut = |query: &Query| {
        let mut reply = query.reply(true, [&[], &[], &[]]);
        reply[2] |= 2;
        reply
    };
    // Cut again over TCP: that is no answer.
    let world = World::new(move |query, _| vec![cut(query)]).await;
    let resolver = world.resolver();
    assert!(resolver.lookup(&name("www.evil.test"), Rtype::A).await.is_err(), "nor that there is nothing");
    world.is_honest(&resolver).await;
    // Nothing at all.
    let world = World::new(move |query, is_stream| if is_stream { Vec::new() } else { vec![cut(query)] }).await;
    assert!(world.resolver().lookup(&name("www.evil.test"), Rtype::A).await.is_err());
    // Another's number.
    let world = World::new(move |query, is_stream| {
        let mut reply = if is_stream { query.reply(true, [&[a("www.evil.test", [6, 6, 6, 6])], &[], &[]]) } else { cut(query) };
        reply[0] ^= u8::from(is_stream);
        vec![reply]
    })
    .await;
    assert!(world.resolver().lookup(&name("www.evil.test"), Rtype::A).await.is_err());
    // As much as a message holds, of records of no octets: more of them than are looked at.
    let world = World::new(move |query, is_stream| {
        let records = vec![b"\0\xff\0\0\x01\0\0\0\x3c\0\0".to_vec(); 5900];
        if is_stream { vec![query.reply(true, [&records, &[], &[]])] } else { vec![cut(query)] }
    })
    .await;
    let resolver = world.resolver();
    assert!(resolver.lookup(&name("www.evil.test"), Rtype::A).await.is_err());
    world.is_honest(&resolver).await;
}

/// A zone whose transfer does not end, or is not of that zone.
#[tokio::test]
async fn a_transfer_has_bounds() {
    let soa = |apex: &str| record(apex, 6, &[&wire("ns.evil.test")[..], &wire("host.evil.test"), &[0; 20]].concat());
    let ask = async |says: Box<Says>| {
        let world = World::new(move |query, is_stream| says(query, is_stream)).await;
        world.resolver().transfer(None, "127.0.0.34".parse().unwrap(), &name("evil.test")).await
    };
    let endless = Box::new(move |query: &Query, _: bool| {
        assert_eq!(query.rtype(), 252);
        let mut messages = vec![query.reply(true, [&[soa("evil.test")], &[], &[]])];
        messages.extend((0..80u32).map(|part| {
            let records: Vec<_> = (0..1000u32)
                .map(|number| a(&format!("n{part}-{number}.evil.test"), (part * 1000 + number).to_be_bytes()))
                .collect();
            query.reply(true, [&records, &[], &[]])
        }));
        messages
    });
    let error = ask(endless).await.unwrap_err();
    assert!(matches!(error, TransferError::TooLarge), "{error} ({} are the most)", transfer::RECORDS_MAX);
    let foreign = Box::new(move |query: &Query, _: bool| vec![query.reply(true, [&[soa("bank.test")], &[], &[]])]);
    assert!(matches!(ask(foreign).await.unwrap_err(), TransferError::Malformed));
    let mixed = Box::new(move |query: &Query, _: bool| {
        let records = [soa("evil.test"), a("www.bank.test", [6, 6, 6, 6]), a("www.evil.test", [9, 9, 9, 6]), soa("evil.test")];
        vec![query.reply(true, [&records, &[], &[]])]
    });
    let records = ask(mixed).await.unwrap();
    assert_eq!(records.iter().map(|record| record.owner.as_str()).collect::<Vec<_>>(), ["www.evil.test"]);
}
