//! Challenges of certificate authorities: TXT records over the user's own (edge-behaviour §1.8, §7.3).
//!
//! They lie over the zone and not in it. A challenge at `_acme-challenge.foo` answers for TXT at exactly that name; it makes no other name
//! exist, so that a wildcard goes on answering for `foo` and, for every other type, for the challenge's name as well. TXT records of the
//! user's own that would be answered there stand beside it. Where resolvers see a CNAME of that very name, it has the word: whoever set it
//! has others answer (RFC 1034 §3.6.2); one that only a wildcard gives is not of that name.

use std::sync::Arc;

use poterne_dns_wire::{RecordSet, rtype};
use poterne_model::ZoneId;
use poterne_snapshot::{ChallengeChunk, Found, NameView, Shown, Shows};

use super::{Data, Place, Section, Walk, flatten::Flattened};

/// What every owner of a challenge begins with (RFC 8555 §8.4).
const PREFIX: &str = "_acme-challenge.";

/// TTL of a challenge, in seconds: an authority that asks again after a failure should not be told what was.
const TTL_SECS: u32 = 60;

/// The TXT records at a name with challenges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    all: &'a [Arc<ChallengeChunk>],
    zone: ZoneId,
    now_secs: u32,
    /// The user's.
    own: Option<RecordSet<'a>>,
}

impl<'a> Texts<'a> {
    /// Their data, each once.
    pub(crate) fn data(self) -> impl Iterator<Item = &'a [u8]> {
        let is_own = move |data: &[u8]| self.own.iter().flat_map(RecordSet::records).any(|own| own == data);
        let is_earlier =
            move |at: usize, data: &[u8]| self.live().take_while(|(before, _)| *before < at).any(|(_, one)| one == data);
        let added = self.live().filter(move |(at, data)| !is_own(data) && !is_earlier(*at, data)).map(|(_, data)| data);
        self.own.into_iter().flat_map(|own| own.records()).chain(added)
    }

    fn live(self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let live = self.all.iter().enumerate().filter(move |(_, one)| one.zone == self.zone && one.is_live(self.now_secs));
        live.filter_map(|(at, one)| match &one.shown {
            Shown::Txt { data, .. } => Some((at, &**data)),
            Shown::Http { .. } | Shown::TlsAlpn { .. } => None,
        })
    }

    fn ttl_secs(&self) -> u32 {
        self.own.map_or(TTL_SECS, |own| own.ttl_secs.min(TTL_SECS))
    }
}

impl<'a> Walk<'a> {
    /// The TXT records at a name, where challenges that are not over are among them and are to be seen.
    pub(super) fn texts(&mut self, place: Place<'a, '_>, found: Found<'a>) -> Option<Texts<'a>> {
        if !place.name.starts_with(PREFIX) {
            return None;
        }
        let (all, zone, now_secs) = (self.snapshot.challenges(place.name), place.zone.head().id, self.sources.now_secs);
        let own = match found {
            Found::Name(chunk) if self.shows_cname(place, chunk) => return None,
            Found::Name(chunk) | Found::Wildcard(chunk) => chunk.sets.get(rtype::TXT),
            Found::Empty | Found::Nothing => None,
        };
        let texts = Texts { all, zone, now_secs, own };
        texts.live().next().is_some().then_some(texts)
    }

    fn shows_cname(&mut self, place: Place<'a, '_>, chunk: NameView<'a>) -> bool {
        let cname = chunk.sets.get(rtype::CNAME).filter(|_| chunk.shows == Shows::Records);
        let Some((cname, target)) = cname.and_then(|cname| Some((cname, cname.records().next()?))) else { return false };
        matches!(self.flattened(place, &cname, target), Flattened::Shown)
    }

    /// Answers for TXT at a name with challenges.
    pub(super) fn challenged(&mut self, place: Place<'a, '_>, texts: Texts<'a>) {
        self.put(Section::Answer, place.owner, rtype::TXT, texts.ttl_secs(), Data::Texts(texts));
    }
}
