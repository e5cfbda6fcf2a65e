//! Giving zones to other name servers over a stream (RFC 5936, RFC 1995), and remembering what they were given.
//!
//! One transfer of a zone to a peer at a time, [`TRANSFERS_MAX`] in all; a message is made when the one before has left, so that a slow
//! reader holds one message and its snapshot, for [`TRANSFER_TIMEOUT`] at most. What a peer was given last is remembered as the snapshot it
//! came from, which shares its pages with those after it, and is what the next one is compared with.
//!
//! A signed zone is signed on the way, [`SIGNED_MAX`] at a time and [`SIGNATURES_PER_SEC`] signatures a second each: however often peers ask,
//! that is what it costs. With the snapshot those signatures are remembered that it was given with, [`REMEMBERED_MAX`] in all: with them the zone as a
//! peer has it can be made again, and what changed be told. A version takes over those of the one before, which costs a digest each.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use poterne_dns_answer::{
    Client,
    transfer::{
        self, Line, Packer, Transfer,
        signatures::Signatures,
        signed::{Names, SignedDifference, SignedWhole, is_signed},
    },
};
use poterne_dns_wire::rtype;
use poterne_model::ZoneId;
use poterne_snapshot::Snapshot;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout, timeout_at},
};

use crate::{Shared, Told, lookups::ROUNDS_MAX};

/// Most transfers under way.
pub(crate) const TRANSFERS_MAX: usize = 32;

/// Most of them that are signed on the way; whoever asks for another comes again later.
pub const SIGNED_MAX: usize = 2;

/// Most signatures made a second for one of them: a twentieth of a core. A million names take some eight minutes.
pub const SIGNATURES_PER_SEC: u32 = 4000;

/// How long one may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(900);

/// How long whoever asked may take to read a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most snapshots remembered, each what a peer was given last.
const GIVEN_MAX: usize = 64;

/// Most signatures remembered beside them, at some 150 octets each. Those of who was given a zone longest ago are forgotten first, and it is
/// given to him whole when he asks again.
pub const REMEMBERED_MAX: usize = 400_000;

/// Signatures made before others get their turn: 25 ms.
const SIGNATURES_PER_TURN: u32 = 100;

/// A zone, who asks for it, and from where: several servers may share a key.
type Asker = (ZoneId, [u8; 16], IpAddr);

/// What is under way, and what was given.
#[derive(Default)]
pub(crate) struct Transfers(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: HashSet<(ZoneId, [u8; 16])>,
    /// How many of them are signed.
    signed: usize,
    given: HashMap<Asker, Given>,
    /// The one that was given longest ago first.
    order: VecDeque<Asker>,
    /// The signatures that each zone was given with last, to whomever.
    latest: HashMap<ZoneId, Weak<Signatures>>,
}

/// What somebody was given.
#[derive(Clone)]
struct Given {
    serial: u32,
    snapshot: Snapshot,
    /// Of a signed zone that is not too large.
    signatures: Option<Arc<Signatures>>,
}

/// A transfer's place among those under way.
struct Place<'t> {
    transfers: &'t Transfers,
    key: (ZoneId, [u8; 16]),
    is_signed: bool,
}

impl Transfers {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, key: (ZoneId, [u8; 16]), is_signed: bool) -> Option<Place<'_>> {
        let begun = self.with(|state| {
            let has_room = state.under_way.len() < TRANSFERS_MAX && !(is_signed && state.signed >= SIGNED_MAX);
            let begun = has_room && state.under_way.insert(key);
            state.signed += usize::from(begun && is_signed);
            begun
        });
        // Not `then_some`: a place that is made and dropped gives back what it did not take.
        begun.then(|| Place { transfers: self, key, is_signed })
    }

    /// What the asker was given last, if it is this version.
    fn given(&self, asker: &Asker, serial: u32) -> Option<Given> {
        self.with(|state| state.given.get(asker).filter(|given| given.serial == serial).cloned())
    }

    /// What a zone was signed with last.
    fn latest(&self, zone: ZoneId) -> Option<Arc<Signatures>> {
        self.with(|state| state.latest.get(&zone).and_then(Weak::upgrade))
    }

    fn gave(&self, asker: Asker, given: Given) {
        // Let go of outside of the lock: it may be the last to hold pages.
        let forgotten = self.with(|state| {
            state.latest.retain(|_, latest| latest.strong_count() > 0);
            if let Some(signatures) = &given.signatures {
                state.latest.insert(asker.0, Arc::downgrade(signatures));
            }
            state.order.retain(|other| *other != asker);
            state.order.push_back(asker);
            let mut forgotten: Vec<_> = state.given.insert(asker, given).into_iter().collect();
            if state.order.len() > GIVEN_MAX
                && let Some(oldest) = state.order.pop_front()
            {
                forgotten.extend(state.given.remove(&oldest));
            }
            let count = |given: &Given| given.signatures.as_ref().map_or(0, |signatures| signatures.len());
            let mut remembered: usize = state.given.values().map(count).sum();
            for oldest in &state.order {
                if remembered <= REMEMBERED_MAX {
                    break;
                }
                let Some(given) = state.given.get(oldest) else { continue };
                remembered -= count(given);
                // What is not signed is told of by its snapshot alone.
                if given.signatures.is_some() {
                    forgotten.extend(state.given.remove(oldest));
                }
            }
            let State { given, order, .. } = state;
            order.retain(|asker| given.contains_key(asker));
            forgotten
        });
        drop(forgotten);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.transfers.with(|state| {
            state.under_way.remove(&self.key);
            state.signed -= usize::from(self.is_signed);
        });
    }
}

/// Answers a query for a zone, or for what changed of it: with a refusal unless `gives`. Returns whether the connection goes on: one whose
/// transfer was cut off does not, since what follows would be taken for the rest.
pub(crate) async fn serve<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    shared: &Arc<Shared>,
    client: &Client,
    message: &[u8],
    gives: bool,
) -> bool {
    // Held for as long as the transfer takes: it is of one version.
    let snapshot = Snapshot::clone(&shared.snapshot.load());
    let transfer = Transfer::begin(&snapshot, &shared.service, client, message).filter(|_| gives);
    let place = transfer.as_ref().and_then(|transfer| {
        let signs = is_signed(&snapshot, transfer.zone) && !transfer.is_current();
        shared.transfers.begin((transfer.zone, transfer.peer), signs)
    });
    let (Some(transfer), Some(place)) = (transfer, place) else {
        shared.counts.transfers[3].inc();
        return refuse(io, shared, client, message).await;
    };
    let (zone, serial, asker) = (transfer.zone, transfer.serial, (transfer.zone, transfer.peer, client.address));
    let deadline = Instant::now() + TRANSFER_TIMEOUT;
    let mut signatures = None;
    let (kind, sent) = if transfer.is_current() {
        let lines = transfer::current(&snapshot, zone).into_iter();
        (2, timeout_at(deadline, send(io, shared, transfer.into_packer(), lines)).await)
    } else if place.is_signed {
        let before = transfer.since.and_then(|since| shared.transfers.given(&asker, since));
        match timeout_at(deadline, send_signed(io, shared, transfer, &snapshot, before)).await {
            Ok(Some(Signed { kind, octets, with })) => {
                signatures = with;
                (kind, Ok(Some(octets)))
            }
            Ok(None) => (0, Ok(None)),
            Err(late) => (0, Err(late)),
        }
    } else {
        // Of one that was signed, signatures and a chain would have to go.
        let before = transfer.since.and_then(|since| shared.transfers.given(&asker, since));
        let before = before.map(|before| before.snapshot).filter(|before| !is_signed(before, zone));
        match difference(before, &snapshot, zone).await {
            Some(lines) => (1, timeout_at(deadline, send(io, shared, transfer.into_packer(), lines.into_iter())).await),
            None => {
                let lines = transfer::whole(&snapshot, zone).into_iter().flatten();
                (0, timeout_at(deadline, send(io, shared, transfer.into_packer(), lines)).await)
            }
        }
    };
    let Ok(Some(octets)) = sent else {
        tracing::info!(%zone, peer = %client.address, "a zone's transfer was cut off");
        return false;
    };
    shared.counts.transfers[kind].inc();
    tracing::debug!(%zone, peer = %client.address, serial, octets, kind, "a zone was transferred");
    if kind < 2 {
        shared.transfers.gave(asker, Given { serial, snapshot, signatures });
        (shared.told)(Told::Transferred { zone, serial });
    }
    true
}

/// What changed; comparing many names takes its time, on a thread where nobody waits for it.
async fn difference(before: Option<Snapshot>, now: &Snapshot, zone: ZoneId) -> Option<Vec<Line>> {
    let (before, now) = (before?, now.clone());
    tokio::task::spawn_blocking(move || transfer::difference(&before, &now, zone)).await.ok().flatten()
}

/// What a signed zone was given as.
struct Signed {
    /// 0: whole, 1: what changed.
    kind: usize,
    octets: usize,
    with: Option<Arc<Signatures>>,
}

/// A signed zone: what changed of it where that can be told, the zone whole otherwise; signed on the way.
async fn send_signed<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    shared: &Shared,
    transfer: Transfer,
    snapshot: &Snapshot,
    before: Option<Given>,
) -> Option<Signed> {
    let (zone, of) = (transfer.zone, snapshot.clone());
    // Putting many names in order takes its time.
    let names = tokio::task::spawn_blocking(move || Names::of(&of, zone)).await.ok()?;
    let signer = shared.service.signer.as_ref()?;
    let kept = |with: Signatures| (!with.is_too_large()).then(|| Arc::new(with));
    let latest = shared.transfers.latest(zone);
    let mut own = before.as_ref().and_then(|before| before.signatures.clone());
    if let (Some(before), Some(known)) = (before.as_ref(), own.clone()) {
        let (of, signer, given_with) = (before.snapshot.clone(), Arc::clone(signer), known.clone());
        let begun = tokio::task::spawn_blocking(move || {
            let names = Names::of(&of, zone);
            SignedDifference::begin(SignedWhole::given(&of, &signer, zone, &names, &given_with)?)
        });
        if let Some(difference) = begun.await.ok()? {
            let mut lines = begin(shared, snapshot, zone, &names, [Some(&known), latest.as_deref()])?;
            let changes = compare(shared, difference, &mut lines).await?;
            let is_over = lines.is_over();
            let with = kept(lines.into_signatures());
            if let Some(changes) = changes.filter(|_| is_over) {
                let octets = send(io, shared, transfer.into_packer(), changes.into_iter()).await?;
                return Some(Signed { kind: 1, octets, with });
            }
            // What was signed for nothing is of use now.
            own = with.or(own);
        }
    }
    let mut lines = begin(shared, snapshot, zone, &names, [own.as_deref(), latest.as_deref()])?;
    let octets = send(io, shared, transfer.into_packer(), &mut lines).await?;
    let is_over = lines.is_over();
    is_over.then(|| Signed { kind: 0, octets, with: kept(lines.into_signatures()) })
}

/// A signed zone, to be made line by line.
fn begin<'a>(
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    zone: ZoneId,
    names: &'a Names,
    known: [Option<&'a Signatures>; 2],
) -> Option<SignedWhole<'a>> {
    let signer = shared.service.signer.as_ref()?;
    let lines = SignedWhole::begin(snapshot, signer, zone, names, shared.now_secs(), known);
    if lines.is_none() {
        tracing::error!(%zone, "the zone's key does not open on this node: it is not given to other name servers");
    }
    lines
}

/// Makes the zone, and compares it with what was given. The inner none: more changed than is told one by one; the outer: the server stops.
async fn compare(shared: &Shared, mut difference: SignedDifference, lines: &mut SignedWhole<'_>) -> Option<Option<Vec<Line>>> {
    let mut paid = 0;
    let mut count = 0u32;
    while let Some(line) = lines.next() {
        if !difference.push(line) {
            return Some(None);
        }
        let made = lines.made() - paid;
        count += 1;
        if made >= SIGNATURES_PER_TURN {
            paid = lines.made();
            tokio::time::sleep(Duration::from_secs(1) * made / SIGNATURES_PER_SEC).await;
        } else if count.is_multiple_of(1000) {
            tokio::task::yield_now().await;
        }
        if shared.stop.is_cancelled() {
            return None;
        }
    }
    Some(difference.finish())
}

async fn send<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    shared: &Shared,
    mut packer: Packer,
    lines: impl Iterator<Item = Line>,
) -> Option<usize> {
    let (mut octets, mut signatures) = (0, 0);
    for line in lines {
        signatures += u32::from(line.rtype == rtype::RRSIG);
        if let Some(message) = packer.push(&line, shared.now_unix()) {
            octets += write(io, &message).await?;
            if shared.stop.is_cancelled() {
                return None;
            }
            match std::mem::take(&mut signatures) {
                0 => tokio::task::yield_now().await,
                made => tokio::time::sleep(Duration::from_secs(1) * made / SIGNATURES_PER_SEC).await,
            }
        }
    }
    if let Some(message) = packer.finish(shared.now_unix()) {
        octets += write(io, &message).await?;
    }
    Some(octets)
}

async fn write<IO: AsyncWrite + Unpin>(io: &mut IO, message: &[u8]) -> Option<usize> {
    // A record that no message holds: nobody can be told the zone.
    let length = u16::try_from(message.len()).ok()?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    timeout(WRITE_TIMEOUT, io.write_all(&framed)).await.ok()?.ok()?;
    timeout(WRITE_TIMEOUT, io.flush()).await.ok()?.ok()?;
    Some(framed.len())
}

async fn refuse<IO: AsyncWrite + Unpin>(io: &mut IO, shared: &Shared, client: &Client, message: &[u8]) -> bool {
    let mut out = vec![0; poterne_dns_answer::MESSAGE_OCTETS_MAX];
    // Refused without looking anything up.
    let Some(reply) = shared.answer(client, message, &mut out, ROUNDS_MAX, || Box::new(|| {})) else { return false };
    reply.length > 0 && write(io, &out[..reply.length]).await.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_signed_at_a_time() {
        let transfers = Transfers::default();
        let begin = |zone: u8, is_signed| transfers.begin((ZoneId::from_bytes([zone; 16]), [1; 16]), is_signed);
        let mut signed: Vec<_> = (0..2).map(|zone| begin(zone, true).unwrap()).collect();
        assert_eq!(signed.len(), SIGNED_MAX);
        assert!(begin(2, true).is_none() && begin(0, false).is_none());
        let other = begin(3, false);
        assert!(other.is_some(), "those that are not signed go on");
        signed.pop();
        assert!(begin(2, true).is_some_and(|place| place.is_signed));
        drop(other);
        assert!(begin(3, true).is_some());
    }
}
