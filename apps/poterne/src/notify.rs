//! What systemd wants to be told of a service of `Type=notify` (sd_notify(3)).

use std::os::{
    linux::net::SocketAddrExt as _,
    unix::net::{SocketAddr, UnixDatagram},
};

/// The service has started.
pub fn ready() {
    tell("READY=1");
}

/// It ends.
pub fn stopping() {
    tell("STOPPING=1");
}

/// Another process is the service from now on.
pub fn main_process(id: u32) {
    tell(&format!("MAINPID={id}"));
}

/// Whether this process is what systemd takes the service for, and will not hear that another one is.
pub fn is_deaf_supervisor() -> bool {
    let is_ours = std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|id| id == std::process::id().to_string());
    is_ours && std::env::var_os("NOTIFY_SOCKET").is_none()
}

fn tell(words: &str) {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let told = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, words, "systemd could not be told");
    }
}
