//! A whole zone from one server (RFC 5936), where it gives it: most do not, and say so.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use poterne_dns_wire::Rcode;
use poterne_model::{Name, Rtype};
use tokio::time::Instant;

use crate::{
    client::{AskError, Stream},
    message::{Data, Question, Record},
};

/// How long a transfer may take.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Most records, octets and messages of one.
pub const RECORDS_MAX: usize = 20_000;
/// See [`RECORDS_MAX`].
pub const OCTETS_MAX: usize = 8 * 1024 * 1024;

const AXFR: u16 = 252;

/// Why there is no zone.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The server cannot be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It says no.
    #[error("the server answers {0}")]
    Refused(Rcode),
    /// It begins and does not end as a transfer does.
    #[error("what the server sends is no transfer of the zone")]
    Malformed,
    /// It is too much.
    #[error("the zone has more than {RECORDS_MAX} records or {OCTETS_MAX} octets")]
    TooLarge,
}

/// Asks a server for the zone. Without the SOA; records outside the zone are left out.
///
/// # Errors
/// It does not give it.
pub async fn transfer(server: SocketAddr, zone: &Name) -> Result<Vec<Record>, TransferError> {
    let deadline = Instant::now() + TIMEOUT;
    let received = tokio::time::timeout_at(deadline, receive(server, zone));
    received.await.unwrap_or(Err(TransferError::Ask(AskError::Silent { server, tries: 1 })))
}

async fn receive(server: SocketAddr, zone: &Name) -> Result<Vec<Record>, TransferError> {
    let io = |error| AskError::Io { server, error };
    let question = Question::new(zone.clone(), Rtype::Unknown(AXFR));
    let id: u16 = rand::random();
    let mut stream = Stream::connect(server).await.map_err(io)?;
    stream.send(&question.query_of(AXFR, id, false, None)).await.map_err(io)?;
    let (mut records, mut octets, mut begun) = (Vec::new(), 0, false);
    let mut seen = HashSet::new();
    loop {
        let message = stream.receive().await.map_err(io)?;
        octets += message.len();
        let reply = question.part_of_transfer(AXFR, id, &message, begun).map_err(|_| TransferError::Malformed)?;
        if reply.code != Rcode::NoError {
            return Err(TransferError::Refused(reply.code));
        }
        if reply.answers.is_empty() {
            return Err(TransferError::Malformed);
        }
        for record in reply.answers {
            match (&record.data, begun) {
                (Data::Soa { .. }, false) if record.owner == *zone => begun = true,
                (Data::Soa { .. }, true) if record.owner == *zone => return Ok(records),
                (_, false) => return Err(TransferError::Malformed),
                (_, true) if !record.owner.is_within(zone) => {}
                (data, true) => {
                    // A server that repeats itself fills nothing.
                    if seen.insert((record.owner.clone(), format!("{data:?}"))) {
                        records.push(record);
                    }
                }
            }
        }
        if records.len() > RECORDS_MAX || octets > OCTETS_MAX {
            return Err(TransferError::TooLarge);
        }
    }
}
