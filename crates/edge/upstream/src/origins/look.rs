//! A health check's look at an origin: the same guard, the same names, the same authorities as a request's, and a connection of its own.
//!
//! It takes no connection of the pool, leaves none there, and takes up no TLS session: what it says is true of a visitor who comes anew.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use http::Method;
use poterne_model::health_check::{CheckKind, CheckedAddress, HttpTerms};
use poterne_origin::{Fault, Http1, Outgoing, Patience, encode_request};
use tokio_util::either::Either;

use super::{
    Certificate, Origins,
    body::RequestBody,
    connect,
    pool::{Io, RULES},
    tls::{self, Named, ZoneTls},
};
use crate::{
    OriginError,
    health::{
        hop::{BODY_BYTES_MAX, HOPS_MAX, Hop, holds, judge},
        schedule::Look,
    },
};

/// Why an attempt is no good.
enum Failure {
    /// Time was up: it may be asked again at once.
    Late,
    /// In words.
    Bad(String),
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::ConnectTimeout(..) => Self::Late,
            error => Self::Bad(error.to_string()),
        }
    }
}

impl Origins {
    /// Looks once, and as often again as the check says while no answer comes in time.
    ///
    /// # Errors
    /// The answer is no good, or there is none: why, in words for the zone's owner.
    pub async fn look(&self, look: &Look) -> Result<(), String> {
        let timeout = Duration::from_secs(look.terms.timeout_secs.into());
        for _ in 0..=look.terms.retries {
            match tokio::time::timeout(timeout, Box::pin(self.attempt(look, timeout))).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failure::Bad(why))) => return Err(why),
                Ok(Err(Failure::Late)) | Err(_) => {}
            }
        }
        Err(format!("it did not answer within {} seconds", timeout.as_secs()))
    }

    async fn attempt(&self, look: &Look, timeout: Duration) -> Result<(), Failure> {
        let terms = &look.terms;
        let http = match (&terms.http, terms.kind) {
            (Some(http), CheckKind::Http | CheckKind::Https) => http,
            _ => return self.reached(look, &terms.address, terms.port(), timeout).await.map(drop),
        };
        let mut hop = Hop::first(terms, http);
        for _ in 0..=HOPS_MAX {
            match self.ask(look, &hop, http, timeout).await? {
                None => return Ok(()),
                Some(next) => hop = next,
            }
        }
        Err(Failure::Bad(format!("it leads on and on: {HOPS_MAX} answers that lead elsewhere were followed")))
    }

    /// A connection.
    async fn reached(
        &self,
        look: &Look,
        place: &CheckedAddress,
        port: u16,
        timeout: Duration,
    ) -> Result<connect::Reached, Failure> {
        let addresses: Vec<SocketAddr> = match place {
            CheckedAddress::Ip(address) => vec![(*address, port).into()],
            CheckedAddress::Name(name) => {
                let found = self.names.addresses(look.whose.account, name).await?;
                found.iter().map(|address| SocketAddr::new(address.to_canonical(), port)).collect()
            }
        };
        let admitted = connect::admitted(&self.guard, look.whose.account, addresses)?;
        connect::first_of(&admitted, timeout).await.map_err(|unreached| unreached.error.into())
    }

    /// Asks once. Where to ask next, where the answer leads there and is followed; none: it is good.
    async fn ask(&self, look: &Look, hop: &Hop, http: &HttpTerms, timeout: Duration) -> Result<Option<Hop>, Failure> {
        let bad = Failure::Bad;
        let connect::Reached { stream, address, .. } = self.reached(look, &hop.place, hop.port, timeout).await?;
        let io: Io = if hop.is_tls {
            let certificate = if http.allow_insecure { Certificate::Any } else { Certificate::Verified };
            let shown = look.whose.identifies.as_ref().filter(|_| hop.is_own);
            let identity = self.identity(look.whose.zone, hop.host(), shown)?;
            let target = match &hop.place {
                CheckedAddress::Name(name) if certificate == Certificate::Verified => Some(name.as_str().into()),
                CheckedAddress::Name(_) | CheckedAddress::Ip(_) => None,
            };
            let named = Named { host: Arc::from(hop.host()), target, certificate, http2: false, identity };
            let secured = tls::handshake(&self.clients, &ZoneTls::default(), &named, stream).await;
            Either::Right(Box::new(secured.map_err(|refused| refused.at(address))?.stream))
        } else {
            Either::Left(stream)
        };
        let request = hop.request(http).map_err(bad)?;
        let mut connection: Http1<Io, RequestBody> = Http1::new(io, RULES);
        let outgoing = Outgoing {
            head: encode_request(&request),
            method: request.method.clone(),
            body: RequestBody::default(),
            length: Some(0),
            expects: false,
            patience: Patience::default(),
        };
        let told = |fault: &Fault| bad(fault.to_string());
        let answer = connection.send(outgoing).await.map_err(|error| told(&error.fault))?;
        if http.follow_redirects
            && let Some(next) = hop.next(answer.status, &answer.headers).map_err(bad)?
        {
            return Ok(Some(next));
        }
        judge(http, answer.status).map_err(bad)?;
        if http.expected_body.is_empty() || request.method == Method::HEAD {
            return Ok(None);
        }
        let mut body = Vec::new();
        while body.len() < BODY_BYTES_MAX
            && let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await
        {
            let Ok(data) = frame.map_err(|fault| told(&fault))?.into_data() else { continue };
            body.extend_from_slice(&data[..data.len().min(BODY_BYTES_MAX - body.len())]);
        }
        if holds(&body, &http.expected_body) {
            Ok(None)
        } else {
            Err(bad("its answer does not hold the expected text".to_owned()))
        }
    }
}
