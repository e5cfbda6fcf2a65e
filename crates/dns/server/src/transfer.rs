//! Giving zones to other name servers over a stream (RFC 5936, RFC 1995), and remembering what they were given.
//!
//! One transfer of a zone to a peer at a time, [`TRANSFERS_MAX`] in all; a message is made when the one before has left, so that a slow
//! reader holds one message and its snapshot, for [`TRANSFER_TIMEOUT`] at most. What a peer was given last is remembered as the snapshot it
//! came from, which shares its pages with those after it, and is what the next one is compared with.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use poterne_dns_answer::{
    Client,
    transfer::{self, Line, Packer, Transfer},
};
use poterne_model::ZoneId;
use poterne_snapshot::Snapshot;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout, timeout_at},
};

use crate::{Shared, Told, lookups::ROUNDS_MAX};

/// Most transfers under way.
pub(crate) const TRANSFERS_MAX: usize = 32;

/// How long one may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(900);

/// How long whoever asked may take to read a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most snapshots remembered, each what a peer was given last.
const GIVEN_MAX: usize = 64;

/// A zone, who asks for it, and from where: several servers may share a key.
type Asker = (ZoneId, [u8; 16], IpAddr);

/// What is under way, and what was given.
#[derive(Default)]
pub(crate) struct Transfers(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: HashSet<(ZoneId, [u8; 16])>,
    given: HashMap<Asker, (u32, Snapshot)>,
    /// The one that was given longest ago first.
    order: VecDeque<Asker>,
}

/// A transfer's place among those under way.
struct Place<'t> {
    transfers: &'t Transfers,
    key: (ZoneId, [u8; 16]),
}

impl Transfers {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, key: (ZoneId, [u8; 16])) -> Option<Place<'_>> {
        let begun = self.with(|state| state.under_way.len() < TRANSFERS_MAX && state.under_way.insert(key));
        begun.then_some(Place { transfers: self, key })
    }

    /// What the asker was given last, if it is this version.
    fn given(&self, asker: &Asker, serial: u32) -> Option<Snapshot> {
        self.with(|state| state.given.get(asker).filter(|(given, _)| *given == serial).map(|(_, snapshot)| snapshot.clone()))
    }

    fn gave(&self, asker: Asker, serial: u32, snapshot: Snapshot) {
        // Let go of outside of the lock: it may be the last to hold pages.
        let forgotten = self.with(|state| {
            state.order.retain(|other| *other != asker);
            state.order.push_back(asker);
            let replaced = state.given.insert(asker, (serial, snapshot));
            let oldest = if state.order.len() > GIVEN_MAX { state.order.pop_front() } else { None };
            (replaced, oldest.and_then(|oldest| state.given.remove(&oldest)))
        });
        drop(forgotten);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.transfers.with(|state| state.under_way.remove(&self.key));
    }
}

/// Answers a query for a zone, or for what changed of it. Returns whether the connection goes on: one whose transfer was cut off does
/// not, since what follows would be taken for the rest.
pub(crate) async fn serve<IO: AsyncWrite + Unpin>(io: &mut IO, shared: &Arc<Shared>, client: &Client, message: &[u8]) -> bool {
    // Held for as long as the transfer takes: it is of one version.
    let snapshot = Snapshot::clone(&shared.snapshot.load());
    let transfer = Transfer::begin(&snapshot, &shared.service, client, message);
    let place = transfer.as_ref().and_then(|transfer| shared.transfers.begin((transfer.zone, transfer.peer)));
    let (Some(transfer), Some(_place)) = (transfer, place) else {
        shared.counts.transfers[3].inc();
        return refuse(io, shared, client, message).await;
    };
    let (zone, serial, asker) = (transfer.zone, transfer.serial, (transfer.zone, transfer.peer, client.address));
    let deadline = Instant::now() + TRANSFER_TIMEOUT;
    let (kind, sent) = if transfer.is_current() {
        let lines = transfer::current(&snapshot, zone).into_iter();
        (2, timeout_at(deadline, send(io, shared, transfer.into_packer(), lines)).await)
    } else {
        let before = transfer.since.and_then(|since| shared.transfers.given(&asker, since));
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
        shared.transfers.gave(asker, serial, snapshot);
        (shared.told)(Told::Transferred { zone, serial });
    }
    true
}

/// What changed; comparing many names takes its time, on a thread where nobody waits for it.
async fn difference(before: Option<Snapshot>, now: &Snapshot, zone: ZoneId) -> Option<Vec<Line>> {
    let (before, now) = (before?, now.clone());
    tokio::task::spawn_blocking(move || transfer::difference(&before, &now, zone)).await.ok().flatten()
}

async fn send<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    shared: &Shared,
    mut packer: Packer,
    lines: impl Iterator<Item = Line>,
) -> Option<usize> {
    let mut octets = 0;
    for line in lines {
        if let Some(message) = packer.push(&line, shared.now_unix()) {
            octets += write(io, &message).await?;
            if shared.stop.is_cancelled() {
                return None;
            }
            tokio::task::yield_now().await;
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
