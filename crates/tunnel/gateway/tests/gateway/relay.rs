//! A path between agent and edge that a test can stop: what is sent then is swallowed, and neither end is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

/// A relay for one agent over each transport, on one port number each.
pub(crate) struct Relay {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    paths: Paths,
    to: Arc<Mutex<SocketAddr>>,
}

/// Which directions are stopped: towards the edge, towards the agent.
#[derive(Clone, Default)]
struct Paths {
    up: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn start(edge: SocketAddr) -> Self {
        Self::start_at("127.0.0.4", edge).await
    }

    /// `source`: the address that the edge sees datagrams come from.
    pub(crate) async fn start_at(source: &str, edge: SocketAddr) -> Self {
        let (paths, to) = (Paths::default(), Arc::new(Mutex::new(edge)));
        let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { udp: inside.local_addr().unwrap(), tcp: listener.local_addr().unwrap(), paths, to };
        let (paths, to) = (relay.paths.clone(), relay.to.clone());
        let outside = UdpSocket::bind((source, 0)).await.unwrap();
        tokio::spawn(datagrams(inside, outside, to.clone(), paths.clone()));
        tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                let address = *to.lock().unwrap();
                let edge = TcpStream::connect(address).await.unwrap();
                let ((ar, aw), (er, ew)) = (agent.into_split(), edge.into_split());
                tokio::spawn(bytes(ar, ew, paths.up.clone()));
                tokio::spawn(bytes(er, aw, paths.down.clone()));
            }
        });
        relay
    }

    /// Nothing passes any more.
    pub(crate) fn stop(&self) {
        self.paths.up.store(true, Ordering::SeqCst);
        self.stop_down();
    }

    /// Nothing comes back to the agent any more.
    pub(crate) fn stop_down(&self) {
        self.paths.down.store(true, Ordering::SeqCst);
    }

    /// Datagrams go to another edge from now on, as when a program is started anew on the port of one that was killed.
    pub(crate) fn lead_to(&self, edge: SocketAddr) {
        *self.to.lock().unwrap() = edge;
    }
}

async fn datagrams(inside: UdpSocket, outside: UdpSocket, to: Arc<Mutex<SocketAddr>>, paths: Paths) {
    let mut agent = None;
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            Ok((len, from)) = inside.recv_from(&mut up) => {
                agent = Some(from);
                let edge = *to.lock().unwrap();
                if !paths.up.load(Ordering::SeqCst) {
                    let _ = outside.send_to(&up[..len], edge).await;
                }
            }
            Ok((len, _)) = outside.recv_from(&mut down) => {
                if let (Some(agent), false) = (agent, paths.down.load(Ordering::SeqCst)) {
                    let _ = inside.send_to(&down[..len], agent).await;
                }
            }
        }
    }
}

async fn bytes(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, stopped: Arc<AtomicBool>) {
    let mut buffer = vec![0; 65536];
    while let Ok(len) = from.read(&mut buffer).await {
        if stopped.load(Ordering::SeqCst) {
            // Both sockets stay open, and silent.
            std::future::pending::<()>().await;
        }
        if len == 0 || to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
