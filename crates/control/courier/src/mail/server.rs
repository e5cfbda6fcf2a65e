//! The mail server, as `[mail] smtp` names it.

use std::fmt;

use percent_encoding::percent_decode_str;
use poterne_keys::Secret;
use url::{Host, Url};

/// How the way to the server is kept from others' eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all: the server is on this machine.
    Clear,
    /// The server is asked for TLS, and is written to over nothing else (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: Security,
    /// Who signs in there; none: nobody.
    pub credentials: Option<(String, Secret)>,
}

/// Why a text names no server. It may hold a password, and is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// No URL.
    #[error("it is no URL ({0}): write one as in smtps://user@mail.example.net, smtp://mail.example.net or smtp://localhost")]
    Malformed(String),
    /// Another scheme.
    #[error(
        "its scheme is {0:?}: write smtps:// for TLS from the first byte (port 465), or smtp:// for a server that is asked for TLS (port 587)"
    )]
    Scheme(String),
    /// More than a server.
    #[error("it says more than a server ({0:?} behind the host): leave that out")]
    Path(String),
    /// A password twice.
    #[error("there are two passwords, one in the URL and one in [mail] password or password_file: leave one out")]
    TwoPasswords,
    /// A password for nobody.
    #[error("there is a password and no user: write the user into the URL, as in smtps://user@mail.example.net")]
    NoUser,
    /// Bytes that are no text.
    #[error("its user or password is not UTF-8 once %XX are read")]
    Encoding,
}

impl Server {
    /// Reads `[mail] smtp`, and the password where it stands elsewhere.
    ///
    /// # Errors
    /// It names no server.
    pub fn parse(text: &str, password: Option<&Secret>) -> Result<Self, ServerError> {
        let url = Url::parse(text.trim()).map_err(|error| ServerError::Malformed(error.to_string()))?;
        let tls = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            other => return Err(ServerError::Scheme(other.chars().take(16).collect())),
        };
        // The scheme is not one that `url` knows: a host is whatever stands there, and read once more as one.
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| ServerError::Malformed("it has no host".to_owned()))?;
        let host = Host::parse(host).map_err(|error| ServerError::Malformed(error.to_string()))?;
        let loopback = match &host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let beyond = format!("{}{}", url.path().trim_start_matches('/'), url.query().map(|_| "?…").unwrap_or_default());
        if !beyond.is_empty() {
            return Err(ServerError::Path(beyond.chars().take(32).collect()));
        }
        let (security, default_port) = match (tls, loopback) {
            (true, _) => (Security::Tls, 465),
            (false, true) => (Security::Clear, 25),
            (false, false) => (Security::StartTls, 587),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| ServerError::Encoding);
        let user = decoded(url.username())?;
        let inside = url.password().map(decoded).transpose()?.map(|text| Secret::new(text.into_bytes()));
        let password = match (inside, password) {
            (Some(_), Some(_)) => return Err(ServerError::TwoPasswords),
            (inside, outside) => inside.or_else(|| outside.cloned()),
        };
        let credentials = match (user.is_empty(), password) {
            (true, None) => None,
            (true, Some(_)) => return Err(ServerError::NoUser),
            (false, password) => Some((user, password.unwrap_or_else(|| Secret::new(Vec::new())))),
        };
        let host = match host {
            Host::Domain(name) => name,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok(Self { host, port: url.port().unwrap_or(default_port), security, credentials })
    }
}

/// Without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Security, Option<(String, String)>) {
        let server = Server::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
        let credentials = server.credentials.as_ref();
        let credentials = credentials.map(|(user, secret)| (user.clone(), String::from_utf8(secret.expose().to_vec()).unwrap()));
        (server.to_string(), server.security, credentials)
    }

    #[test]
    fn each_form_is_read_with_its_port_and_its_security() {
        let with = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        for (text, server, security, credentials) in [
            ("smtps://u:p@mail.example.net", "mail.example.net:465", Security::Tls, with("u", "p")),
            (
                "smtps://a%40b.example:p%3A%2F@mail.example.net:2465",
                "mail.example.net:2465",
                Security::Tls,
                with("a@b.example", "p:/"),
            ),
            ("smtp://mail.example.net", "mail.example.net:587", Security::StartTls, None),
            ("smtp://mail.example.net:25/", "mail.example.net:25", Security::StartTls, None),
            ("smtp://localhost", "localhost:25", Security::Clear, None),
            ("smtp://127.0.0.1:2525", "127.0.0.1:2525", Security::Clear, None),
            ("smtp://[::1]", "[::1]:25", Security::Clear, None),
            ("smtp://192.0.2.1", "192.0.2.1:587", Security::StartTls, None),
            ("smtps://localhost", "localhost:465", Security::Tls, None),
        ] {
            assert_eq!(read(text), (server.to_owned(), security, credentials), "{text}");
        }
        let password = Secret::new(b"apart".to_vec());
        let server = Server::parse("smtps://u@mail.example.net", Some(&password)).unwrap();
        assert_eq!(server.credentials.unwrap().1.expose(), b"apart");
    }

    #[test]
    fn what_names_no_server_is_refused_and_no_password_is_repeated() {
        let password = Secret::new(b"apart".to_vec());
        for (text, apart, why) in [
            ("mail.example.net", None, "no URL"),
            ("mail.example.net:587", None, "scheme is \"mail.example.net\""),
            ("http://u:hush@mail.example.net", None, "\"http\""),
            ("smtp://", None, "no host"),
            ("smtp://u:hush@/", None, "no"),
            ("smtp://mail.example.net/inbox", None, "\"inbox\""),
            ("smtp://mail.example.net?tls=off", None, "says more"),
            ("smtps://u:hush@mail.example.net", Some(&password), "two passwords"),
            ("smtps://mail.example.net", Some(&password), "no user"),
            ("smtps://%ff:hush@mail.example.net", None, "UTF-8"),
        ] {
            let error = Server::parse(text, apart).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hush") && !error.contains("apart"), "{text}: {error}");
        }
    }
}
