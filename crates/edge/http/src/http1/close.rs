//! The end of a connection.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What both kernels hold of an upload that was refused while it ran, and what comes before the visitor has read so.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long goodbyes may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Closes in a way that lets the visitor read its answer: a socket closed with bytes unread is reset, and the answer with it
/// (RFC 9112 §9.6).
pub(super) async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO) {
    // Whoever does not listen any more does not need it.
    let _ = tokio::time::timeout(TIMEOUT, async {
        io.shutdown().await?;
        let mut rest = [0; 2048];
        let mut left = DRAIN_BYTES_MAX;
        while left > 0 {
            match io.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    })
    .await;
}
