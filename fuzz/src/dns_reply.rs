//! Checks of `poterne-dns-resolver`.

use poterne_dns_resolver::{
    Question, delegation,
    message::RECORDS_MAX,
    referral::{Step, step},
};
use poterne_model::{Name, Rtype};

/// A reply of a server of `com` to a question for `www.example.com`: whatever it holds, what is believed of it lies on the way down.
pub fn dns_reply(data: &[u8]) {
    let (name, zone) = (Name::parse("www.example.com").expect("a name"), Name::parse("com").expect("a name"));
    // The first octet chooses what was asked; the id is the reply's own, so that every input is looked into.
    let Some((choice, octets)) = data.split_first() else { return };
    let rtype = Rtype::OFFERED[usize::from(*choice) % Rtype::OFFERED.len()];
    let question = Question::new(name.clone(), rtype);
    let id = octets.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let Ok(reply) = question.reply(id, octets) else { return };
    assert!(reply.answers.len() + reply.authorities.len() + reply.additionals.len() <= RECORDS_MAX);
    match step(&reply, &question, Some(&zone)) {
        Step::Answer(records) => assert!(records.iter().all(|record| record.owner == name && record.number() == rtype.number())),
        Step::Referral { cut, servers } => {
            assert!(cut != zone && cut.is_within(&zone) && name.is_within(&cut));
            assert!(servers.iter().all(|(server, glue)| glue.is_empty() || server.is_within(&zone)));
        }
        Step::Alias(..) | Step::Nothing { .. } | Step::Lame(_) => {}
    }
    let _ = delegation::seen(&reply, &name, Some(&zone));
}
