//! What an ingress rule leads to.

use std::{fmt, str::FromStr};

/// Scheme of an HTTP origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpScheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
    /// The same as http.
    Ws,
    /// The same as https.
    Wss,
}

impl HttpScheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// A local web service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    /// How it is spoken to.
    pub scheme: HttpScheme,
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// As given.
    pub port: Option<u16>,
}

impl HttpOrigin {
    /// Whether TLS is spoken.
    pub fn tls(&self) -> bool {
        matches!(self.scheme, HttpScheme::Https | HttpScheme::Wss)
    }

    /// 80 or 443 when none was given.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls() { 443 } else { 80 })
    }

    /// `host` or `host:port`, IPv6 in brackets.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

fn authority(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// A rule's service. Display gives the configuration's own spelling back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// A web service by TCP.
    Http(HttpOrigin),
    /// A web service by Unix socket.
    Unix {
        /// The socket's path.
        path: String,
        /// Whether TLS is spoken over it.
        tls: bool,
    },
    /// This status and no body, 100 to 999.
    HttpStatus(u16),
    /// The built-in test site.
    HelloWorld,
    /// TCP over WebSocket, to where the client says.
    Bastion,
    /// SOCKS5 over WebSocket.
    SocksProxy,
    /// TCP over WebSocket: tcp, ssh, rdp, smb or any other scheme; the default port is filled in.
    Tcp {
        /// As given.
        scheme: String,
        /// Name or address; IPv6 without brackets.
        host: String,
        /// Default: ssh 22, rdp 3389, smb 445, others 7864.
        port: u16,
    },
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(origin) => write!(f, "{}://{}", origin.scheme.as_str(), origin.authority()),
            Self::Unix { path, tls } => write!(f, "unix{}:{path}", if *tls { "+tls" } else { "" }),
            Self::HttpStatus(status) => write!(f, "http_status:{status}"),
            Self::HelloWorld => f.write_str("hello_world"),
            Self::Bastion => f.write_str("bastion"),
            Self::SocksProxy => f.write_str("socks-proxy"),
            Self::Tcp { scheme, host, port } => write!(f, "{scheme}://{}", authority(host, Some(*port))),
        }
    }
}

impl FromStr for Service {
    /// What is wrong and what to do.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(status) = text.strip_prefix("http_status:") {
            let status: Option<u16> = status.parse().ok().filter(|status| (100..=999).contains(status));
            return status
                .map(Self::HttpStatus)
                .ok_or_else(|| format!("{text:?} needs a status from 100 to 999, as in http_status:404"));
        }
        for (prefix, tls) in [("unix+tls:", true), ("unix:", false)] {
            if let Some(path) = text.strip_prefix(prefix) {
                return if path.is_empty() {
                    Err(format!("{text:?} needs the socket's path, as in unix:/run/app.sock"))
                } else {
                    Ok(Self::Unix { path: path.to_owned(), tls })
                };
            }
        }
        match text {
            "hello_world" | "hello-world" => return Ok(Self::HelloWorld),
            "bastion" => return Ok(Self::Bastion),
            "socks-proxy" => return Ok(Self::SocksProxy),
            "" => return Err("a service is missing: say where requests go, as in http://localhost:8080".into()),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!(
                "{text:?} is no address of a service: it needs a scheme and a host name, as in http://localhost:8080"
            ));
        };
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Err(format!("{text:?} has no valid scheme: write http://, https://, tcp:// or the like"));
        }
        // What stands before it may be a password, and is not repeated.
        if let Some((_, host)) = rest.rsplit_once('@') {
            return Err(format!(
                "the address at {host:?} has a user before its @: write it without, as in http://localhost:8080"
            ));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(format!("{text:?} has a path: the visitor's own path is used, so write it without"));
        }
        let (host, port) =
            split_port(rest).ok_or_else(|| format!("{text:?} has no valid host name and port, as in localhost:8080"))?;
        let http = |scheme| Ok(Self::Http(HttpOrigin { scheme, host: host.clone(), port }));
        match scheme {
            "http" => http(HttpScheme::Http),
            "https" => http(HttpScheme::Https),
            "ws" => http(HttpScheme::Ws),
            "wss" => http(HttpScheme::Wss),
            other => {
                let default = match other {
                    "ssh" => 22,
                    "rdp" => 3389,
                    "smb" => 445,
                    _ => 7864,
                };
                Ok(Self::Tcp { scheme: other.to_owned(), host, port: port.unwrap_or(default) })
            }
        }
    }
}

fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, rest.strip_prefix(':').map_or(if rest.is_empty() { Some(None) } else { None }, |port| Some(Some(port)))?)
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let valid = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:%".contains(&b));
    let port = port.map(|port| port.parse().ok()).map_or(Some(None), |port: Option<u16>| port.map(Some))?;
    valid.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_shown_as_they_are_written() {
        for text in [
            "http://localhost:8080",
            "https://[::1]:8443",
            "unix:/run/a.sock",
            "unix+tls:/run/a.sock",
            "http_status:404",
            "bastion",
            "socks-proxy",
            "hello_world",
            "ssh://host:22",
            "wss://a.test",
        ] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        assert_eq!("rdp://pc".parse::<Service>().unwrap().to_string(), "rdp://pc:3389");
        assert_eq!("mysql://db".parse::<Service>().unwrap().to_string(), "mysql://db:7864");
    }

    #[test]
    fn what_is_no_service_is_refused_with_a_remedy() {
        for text in [
            "",
            "localhost:8080",
            "http://",
            "http://a/",
            "http://a:99999",
            "http_status:99",
            "http_status:x",
            "unix:",
            "://a",
            "http://[::1",
            "http://a b",
        ] {
            let error = text.parse::<Service>().unwrap_err();
            assert!(error.contains("as in") || error.contains("write"), "{text}: {error}");
        }
    }
}
