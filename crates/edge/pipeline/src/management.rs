//! Requests for agents' management services: whose token they bear, and to which agent they go (tunnel-protocol §10.3). Pure.
//!
//! Stock agents check no signature, so everything is checked here, and an agent is passed nothing but what was checked: the query is
//! written anew. The token stands in the URL because browsers and stock clients put it there; it is never logged, here nor beyond.

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::PathAndQuery};
use poterne_edge_http::{Body, Response, Scheme};
use poterne_edge_upstream::TunnelRoute;
use poterne_model::{ConnectorId, TunnelId, setting::EdgeSettings};
use poterne_snapshot::Snapshot;
use poterne_tunnel_proto::management::{
    Path, Query,
    token::{Token, TokenError},
};

use crate::route::Route;

/// By so much a token may have ended: the issuer's clock and this one need not agree to the second.
const LEEWAY_SECS: u64 = 30;

/// Why a request goes nowhere. All are the client's to repair; 1001 is the stock agent's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("missing access_token query parameter")]
    Missing,
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("the access token was not signed by this edge")]
    Signature,
    #[error("the access token has expired: ask for a new one")]
    Expired,
    #[error("the access token is for another resource: ask for one that opens this path")]
    Resource,
    #[error("the tunnel of the access token does not exist")]
    Tunnel,
    #[error("connector_id is no UUID")]
    Connector,
    #[error("management requests are taken over https alone: their URL holds a secret")]
    InClear,
}

impl Denied {
    fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Token(_) | Self::Connector => StatusCode::BAD_REQUEST,
            Self::Signature | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::Resource | Self::InClear => StatusCode::FORBIDDEN,
            Self::Tunnel => StatusCode::NOT_FOUND,
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Missing => 1001,
            Self::Token(_) => 1002,
            Self::Signature => 1003,
            Self::Expired => 1004,
            Self::Resource => 1005,
            Self::Tunnel => 1006,
            Self::Connector => 1007,
            Self::InClear => 1008,
        }
    }

    /// The answer, in the form of the agent's own.
    pub(crate) fn answer(self) -> Response {
        // The words have no character that JSON would escape.
        let body = format!(r#"{{"errors":[{{"code":{},"message":"{self}"}}]}}"#, self.code());
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = self.status();
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Where a management request goes, and the target it goes with; `now` is in seconds since the Unix epoch.
pub(crate) fn route(snapshot: &Snapshot, uri: &Uri, scheme: Scheme, now: u64) -> Result<(Route, Uri), Denied> {
    if scheme != Scheme::Https {
        return Err(Denied::InClear);
    }
    let query = Query::parse(uri.query().unwrap_or_default());
    let text = query.access_token.ok_or(Denied::Missing)?;
    let token = Token::parse(text)?;
    if !poterne_keys::es256_verifies(&snapshot.node().management_keys, token.signed, &token.signature) {
        return Err(Denied::Signature);
    }
    let claims = &token.claims;
    if claims.exp.saturating_add(LEEWAY_SECS) <= now {
        return Err(Denied::Expired);
    }
    if !claims.allows(Path::of(uri.path())) {
        return Err(Denied::Resource);
    }
    let id: TunnelId = claims.tun.id.parse().map_err(|_| Denied::Tunnel)?;
    let tunnel = snapshot.tunnel(id).filter(|tunnel| tunnel.account.to_string() == claims.tun.account_tag);
    let tunnel = tunnel.ok_or(Denied::Tunnel)?;
    let connector: Option<ConnectorId> = query.connector_id.map(str::parse).transpose().map_err(|_| Denied::Connector)?;

    let mut target = format!("{}?access_token={text}", uri.path());
    if let Some(connector) = connector {
        target.push_str(&format!("&connector_id={connector}"));
    }
    let target = PathAndQuery::try_from(target).map_err(|_| Denied::Token(TokenError::Form))?;
    let route = TunnelRoute { tunnel: id, zone: None, account: tunnel.account, connector };
    Ok((Route::through(route, tunnel.quick, EdgeSettings::default()), Uri::from(target)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use poterne_feed::Change;
    use poterne_keys::{NodeKey, SigningKey};
    use poterne_model::AccountId;
    use poterne_snapshot::{Chunk, ChunkKey, NodeChunk, SnapshotHandle, TunnelChunk};
    use poterne_tunnel_proto::management::token::{Actor, Claims, Resource, Tunnel};

    use super::*;
    use crate::route::Way;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
    const TUNNEL: TunnelId = TunnelId::from_bytes([2; 16]);
    const NOW: u64 = 1_000_000;

    struct Edge {
        key: SigningKey,
        snapshot: SnapshotHandle,
    }

    fn edge() -> Edge {
        let key = SigningKey::derive(&NodeKey::generate(), "test");
        let node = NodeChunk { management_keys: vec![Bytes::from(key.public())], ..NodeChunk::default() };
        let tunnel = TunnelChunk {
            id: TUNNEL,
            account: ACCOUNT,
            name: "t".into(),
            secret_digests: vec![[0; 32]],
            remote: None,
            quick: false,
        };
        let chunks = [(ChunkKey::Node, Chunk::Node(node)), (ChunkKey::Tunnel(TUNNEL), Chunk::Tunnel(tunnel))];
        let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
        let snapshot = SnapshotHandle::empty();
        snapshot.apply(&Change { generation: 1, chunks }).unwrap();
        Edge { key, snapshot }
    }

    impl Edge {
        fn claims(&self) -> Claims {
            Claims {
                tun: Tunnel { id: TUNNEL.to_string(), account_tag: ACCOUNT.to_string() },
                actor: Actor { id: "ann".into(), support: false },
                res: Claims::words(&[Resource::Logs]),
                iat: NOW,
                exp: NOW + 3600,
                iss: "management.test".into(),
            }
        }

        fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
            let mut claims = self.claims();
            change(&mut claims);
            claims.encode(|bytes| self.key.sign(bytes))
        }

        fn ask(&self, target: &str, now: u64) -> Result<(Route, Uri), Denied> {
            route(&self.snapshot.load(), &target.parse().unwrap(), Scheme::Https, now)
        }
    }

    fn through(connector: Option<ConnectorId>) -> Way {
        Way::Tunnel(TunnelRoute { tunnel: TUNNEL, zone: None, account: ACCOUNT, connector })
    }

    #[test]
    fn a_good_token_leads_to_its_tunnel_and_only_what_was_checked_goes_on() {
        let edge = edge();
        let token = edge.token(|_| {});
        let (route, uri) = edge.ask(&format!("https://management.test/logs?x=1&access_token={token}&y"), NOW).unwrap();
        assert_eq!(route.way, through(None));
        assert_eq!(uri.to_string(), format!("/logs?access_token={token}"));
        let connector = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
        let (route, uri) = edge.ask(&format!("/ping?connector_id={connector}&access_token={token}"), NOW + 3629).unwrap();
        assert_eq!(route.way, through(Some(connector.parse().unwrap())));
        assert_eq!(uri.to_string(), format!("/ping?access_token={token}&connector_id={connector}"));
    }

    #[test]
    fn every_other_token_is_refused() {
        let edge = edge();
        let with = |change: fn(&mut Claims)| edge.token(change);
        let good = with(|_| {});
        let foreign = SigningKey::derive(&NodeKey::generate(), "test");
        let forged = edge.claims().encode(|bytes| foreign.sign(bytes));
        let unsigned = edge.claims().encode(|_| [0; 64]);
        let of_another = with(|claims| claims.tun.account_tag = AccountId::from_bytes([9; 16]).to_string());
        for (path, token, expected) in [
            ("/logs", String::new(), Denied::Missing),
            ("/logs", "a.b".into(), Denied::Token(TokenError::Form)),
            ("/logs", forged, Denied::Signature),
            ("/logs", unsigned, Denied::Signature),
            ("/logs", with(|claims| claims.exp = NOW - 30), Denied::Expired),
            ("/logs", with(|claims| claims.exp = 0), Denied::Expired),
            ("/host_details", good.clone(), Denied::Resource),
            ("/metrics", good.clone(), Denied::Resource),
            ("//logs", good.clone(), Denied::Resource),
            ("/logs", with(|claims| claims.res.clear()), Denied::Resource),
            ("/logs", of_another, Denied::Tunnel),
            ("/logs", with(|claims| claims.tun.id = "x".into()), Denied::Tunnel),
            ("/logs", with(|claims| claims.tun.id = TunnelId::from_bytes([3; 16]).to_string()), Denied::Tunnel),
            ("/logs", format!("{good}&connector_id=x"), Denied::Connector),
        ] {
            let denied = edge.ask(&format!("{path}?access_token={token}"), NOW).unwrap_err();
            assert_eq!(denied, expected, "{path}");
        }
        let in_clear = route(&edge.snapshot.load(), &format!("/logs?access_token={good}").parse().unwrap(), Scheme::Http, NOW);
        assert_eq!(in_clear.unwrap_err(), Denied::InClear);
    }

    #[test]
    fn a_refusal_is_told_as_the_agent_tells_it() {
        let answer = Denied::Missing.answer();
        assert_eq!(answer.status(), 400);
        let body = http_body::Body::size_hint(answer.body()).exact().unwrap();
        let text = r#"{"errors":[{"code":1001,"message":"missing access_token query parameter"}]}"#;
        assert_eq!(body, text.len() as u64);
    }
}
