//! Messages over a stream (RFC 1035 §4.2.2, RFC 7766), in clear or over TLS (RFC 7858): two octets of length before each.
//!
//! Answers take no time, so they leave in the order of their queries, and pipelined queries that came together are answered together; but
//! one that waits for a look-up leaves when it can, and keeps no other (RFC 7766 §6.2.1.1). A zone that is asked for whole takes its time:
//! what comes after it on the same stream waits.

use std::{cell::RefCell, net::IpAddr, sync::Arc, time::Duration};

use poterne_dns_answer::{Client, MESSAGE_OCTETS_MAX, Transport, transfer::is_asked};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Shared,
    lookups::{ROUNDS_MAX, Waiter},
    transfer,
};

/// How long a connection may be without a message (RFC 7766 §6.2.3), and how long one may take to arrive whole.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers gathered before they are written, in octets: pipelined queries whose answers are larger wait for them to leave.
const GATHERED_MAX: usize = 64 * 1024;

/// Octets read at a time.
const READ_OCTETS: usize = 4096;

/// Queries of one connection that wait for a look-up; others are told at once that it is not known (edge-behaviour §5.11).
const LATE_MAX: usize = 100;

/// Queries answered before other tasks of the thread get their turn.
const ANSWERS_PER_TURN: usize = 100;

thread_local! {
    /// Where an answer is made: one a thread, since making it waits for nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE_OCTETS_MAX]);
}

/// Answers until the client goes, says something that is no query, is too slow, or `stop` is cancelled. `gives_zones`: whether zones may
/// leave this way.
pub(crate) async fn serve<IO>(
    mut io: IO,
    peer: IpAddr,
    transport: Transport,
    gives_zones: bool,
    shared: Arc<Shared>,
    stop: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut received, mut gathered) = (Vec::new(), Vec::new());
    let mut late = JoinSet::new();
    let mut turn = 0u32;
    let mut deadline = Instant::now() + IDLE_TIMEOUT;
    loop {
        let (mut at, mut answers, mut is_over) = (0, 0, false);
        let mut transfer = None;
        while let Some(query) = message(&received, at) {
            turn = turn.wrapping_add(1);
            let client = Client { address: peer, transport, now_secs: shared.now_secs(), turn };
            if is_asked(query) {
                transfer = Some((client, query.to_vec()));
                at += 2 + query.len();
                break;
            }
            let round = if late.len() < LATE_MAX { 0 } else { ROUNDS_MAX };
            match respond(&shared, &client, query, round, |answer| frame(answer, &mut gathered)) {
                Responded::Yes(()) => {}
                Responded::No => is_over = true,
                Responded::Later(over) => drop(late.spawn(answered_late(Arc::clone(&shared), client, query.to_vec(), over))),
            }
            at += 2 + query.len();
            answers += 1;
            if is_over || gathered.len() >= GATHERED_MAX || answers == ANSWERS_PER_TURN {
                break;
            }
        }
        received.drain(..at);
        if !gathered.is_empty() {
            match timeout(WRITE_TIMEOUT, io.write_all(&gathered)).await {
                Ok(Ok(())) => gathered.clear(),
                _ => return,
            }
            if matches!(timeout(WRITE_TIMEOUT, io.flush()).await, Err(_) | Ok(Err(_))) {
                return;
            }
        }
        if let Some((client, query)) = transfer
            && !Box::pin(transfer::serve(&mut io, &shared, &client, &query, gives_zones)).await
        {
            is_over = true;
        }
        if is_over {
            break;
        }
        if message(&received, 0).is_some() {
            tokio::task::yield_now().await;
            continue;
        }
        // The time of a message that has begun is not begun anew by each of its octets.
        if at > 0 {
            deadline = Instant::now() + IDLE_TIMEOUT;
        }
        received.reserve(READ_OCTETS);
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(done) = late.join_next() => {
                gathered.extend(done.unwrap_or_default());
                continue;
            }
            read = timeout_at(deadline, io.read_buf(&mut received)) => read,
        };
        match read {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    // Who asks no more still gets what he asked for.
    while let Some(Some(done)) = stop.run_until_cancelled(late.join_next()).await {
        let done = done.unwrap_or_default();
        if matches!(timeout(WRITE_TIMEOUT, io.write_all(&done)).await, Err(_) | Ok(Err(_))) {
            return;
        }
    }
    // Over TLS the end is told.
    let _ = timeout(WRITE_TIMEOUT, io.shutdown()).await;
}

/// The whole message that begins at `at`.
fn message(received: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = received.get(at..)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// What became of a message.
enum Responded<T> {
    /// It has an answer.
    Yes(T),
    /// There is none.
    No,
    /// It waits for a look-up that is over when this is sent, or gone.
    Later(oneshot::Receiver<()>),
}

fn respond<T>(shared: &Shared, client: &Client, query: &[u8], round: u8, take: impl FnOnce(&[u8]) -> T) -> Responded<T> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut over = None;
        let later = || -> Waiter {
            let (sender, receiver) = oneshot::channel();
            over = Some(receiver);
            Box::new(move || {
                // Whoever waited may be gone.
                let _ = sender.send(());
            })
        };
        let reply = shared.answer(client, query, scratch, round, later);
        let Some(reply) = reply else { return over.map_or(Responded::No, Responded::Later) };
        if reply.length == 0 { Responded::No } else { Responded::Yes(take(&scratch[..reply.length])) }
    })
}

/// An answer as it travels.
fn frame(answer: &[u8], gathered: &mut Vec<u8>) {
    let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
    gathered.extend_from_slice(&length.to_be_bytes());
    gathered.extend_from_slice(answer);
}

/// What `take` makes of the answer, once nothing is waited for any more; none where there is none. `round`: 0, or how often it has been waited.
pub(crate) async fn answered<T>(
    shared: &Shared,
    client: Client,
    query: &[u8],
    mut round: u8,
    take: impl Fn(&[u8]) -> T,
) -> Option<T> {
    loop {
        let client = Client { now_secs: shared.now_secs(), ..client };
        match respond(shared, &client, query, round.min(ROUNDS_MAX), &take) {
            Responded::Yes(answer) => return Some(answer),
            Responded::No => return None,
            // A look-up that panicked sends nothing, and is over too.
            Responded::Later(over) => drop(over.await),
        }
        round += 1;
    }
}

/// The answer to a query that waits, when it need not any more.
async fn answered_late(shared: Arc<Shared>, client: Client, query: Vec<u8>, over: oneshot::Receiver<()>) -> Vec<u8> {
    drop(over.await);
    let framed = |answer: &[u8]| {
        let mut framed = Vec::with_capacity(2 + answer.len());
        frame(answer, &mut framed);
        framed
    };
    answered(&shared, client, &query, 1, framed).await.unwrap_or_default()
}
