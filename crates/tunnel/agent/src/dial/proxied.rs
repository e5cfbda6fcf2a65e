//! Through a proxy to the edge: HTTP `CONNECT` and SOCKS5, as the usual environment variables say.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::terminal;

/// Longest answer head of a proxy, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Longest that a proxy may take.
const PROXY_MAX: Duration = Duration::from_secs(10);

/// A proxy that could not be used; the operator's or the proxy's fault.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The variable does not hold a proxy URL.
    #[error("{variable}={url:?} is not understood; write http://[user:password@]host:port or socks5://[user:password@]host:port")]
    Url {
        /// Which variable.
        variable: &'static str,
        /// Its value, without credentials.
        url: String,
    },
    /// Input or output failed.
    #[error("the proxy {proxy} cannot be used: {error}")]
    Io {
        /// `host:port`.
        proxy: String,
        /// What happened.
        error: io::Error,
    },
    /// It answered, and refused.
    #[error("the proxy {proxy} refused: {reason}")]
    Refused {
        /// `host:port`.
        proxy: String,
        /// Its words.
        reason: String,
    },
}

/// Which proxy, for which hosts.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    proxy: Option<Proxy>,
    /// Lower-case suffixes; `*` stands for all.
    direct: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
}

impl Proxies {
    /// `HTTPS_PROXY`, else `ALL_PROXY`; `NO_PROXY` excepts hosts. Upper case is read before lower case.
    pub fn from_environment() -> Result<Self, ProxyError> {
        let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];
        Self::from_variables(&names.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect())
    }

    fn from_variables(variables: &HashMap<&'static str, String>) -> Result<Self, ProxyError> {
        let one = |names: &[&'static str]| {
            names.iter().find_map(|name| variables.get(name).filter(|value| !value.is_empty()).map(|value| (*name, value)))
        };
        let proxy = one(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
            .map(|(variable, url)| {
                let shown = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host).to_owned();
                Proxy::parse(url).ok_or(ProxyError::Url { variable, url: shown })
            })
            .transpose()?;
        let direct = one(&["NO_PROXY", "no_proxy"]).map_or_else(Vec::new, |(_, list)| {
            list.split(',')
                .map(|host| host.trim().trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase())
                .collect()
        });
        Ok(Self { proxy, direct: direct.into_iter().filter(|host| !host.is_empty()).collect() })
    }

    /// The proxy for this host. This machine itself is always reached directly: what is said to it in clear is nobody else's to read.
    pub(crate) fn for_host(&self, host: &str) -> Option<&Proxy> {
        let local = is_loopback(host);
        let host = host.to_ascii_lowercase();
        let excepted = self.direct.iter().any(|direct| {
            direct == "*" || host == *direct || host.strip_suffix(direct.as_str()).is_some_and(|rest| rest.ends_with('.'))
        });
        self.proxy.as_ref().filter(|_| !local && !excepted)
    }

    /// A TCP connection to `host:port`, by the proxy for that host or straight.
    ///
    /// # Errors
    /// Nobody is there, or the proxy failed or refused: [`ProxyError`] is the reason then.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        match self.for_host(host) {
            Some(proxy) => proxy.connect(host, port).await.map_err(io::Error::other),
            // Names under `localhost` mean this machine, whatever its resolver knows of them (RFC 6761 §6.3).
            None if is_loopback(host) && host.parse::<IpAddr>().is_err() => {
                let own = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
                TcpStream::connect(&own.map(|address| SocketAddr::new(address, port))[..]).await
            }
            None => TcpStream::connect((host, port)).await,
        }
    }
}

/// Whether only this machine is meant: an address of its own, or a name under `localhost`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl Proxy {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (kind, default_port) = match scheme {
            "http" => (Kind::Http, 80),
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            _ => return None,
        };
        let rest = rest.trim_end_matches('/');
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                (Some(Credentials { user: unescape(user)?, password: unescape(password)? }), host)
            }
            None => (None, rest),
        };
        let authority: http::uri::Authority = host.parse().ok()?;
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
        Some(Self { kind, host: bare.to_owned(), port: authority.port_u16().unwrap_or(default_port), credentials })
    }

    /// A TCP connection to `host:port` through this proxy, which resolves the name.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let proxy = format!("{}:{}", self.host, self.port);
        let io = |error| ProxyError::Io { proxy: proxy.clone(), error };
        let connecting = async {
            let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(io)?;
            let refused = match self.kind {
                Kind::Http => self.http_connect(&mut stream, host, port).await.map_err(io)?,
                Kind::Socks5 => self.socks5_connect(&mut stream, host, port).await.map_err(io)?,
            };
            match refused {
                None => Ok(stream),
                Some(reason) => Err(ProxyError::Refused { proxy: proxy.clone(), reason }),
            }
        };
        timeout(PROXY_MAX, connecting).await.unwrap_or_else(|_| Err(io(io::ErrorKind::TimedOut.into())))
    }

    /// RFC 9110 §9.3.6. `Some`: refused, in the proxy's words.
    async fn http_connect(&self, stream: &mut TcpStream, host: &str, port: u16) -> io::Result<Option<String>> {
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(Credentials { user, password }) = &self.credentials {
            let basic = STANDARD.encode(format!("{user}:{password}"));
            request.push_str(&format!("Proxy-Authorization: Basic {basic}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        // Byte by byte: what follows the head is the edge's, not ours to swallow.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == ANSWER_BYTES_MAX {
                return Ok(Some("its answer has no end".to_owned()));
            }
            answer.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
        let accepted = line.split(' ').nth(1).is_some_and(|status| status.len() == 3 && status.starts_with('2'));
        Ok(if accepted { None } else { Some(terminal::plain(&line)) })
    }

    /// RFC 1928 and 1929. `Some`: refused.
    async fn socks5_connect(&self, stream: &mut TcpStream, host: &str, port: u16) -> io::Result<Option<String>> {
        let short = |text: &str| {
            u8::try_from(text.len()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "longer than 255 bytes"))
        };
        let method = if self.credentials.is_some() { 2 } else { 0 };
        stream.write_all(&[5, 1, method]).await?;
        let mut chosen = [0; 2];
        stream.read_exact(&mut chosen).await?;
        if chosen != [5, method] {
            return Ok(Some(format!("it wants authentication method {}", chosen[1])));
        }
        if let Some(Credentials { user, password }) = &self.credentials {
            let mut login = vec![1, short(user)?];
            login.extend_from_slice(user.as_bytes());
            login.push(short(password)?);
            login.extend_from_slice(password.as_bytes());
            stream.write_all(&login).await?;
            let mut verdict = [0; 2];
            stream.read_exact(&mut verdict).await?;
            if verdict[1] != 0 {
                return Ok(Some("user name or password".to_owned()));
            }
        }
        let mut request = vec![5, 1, 0];
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => {
                request.push(1);
                request.extend_from_slice(&ip.octets());
            }
            Ok(IpAddr::V6(ip)) => {
                request.push(4);
                request.extend_from_slice(&ip.octets());
            }
            Err(_) => {
                request.extend_from_slice(&[3, short(host)?]);
                request.extend_from_slice(host.as_bytes());
            }
        }
        request.extend_from_slice(&port.to_be_bytes());
        stream.write_all(&request).await?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).await?;
        if reply[1] != 0 {
            return Ok(Some(format!("SOCKS error {}", reply[1])));
        }
        let bound = match reply[3] {
            1 => 4,
            4 => 16,
            _ => usize::from(stream.read_u8().await?),
        };
        stream.read_exact(&mut vec![0; bound + 2]).await?;
        Ok(None)
    }
}

/// Percent-decoding of a user name or password.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn proxies(variables: &[(&'static str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::from_variables(&variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    #[test]
    fn the_usual_variables_are_honoured() {
        let proxies = proxies(&[("HTTPS_PROXY", "http://u:p%40ss@proxy:3128"), ("NO_PROXY", ".inside.example, other")]).unwrap();
        let proxy = proxies.for_host("edge.example").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.kind), ("proxy", 3128, Kind::Http));
        assert_eq!(proxy.credentials.as_ref().unwrap().password, "p@ss");
        for direct in ["a.inside.example", "inside.example", "OTHER"] {
            assert_eq!(proxies.for_host(direct), None, "{direct}");
        }
        assert!(proxies.for_host("notinside.example").is_some());
    }

    #[tokio::test]
    async fn this_machine_is_reached_without_a_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Where nobody listens.
        let proxies = proxies(&[("HTTPS_PROXY", "http://127.0.0.1:9")]).unwrap();
        for own in ["localhost", "127.0.0.1", "app.localhost", "App.LocalHost", "app.localhost."] {
            assert_eq!(proxies.for_host(own), None, "{own}");
            proxies.connect(own, port).await.unwrap();
        }
        for own in ["::1", "::ffff:127.0.0.1", "127.8.9.10"] {
            assert_eq!(proxies.for_host(own), None, "{own}");
        }
        for other in ["localhost.example", "notlocalhost", "128.0.0.1"] {
            assert!(proxies.for_host(other).is_some(), "{other}");
        }
    }

    #[test]
    fn a_wrong_proxy_is_named_without_its_password() {
        let error = proxies(&[("ALL_PROXY", "ftp://user:secret@proxy")]).unwrap_err().to_string();
        assert!(error.contains("ALL_PROXY") && !error.contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn connect_sends_credentials_and_keeps_what_follows() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:pw@{}", listener.local_addr().unwrap());
        let proxy = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nedge").await.unwrap();
            String::from_utf8(head).unwrap()
        });
        let mut stream = Proxy::parse(&url).unwrap().connect("edge.example", 7844).await.unwrap();
        let mut after = [0; 4];
        stream.read_exact(&mut after).await.unwrap();
        assert_eq!(&after, b"edge");
        let head = proxy.await.unwrap();
        assert!(head.starts_with("CONNECT edge.example:7844 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"), "{head}");
    }

    #[tokio::test]
    async fn socks5_names_are_resolved_by_the_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("socks5://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for verdict in [0, 5] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut greeting = [0; 3];
                stream.read_exact(&mut greeting).await.unwrap();
                stream.write_all(&[5, 0]).await.unwrap();
                let mut request = [0; 4 + 1 + 4 + 2];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(&request[5..9], b"edge");
                stream.write_all(&[5, verdict, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            }
        });
        let proxy = Proxy::parse(&url).unwrap();
        proxy.connect("edge", 7844).await.unwrap();
        let refused = proxy.connect("edge", 7844).await.unwrap_err().to_string();
        assert!(refused.contains("SOCKS error 5"), "{refused}");
    }
}
