//! RFC 9619: one question.

use poterne_dns_wire::rtype::A;

use crate::{
    ask::{Ask, wire},
    net::Net,
};

/// §4: more than one question is a format error, whatever they are and however they are counted.
#[test]
fn more_than_one_question_is_a_format_error() {
    let net = Net::start();
    let query = Ask::new("www.example.com", A).octets();
    let question = [&wire("mail.example.com")[..], &[0, 1, 0, 1]].concat();
    for (count, rest) in
        [(2u16, question.clone()), (2, query[12..].to_vec()), (2, Vec::new()), (3, question.repeat(2)), (65_535, Vec::new())]
    {
        let mut octets = [&query[..], &rest].concat();
        octets[4..6].copy_from_slice(&count.to_be_bytes());
        let answer = net.udp(&octets);
        assert_eq!((&answer[..2], answer[3] & 0x0f, &answer[4..12]), (&query[..2], 1, &[0; 8][..]), "{count}");
    }
    // Uncounted octets are none.
    assert_eq!(net.udp(&[&query[..], &question].concat())[3] & 0x0f, 1);
}
