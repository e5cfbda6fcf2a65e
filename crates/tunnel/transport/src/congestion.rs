//! Which congestion control the kernel uses for a TCP connection of a tunnel.
//!
//! Over QUIC the sender is ours and paces itself by BBR. Over TCP the kernel's default, nearly always cubic, takes each lost packet for a
//! full path: at 50 ms and 1 % of random loss it carries 2 Mbit/s where BBR fills the path. Linux lets an ordinary process ask for what
//! `net.ipv4.tcp_allowed_congestion_control` lists, and one with `CAP_NET_ADMIN` for all that is loaded.

use std::os::fd::AsFd;

/// Asks for BBR on this TCP connection; whether the kernel granted it. Refused, the kernel's own choice stays, which costs speed on lossy
/// paths and nothing else.
pub fn ask_for_bbr(stream: &impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    return socket2::SockRef::from(stream).set_tcp_congestion(b"bbr").is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// What is told is what the kernel then uses, whichever way this machine decides.
    #[test]
    fn tells_what_the_kernel_then_uses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let in_use = |stream: &TcpStream| {
            let mut name = socket2::SockRef::from(stream).tcp_congestion().unwrap();
            name.retain(|byte| *byte != 0);
            name
        };
        let before = in_use(&stream);
        let granted = ask_for_bbr(&stream);
        let expected = if granted { b"bbr".to_vec() } else { before };
        assert_eq!(in_use(&stream), expected);
    }
}
