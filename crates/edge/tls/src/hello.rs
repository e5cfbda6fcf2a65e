//! The first message of a handshake, read by ourselves, so that it is seen as it came.

use std::{io, sync::Arc};

use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::StartHandshake;

use crate::ja4;

/// Bytes read at a time: what the TLS library takes at once.
const READ_BYTES: usize = 4096;

/// Reads a ClientHello, which may come in several records and segments; also the fingerprint of who sent it.
///
/// # Errors
/// The connection ended, or that was none; an alert was sent then.
pub(crate) async fn read<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO) -> io::Result<(StartHandshake<IO>, Option<Arc<str>>)> {
    let (mut acceptor, mut seen) = (Acceptor::default(), Vec::new());
    // Not within the future: what a connection waits in for years is no larger for it.
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let read = io.read(&mut bytes).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A longer one has no fingerprint, and the TLS library bounds it.
        if seen.len() + read <= ja4::HELLO_BYTES_MAX + READ_BYTES {
            seen.extend_from_slice(&bytes[..read]);
        }
        match take(&mut acceptor, &bytes[..read])? {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let fingerprint = ja4::of_records(&seen).map(Arc::from);
                return Ok((StartHandshake::from_parts(accepted, io), fingerprint));
            }
            Err((error, mut alert)) => {
                let mut written = Vec::new();
                while alert.write(&mut written)? > 0 {}
                // Whether it hears why is its own affair.
                let _ = io.write_all(&written).await;
                let _ = io.flush().await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// Nothing yet, a ClientHello, or why there will be none.
type Taken = Result<Option<Accepted>, (rustls::Error, AcceptedAlert)>;

fn take(acceptor: &mut Acceptor, mut bytes: &[u8]) -> io::Result<Taken> {
    // What follows the ClientHello is for the connection that comes of it: all must be taken before that is.
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes)?;
    }
    Ok(acceptor.accept())
}
