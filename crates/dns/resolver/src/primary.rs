//! Asking a primary for a zone that is copied here: which version it has, then the zone, or what changed of it. Over TCP or TLS alone, and
//! signed where there is a key: what comes is then believed because of that, and not because of where it came from.

use std::{net::SocketAddr, time::Duration};

use poterne_dns_tsig::{Asking, Key, Untrue};
use poterne_dns_wire::{Rcode, name, rtype};
use poterne_model::Name;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    client::Stream,
    incoming::{Bounds, Came, IncomingError, Reader},
    tls::PeerTls,
};

/// How long a primary may take to be reached, and to begin to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the next message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a transfer may take.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(900);

/// A primary, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Primary {
    /// Where it is.
    pub at: SocketAddr,
    /// What messages are signed with.
    pub key: Option<Key>,
    /// Whether it is asked for what changed alone.
    pub gives_differences: bool,
    /// How it is spoken to over TLS; none: it is asked in clear.
    pub tls: Option<PeerTls>,
}

/// Why a primary did not give the zone.
#[derive(Debug, thiserror::Error)]
pub enum PrimaryError {
    /// It cannot be reached.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It does not answer.
    #[error("it does not answer in time")]
    Silent,
    /// Its answer is not believed.
    #[error("{0}")]
    Untrue(#[from] Untrue),
    /// What it sends is not taken.
    #[error("{0}")]
    Incoming(#[from] IncomingError),
}

/// Asks for a zone, of which version `held` is there; `whole`: it is to come whole whatever its version is. `now`: seconds since the Unix
/// epoch.
///
/// # Errors
/// It does not come.
pub async fn ask(
    primary: &Primary,
    apex: &Name,
    held: Option<u32>,
    whole: bool,
    bounds: Bounds,
    now: &(dyn Fn() -> u64 + Send + Sync),
) -> Result<Came, PrimaryError> {
    let Some(held) = held.filter(|_| !whole) else { return transfer(primary, apex, None, bounds, now).await };
    // A version alone is what a primary answers to whoever asks what changed after that version.
    if version(primary, apex, held, bounds, now).await? == Came::Current {
        return Ok(Came::Current);
    }
    if primary.gives_differences {
        match transfer(primary, apex, Some(held), bounds, now).await {
            // From before RFC 1995, or not for us.
            Err(PrimaryError::Incoming(IncomingError::Refused(
                Rcode::NotImp | Rcode::FormErr | Rcode::Refused | Rcode::ServFail,
            ))) => {}
            done => return done,
        }
    }
    transfer(primary, apex, None, bounds, now).await
}

/// Which version there is.
async fn version(
    primary: &Primary,
    apex: &Name,
    held: u32,
    bounds: Bounds,
    now: &(dyn Fn() -> u64 + Send + Sync),
) -> Result<Came, PrimaryError> {
    let id: [u8; 2] = rand::random();
    let mut exchange = Exchange::begin(primary, query(apex, rtype::SOA, id, None), now).await?;
    let message = exchange.next(ANSWER_TIMEOUT, now).await?;
    let mut reader = Reader::new(apex.clone(), id, Some(held), bounds);
    // One record: the same is current, and another one not the end of anything.
    let is_current = reader.read(&message)?;
    exchange.finish()?;
    match (is_current, reader.authority()) {
        (true, _) => Ok(Came::Current),
        (false, Some(authority)) => Ok(Came::Whole(authority, Vec::new())),
        (false, None) => Err(IncomingError::Malformed.into()),
    }
}

/// The zone, or what changed of it.
async fn transfer(
    primary: &Primary,
    apex: &Name,
    since: Option<u32>,
    bounds: Bounds,
    now: &(dyn Fn() -> u64 + Send + Sync),
) -> Result<Came, PrimaryError> {
    let received = timeout_at(Instant::now() + TRANSFER_TIMEOUT, receive(primary, apex, since, bounds, now));
    received.await.unwrap_or(Err(PrimaryError::Silent))
}

async fn receive(
    primary: &Primary,
    apex: &Name,
    since: Option<u32>,
    bounds: Bounds,
    now: &(dyn Fn() -> u64 + Send + Sync),
) -> Result<Came, PrimaryError> {
    let id: [u8; 2] = rand::random();
    let qtype = if since.is_some() { rtype::IXFR } else { rtype::AXFR };
    let mut exchange = Exchange::begin(primary, query(apex, qtype, id, since), now).await?;
    let mut reader = Reader::new(apex.clone(), id, since, bounds);
    let mut wait = ANSWER_TIMEOUT;
    loop {
        let message = exchange.next(wait, now).await?;
        wait = MESSAGE_TIMEOUT;
        if reader.read(&message)? {
            exchange.finish()?;
            return Ok(reader.finish()?);
        }
    }
}

/// A question and what is answered to it.
struct Exchange {
    stream: Stream,
    asking: Option<Asking>,
}

impl Exchange {
    async fn begin(primary: &Primary, mut query: Vec<u8>, now: &(dyn Fn() -> u64 + Send + Sync)) -> Result<Self, PrimaryError> {
        let connect = async {
            match &primary.tls {
                Some(tls) => Stream::connect_tls(primary.at, tls).await,
                None => Stream::connect(primary.at).await,
            }
        };
        let mut stream = timeout(ANSWER_TIMEOUT, connect).await.map_err(|_| PrimaryError::Silent)??;
        let asking = primary.key.as_ref().map(|key| Asking::begin(key.clone(), &mut query, now()));
        timeout(ANSWER_TIMEOUT, stream.send(&query)).await.map_err(|_| PrimaryError::Silent)??;
        Ok(Self { stream, asking })
    }

    /// The next message, without its signature.
    async fn next(&mut self, wait: Duration, now: &(dyn Fn() -> u64 + Send + Sync)) -> Result<Vec<u8>, PrimaryError> {
        let message = timeout(wait, self.stream.receive()).await.map_err(|_| PrimaryError::Silent)??;
        match &mut self.asking {
            Some(asking) => match asking.verify(&message, now()) {
                // Many servers sign no refusal: what it says is of more use than that it is not signed.
                Err(Untrue::Unsigned) if message.get(3).is_some_and(|flags| flags & 0x0f != 0) => {
                    Err(IncomingError::Refused(Rcode::from(u16::from(message[3] & 0x0f))).into())
                }
                verified => Ok(verified?),
            },
            None => Ok(message),
        }
    }

    /// Whether the last message was signed, where it had to be.
    fn finish(&self) -> Result<(), Untrue> {
        self.asking.as_ref().map_or(Ok(()), Asking::finish)
    }
}

/// A query; of what changed, with the version that is there (RFC 1995 §3).
fn query(apex: &Name, qtype: u16, id: [u8; 2], since: Option<u32>) -> Vec<u8> {
    let mut message = vec![id[0], id[1], 0, 0, 0, 1, 0, 0, 0, u8::from(since.is_some()), 0, 0];
    name::push(apex.as_str(), &mut message);
    message.extend(qtype.to_be_bytes());
    message.extend(rtype::CLASS_IN.to_be_bytes());
    if let Some(serial) = since {
        message.extend([0xc0, 0x0c]);
        message.extend(rtype::SOA.to_be_bytes());
        message.extend(rtype::CLASS_IN.to_be_bytes());
        message.extend([0; 4]);
        // Two roots, the version, and four times nothing: nobody looks at the rest.
        message.extend([0, 22, 0, 0]);
        message.extend(serial.to_be_bytes());
        message.extend([0; 16]);
    }
    message
}
