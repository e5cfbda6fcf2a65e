//! The one line of JSON that tells a script where everything is.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use serde::Serialize;

/// What is where. A key is absent while what it names is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The state directory.
    pub state_dir: PathBuf,
    /// First listener in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// First listener with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// First listener of the name server, UDP and TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<SocketAddr>,
    /// First listener of the name server over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_tls: Option<SocketAddr>,
    /// First listener for agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<SocketAddr>,
    /// Base URL of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Base URL of metrics and health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// PEM file that holds both local authorities.
    pub ca_file: PathBuf,
    /// What the demo adds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub demo: Option<DemoReady>,
}

/// What the demo adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DemoReady {
    /// Its account.
    pub account_id: String,
    /// May do everything in that account; another one with every start.
    pub api_token: String,
    /// Its zone's id.
    pub zone_id: String,
    /// Its zone.
    pub zone: String,
    /// The published hostname.
    pub hostname: String,
    /// Where a visitor finds it, over TLS.
    pub url: String,
    /// The tunnel's id.
    pub tunnel_id: String,
    /// All an agent needs.
    pub tunnel_token: String,
}

impl Ready {
    /// Writes the line.
    pub fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        writer.write_all(line.as_bytes())?;
        writer.flush()
    }

    /// Writes the line to a file descriptor that the parent process left open.
    ///
    /// The descriptor is reached through /proc, because taking it over by number cannot be checked by the compiler.
    pub fn write_to_fd(&self, fd: u32) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}"))?;
        self.write(&mut file)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::fd::AsRawFd as _};

    use super::*;

    fn ready() -> Ready {
        Ready {
            state_dir: "/s".into(),
            http: Some("127.0.0.1:80".parse().unwrap()),
            https: None,
            dns: None,
            dns_tls: None,
            tunnel: None,
            api: Some("http://127.0.0.1:8600/client/v4".into()),
            metrics: None,
            ca_file: "/s/ca.pem".into(),
            demo: None,
        }
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let mut line = Vec::new();
        ready().write(&mut line).unwrap();
        let expected =
            r#"{"state_dir":"/s","http":"127.0.0.1:80","api":"http://127.0.0.1:8600/client/v4","ca_file":"/s/ca.pem"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn a_pipe_left_open_receives_the_line() {
        let (mut reader, writer) = io::pipe().unwrap();
        ready().write_to_fd(u32::try_from(writer.as_raw_fd()).unwrap()).unwrap();
        drop(writer);
        let mut line = String::new();
        reader.read_to_string(&mut line).unwrap();
        assert!(line.ends_with("}\n") && line.contains("state_dir"), "{line}");
    }
}
