//! What nobody should send: broken messages, floods in others' names, floods of names, and clients that are slow on purpose
//! (edge-behaviour §5.11). What is sent is drawn from a fixed seed.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Instant,
};

use poterne_dns_server::{Settings, rate::Rates};
use poterne_dns_wire::rtype::{A, AAAA};
use socket2::{Domain, Socket, Type};

use crate::{
    ask::{Ask, Opt, Told},
    https::target,
    net::{Net, PATIENCE, SILENCE, Setup, framed, is_over, read_framed},
};

const COOKIE: u16 = 10;

/// SplitMix64 (Steele, Lea and Flood): a few lines, and the same numbers every time.
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Good queries, of which broken ones are made.
fn good() -> Vec<Vec<u8>> {
    let opt = Opt { flags: 0xc0, ..Opt::of(1232) }.option(COOKIE, b"12345678").option(3, b"").option(12, &[0; 20]);
    vec![
        Ask::new("www.example.com", A).octets(),
        Ask::new("x.y.wild.example.com", A).with(opt.clone()).octets(),
        Ask::new("no.signed.test", A).with(opt.clone()).octets(),
        Ask::new("chain.example.com", AAAA).with(opt).octets(),
    ]
}

/// A query with octets changed, cut off, put in or said twice.
fn broken(drawn: &mut Drawn, of: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = of[drawn.below(of.len())].clone();
    for _ in 0..=drawn.below(4) {
        let at = drawn.below(octets.len().max(1));
        match drawn.below(5) {
            0 if !octets.is_empty() => octets[at] = drawn.next().to_le_bytes()[0],
            // Pointers, and lengths that lead far.
            1 if !octets.is_empty() => octets[at] = [0xc0, 0xff, 0x3f, 0x40, 0x80][drawn.below(5)],
            2 => octets.truncate(at),
            3 => {
                let length = drawn.below(30);
                let more = drawn.octets(length);
                octets.splice(at..at, more);
            }
            _ => octets.extend_from_within(at..),
        }
    }
    octets
}

/// It still answers, nothing of it has panicked, and what is not to be known is in none of these octets.
fn is_well(net: &Net) {
    assert_eq!(Ask::new("www.example.com", A).udp(net).answer.len(), 2);
    assert_eq!(Ask::new("www.example.com", A).tcp(net).answer.len(), 2);
    assert!(net.counts("poterne_dns_panicked_total 0"), "{}", net.metrics.encode());
}

/// RFC 1035 §4.1 turned every way: each datagram is answered with its number and as an answer, or not at all, and never at length.
#[test]
fn broken_datagrams_are_answered_shortly_or_not_at_all() {
    let net = Net::start();
    let (mut drawn, good, socket) = (Drawn(1), good(), net.udp_socket());
    let (mut sent, mut got) = (0, 0);
    let mut answer = [0; 65_535];
    for number in 0..6000 {
        let query = if number % 5 == 0 {
            let length = drawn.below(600);
            drawn.octets(length)
        } else {
            broken(&mut drawn, &good)
        };
        socket.send(&query).unwrap();
        sent += 1;
        // By one at a time, as far as they are answered: what is no query is not waited for.
        let is_query = query.len() >= 12 && query[2] & 0x80 == 0;
        if is_query {
            let length = socket.recv(&mut answer).unwrap();
            assert!(length <= 1232 && answer[..2] == query[..2] && answer[2] & 0x80 != 0, "{query:02x?}");
            got += 1;
        }
    }
    assert!(got > sent / 2, "{got} of {sent}");
    is_well(&net);
}

/// Owners that point to themselves, forward, or round and round; in a record that is passed over, and in one that is read.
#[test]
fn pointers_lead_nowhere() {
    let net = Net::start();
    let query = Ask::new("www.example.com", A).octets();
    let end = u8::try_from(query.len()).unwrap();
    let tail = [0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    for (owner, why) in [
        (vec![0xc0, end], "to itself"),
        (vec![0xc0, end + 2], "forward"),
        (vec![0xff, 0xff], "beyond the end"),
        (vec![1, b'a', 0xc0, end], "to the name's own beginning"),
        (vec![0xc0], "cut off"),
    ] {
        let mut octets = query.clone();
        octets[11] = 1;
        octets.extend(&owner);
        octets.extend(tail);
        assert_eq!(net.udp(&octets)[3] & 0x0f, 1, "{why}");
    }
    // Back to the question's own name, as in the authority of a NOTIFY: it is a name, and no OPT record's.
    for (at, expected) in [(9, 0), (11, 1)] {
        let mut octets = query.clone();
        octets[at] = 1;
        octets.extend([0xc0, 12]);
        octets.extend(tail);
        assert_eq!(net.udp(&octets)[3] & 0x0f, expected);
    }
    is_well(&net);
}

/// Everything that a message can hold of what says nothing: thousands of options, of records, of octets of padding.
#[test]
fn messages_full_of_nothing_are_answered() {
    let net = Net::start();
    let mut options = Opt::of(1232);
    options.options = vec![(65_001, Vec::new()); 16_000];
    let told = Ask::new("www.example.com", A).with(options).tcp(&net);
    assert_eq!((told.rcode, told.answer.len()), (0, 2));
    let padded = Ask::new("www.example.com", A).with(Opt::of(1232).option(12, &vec![0; 65_000]));
    let told = padded.tls(&net);
    assert_eq!((told.answer.len(), told.octets.len() % 468), (2, 0));
    let mut records = Ask::new("www.example.com", A).octets();
    records[8..10].copy_from_slice(&5000u16.to_be_bytes());
    records.extend(b"\0\0\x10\0\x01\0\0\0\0\0\0".repeat(5000));
    assert_eq!(Told::of(net.tcp(&records)).answer.len(), 2, "records that nobody asked for");
    records[8..10].copy_from_slice(&5001u16.to_be_bytes());
    assert_eq!(net.tcp(&records)[3] & 0x0f, 1, "one more than there are");
    let biggest = Ask::new("www.example.com", A).with(Opt::of(1232).option(65_001, &vec![7; 60_000]));
    assert_eq!(biggest.udp(&net).answer.len(), 2, "a datagram as long as any");
    is_well(&net);
}

/// Broken messages over a stream: each is answered, or ends its connection; no other notices.
#[test]
fn broken_streams_are_answered_or_ended() {
    let net = Net::start();
    let (mut drawn, good) = (Drawn(2), good());
    let mut bystander = net.tcp_stream();
    for number in 0..300 {
        let mut stream = net.tcp_stream();
        let octets = match number % 3 {
            0 => {
                let length = drawn.below(400);
                drawn.octets(length)
            }
            1 => framed(&(0..5).map(|_| broken(&mut drawn, &good)).collect::<Vec<_>>()),
            _ => {
                let mut octets = framed(&good);
                octets.truncate(drawn.below(octets.len()));
                octets
            }
        };
        // It may have ended before all was written.
        let _ = stream.write_all(&octets);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        assert!(received.len() < 64 * 1024);
    }
    bystander.write_all(&framed(&[good[0].clone()])).unwrap();
    assert_eq!(Told::of(read_framed(&mut bystander)).answer.len(), 2);
    is_well(&net);
}

/// The same over HTTPS: a status, whatever it was.
#[test]
fn broken_requests_have_a_status() {
    let net = Net::start();
    let (mut drawn, good) = (Drawn(3), good());
    for number in 0..150 {
        let query = broken(&mut drawn, &good);
        let answered = if number % 2 == 0 {
            net.http1("GET", &target(&query), &[], b"")
        } else {
            net.http1("POST", "/dns-query", &[("content-type", "application/dns-message")], &query)
        };
        let is_query = query.len() >= 12 && query[2] & 0x80 == 0;
        assert_eq!(answered.status, if is_query { 200 } else { 400 }, "{query:02x?}");
    }
    is_well(&net);
}

fn limited(rates: Rates) -> Net {
    let settings = Settings { rates: Some(rates), limits_this_machine: true, ..Settings::default() };
    Net::with(Setup { settings, ..Setup::default() })
}

/// What comes back of so many queries sent as quickly as they are read, and how long that took: octets sent and received, and answers whole,
/// cut and lost.
fn flood(net: &Net, queries: impl Iterator<Item = Vec<u8>>) -> (usize, usize, [usize; 3], u64) {
    let (socket, begun) = (net.udp_socket(), Instant::now());
    let (mut sent, mut received, mut counts) = (0, 0, [0; 3]);
    let mut answer = [0; 65_535];
    for query in queries {
        socket.send(&query).unwrap();
        sent += query.len();
        counts[2] += 1;
        // One behind the other, so that none is lost for want of room.
        socket.set_read_timeout(Some(std::time::Duration::from_millis(5))).unwrap();
        while let Ok(length) = socket.recv(&mut answer) {
            received += length;
            counts[usize::from(answer[2] & 2 != 0)] += 1;
            counts[2] -= 1;
            if counts[2] == 0 {
                break;
            }
        }
    }
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    while let Ok(length) = socket.recv(&mut answer) {
        received += length;
        counts[usize::from(answer[2] & 2 != 0)] += 1;
        counts[2] -= 1;
    }
    (sent, received, counts, begun.elapsed().as_secs() + 1)
}

/// Whoever is flooded in his name gets, beyond the answers that anybody may have, no more octets than were sent in it; in whatever way the
/// answer is made large.
#[test]
fn nobody_is_sent_more_than_was_sent_in_his_name() {
    let rates = Rates { same_per_sec: 5, kind_per_sec: 50 };
    let all = Opt { flags: 0x80, ..Opt::of(1232) }.option(3, b"").option(COOKIE, b"12345678");
    for (name, rtype) in [("long.example.com", 16), ("signed.test", 48), ("no.signed.test", A), ("example.org", A)] {
        let net = limited(rates);
        let query = Ask::new(name, rtype).with(all.clone()).octets();
        let honest = net.udp(&query).len();
        let (sent, received, [whole, cut, lost], secs) = flood(&net, std::iter::repeat_n(query.clone(), 400));
        let allowed = usize::try_from(5 * (secs + 1)).unwrap();
        assert!(whole <= allowed, "{name}: {whole} whole in {secs} s");
        assert!(received <= sent + allowed * honest, "{name}: {received} octets for {sent}");
        assert!(cut > 0 && lost > 0 && cut.abs_diff(lost) <= 2 * allowed, "{name}: every second one is a hint: {cut} and {lost}");
    }
}

/// RFC 6891 §6.1.1, RFC 7873 §5.2.3: the hint is in EDNS and gives a cookie, and whoever shows it is answered as often as he asks.
#[test]
fn whoever_can_be_reached_gets_out_of_the_limit() {
    let net = limited(Rates { same_per_sec: 1, kind_per_sec: 20 });
    let ask = |cookie: &[u8]| Ask::new("www.example.com", A).with(Opt::of(1232).option(COOKIE, cookie));
    let hint = (0..20).find_map(|_| net.udp_maybe(&ask(b"12345678").octets()).map(Told::of).filter(|told| told.tc)).unwrap();
    assert_eq!((hint.answer.len(), hint.opt.as_ref().map(|opt| opt.octets)), (0, Some(1232)));
    let pair = hint.option(COOKIE).unwrap().to_vec();
    for _ in 0..50 {
        assert_eq!(ask(&pair).udp(&net).answer.len(), 2);
    }
    // Over TCP anybody is.
    for _ in 0..50 {
        assert_eq!(Ask::new("www.example.com", A).tcp(&net).answer.len(), 2);
    }
    // One that was forged gets nobody out.
    let forged = [&pair[..16], b"12345678"].concat();
    assert!((0..6).any(|_| net.udp_maybe(&ask(&forged).octets()).is_none_or(|answer| answer[2] & 2 != 0)));
}

/// Random names below one zone: its signatures are spent, and said to be, and no other zone's; memory stays.
#[test]
fn a_flood_of_names_costs_its_own_zone_alone() {
    let net = Net::start();
    let (mut drawn, begun) = (Drawn(4), Instant::now());
    let before = resident_kib();
    let socket = net.udp_socket();
    let (mut cut, mut answer) = (0, [0; 2000]);
    for _ in 0..6000 {
        let query = Ask::new(&format!("x{:016x}.signed.test", drawn.next()), A).signed().octets();
        socket.send(&query).unwrap();
        socket.recv(&mut answer).unwrap();
        cut += usize::from(answer[2] & 2 != 0);
    }
    let (secs, text) = (begun.elapsed().as_secs() + 1, net.metrics.encode());
    let count = |how: &str| -> u64 {
        let line = format!("poterne_dns_signatures_total{{how=\"{how}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap()
    };
    assert!(count("made") <= 2000 * (secs + 1) + 10, "{} signatures in {secs} s", count("made"));
    assert_eq!(count("refused") > 0, cut > 0, "who asks beyond it is told to come over TCP");
    // Over TCP there is a budget of its own, and another zone has its own.
    let told = Ask::new("no.signed.test", A).signed().tcp(&net);
    assert_eq!((told.rcode, Told::types(&told.authority)), (0, vec!["SOA", "NSEC"]));
    assert!(Ask::new("no.example.com", A).signed().udp(&net).is_nothing(3, "example.com"));
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Clients that begin a message and do not end it take the places of their own network, and of nobody else.
#[test]
fn slow_clients_take_their_own_places() {
    let net = Net::start();
    let query = framed(&[Ask::new("www.example.com", A).octets()]);
    let mut slow: Vec<TcpStream> = (0..20).map(|_| connect_from("127.0.0.9", net.dns)).collect();
    for stream in &mut slow {
        // Answered once, it is certain that it is let in.
        stream.write_all(&query).unwrap();
        read_framed(stream);
        stream.write_all(&query[..7]).unwrap();
    }
    let mut one_more = connect_from("127.0.0.9", net.dns);
    let _ = one_more.write_all(&query);
    assert!(is_over(&mut one_more));
    let mut other = connect_from("127.0.0.10", net.dns);
    other.write_all(&query).unwrap();
    assert_eq!(Told::of(read_framed(&mut other)).answer.len(), 2);
    // One that ends its message after all is answered, and one that leaves makes room.
    slow[0].write_all(&query[7..]).unwrap();
    assert_eq!(Told::of(read_framed(&mut slow[0])).answer.len(), 2);
    drop(slow);
    let begun = Instant::now();
    loop {
        let mut again = connect_from("127.0.0.9", net.dns);
        if again.write_all(&query).is_ok() && !is_over(&mut again) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the places are not given back");
    }
}
