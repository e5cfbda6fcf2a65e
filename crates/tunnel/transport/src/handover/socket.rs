//! A UDP socket that a program shares with its predecessor or its successor.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::unix::net::UnixDatagram as StdDatagram,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use quinn::{
    AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::{io::ReadBuf, net::UnixDatagram};

use super::{Ids, parcel};

/// A UDP socket, and who reads it.
pub struct Shared {
    socket: Arc<dyn AsyncUdpSocket>,
    ids: Ids,
    side: arc_swap::ArcSwapOption<Side>,
    /// The endpoint's driver, which must look elsewhere once the socket is handed over.
    driver: AtomicWaker,
}

/// Whom it is shared with; nobody: the socket is this program's alone.
enum Side {
    /// A successor reads it, and hands back what is ours.
    HandedOver { from: UnixDatagram, buffer: Mutex<Vec<u8>> },
    /// A predecessor has connections still.
    Inherited { to: UnixDatagram, parcel: Mutex<Vec<u8>> },
}

impl Shared {
    /// Of this program alone. Within a runtime.
    ///
    /// # Errors
    /// The system refuses what the socket needs.
    pub fn new(socket: std::net::UdpSocket, ids: Ids) -> io::Result<Arc<Self>> {
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { socket, ids, side: arc_swap::ArcSwapOption::empty(), driver: AtomicWaker::new() }))
    }

    /// The same, of a predecessor that still has connections and is reached by `to`.
    ///
    /// # Errors
    /// As above.
    pub fn inherited(socket: std::net::UdpSocket, ids: Ids, to: StdDatagram) -> io::Result<Arc<Self>> {
        let shared = Self::new(socket, ids)?;
        to.set_nonblocking(true)?;
        let side = Side::Inherited { to: UnixDatagram::from_std(to)?, parcel: Mutex::default() };
        shared.side.store(Some(Arc::new(side)));
        Ok(shared)
    }

    /// Reads it no more: a successor does, and what it finds of our connections comes by `from`. What is sent still leaves by the socket.
    ///
    /// # Errors
    /// The system refuses.
    pub fn hand_over(&self, from: StdDatagram) -> io::Result<()> {
        from.set_nonblocking(true)?;
        let side = Side::HandedOver { from: UnixDatagram::from_std(from)?, buffer: Mutex::new(vec![0; parcel::BYTES_MAX]) };
        self.side.store(Some(Arc::new(side)));
        self.driver.wake();
        Ok(())
    }

    /// Reads it again: the successor has ended.
    pub fn take_back(&self) {
        if self.side.load().as_deref().is_some_and(|side| matches!(side, Side::HandedOver { .. })) {
            self.side.store(None);
            self.driver.wake();
        }
    }

    /// The predecessor has ended.
    pub fn alone(&self) {
        if self.side.load().as_deref().is_some_and(|side| matches!(side, Side::Inherited { .. })) {
            self.side.store(None);
        }
    }

    /// Sends the predecessor what is its own; what is left is the first datagrams of each buffer.
    fn sift(&self, to: &UnixDatagram, parcel: &mut Vec<u8>, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> bool {
        let mut is_gone = false;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let (mut kept, mut others) = (0, Vec::new());
            let mut at = 0;
            while at < meta.len && meta.stride > 0 {
                let end = (at + meta.stride).min(meta.len);
                if self.ids.is_anothers(&buf[at..end]) {
                    others.extend_from_slice(&buf[at..end]);
                } else {
                    // Only the last may be shorter, and it stays the last.
                    buf.copy_within(at..end, kept);
                    kept += end - at;
                }
                at = end;
            }
            meta.len = kept;
            if !others.is_empty() {
                parcel::write(meta, &others, parcel);
                // What finds no room is lost, as datagrams are.
                is_gone |= to.try_send(parcel).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
            }
        }
        is_gone
    }
}

impl AsyncUdpSocket for Shared {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        // Registered before we look, so that no handing over is missed.
        self.driver.register(cx.waker());
        let side = self.side.load();
        match side.as_deref() {
            None => self.socket.poll_recv(cx, bufs, meta),
            Some(Side::HandedOver { from, buffer }) => {
                let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    let mut received = ReadBuf::new(&mut buffer);
                    // A successor that has ended says nothing more. An error would end the endpoint, and its connections may still send.
                    if ready!(from.poll_recv(cx, &mut received)).is_err() || received.filled().is_empty() {
                        return Poll::Pending;
                    }
                    let Some((first, datagrams)) = parcel::read(received.filled()) else { continue };
                    let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
                    let length = datagrams.len().min(buf.len());
                    buf[..length].copy_from_slice(&datagrams[..length]);
                    *meta = RecvMeta { len: length, ..first };
                    return Poll::Ready(Ok(1));
                }
            }
            Some(Side::Inherited { to, parcel }) => loop {
                let count = ready!(self.socket.poll_recv(cx, bufs, meta))?;
                let mut parcel = parcel.lock().unwrap_or_else(PoisonError::into_inner);
                if self.sift(to, &mut parcel, &mut bufs[..count], &mut meta[..count]) {
                    // It has ended: whoever still writes to it is told so from now on.
                    self.side.store(None);
                }
                if meta[..count].iter().any(|meta| meta.len > 0) {
                    return Poll::Ready(Ok(count));
                }
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("socket", &self.socket).field("ids", &self.ids).finish_non_exhaustive()
    }
}
