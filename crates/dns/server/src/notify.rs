//! Telling other name servers that a zone changed (RFC 1996), so that they need not wait until they look.
//!
//! Each new generation is looked at once a second at most, and zones that peers may have are told of where their serial number is another
//! one, or where somebody asked for it; at the start all are. A peer is told over UDP, signed where it has a key, and again after 2, 4, 8, 16 and 32
//! seconds until it answers. A newer change takes the place of an older one that is still on its way.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use poterne_dns_tsig::{Asking, Key};
use poterne_dns_wire::{name, rtype};
use poterne_guard::Guard;
use poterne_model::{AccountId, Name, ZoneId};
use poterne_snapshot::{
    Snapshot, TransferChunk,
    transfer::{Peer, Standing},
};
use tokio::{net::UdpSocket, sync::Semaphore, task::AbortHandle};

use crate::Shared;

/// How long changes are gathered.
const GATHERED: Duration = Duration::from_secs(1);

/// How long the first answer is waited for; each after it twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// How often a peer is told.
const TRIES: u32 = 5;

/// Most peers that are told at once.
const TELLING_MAX: usize = 64;

/// Most datagrams that are looked at while an answer is waited for.
const DATAGRAMS_MAX: usize = 16;

/// QR, and the opcode of notices.
const IS_NOTICE: u8 = 0x20;
const IS_ANSWER: u8 = 0x80;

/// Which version of each zone was told of, and how often it was asked for.
type Versions = HashMap<ZoneId, (u32, u64)>;

/// A peer to be told.
pub(crate) struct Due {
    zone: ZoneId,
    account: AccountId,
    apex: Name,
    peer: Peer,
    at: SocketAddr,
}

/// Who is to be told, now that this snapshot is in force; `told` is taken along.
pub(crate) fn due(snapshot: &Snapshot, told: &mut Versions) -> Vec<Due> {
    let mut due = Vec::new();
    let mut now = Versions::new();
    for zone in snapshot.shared_zones() {
        let head = zone.head();
        // A copy that is not whole is given to nobody; once it is, all are told.
        let is_whole =
            |transfer: &TransferChunk| transfer.incoming.as_ref().is_none_or(|incoming| incoming.standing == Standing::Whole);
        let outgoing = zone.transfer().filter(|transfer| is_whole(transfer)).and_then(|transfer| transfer.outgoing.as_ref());
        let (Some(outgoing), Some(dns)) = (outgoing, &head.dns) else { continue };
        let version = (dns.serial, outgoing.asked);
        now.insert(head.id, version);
        if told.get(&head.id) == Some(&version) {
            continue;
        }
        for peer in &outgoing.peers {
            let Some(address) = peer.address else { continue };
            let at = SocketAddr::new(address, peer.port);
            due.push(Due { zone: head.id, account: head.account, apex: head.apex.clone(), peer: peer.clone(), at });
        }
    }
    *told = now;
    due
}

/// Tells peers of changes until the server stops. `from`: addresses of this node that peers know it by.
pub(crate) async fn run(shared: Arc<Shared>, guard: Guard, from: Vec<IpAddr>) {
    let mut generations = shared.snapshot.subscribe();
    let (mut told, mut telling): (Versions, HashMap<(ZoneId, [u8; 16]), AbortHandle>) = (HashMap::new(), HashMap::new());
    let at_once = Arc::new(Semaphore::new(TELLING_MAX));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        generations.borrow_and_update();
        let due = due(&shared.snapshot.load(), &mut told);
        telling.retain(|_, task| !task.is_finished());
        while tasks.try_join_next().is_some() {}
        for due in due {
            if let Err(refusal) = guard.admits_address(Some(due.account), due.at.ip()) {
                tracing::warn!(zone = %due.apex, peer = %due.at, %refusal, "a peer is not told of a zone's change");
                continue;
            }
            let key = (due.zone, due.peer.id);
            if let Some(older) = telling.remove(&key) {
                older.abort();
            }
            let (shared, at_once, from) = (Arc::clone(&shared), Arc::clone(&at_once), from.clone());
            let task = tasks.spawn(async move {
                let Ok(_turn) = at_once.acquire().await else { return };
                let outcome = tell(&shared, &due, &from).await;
                shared.counts.notices[usize::from(!outcome)].inc();
            });
            telling.insert(key, task);
        }
        // What is on its way is dropped with the set.
        if shared.stop.run_until_cancelled(tokio::time::sleep(GATHERED)).await.is_none() {
            return;
        }
        match shared.stop.run_until_cancelled(generations.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

/// Whether the peer answered.
async fn tell(shared: &Shared, due: &Due, from: &[IpAddr]) -> bool {
    let key = match &due.peer.key {
        Some(key) => match shared.service.signer.as_ref().and_then(|signer| signer.peer_key(key)) {
            Some(key) => Some(key),
            None => return false,
        },
        None => None,
    };
    let mut wait = FIRST_WAIT;
    for _ in 0..TRIES {
        match tokio::time::timeout(wait, once(shared, due, key.as_ref(), from)).await {
            Ok(Ok(0)) => return true,
            Ok(Ok(rcode)) => {
                tracing::info!(zone = %due.apex, peer = %due.at, rcode, "a peer does not take the notice of a zone's change");
                return true;
            }
            Ok(Err(error)) => {
                tracing::debug!(zone = %due.apex, peer = %due.at, %error, "a notice could not be sent");
                tokio::time::sleep(wait).await;
            }
            Err(_) => {}
        }
        wait *= 2;
    }
    tracing::info!(zone = %due.apex, peer = %due.at, "a peer does not answer the notice of a zone's change");
    false
}

/// The code of its answer.
async fn once(shared: &Shared, due: &Due, key: Option<&Key>, from: &[IpAddr]) -> io::Result<u8> {
    let is_alike = |own: &&IpAddr| own.is_ipv4() == due.at.is_ipv4() && own.is_loopback() == due.at.ip().is_loopback();
    let any: IpAddr = if due.at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((from.iter().find(is_alike).copied().unwrap_or(any), 0)).await?;
    socket.connect(due.at).await?;
    let id: [u8; 2] = rand::random();
    let mut message = notice(id, &due.apex);
    let asking = key.map(|key| Asking::begin(key.clone(), &mut message, shared.now_unix()));
    socket.send(&message).await?;
    let mut buffer = [0; 1500];
    let mut asking = asking;
    for _ in 0..DATAGRAMS_MAX {
        let length = socket.recv(&mut buffer).await?;
        let answer = &buffer[..length];
        if answer.len() < 12 || answer[..2] != id || answer[2] & 0xf8 != IS_ANSWER | IS_NOTICE {
            continue;
        }
        // Some servers sign no refusal; that they answered is all that is wanted.
        if let Some(asking) = &mut asking
            && let Err(error) = asking.verify(answer, shared.now_unix())
        {
            tracing::info!(zone = %due.apex, peer = %due.at, %error, "a peer's answer to a notice is not signed as it should be");
        }
        return Ok(answer[3] & 0x0f);
    }
    Err(io::Error::other("too many datagrams that are no answer"))
}

/// RFC 1996 §3.7.
fn notice(id: [u8; 2], apex: &Name) -> Vec<u8> {
    let mut message = vec![id[0], id[1], IS_NOTICE | 0x04, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    name::push(apex.as_str(), &mut message);
    message.extend(rtype::SOA.to_be_bytes());
    message.extend(rtype::CLASS_IN.to_be_bytes());
    message
}
