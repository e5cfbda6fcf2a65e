//! One order, done: each action of [`poterne_acme::Order`] is carried out here, and nothing is decided.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order as Theirs, OrderStatus,
};
use poterne_acme::{Action, Asked, Culprit, Event, Method, Order, Proof, Status, Trouble};
use poterne_control_app::{AppError, DuePack, IssuedCertificate, ProofsShown};
use poterne_keys::{CertificateKey, sha256};
use poterne_model::Name;

use crate::{
    Notary, caa,
    client::{Client, Stay, is_stranger, trouble},
};

/// How long nodes may take to show what proves a name.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// An order that is being done.
struct Doing<'a> {
    notary: &'a Notary,
    due: &'a DuePack,
    directory: &'a str,
    stay: Stay,
    profile: Option<&'a str>,
    replaces: Option<&'a str>,
    methods: Vec<Method>,
    theirs: Option<Theirs>,
    shown: Option<ProofsShown>,
    /// How the first name was proven.
    method: Option<Method>,
    key: CertificateKey,
}

/// Orders a certificate for a pack's names.
pub(crate) async fn order(
    notary: &Notary,
    client: &Client,
    due: &DuePack,
    profile: Option<&str>,
    replaces: Option<&str>,
) -> Result<IssuedCertificate, Trouble> {
    let app = &notary.app;
    let key = CertificateKey::generate().map_err(|error| Trouble::new(Culprit::Internal, error.to_string()))?;
    let stay = client.enter(app).await?;
    let profile = stay.directory.profile(profile)?;
    let mut methods = due.methods(&app.acme_settings().methods);
    // Where a record of ours would not be seen, the other ways are left, for names that they can prove.
    let is_blind = methods.len() > 1 && app.proof_by_record_is_blind(&due.zone, &due.pack.hosts).await.map_err(of_store)?;
    if is_blind {
        methods.retain(|method| *method != Method::Dns01);
    }
    let (mut order, mut action) = Order::begin(due.pack.hosts.iter().cloned(), &methods, notary.now());
    let tells_window = stay.directory.renewal_info.is_some();
    let replaces = replaces.filter(|_| tells_window);
    let directory = client.url();
    let mut doing =
        Doing { notary, due, directory, stay, profile, replaces, methods, theirs: None, shown: None, method: None, key };
    let outcome = loop {
        let event = match action {
            Action::End(outcome) => break outcome,
            action => match doing.act(action).await {
                Ok(event) => event,
                Err(trouble) => Event::Failed(trouble),
            },
        };
        action = order.handle(notary.now(), event);
    };
    if let Some(shown) = &doing.shown
        && let Err(error) = app.proofs_remove(&shown.ids).await
    {
        tracing::warn!(%error, "what was shown to an authority is not taken away; it is over by itself");
    }
    let Doing { method, key, .. } = doing;
    outcome.map(|chain| IssuedCertificate {
        directory: directory.to_owned(),
        method,
        chain,
        public_key: key.public_key(),
        key: key.secret(),
        tells_window,
    })
}

impl Doing<'_> {
    async fn act(&mut self, action: Action) -> Result<Event, Trouble> {
        match action {
            Action::Allow => self.allow().await,
            Action::Order => self.take().await,
            Action::Show(proofs) => self.show(&proofs).await,
            Action::Tell(proofs) => self.tell(&proofs).await,
            Action::Look(secs) => {
                tokio::time::sleep(Duration::from_secs(secs.max(0).unsigned_abs())).await;
                self.look().await
            }
            Action::Finalize => self.finalize().await,
            Action::Fetch => self.fetch().await,
            Action::End(_) => Err(Trouble::new(Culprit::Internal, "an order that is over is done no more")),
        }
    }

    async fn allow(&mut self) -> Result<Event, Trouble> {
        let (app, stay) = (&self.notary.app, &self.stay);
        if !stay.issuers.is_empty() && app.caa_is_above(self.due).await.map_err(of_store)? {
            caa::allow_above(&self.notary.resolver, self.due, &stay.issuers, &stay.uri, &self.methods).await?;
        }
        Ok(Event::Allowed)
    }

    async fn take(&mut self) -> Result<Event, Trouble> {
        let identifiers: Vec<Identifier> = self.due.pack.hosts.iter().map(|host| Identifier::Dns(host.to_string())).collect();
        let replaced = self.replaces.and_then(|ari| ari.split_once('.'));
        let wanted = |replaced: Option<(&str, &str)>| {
            let mut wanted = NewOrder::new(&identifiers);
            if let Some(profile) = self.profile {
                wanted = wanted.profile(profile);
            }
            if let Some((key, serial)) = replaced {
                wanted = wanted.replaces(CertificateIdentifier {
                    authority_key_identifier: key.to_owned().into(),
                    serial: serial.to_owned().into(),
                });
            }
            wanted
        };
        let mut taken = self.stay.account.new_order(&wanted(replaced)).await;
        // What is replaced is a courtesy: an authority that will not hear of it, since it was replaced before or was never its own, is
        // asked without (RFC 9773 §5).
        if replaced.is_some() && taken.as_ref().is_err_and(is_about_replacing) {
            taken = self.stay.account.new_order(&wanted(None)).await;
        }
        let mut theirs = match taken {
            Ok(theirs) => theirs,
            Err(error) => {
                if is_stranger(&error) {
                    self.notary.app.acme_account_forget(self.directory).await.map_err(of_store)?;
                }
                return Err(self.trouble(error));
            }
        };
        let thumbprint = self.stay.account.key_thumbprint().to_owned();
        let status = status(theirs.state().status);
        let mut asked = Vec::new();
        let mut authorizations = theirs.authorizations();
        while let Some(next) = authorizations.next().await {
            let one = next.map_err(|error| trouble(error, &self.stay.transport))?;
            asked.push(proven_by(&one, &thumbprint)?);
        }
        self.theirs = Some(theirs);
        Ok(Event::Taken(status, asked))
    }

    async fn show(&mut self, proofs: &[Proof]) -> Result<Event, Trouble> {
        let app = &self.notary.app;
        self.method = proofs.first().map(|proof| proof.method);
        let shown = app.proofs_put(&self.due.zone, proofs).await.map_err(|error| match error {
            AppError::Invalid { why, .. } => Trouble::new(Culprit::Node, why),
            error => of_store(error),
        })?;
        let change = shown.change;
        self.shown = Some(shown);
        if app.is_live_within(change, SHOWN_WITHIN).await {
            return Ok(Event::Shown);
        }
        let why = format!("not every node showed what proves the names within {} seconds", SHOWN_WITHIN.as_secs());
        Err(Trouble::new(Culprit::Node, why))
    }

    async fn tell(&mut self, proofs: &[Proof]) -> Result<Event, Trouble> {
        let transport = self.stay.transport.clone();
        let mut authorizations = self.theirs()?.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut one = next.map_err(|error| trouble(error, &transport))?;
            if one.status != AuthorizationStatus::Pending {
                continue;
            }
            let (name, is_wildcard) = named(&one)?;
            let Some(proof) = proofs.iter().find(|proof| proof.name == name && proof.is_wildcard == is_wildcard) else {
                continue;
            };
            let kind = match proof.method {
                Method::Dns01 => ChallengeType::Dns01,
                Method::Http01 => ChallengeType::Http01,
                Method::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            if let Some(mut challenge) = one.challenge(kind) {
                challenge.set_ready().await.map_err(|error| trouble(error, &transport))?;
            }
        }
        Ok(Event::Told)
    }

    async fn look(&mut self) -> Result<Event, Trouble> {
        let transport = self.stay.transport.clone();
        let theirs = self.theirs()?;
        let state = theirs.refresh().await.map_err(|error| trouble(error, &transport))?;
        let (status, error) = (status(state.status), state.error.clone());
        let retry_after = transport.retry_after_secs();
        if status == Status::Invalid {
            return Err(self.why_invalid(error).await);
        }
        Ok(Event::Stands(status, retry_after))
    }

    /// What the authority found, name by name; the order itself says less.
    async fn why_invalid(&mut self, of_order: Option<instant_acme::Problem>) -> Trouble {
        let transport = self.stay.transport.clone();
        let mut found: Option<Trouble> = None;
        if let Ok(theirs) = self.theirs() {
            let mut authorizations = theirs.authorizations();
            while let Some(Ok(one)) = authorizations.next().await {
                let problems = one.challenges.iter().filter_map(|challenge| Some((challenge, challenge.error.as_ref()?)));
                for (challenge, problem) in problems {
                    let how = match &challenge.r#type {
                        ChallengeType::Dns01 => "dns-01",
                        ChallengeType::Http01 => "http-01",
                        ChallengeType::TlsAlpn01 => "tls-alpn-01",
                        _ => "another way",
                    };
                    let detail = problem.detail.as_deref().unwrap_or("no reason given");
                    let detail = format!("{} by {how}: {detail}", one.identifier());
                    let trouble = Trouble::of_problem(problem.r#type.as_deref(), problem.status, &detail);
                    found = Some(match found {
                        Some(before) => Trouble::new(before.culprit, format!("{}; {}", before.detail, trouble.detail)),
                        None => trouble,
                    });
                }
            }
        }
        let of_order = of_order.map(|problem| trouble(Error::Api(problem), &transport));
        found.or(of_order).unwrap_or_else(|| Trouble::new(Culprit::Validation, "the authority found the names not proven"))
    }

    async fn finalize(&mut self) -> Result<Event, Trouble> {
        let names: Vec<String> = self.due.pack.hosts.iter().map(Name::to_string).collect();
        let request = self.key.request(&names).map_err(|error| Trouble::new(Culprit::Internal, error.to_string()))?;
        let transport = self.stay.transport.clone();
        let theirs = self.theirs()?;
        theirs.finalize_csr(&request).await.map_err(|error| trouble(error, &transport))?;
        Ok(Event::Stands(status(theirs.state().status), transport.retry_after_secs()))
    }

    async fn fetch(&mut self) -> Result<Event, Trouble> {
        let transport = self.stay.transport.clone();
        let pem = self.theirs()?.certificate().await.map_err(|error| trouble(error, &transport))?;
        pem.map(Event::Certificate).ok_or_else(|| Trouble::new(Culprit::Unreachable, "the certificate is not there yet"))
    }

    fn theirs(&mut self) -> Result<&mut Theirs, Trouble> {
        self.theirs.as_mut().ok_or_else(|| Trouble::new(Culprit::Internal, "nothing was ordered yet"))
    }

    fn trouble(&self, error: Error) -> Trouble {
        trouble(error, &self.stay.transport)
    }
}

/// What would prove a name, each way that the authority takes (RFC 8555 §8.1).
fn proven_by(one: &instant_acme::AuthorizationHandle<'_>, thumbprint: &str) -> Result<Asked, Trouble> {
    let (name, is_wildcard) = named(one)?;
    let offered = one.challenges.iter().filter_map(|challenge| {
        // A token is base64url, and stands in a path and in the store.
        let is_token = |token: &str| {
            (1..=128).contains(&token.len())
                && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let token = Some(challenge.token.clone()).filter(|token| is_token(token))?;
        let text = format!("{token}.{thumbprint}");
        let digest = || BASE64_URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()));
        Some(match challenge.r#type {
            ChallengeType::Dns01 => (Method::Dns01, token, digest()),
            ChallengeType::TlsAlpn01 => (Method::TlsAlpn01, token, digest()),
            ChallengeType::Http01 => (Method::Http01, token, text),
            _ => return None,
        })
    });
    Ok(Asked { name, is_wildcard, is_valid: one.status == AuthorizationStatus::Valid, offered: offered.collect() })
}

fn named(one: &instant_acme::AuthorizationHandle<'_>) -> Result<(Name, bool), Trouble> {
    let identifier = one.identifier();
    match identifier.identifier {
        Identifier::Dns(name) => match Name::parse(name) {
            Ok(name) => Ok((name, identifier.wildcard)),
            Err(error) => Err(Trouble::new(Culprit::Refused, format!("the authority asks for a proof of {error}"))),
        },
        _ => Err(Trouble::new(Culprit::Refused, "the authority asks for a proof of what is no name")),
    }
}

const fn status(theirs: OrderStatus) -> Status {
    match theirs {
        OrderStatus::Pending => Status::Pending,
        OrderStatus::Ready => Status::Ready,
        OrderStatus::Processing => Status::Processing,
        OrderStatus::Valid => Status::Valid,
        OrderStatus::Invalid => Status::Invalid,
    }
}

/// Whether an order may be taken without naming what it replaces.
fn is_about_replacing(error: &Error) -> bool {
    match error {
        Error::Api(problem) => {
            let kind = problem.r#type.as_deref().unwrap_or_default();
            kind.ends_with(":alreadyReplaced") || kind.ends_with(":malformed") || problem.status == Some(404)
        }
        Error::Other(other) => !other.is::<crate::client::TransportError>(),
        _ => false,
    }
}

fn of_store(error: AppError) -> Trouble {
    Trouble::new(Culprit::Internal, error.to_string())
}
