//! How a zone's origins are spoken to, and at which port (edge-behaviour §2.7 and §2.8). Pure.

use poterne_edge_http::Scheme;
use poterne_model::setting::SslMode;

/// Ports that visitors may use in clear, and origins then have too.
const HTTP_PORTS: [u16; 7] = [80, 8080, 8880, 2052, 2082, 2086, 2095];
/// The same over TLS.
const HTTPS_PORTS: [u16; 6] = [443, 2053, 2083, 2087, 2096, 8443];

/// What is asked of an origin's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// Nothing.
    Any,
    /// That it is in force, for the name, and vouched for.
    Verified,
}

/// The last part of a request's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// The origin's port.
    pub port: u16,
    /// Whether it is spoken to over TLS.
    pub tls: Option<Certificate>,
}

/// What a zone's mode makes of a visitor's way. `port`: the one at which the visitor both arrived and said that it did; none: two
/// different ones, or nobody knows.
///
/// Where the scheme stays the same, the port does too, if it is one that is passed on. Any other is this node's own affair (ports that a
/// router or the demo moved), and what a visitor merely says chooses no port of the origin's.
pub fn leg(mode: SslMode, visitor: Scheme, port: Option<u16>) -> Leg {
    let scheme = match mode {
        SslMode::Off | SslMode::Flexible => Scheme::Http,
        SslMode::Full | SslMode::Strict => visitor,
        SslMode::OriginPull => Scheme::Https,
    };
    let passed_on: &[u16] = match scheme {
        Scheme::Http => &HTTP_PORTS,
        Scheme::Https => &HTTPS_PORTS,
    };
    let port = port.filter(|port| scheme == visitor && passed_on.contains(port)).unwrap_or(scheme.default_port());
    let tls = match (scheme, mode) {
        (Scheme::Http, _) => None,
        (Scheme::Https, SslMode::Strict | SslMode::OriginPull) => Some(Certificate::Verified),
        (Scheme::Https, SslMode::Off | SslMode::Flexible | SslMode::Full) => Some(Certificate::Any),
    };
    Leg { port, tls }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Option<Certificate> = None;
    const ANY: Option<Certificate> = Some(Certificate::Any);
    const VERIFIED: Option<Certificate> = Some(Certificate::Verified);

    #[test]
    fn each_mode_has_its_leg() {
        for (mode, http, https) in [
            (SslMode::Off, (80, CLEAR), (80, CLEAR)),
            (SslMode::Flexible, (80, CLEAR), (80, CLEAR)),
            (SslMode::Full, (80, CLEAR), (443, ANY)),
            (SslMode::Strict, (80, CLEAR), (443, VERIFIED)),
            (SslMode::OriginPull, (443, VERIFIED), (443, VERIFIED)),
        ] {
            for (visitor, (port, tls)) in [(Scheme::Http, http), (Scheme::Https, https)] {
                assert_eq!(leg(mode, visitor, None), Leg { port, tls }, "{mode} {visitor:?}");
            }
        }
    }

    #[test]
    fn a_port_is_passed_on_where_it_means_the_same() {
        let port = |mode, visitor, port| leg(mode, visitor, Some(port)).port;
        assert_eq!(port(SslMode::Full, Scheme::Https, 8443), 8443);
        assert_eq!(port(SslMode::Full, Scheme::Http, 8080), 8080);
        assert_eq!(port(SslMode::Flexible, Scheme::Http, 8080), 8080);
        assert_eq!(port(SslMode::Flexible, Scheme::Https, 8443), 80);
        assert_eq!(port(SslMode::OriginPull, Scheme::Http, 8080), 443);
        assert_eq!(port(SslMode::Full, Scheme::Https, 10443), 443, "the demo's");
        assert_eq!(port(SslMode::Full, Scheme::Https, 8080), 443, "one of the other scheme's");
    }
}
