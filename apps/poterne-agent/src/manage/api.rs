//! The v4 API, as the verbs ask it (tunnel-protocol §9.4, §9.5): paths, pages, and refusals told with what to do.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode};
use poterne_control_wire::{ApiError, Envelope, codes, query::page::PageInfo};
use poterne_tunnel_agent::{
    Proxies, Trust,
    terminal::plain,
    web::{self, WebAnswer, WebRequest},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

/// Longest answer read, in bytes: 1,000 tunnels with all their connections.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Items asked for at once, unless `--max-fetch-size` says otherwise. A server gives as many as it likes.
const PAGE_SIZE: u32 = 1000;
/// Most pages of one list: a server that never ends one is not believed.
const PAGES_MAX: u64 = 10_000;

/// A node, and who asks it.
pub(crate) struct Api {
    /// As `https://node.example.net/client/v4`.
    pub(super) base: String,
    /// Empty: whoever asks has nothing to show yet.
    token: Zeroizing<String>,
    trust: Trust,
    proxies: Proxies,
    page_size: u32,
}

/// An answer that is no success. Shown as the stock agent shows it, since scripts look for the codes; then what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) errors: Vec<ApiError>,
}

impl Refused {
    fn remedy(&self) -> Option<&'static str> {
        let of_code = |error: &ApiError| {
            Some(match error.code {
                codes::HOST_EXISTS => "--overwrite-dns replaces the records that the hostname has",
                codes::TUNNEL_EXISTS => "choose another name, or delete that tunnel first",
                codes::RATE_LIMITED => "wait a minute",
                codes::UNAUTHORIZED | codes::INVALID_TOKEN | codes::INVALID_HEADERS | codes::NO_CREDENTIALS => {
                    "the token of cert.pem is not valid here (any more): delete that file, and `poterne-agent login` again"
                }
                codes::FORBIDDEN => "the token of cert.pem may not do that: log in with one that may",
                codes::NO_SUCH_OBJECT => "check the id, and that cert.pem is of the account and node you mean",
                codes::INTERNAL => "the node's log says more",
                _ => return None,
            })
        };
        self.errors.iter().find_map(of_code).or(match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some("log in with a token that may do that"),
            StatusCode::NOT_FOUND if self.errors.is_empty() => Some("check that --api-url ends in /client/v4"),
            StatusCode::SERVICE_UNAVAILABLE => Some("try again once the node is up"),
            _ => None,
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errors.is_empty() {
            write!(f, "the server answered {}", self.status)?;
        }
        for (at, ApiError { code, message, .. }) in self.errors.iter().enumerate() {
            write!(f, "{}code: {code}, reason: {}", if at > 0 { "; " } else { "" }, plain(message))?;
        }
        self.remedy().map_or(Ok(()), |remedy| write!(f, " ({remedy})"))
    }
}

impl std::error::Error for Refused {}

impl Api {
    pub(crate) fn new(base: &str, token: &str, trust: Trust, page_size: Option<u32>) -> anyhow::Result<Self> {
        let page_size = page_size.filter(|size| *size > 0).unwrap_or(PAGE_SIZE);
        let (base, token) = (base.trim_end_matches('/').to_owned(), Zeroizing::new(token.to_owned()));
        Ok(Self { base, token, trust, proxies: Proxies::from_environment()?, page_size })
    }

    /// How the node is known.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The `result` of an answer; `path` begins with a slash.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<T> {
        let envelope = self.envelope(method, path, body).await?;
        result(envelope.result)
    }

    /// The same where null means that there is none.
    pub(crate) async fn ask_if_any<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        match self.envelope(Method::GET, path, None).await?.result {
            None | Some(Value::Null) => Ok(None),
            some => result(some).map(Some),
        }
    }

    /// A success whose result says nothing.
    pub(crate) async fn command(&self, method: Method, path: &str) -> anyhow::Result<()> {
        self.envelope(method, path, None).await.map(drop)
    }

    /// All pages of a list.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str, filters: &[(&str, String)]) -> anyhow::Result<Vec<T>> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("page", &page.to_string()).append_pair("per_page", &self.page_size.to_string());
            query.extend_pairs(filters);
            let envelope = self.envelope(Method::GET, &format!("{path}?{}", query.finish()), None).await?;
            let items: Vec<T> = result(envelope.result)?;
            let count = items.len() as u64;
            all.extend(items);
            let info = envelope.result_info.and_then(|info| serde_json::from_value::<PageInfo>(info).ok());
            // Without being told how long the list is, one page is all that is known of it.
            let Some(info) = info else { return Ok(all) };
            if count == 0 || info.count < u64::from(info.per_page) || all.len() as u64 >= info.total_count {
                return Ok(all);
            }
        }
        bail!("{} does not end its list of {path}: {PAGES_MAX} pages were read", self.base)
    }

    async fn envelope(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Envelope<Value>> {
        let url = format!("{}{path}", self.base);
        let body = body.map(serde_json::to_vec).transpose()?;
        let request = WebRequest {
            method,
            url: &url,
            token: Some(self.token.as_str()).filter(|token| !token.is_empty()),
            body,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = web::ask(request, &self.trust, &self.proxies).await.context("the node's API")?;
        read(&answer).map_err(|error| error.context(format!("the API at {}", self.base)))
    }
}

/// A success, or why not: what an answer's status and body say together.
fn read(answer: &WebAnswer) -> anyhow::Result<Envelope<Value>> {
    let envelope = serde_json::from_slice::<Envelope<Value>>(&answer.body);
    if answer.status != StatusCode::OK {
        let errors = envelope.map(|envelope| envelope.errors).unwrap_or_default();
        return Err(Refused { status: answer.status, errors }.into());
    }
    let envelope = envelope.context("it answered what is no answer of the v4 API; check that --api-url ends in /client/v4")?;
    let Envelope { success, errors, .. } = &envelope;
    if !success || !errors.is_empty() {
        return Err(Refused { status: answer.status, errors: errors.clone() }.into());
    }
    Ok(envelope)
}

fn result<T: DeserializeOwned>(result: Option<Value>) -> anyhow::Result<T> {
    serde_json::from_value(result.unwrap_or(Value::Null)).context("the API answered another kind of thing than was asked for")
}

/// A node as a person writes it, made the base of its API.
pub(crate) fn base_of(node: &str) -> anyhow::Result<String> {
    let node = node.trim().trim_end_matches('/');
    let with_scheme = if node.contains("://") { node.to_owned() } else { format!("https://{node}") };
    let uri: http::Uri = with_scheme.parse().with_context(|| format!("{node:?} is no address of a node; write https://NODE"))?;
    ensure!(
        uri.authority().is_some_and(|authority| !authority.as_str().contains('@')),
        "{node:?}: write https://NODE, without a user"
    );
    ensure!(uri.query().is_none(), "{node:?}: write https://NODE, without what follows a `?`");
    Ok(if uri.path() == "/" { format!("{}/client/v4", with_scheme.trim_end_matches('/')) } else { with_scheme })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> anyhow::Result<Envelope<Value>> {
        read(&WebAnswer { status: StatusCode::from_u16(status).unwrap(), body: body.into() })
    }

    fn told(status: u16, body: &'static str) -> String {
        answer(status, body).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_is_told_as_scripts_know_it_and_with_what_to_do() {
        let exists = r#"{"success":false,"errors":[{"code":1003,"message":"A record exists."}],"messages":[],"result":null}"#;
        assert_eq!(
            told(400, exists),
            "code: 1003, reason: A record exists. (--overwrite-dns replaces the records that the hostname has)"
        );
        let two = r#"{"success":false,"errors":[{"code":"7003","message":"a\u001b"},{"code":7000,"message":"b"}],"result":null}"#;
        assert_eq!(told(404, two).split(" (").next(), Some("code: 7003, reason: a\u{fffd}; code: 7000, reason: b"));
        assert!(told(200, exists).contains("code: 1003"), "whatever the status says");
        assert!(told(403, "<html>").contains("403 Forbidden (log in with a token that may do that)"));
        assert!(told(404, "").contains("--api-url ends in /client/v4"));
        assert!(told(200, "<html>").contains("no answer of the v4 API"));
        assert!(answer(200, r#"{"success":true,"errors":[],"messages":[],"result":null}"#).unwrap().result.is_none());
    }

    #[test]
    fn a_node_is_written_in_several_ways() {
        for (written, base) in [
            ("node.example.net", "https://node.example.net/client/v4"),
            ("https://node.example.net/", "https://node.example.net/client/v4"),
            ("http://127.0.0.1:8600/client/v4/", "http://127.0.0.1:8600/client/v4"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/client/v4"),
        ] {
            assert_eq!(base_of(written).unwrap(), base);
        }
        for wrong in ["", "https://user:password@node.example.net", "https://node.example.net/?a=b", "a b"] {
            assert!(base_of(wrong).is_err(), "{wrong:?}");
        }
    }
}
