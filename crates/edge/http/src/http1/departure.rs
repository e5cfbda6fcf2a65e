//! Whether a visitor left whose bytes wait unread.
//!
//! While a request's body waits for room, its visitor is not read, so that its end does not come up behind what it sent. The platform
//! tells of it all the same:
//!
//! * a reset, at once, as an error of the socket;
//! * a close, by the end of what the visitor sends (`EPOLLRDHUP`). That may also be a half-close, which is legal (RFC 9293 §3.6) and looks
//!   the same until something is written; it is taken for leaving where it is so after a whole request too
//!   ([`crate::Limits::half_closed_served`]).
//!
//! What cannot be seen: the end of what a visitor sends comes after all of it, so that a close shows once the kernels hold the rest, which
//! is a few hundred KiB; a visitor whose machine or network is gone says nothing; and one that closed where half-closes are served is
//! noticed by what the answer meets. Once the answer has begun, writing it is what notices.

use tokio::{io::Interest, net::TcpStream};

/// The socket below a visitor's stream, whatever encrypts; none where there is none.
pub type SocketOf<IO> = fn(&IO) -> Option<&TcpStream>;

/// Resolves once the visitor is known to have left.
pub(super) async fn departed(socket: &TcpStream, half_closed_served: bool) {
    let interest = if half_closed_served { Interest::ERROR } else { closed() };
    loop {
        match socket.ready(interest).await {
            Ok(ready) if ready.is_error() || !half_closed_served && ready.is_read_closed() => return,
            // Woken for nothing that is meant here.
            Ok(_) => tokio::task::yield_now().await,
            // The runtime ends.
            Err(_) => return,
        }
    }
}

/// An error, or the end of what is received; not that something can be read, which it can all the time.
#[cfg(target_os = "linux")]
fn closed() -> Interest {
    Interest::PRIORITY | Interest::ERROR
}

#[cfg(not(target_os = "linux"))]
fn closed() -> Interest {
    Interest::ERROR
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, pin::pin, task::Context};

    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn an_end_shows_behind_what_is_not_read_and_a_reset_shows_as_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut visitor = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let pending = |half_closed_served: bool| {
            pin!(departed(&socket, half_closed_served)).poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
        };
        visitor.write_all(b"unread").await.unwrap();
        socket.readable().await.unwrap();
        assert!(pending(false) && pending(true));
        visitor.shutdown().await.unwrap();
        departed(&socket, false).await;
        assert!(pending(true), "it may still want its answer");
        visitor.set_zero_linger().unwrap();
        drop(visitor);
        departed(&socket, true).await;
    }
}
