use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_700_000_000;

/// Laid out by hand from RFC 8945 §4.3.3 and computed by another implementation of HMAC: the codes of a request, of the first message
/// of its answer, and of the third, the second of which is not signed.
const VECTORS: [(Algorithm, [&str; 3]); 3] = [
    (
        Algorithm::HmacSha256,
        [
            "a92dff6a70102d3a8ffa50b61e9429cad8949731019f5c2191026d1aa869e551",
            "0189ca50140bfd1a5dceb296547767e13cec0a2a339068b916b8a341f6771275",
            "b19c693e566d10c0a03e5124136a60d69371ecdfca2cdba589b261f6f01fbeab",
        ],
    ),
    (
        Algorithm::HmacSha384,
        [
            "153e9065a6d2603ef9f7c0bd9165d2ec949f6c586c19472b41fa995ce198bd005dad80982815936fe0d0ecea66cb2e30",
            "b1542f81c620adfc78f25c7cd7813070e2569485074b9db2bb69904ab92be045d5370af8b423eff59f5bf0c03ed0a15b",
            "fd625ac3679b229c97f7e3d6f9eb4876e5636c8d9f72485f6c7b62065943c33203409b29faaece100b8cb9a34f0af2f2",
        ],
    ),
    (
        Algorithm::HmacSha512,
        [
            "b12eb5fdc5ec2dad7485d891c4eab358e7ab38d170acbf74446d6d184c7efdeaabd24ce95cb0ec4317a304d6650926147f9fd15862003135b7d942aba90910e6",
            "f328a9af13f5ceafa705556577ad5608e653c5016ecc6ac47f5c240ef830a1e49a4d2bfed6c6f80b7de5c08bd63f71f54ec13acd1345557618a3fac86789ba56",
            "464bf75dbae71c00de2d146907c9d480d2f4e7306a569dba9cc5a5b00d1b3869c14e5bd9650bf3aa13866f3fbce7f163858bac2f456e12969eb0e0005ef334f0",
        ],
    ),
];

fn key(algorithm: Algorithm) -> Key {
    Key::new("XFR.key", algorithm, &(0..32).collect::<Vec<u8>>())
}

fn question() -> Vec<u8> {
    hex::decode("123401000001000000000000076578616d706c6503636f6d0000fc0001").unwrap()
}

fn first_answer() -> Vec<u8> {
    hex::decode("123484000001000000000000076578616d706c6503636f6d0000fc0001").unwrap()
}

fn later_answer() -> Vec<u8> {
    hex::decode("123484000000000000000000").unwrap()
}

fn code(message: &[u8]) -> String {
    hex::encode(find(message).unwrap().unwrap().tsig.mac)
}

fn verify(message: &[u8], now: u64) -> Result<Answering, Refused> {
    let found = find(message).unwrap().unwrap();
    Answering::verify(message, &found, now, |name, algorithm| {
        let key = key(algorithm);
        (key.name() == name).then_some(key)
    })
}

fn refusal(message: &[u8], now: u64) -> Told {
    match verify(message, now) {
        Err(Refused::NotAuth(told)) => *told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_sides_make_the_codes_of_the_rfc() {
    for (algorithm, [request, first, later]) in VECTORS {
        let mut asked = question();
        let mut asking = Asking::begin(key(algorithm), &mut asked, NOW);
        assert_eq!(code(&asked), request, "{algorithm:?}");
        let mut answering = verify(&asked, NOW + 300).unwrap();
        let mut answer = first_answer();
        answering.sign(&mut answer, NOW);
        assert_eq!(code(&answer), first, "{algorithm:?}");
        assert_eq!(asking.verify(&answer, NOW).unwrap(), first_answer());
        asking.finish().unwrap();
        assert_eq!(asking.verify(&later_answer(), NOW).unwrap(), later_answer());
        assert_eq!(asking.finish(), Err(Untrue::Unsigned), "the last message is signed");
        // The server's side signs every message; this one comes from a server that does not.
        let third = Tsig {
            name: key(algorithm).name().to_vec(),
            algorithm: algorithm.labels(),
            time: NOW,
            fudge: FUDGE_SECS,
            mac: hex::decode(later).unwrap(),
            original_id: [0x12, 0x34],
            error: 0,
            other: Vec::new(),
        };
        let mut answer = later_answer();
        third.append(&mut answer);
        assert_eq!(asking.verify(&answer, NOW).unwrap(), later_answer());
        asking.finish().unwrap();
    }
}

#[test]
fn a_long_answer_is_verified_message_by_message() {
    let mut asked = question();
    let mut asking = Asking::begin(key(Algorithm::HmacSha256), &mut asked, NOW);
    let mut answering = verify(&asked, NOW).unwrap();
    for number in 0..300 {
        let mut answer = if number == 0 { first_answer() } else { later_answer() };
        answering.sign(&mut answer, NOW + number);
        asking.verify(&answer, NOW + number).unwrap();
        asking.finish().unwrap();
    }
    let mut answer = later_answer();
    answering.sign(&mut answer, NOW);
    let again = answer.clone();
    asking.verify(&answer, NOW).unwrap();
    assert_eq!(asking.verify(&again, NOW), Err(Untrue::BadSignature), "a message that came before does not hold again");
}

#[test]
fn no_more_than_so_many_messages_go_unsigned() {
    let mut asked = question();
    let mut asking = Asking::begin(key(Algorithm::HmacSha256), &mut asked, NOW);
    assert_eq!(asking.verify(&first_answer(), NOW), Err(Untrue::Unsigned), "the first message is signed");
    let mut answer = first_answer();
    verify(&asked, NOW).unwrap().sign(&mut answer, NOW);
    asking.verify(&answer, NOW).unwrap();
    for _ in 0..99 {
        asking.verify(&later_answer(), NOW).unwrap();
    }
    assert_eq!(asking.verify(&later_answer(), NOW), Err(Untrue::Unsigned));
}

#[test]
fn what_is_wrong_with_a_request_is_told_as_the_rfc_says() {
    let mut asked = question();
    let mut asking = Asking::begin(key(Algorithm::HmacSha256), &mut asked, NOW);

    let mut unknown = question();
    Asking::begin(Key::new("other.key", Algorithm::HmacSha256, b"secret"), &mut unknown, NOW);
    let told = refusal(&unknown, NOW);
    let mut answer = first_answer();
    told.append(&mut answer);
    assert_eq!((told.error(), code(&answer)), (17, String::new()), "BADKEY, not signed");

    let mut forged = question();
    Asking::begin(Key::new("xfr.key", Algorithm::HmacSha256, b"guessed"), &mut forged, NOW);
    assert_eq!(refusal(&forged, NOW).error(), 16, "BADSIG");
    let mut answer = first_answer();
    refusal(&forged, NOW).append(&mut answer);
    assert_eq!(asking.verify(&answer, NOW), Err(Untrue::Told(16)));

    for now in [NOW - 301, NOW + 301] {
        let told = refusal(&asked, now);
        let mut answer = first_answer();
        told.append(&mut answer);
        let tsig = find(&answer).unwrap().unwrap().tsig;
        assert_eq!((tsig.error, tsig.time, tsig.other), (18, NOW, now.to_be_bytes()[2..].to_vec()), "BADTIME, with our time");
        let mut asking = Asking::begin(key(Algorithm::HmacSha256), &mut question(), NOW);
        assert_eq!(asking.verify(&answer, NOW), Err(Untrue::Told(18)), "and signed, so that it is believed");
    }
}

#[test]
fn codes_cut_short_are_refused() {
    let mut asked = question();
    Asking::begin(key(Algorithm::HmacSha256), &mut asked, NOW);
    let whole = find(&asked).unwrap().unwrap().tsig;
    let cut = |length: usize| {
        let mut message = question();
        Tsig { mac: whole.mac[..length].to_vec(), ..whole.clone() }.append(&mut message);
        message
    };
    assert_eq!(refusal(&cut(16), NOW).error(), 22, "BADTRUNC");
    for length in [0, 9, 15] {
        assert_eq!(verify(&cut(length), NOW).unwrap_err(), Refused::Malformed, "{length}");
    }
    let mut long = question();
    Tsig { mac: [&whole.mac[..], &[0]].concat(), ..whole.clone() }.append(&mut long);
    assert_eq!(verify(&long, NOW).unwrap_err(), Refused::Malformed);
    let mut other = cut(16);
    let at = other.len() - 7;
    other[at] ^= 1;
    assert_eq!(refusal(&other, NOW).error(), 16, "a part that is wrong is wrong before it is short");
}

#[test]
fn a_forwarded_request_is_verified_under_the_id_it_was_signed_with() {
    let mut asked = question();
    let mut asking = Asking::begin(key(Algorithm::HmacSha512), &mut asked, NOW);
    asked[..2].copy_from_slice(&[9, 9]);
    let mut answering = verify(&asked, NOW).unwrap();
    let mut answer = first_answer();
    answering.sign(&mut answer, NOW);
    asking.verify(&answer, NOW).unwrap();
}

#[test]
fn the_record_stands_at_the_end_or_nowhere() {
    let mut asked = question();
    Asking::begin(key(Algorithm::HmacSha256), &mut asked, NOW);
    assert!(find(&question()).unwrap().is_none());
    let mut twice = asked.clone();
    Asking::begin(key(Algorithm::HmacSha256), &mut twice, NOW);
    assert_eq!(find(&twice), Err(Malformed));
    assert_eq!(find(&[&asked[..], &[0]].concat()), Err(Malformed), "octets follow it");
    // As an answer, it is none.
    let mut misplaced = asked.clone();
    misplaced.swap(7, 11);
    assert_eq!(find(&misplaced), Err(Malformed));
    for end in 0..asked.len() {
        assert!(find(&asked[..end]).is_err(), "cut at {end}");
    }
}

proptest! {
    /// Any octets are read or refused, and a changed request holds no more.
    #[test]
    fn no_changed_octet_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8.., octets in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = find(&octets);
        let mut begun = question();
        begun[11] = 1;
        begun.extend(octets);
        let _ = find(&begun);
        let mut asked = question();
        Asking::begin(key(Algorithm::HmacSha256), &mut asked, NOW);
        let at = at.index(asked.len());
        asked[at] ^= flip;
        // The id is what forwarders change, letters of the names mean the same in either case, and so do they here.
        prop_assume!(at > 1 && flip != 0x20);
        if let Ok(Some(found)) = find(&asked) {
            let keys = |name: &[u8], algorithm| Some(key(algorithm)).filter(|key| key.name() == name);
            prop_assert!(Answering::verify(&asked, &found, NOW, keys).is_err(), "octet {}", at);
        }
    }
}
