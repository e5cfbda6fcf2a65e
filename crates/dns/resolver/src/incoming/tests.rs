use poterne_dns_wire::name;
use proptest::prelude::*;

use super::*;

const ID: [u8; 2] = [7, 8];
const BOUNDS: Bounds = Bounds { records: 100, octets: 10_000 };

fn labels(text: &str) -> Vec<u8> {
    let mut labels = Vec::new();
    name::push(text, &mut labels);
    labels
}

fn raw(owner: &str, number: u16, class: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = labels(owner);
    octets.extend(number.to_be_bytes());
    octets.extend(class.to_be_bytes());
    octets.extend(300u32.to_be_bytes());
    octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    octets.extend(data);
    octets
}

fn soa(serial: u32) -> Vec<u8> {
    let mut data = [labels("ns1.example.net"), labels("dns.example.net")].concat();
    for number in [serial, 7200, 900, 86_400, 60] {
        data.extend(number.to_be_bytes());
    }
    raw("example.com", 6, 1, &data)
}

fn a(owner: &str, last: u8) -> Vec<u8> {
    raw(owner, 1, 1, &[192, 0, 2, last])
}

fn message(records: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = vec![ID[0], ID[1], 0x84, 0, 0, 0, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0];
    records.iter().for_each(|record| octets.extend(record));
    octets
}

fn reader(since: Option<u32>) -> Reader {
    Reader::new(Name::parse("example.com").unwrap(), ID, since, BOUNDS)
}

fn read(since: Option<u32>, records: &[Vec<u8>]) -> Result<Came, IncomingError> {
    // A record a message, and all in one: it must not matter.
    let mut one = reader(since);
    let done = one.read(&message(records));
    let mut many = reader(since);
    let mut last = Ok(false);
    for record in records {
        last = many.read(&message(std::slice::from_ref(record)));
        if last != Ok(false) {
            break;
        }
    }
    // What comes after "nothing changed" in the same message is too much, and in one of its own nobody's answer.
    if last != Ok(true) || done == Ok(true) {
        assert_eq!(done, last, "{records:02x?}");
    }
    done.and_then(|_| one.finish())
}

fn record(owner: &str, last: u8) -> ZoneRecord {
    ZoneRecord { owner: Name::parse(owner).unwrap(), ttl_secs: 300, rdata: Rdata::A([192, 0, 2, last].into()) }
}

#[test]
fn a_zone_comes_whole() {
    let whole = read(None, &[soa(7), a("example.com", 1), a("www.example.com", 2), a("www.example.com", 2), soa(7)]).unwrap();
    let Came::Whole(authority, records) = whole else { panic!("{whole:?}") };
    assert_eq!((authority.serial, authority.refresh, authority.expire, &*authority.mname), (7, 7200, 86_400, "ns1.example.net"));
    assert_eq!(records, [record("example.com", 1), record("www.example.com", 2)], "what is said twice is there once");
    // So it may to whoever asks what changed (RFC 1995 §4).
    let whole = read(Some(6), &[soa(7), a("example.com", 1), soa(7)]).unwrap();
    assert!(matches!(whole, Came::Whole(..)));
}

#[test]
fn what_changed_comes_in_steps() {
    let records =
        [soa(9), soa(7), a("a.example.com", 1), soa(8), a("b.example.com", 2), soa(8), soa(9), a("c.example.com", 3), soa(9)];
    let came = read(Some(7), &records).unwrap();
    let Came::Changes(authority, changes) = came else { panic!("{came:?}") };
    assert_eq!(authority.serial, 9);
    assert_eq!(
        changes,
        [(false, record("a.example.com", 1)), (true, record("b.example.com", 2)), (true, record("c.example.com", 3))]
    );
    assert_eq!(read(Some(9), &[soa(9)]).unwrap(), Came::Current);
    assert_eq!(read(Some(10), &[soa(9)]).unwrap(), Came::Current, "an older version is none to take");
}

#[test]
fn what_is_no_transfer_is_refused() {
    for (since, records) in [
        (None, vec![a("example.com", 1)]),
        (None, vec![soa(7), soa(6)]),
        (Some(5), vec![soa(7), soa(6), a("a.example.com", 1), soa(7), soa(7)]),
        (Some(6), vec![soa(7), soa(6), soa(7), soa(6)]),
    ] {
        assert_eq!(read(since, &records), Err(IncomingError::Malformed), "{since:?}");
    }
    for cut in [vec![soa(7)], vec![soa(7), a("a.example.com", 1)]] {
        assert_eq!(read(None, &cut), Err(IncomingError::Malformed), "it has no end");
    }
    let mut refused = message(&[]);
    refused[3] = 5;
    assert_eq!(reader(None).read(&refused), Err(IncomingError::Refused(Rcode::Refused)));
    let mut foreign = message(&[soa(7)]);
    foreign[0] ^= 1;
    assert_eq!(reader(None).read(&foreign), Err(IncomingError::Malformed));
}

#[test]
fn what_cannot_be_kept_refuses_the_whole() {
    let with = |record: Vec<u8>| read(None, &[soa(7), record, soa(7)]).unwrap_err();
    assert_eq!(with(a("www.example.net", 1)), IncomingError::Stray("www.example.net".into()));
    assert_eq!(with(raw("example.com", 48, 1, &[1, 1, 3, 13, 0, 0, 0, 0])), IncomingError::Signed);
    assert_eq!(with(raw("example.com", 1, 3, &[192, 0, 2, 1])), IncomingError::Malformed, "another class");
    assert!(matches!(with(raw("a b.example.com", 1, 1, &[192, 0, 2, 1])), IncomingError::Unkept { .. }));
    let other = [&labels("other.example.com")[..], &soa(7)[13..]].concat();
    assert!(matches!(with(other), IncomingError::Stray(_)));
}

#[test]
fn it_is_bounded() {
    let mut records = vec![soa(7)];
    records.extend((0..101).map(|number| a(&format!("a{number}.example.com"), 1)));
    let mut long = reader(None);
    assert_eq!(long.read(&message(&records)), Err(IncomingError::TooLarge(BOUNDS)));
    let mut many = reader(None);
    let mut last = many.read(&message(&[soa(7)]));
    while last == Ok(false) {
        last = many.read(&message(&[a("same.example.com", 1)]));
    }
    assert_eq!(last, Err(IncomingError::TooLarge(BOUNDS)), "octets are counted though nothing new comes");
}

proptest! {
    #[test]
    fn no_octets_break_it(octets in prop::collection::vec(any::<u8>(), 0..200), since in prop::option::of(any::<u32>())) {
        let _ = reader(since).read(&octets);
        let mut reader = reader(since);
        let mut begun = message(&[soa(7)]);
        begun[7] = 3;
        begun.extend(octets);
        let _ = reader.read(&begun);
        let _ = reader.finish();
    }
}
