//! A port for a program that must be told one, and cannot be handed a socket.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A TCP port that the kernel chose and gives to nobody else while this lives: it is bound here and not listened on. A
/// server that binds it with `SO_REUSEADDR`, as servers do, may have it.
#[derive(Debug)]
pub struct Reserved {
    /// The number.
    pub port: u16,
    _bound: Socket,
}

impl Reserved {
    /// Any free one on 127.0.0.1.
    #[allow(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    /// Any free one of this address of loopback.
    pub fn at(address: Ipv4Addr) -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bound.set_reuse_address(true).unwrap();
        bound.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        let port = bound.local_addr().unwrap().as_socket().unwrap().port();
        Self { port, _bound: bound }
    }
}
