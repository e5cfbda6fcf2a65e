//! Messages over a stream (RFC 1035 §4.2.2, RFC 7766), in clear or over TLS (RFC 7858): two octets of length before each.
//!
//! Answers take no time, so they leave in the order of their queries, and pipelined queries that came together are answered together. A
//! zone that is asked for whole takes its time: what comes after it on the same stream waits.

use std::{cell::RefCell, net::IpAddr, sync::Arc, time::Duration};

use poterne_dns_answer::{Client, MESSAGE_OCTETS_MAX, Transport, transfer::is_asked};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{Shared, transfer};

/// How long a connection may be without a message (RFC 7766 §6.2.3), and how long one may take to arrive whole.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers gathered before they are written, in octets: pipelined queries whose answers are larger wait for them to leave.
const GATHERED_MAX: usize = 64 * 1024;

/// Octets read at a time.
const READ_OCTETS: usize = 4096;

/// Queries answered before other tasks of the thread get their turn.
const ANSWERS_PER_TURN: usize = 100;

thread_local! {
    /// Where an answer is made: one a thread, since making it waits for nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE_OCTETS_MAX]);
}

/// Answers until the client goes, says something that is no query, is too slow, or `stop` is cancelled.
pub(crate) async fn serve<IO>(mut io: IO, peer: IpAddr, transport: Transport, shared: Arc<Shared>, stop: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut received, mut gathered) = (Vec::new(), Vec::new());
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
            is_over = !respond(&shared, &client, query, &mut gathered);
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
            && !Box::pin(transfer::serve(&mut io, &shared, &client, &query)).await
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
            read = timeout_at(deadline, io.read_buf(&mut received)) => read,
        };
        match read {
            Ok(Ok(1..)) => {}
            _ => break,
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

/// Whether there was an answer to add.
fn respond(shared: &Shared, client: &Client, query: &[u8], gathered: &mut Vec<u8>) -> bool {
    SCRATCH.with_borrow_mut(|scratch| {
        let reply = shared.answer(client, query, scratch);
        let Ok(length @ 1..) = u16::try_from(reply.length) else { return false };
        gathered.extend_from_slice(&length.to_be_bytes());
        gathered.extend_from_slice(&scratch[..reply.length]);
        true
    })
}
