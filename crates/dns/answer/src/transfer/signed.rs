//! A signed zone whole, with the signatures that answers have and a chain that denies what is not there (RFC 4034 §4, RFC 4035 §2).
//!
//! Answers deny what is asked for, name by name (RFC 9824); who has a copy has no key, and needs a record for every gap. So the names are
//! gone through in canonical order, and each is told of once it is known which is the next: what is held is two names. What is below a
//! delegation is in the zone and is not its word: it is neither signed nor in the chain.
//!
//! Each set is signed for [`TRANSFER_SECS`], unless a version before was given with a signature over the same that is not old ([`Signatures`]): a
//! copy stands for itself until its version is another, and that is a week later at the latest, when control signs the keys anew.
//! Whether a resolver sees an NSEC record of an answer or one of the copy makes no difference to it: both are true.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use poterne_dns_sign::{Set, Validity, nsec::chained, rrsig::TRANSFER_SECS};
use poterne_dns_wire::rtype;
use poterne_model::{Name, ZoneId, name};
use poterne_snapshot::{Snapshot, Zone, ZoneDns};

use super::{
    CHANGES_MAX, Line, lines_at, parts,
    signatures::{Signatures, is_fresh},
    start,
};
use crate::{
    sign::{OpenZone, Signer},
    write::labels,
};

/// The names of a zone in canonical order (RFC 4034 §6.1), as paths ([`name::path`]), the apex first. Of a zone with a million names
/// that takes a second and some 60 MB.
#[derive(Debug)]
pub struct Names(Vec<Box<str>>);

impl Names {
    /// Of a zone in a snapshot.
    pub fn of(snapshot: &Snapshot, zone: ZoneId) -> Self {
        let Some(zone) = snapshot.zone(zone) else { return Self(Vec::new()) };
        let paths = zone.names().map(|(name, _)| name::path(name.as_str()).into_boxed_str());
        let mut paths: Vec<Box<str>> = paths.chain([name::path(zone.head().apex.as_str()).into_boxed_str()]).collect();
        // What is between labels is less than whatever is in one: the order of paths is the canonical one.
        paths.sort_unstable();
        paths.dedup();
        Self(paths)
    }
}

/// Whether a zone is signed, so that it is given so, too.
pub fn is_signed(snapshot: &Snapshot, zone: ZoneId) -> bool {
    parts(snapshot, zone).is_some_and(|(_, dns)| dns.keys.is_some())
}

/// The records of a signed zone, between two starts of authority. They end early where a signature cannot be made: see
/// [`SignedWhole::is_over`].
pub struct SignedWhole<'a> {
    snapshot: &'a Snapshot,
    zone: &'a Zone,
    dns: &'a ZoneDns,
    signer: &'a Signer,
    sealed: &'a [u8],
    from: Source<'a>,
    names: std::slice::Iter<'a, Box<str>>,
    soa: Line,
    /// The delegation that the last name was, or was below.
    cut: Option<&'a str>,
    /// The last name of the zone's own, which waits for the next.
    waiting: Option<Own>,
    /// What is ready to be told.
    out: VecDeque<Line>,
    state: State,
}

/// Where signatures come from.
enum Source<'a> {
    /// They are made at this second, unless one of these has them.
    Key { key: Arc<OpenZone>, now_secs: u32, known: [Option<&'a Signatures>; 2], given: Signatures, made: u32 },
    /// The zone was given with these.
    Given(&'a Signatures),
}

#[derive(PartialEq, Eq)]
enum State {
    Names,
    Over,
    Failed,
}

/// A name that is in the chain.
struct Own {
    owner: Arc<[u8]>,
    lines: Vec<Line>,
    is_cut: bool,
}

impl<'a> SignedWhole<'a> {
    /// Of a zone with these names, at `now_secs` (since the Unix epoch). `known`: signatures that others of its versions were given with, those that
    /// are to be preferred first. None where it is not signed, or its key does not open on this node.
    pub fn begin(
        snapshot: &'a Snapshot,
        signer: &'a Signer,
        zone: ZoneId,
        names: &'a Names,
        now_secs: u32,
        known: [Option<&'a Signatures>; 2],
    ) -> Option<Self> {
        let (zone, dns) = parts(snapshot, zone)?;
        let key = signer.zone(zone.head(), dns.keys.as_ref()?)?;
        let from = Source::Key { key, now_secs, known, given: Signatures::default(), made: 0 };
        Self::of(snapshot, signer, (zone, dns), names, from)
    }

    /// The zone as it was given with these signatures. It ends early where one of them is not there.
    pub fn given(
        snapshot: &'a Snapshot,
        signer: &'a Signer,
        zone: ZoneId,
        names: &'a Names,
        signatures: &'a Signatures,
    ) -> Option<Self> {
        Self::of(snapshot, signer, parts(snapshot, zone)?, names, Source::Given(signatures))
    }

    fn of(
        snapshot: &'a Snapshot,
        signer: &'a Signer,
        (zone, dns): (&'a Zone, &'a ZoneDns),
        names: &'a Names,
        from: Source<'a>,
    ) -> Option<Self> {
        let sealed = &dns.keys.as_ref()?.key[..];
        let soa = start(snapshot, zone, dns);
        let (names, out) = (names.0.iter(), VecDeque::from([soa.clone()]));
        let (cut, waiting, state) = (None, None, State::Names);
        Some(Self { snapshot, zone, dns, signer, sealed, from, names, soa, cut, waiting, out, state })
    }

    /// How many signatures were made, and not known.
    pub fn made(&self) -> u32 {
        match self.from {
            Source::Key { made, .. } => made,
            Source::Given(_) => 0,
        }
    }

    /// The signatures that it was given with.
    pub fn into_signatures(self) -> Signatures {
        match self.from {
            Source::Key { given, .. } => given,
            Source::Given(_) => Signatures::default(),
        }
    }

    /// Whether all of the zone was told.
    pub fn is_over(&self) -> bool {
        self.state == State::Over && self.out.is_empty()
    }

    /// Goes on to the next name.
    fn step(&mut self) {
        let apex: Arc<[u8]> = Arc::clone(&self.soa.owner);
        let Some(path) = self.names.next() else {
            let signed = self.waiting.take().is_none_or(|last| self.close(last, &apex).is_some());
            self.state = if signed { State::Over } else { State::Failed };
            self.out.extend(signed.then(|| self.soa.clone()));
            return;
        };
        // It was a name when it was put into the snapshot.
        let Ok(name) = Name::parse(&name::of_path(path)) else { return };
        let mut lines = lines_at(self.snapshot, self.zone, self.dns, &name, self.zone.name(name.as_str()));
        let is_below = |cut: &str| path.strip_prefix(cut).is_some_and(|rest| rest.starts_with(' '));
        if self.cut.is_some_and(is_below) {
            return self.out.extend(lines);
        }
        self.cut = None;
        let is_apex = name == self.zone.head().apex;
        if is_apex {
            self.at_apex(&mut lines);
        }
        if lines.is_empty() {
            return;
        }
        let is_cut = !is_apex && lines.iter().any(|line| line.rtype == rtype::NS);
        self.cut = is_cut.then_some(&**path);
        let own = Own { owner: Arc::from(&labels(&name)[..]), lines, is_cut };
        let next = Arc::clone(&own.owner);
        if let Some(before) = self.waiting.replace(own)
            && self.close(before, &next).is_none()
        {
            self.state = State::Failed;
        }
    }

    /// What control says of the zone and its keys: the signatures of those it made itself.
    fn at_apex(&mut self, lines: &mut Vec<Line>) {
        let owner = Arc::clone(&self.soa.owner);
        let keys = self.dns.keys.iter().flat_map(|keys| keys.signed.iter());
        for set in keys {
            let of_set = set.records().map(|data| Line {
                owner: Arc::clone(&owner),
                rtype: set.rtype,
                ttl_secs: set.ttl_secs,
                data: data.into(),
            });
            if set.rtype == rtype::RRSIG { self.out.extend(of_set) } else { lines.extend(of_set) }
        }
        lines.push(self.soa.clone());
    }

    /// Tells of a name, which the next one in the chain comes after. None where it cannot be signed.
    fn close(&mut self, own: Own, next: &[u8]) -> Option<()> {
        let Own { owner, mut lines, is_cut } = own;
        lines.sort_by_key(|line| line.rtype);
        let mut types = vec![rtype::RRSIG, rtype::NSEC];
        for set in lines.chunk_by(|one, other| one.rtype == other.rtype) {
            let rtype = set[0].rtype;
            // At a delegation all but the DS is the child's word (RFC 4035 §2.2), and its addresses are not even told of (§2.3).
            if !is_cut || matches!(rtype, rtype::NS | rtype::DS) {
                types.push(rtype);
            }
            // The first of them is told already.
            self.out.extend(set.iter().filter(|_| rtype != rtype::SOA).cloned());
            let is_of_keys = matches!(rtype, rtype::DNSKEY | rtype::CDS | rtype::CDNSKEY) && owner == self.soa.owner;
            if !is_of_keys && (!is_cut || rtype == rtype::DS) {
                let records: Vec<&[u8]> = set.iter().map(|line| &*line.data).collect();
                self.sign(&owner, rtype, set[0].ttl_secs, &records)?;
            }
        }
        types.sort_unstable();
        let data = chained(next, &types);
        // RFC 9077 §3.
        let ttl_secs = self.dns.soa.ttl.min(self.dns.soa.min_ttl);
        self.out.push_back(Line { owner: Arc::clone(&owner), rtype: rtype::NSEC, ttl_secs, data: data.as_slice().into() });
        self.sign(&owner, rtype::NSEC, ttl_secs, &[&data])
    }

    fn sign(&mut self, owner: &Arc<[u8]>, rtype: u16, ttl_secs: u32, records: &[&[u8]]) -> Option<()> {
        let set = Set { owner, rtype, ttl_secs, records };
        let digest = self.signer.digest_of(self.sealed, &set);
        let signature = match &mut self.from {
            Source::Given(signatures) => Arc::clone(signatures.get(digest)?),
            Source::Key { key, now_secs, known, given, made } => {
                let known = known.iter().flatten().find_map(|known| known.get(digest).filter(|one| is_fresh(one, *now_secs)));
                let signature = match known {
                    Some(known) => Arc::clone(known),
                    None => {
                        *made += 1;
                        Arc::new(key.key.sign(&set, Validity::from_now(*now_secs, TRANSFER_SECS, owner)).ok()?)
                    }
                };
                given.put(digest, Arc::clone(&signature));
                signature
            }
        };
        let data = signature.data(&self.soa.owner).into();
        self.out.push_back(Line { owner: Arc::clone(owner), rtype: rtype::RRSIG, ttl_secs, data });
        Some(())
    }
}

impl Iterator for SignedWhole<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while self.out.is_empty() && self.state == State::Names {
            self.step();
        }
        if self.state == State::Failed { None } else { self.out.pop_front() }
    }
}

/// What changed of a signed zone between what a peer was given and what there is (RFC 1995 §4), in one step. Fed with the new version's
/// lines as they are made, so that whoever makes them can take his time.
pub struct SignedDifference {
    /// What the peer has, but for what was found again.
    gone: HashSet<Line>,
    from: Option<Line>,
    to: Option<Line>,
    come: Vec<Line>,
    /// Lines of the new version.
    told: usize,
}

impl SignedDifference {
    /// From the zone as the peer was given it; none where that cannot be made again.
    pub fn begin(mut given: SignedWhole<'_>) -> Option<Self> {
        let (mut gone, mut from) = (HashSet::new(), None);
        for line in given.by_ref() {
            if line.rtype == rtype::SOA {
                from = Some(line);
            } else {
                gone.insert(line);
            }
        }
        given.is_over().then_some(Self { gone, from, to: None, come: Vec::new(), told: 0 })
    }

    /// Takes in a line of the new version. Returns whether it goes on: where more changed than is told one by one, it does not.
    pub fn push(&mut self, line: Line) -> bool {
        self.told += 1;
        if line.rtype == rtype::SOA {
            self.to = Some(line);
        } else if !self.gone.remove(&line) {
            self.come.push(line);
        }
        self.come.len() <= CHANGES_MAX
    }

    /// What changed; none where the zone whole is about as much.
    pub fn finish(self) -> Option<Vec<Line>> {
        let (from, to) = (self.from?, self.to?);
        let changes = self.gone.len() + self.come.len();
        // Of what changed most are signatures, and of the zone half.
        if changes > CHANGES_MAX || changes * 4 > self.told * 3 {
            return None;
        }
        let mut lines = vec![to.clone(), from];
        lines.extend(self.gone);
        lines.push(to.clone());
        lines.extend(self.come);
        lines.push(to);
        Some(lines)
    }
}
