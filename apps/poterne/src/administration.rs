//! The verbs of `admin.sock`, done by `control/app` on the operator's behalf, and put into words for the terminal.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use poterne_control_app::{
    App, AppError, Caller, ConfigSource, DueZone, Leads, PackShown, PartialProof, Service, Settings, TunnelInfo, notice::Notice,
    outbox::Told, system_clock,
};
use poterne_control_courier::Mailer;
use poterne_control_scout::{
    check::{self, facts::Here},
    look,
};
use poterne_control_store::{Store, Tables};
use poterne_dns_resolver::Resolver;
use poterne_keys::{NodeKey, random_bytes};
use poterne_model::{At, Name, NoticeId};
use poterne_tunnel_proto::management::token::Resource;

use crate::{
    admin::{
        protocol::{Answer, ApiToken, Challenge, Connector, Hidden, Login, Pack, Tunnel, User, Verb, Zone},
        server::Administrator,
    },
    backup,
    config::Config,
    state::{self, StateDir},
};

/// Whoever can open the socket, or the state, is the operator.
const OPERATOR: &Caller = &Caller::Operator;

/// How long the world may take to answer; the program that asks waits a little longer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(25);

/// How long a test mail may take; the program that asks waits a little longer.
const MAIL_TIMEOUT: Duration = Duration::from_secs(25);

/// The verbs over one [`App`].
#[derive(Clone)]
pub struct Administration {
    app: App,
    state: PathBuf,
    /// Where a running node receives visitors over TLS.
    https: Option<SocketAddr>,
    /// Where mail is sent.
    mailer: Option<Mailer>,
    /// What the world sees.
    resolver: Resolver,
}

impl Administration {
    /// Over the application of a running node.
    pub fn new(app: App, state: &StateDir, https: Option<SocketAddr>, mailer: Option<Mailer>, resolver: Resolver) -> Self {
        Self { app, state: state.path().to_path_buf(), https, mailer, resolver }
    }

    /// Over a state that no node holds.
    pub async fn open(state: &StateDir, config: &Config) -> anyhow::Result<Self> {
        let trust = crate::trust::Trust::open(state, &[])?;
        let (_, app) = open_app(state, config, &trust.node_key, trust.tunnel_ca.spki_sha256(), Tables::Own).await?;
        let mailer = config.mail()?.map(Mailer::new).transpose()?;
        let resolver = Resolver::new(config.resolver(app.guard())?);
        Ok(Self { app, state: state.path().to_path_buf(), https: None, mailer, resolver })
    }

    /// The application itself.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Where a hostname leads, if through a tunnel.
    pub async fn route_of(&self, hostname: &str) -> Result<Option<Leads>, AppError> {
        self.app.tunnel_route_of(OPERATOR, hostname).await
    }

    async fn try_execute(&self, verb: Verb) -> Result<Answer, AppError> {
        let app = &self.app;
        Ok(match verb {
            Verb::ZoneAdd { name } => Answer::Zone(zone(&app.zone_add(OPERATOR, &name).await?)),
            Verb::ZoneActivate { name } => Answer::Zone(zone(&app.zone_activate(OPERATOR, &name).await?)),
            Verb::ZoneList { deleted: false } => Answer::Zones(app.zone_list(OPERATOR).await?.iter().map(zone).collect()),
            Verb::ZoneList { deleted: true } => {
                let deleted = app.zones_deleted(OPERATOR, Some(app.account())).await?;
                let shown = deleted.iter().map(|(one, _)| Zone { status: "deleted".into(), ..zone(&one.zone) });
                Answer::Zones(shown.collect())
            }
            Verb::ZoneRestore { name } => Answer::Zone(zone(&app.zone_restore_named(OPERATOR, &name).await?)),
            Verb::ZoneCertificates { name } => {
                let (found, packs) = app.certificate_packs_named(OPERATOR, &name).await?;
                Answer::Certificates { zone: zone(&found), packs: packs.iter().map(pack).collect() }
            }
            Verb::ZoneDelete { name, force, purge } => match app.zone_delete_named(OPERATOR, &name, force).await {
                Ok(deleted) => {
                    if purge {
                        app.zone_purge(OPERATOR, deleted.id).await.map_err(AppError::once_kept)?;
                    }
                    Answer::ZoneDeleted { zone: zone(&deleted), purged: purge }
                }
                Err(error @ AppError::DsAtParent(_)) => Answer::Doubtful { message: error.to_string() },
                Err(error) => return Err(error),
            },
            Verb::ChallengePut { name, text, hours } => {
                let put = app.challenge_put_at(OPERATOR, &name, &text, i64::from(hours) * 3600).await?;
                Answer::Challenge(challenge(&put))
            }
            Verb::ChallengeRemove { name, text } => {
                let gone = app.challenges_remove_at(OPERATOR, &name, text.as_deref()).await?;
                Answer::ChallengesRemoved(gone.iter().map(challenge).collect())
            }
            Verb::TunnelCreate { name } => {
                let new = app.tunnel_create(OPERATOR, &name, ConfigSource::Remote).await?;
                Answer::Created { tunnel: tunnel(&new.tunnel), token: new.token.to_string() }
            }
            Verb::TunnelRoute { hostname, tunnel: name, service, origin } => {
                let to = Service { url: service.clone(), origin };
                let routed = app.tunnel_route(OPERATOR, &hostname, &name, to).await?;
                Answer::Routed {
                    hostname: routed.hostname.to_string(),
                    tunnel: tunnel(&routed.tunnel),
                    service,
                    zone: zone(&routed.zone),
                }
            }
            Verb::TunnelToken { tunnel: name } => {
                let token = app.tunnel_token(OPERATOR, &name).await?.to_string();
                Answer::Token { tunnel: tunnel(&app.tunnel_info(OPERATOR, &name).await?.tunnel), token }
            }
            Verb::TunnelList {} => Answer::Tunnels(app.tunnel_list(OPERATOR).await?.iter().map(info).collect()),
            Verb::TunnelInfo { tunnel } => Answer::Tunnel(info(&app.tunnel_info(OPERATOR, &tunnel).await?)),
            Verb::TunnelDelete { tunnel: name, force } => {
                let deleted = app.tunnel_delete(OPERATOR, &name, force).await?;
                let names = |names: &[poterne_model::Name]| names.iter().map(ToString::to_string).collect();
                Answer::Deleted { tunnel: tunnel(&deleted.tunnel), removed: names(&deleted.removed), left: names(&deleted.left) }
            }
            Verb::ManagementToken { tunnel } => {
                let token = app.management_token_of(OPERATOR, &tunnel, &[Resource::Logs]).await?;
                Answer::ManagementToken { token: token.to_string(), https: self.https }
            }
            // Only a running node can.
            Verb::Reload {} | Verb::Upgrade { .. } | Verb::TailRequests { .. } => {
                Answer::Refused { message: "no node runs: it begins with what there is when it starts".into() }
            }
            // Done by `execute`.
            Verb::Backup { .. } | Verb::MailTest { .. } | Verb::DnsCheck { .. } => {
                Answer::Refused { message: "this is not done here".into() }
            }
            Verb::MemberInvite { email, roles } => {
                let body = serde_json::json!({ "email": email, "roles": roles });
                let invited = app.member_invite(OPERATOR, app.account(), &At::body(&body)).await?;
                Answer::Invited {
                    email: invited.person.email,
                    roles: invited.membership.roles,
                    link: invited.link.expose().to_owned(),
                    expires_at: date(invited.expires_at.as_micros()),
                    by_mail: matches!(invited.told, Told::Queued(_)),
                }
            }
            Verb::Certificate { zone } => {
                let (zone, api_token) = app.api_token_for_agent(OPERATOR, &zone).await?;
                let (zone_id, account_id) = (zone.id.to_string(), zone.account.to_string());
                Answer::Certificate { zone_id, account_id, api_token, api: None, authorities: None }
            }
            Verb::TokenCreate { name, permissions } => {
                let (token, secret) = app.api_token_of_operator(OPERATOR, &name, &permissions).await?;
                Answer::ApiToken { token: self.api_token(&token), secret }
            }
            Verb::TokenList {} => {
                Answer::ApiTokens(app.api_tokens_of_operator(OPERATOR).await?.iter().map(|token| self.api_token(token)).collect())
            }
            Verb::TokenDelete { id } => {
                let parsed = id
                    .parse()
                    .map_err(|error: poterne_model::IdError| AppError::Invalid { what: "id", why: error.to_string() })?;
                app.api_token_of_operator_delete(OPERATOR, parsed).await?;
                Answer::ApiTokenDeleted { id }
            }
            Verb::UserList {} => Answer::Users(app.user_list(OPERATOR).await?.iter().map(user).collect()),
            Verb::UserPassword { email, password, forget_second_factors } => {
                let new = password.as_ref().map(|Hidden(text)| text.as_str());
                let (person, made) = app.user_password_set(OPERATOR, &email, new, forget_second_factors).await?;
                Answer::Password { user: User { password: true, ..user(&person) }, made }
            }
            Verb::UserLink { email } => {
                let (token, until) = app.user_link(OPERATOR, &email).await?;
                Answer::PasswordLink { email, token, until: date(until.as_micros()).unwrap_or_default() }
            }
            Verb::LoginList {} => Answer::Logins(app.login_list(OPERATOR)?.iter().map(login).collect()),
            Verb::LoginApprove { code, zone } => {
                Answer::LoginApproved { login: login(&app.login_approve(OPERATOR, &code, &zone).await?), zone }
            }
            Verb::LoginRefuse { code } => Answer::LoginRefused { login: login(&app.login_refuse(OPERATOR, &code)?) },
        })
    }

    /// Sends a message now, past the outbox: whoever asks wants to know what became of it.
    async fn mail_test(&self, address: &str) -> Result<Answer, String> {
        let mailer = self.mailer.as_ref().ok_or("this node sends no mail: set `smtp` and `from` under [mail] in poterne.toml")?;
        let (id, now) = (NoticeId::from_bytes(random_bytes()), self.app.instant());
        let notice = Notice::Test { at: now };
        let sent = tokio::time::timeout(MAIL_TIMEOUT, mailer.send(id, address, &notice, None, now)).await;
        let server = mailer.server().to_string();
        match sent {
            Ok(Ok(())) => Ok(Answer::MailTaken { address: address.to_owned(), server }),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(_) => Err(format!("the mail server {server} takes longer than {} seconds", MAIL_TIMEOUT.as_secs())),
        }
    }

    /// What the world sees of a zone, be it here or not.
    async fn dns_check(&self, name: &str, resolvers: &[SocketAddr]) -> Result<Answer, AppError> {
        let apex = Name::parse(name)?;
        let whole = self.app.zone_whole(OPERATOR, &apex).await?;
        let facts = async {
            let here = match whole {
                Some((zone, records)) => {
                    let (status, assigned) = (zone.status, self.app.assigned_name_servers(&zone));
                    let proof = match zone.partial {
                        true => Some((
                            PartialProof::of(&zone),
                            look(&self.resolver, &DueZone { zone, assigned: Vec::new() }).await.parent,
                        )),
                        false => None,
                    };
                    Some(Here { status, assigned, records, proof })
                }
                None => None,
            };
            check::gather(&self.resolver, self.app.account(), apex, here, resolvers).await
        };
        match tokio::time::timeout(CHECK_TIMEOUT, facts).await {
            Ok(facts) => Ok(Answer::Checked(check::report(&facts))),
            Err(_) => {
                let message = format!("the world took longer than {} seconds to answer: try again", CHECK_TIMEOUT.as_secs());
                Ok(Answer::Refused { message })
            }
        }
    }

    fn api_token(&self, token: &poterne_control_app::ApiToken) -> ApiToken {
        let told = token.told();
        ApiToken {
            id: told.id.to_string(),
            name: told.name.clone(),
            status: told.status(self.app.instant()).to_string(),
            last_used: token.last_used_at.and_then(date),
        }
    }
}

impl Administrator for Administration {
    async fn execute(&self, verb: Verb) -> Answer {
        // The verbs whose trouble is not the application's.
        if let Verb::MailTest { address } = &verb {
            return self.mail_test(address).await.unwrap_or_else(|message| Answer::Refused { message });
        }
        if let Verb::DnsCheck { name, resolvers } = &verb {
            let checked = self.dns_check(name, resolvers).await;
            return checked.unwrap_or_else(|error| Answer::Refused { message: error.to_string() });
        }
        if let Verb::Backup { path } = verb {
            return match backup::write(&self.app, &self.state, &path).await {
                Ok(bytes) => Answer::BackedUp { path, bytes },
                Err(error) => Answer::Refused { message: format!("{error:#}") },
            };
        }
        match self.try_execute(verb).await {
            Ok(answer) => answer,
            Err(error) => Answer::Refused { message: error.to_string() },
        }
    }
}

/// Opens store and application of a state directory that this process holds.
pub(crate) async fn open_app(
    state: &StateDir,
    config: &Config,
    node_key: &NodeKey,
    pin: [u8; 32],
    tables: Tables,
) -> anyhow::Result<(Store, App)> {
    let store = match config.control.store.as_str() {
        "sqlite" => Store::open_with(&state.join(state::STORE), tables).await?,
        url => Store::connect_with(url, tables).await?,
    };
    let settings = Settings {
        edges: config.agents_dial(),
        pin,
        nameservers: config.dns.nameservers.clone(),
        tunnel_domain: config.tunnel.domain.clone(),
        quick_domain: config.tunnel.quick_domain.clone(),
        cname_suffix: config.dns.cname_suffix.clone(),
        public_addresses: config.node.public_addresses.clone(),
        origins_allowed: config.origins_allowed(),
        node_names: config.node_names(),
        management_hostname: config.management_authority(),
        nodes: 1,
        activate: config.control.activate.iter().map(ToString::to_string).collect(),
        acme: config.acme_settings(),
        sends_mail: config.mail.smtp.is_some(),
        pages: config.pages(),
    };
    let app = App::open(store.clone(), node_key, settings, system_clock(), state.last_alive()).await?;
    Ok((store, app))
}

fn date(micros: i64) -> Option<String> {
    jiff::Timestamp::from_microsecond(micros).ok().map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn user(person: &poterne_control_app::Person) -> User {
    User {
        id: person.id.to_string(),
        email: person.email.clone(),
        password: person.password.is_some(),
        second_factor: person.second_factor,
        suspended: person.suspended,
    }
}

fn login(login: &poterne_control_app::LoginWaiting) -> Login {
    Login {
        code: login.code.clone(),
        source: login.source.to_string(),
        who: login.who.clone(),
        since: login.begun_at.max(0).unsigned_abs() / 1_000_000,
        approved: login.approved.as_ref().map(ToString::to_string),
    }
}

fn zone(zone: &poterne_control_app::Zone) -> Zone {
    Zone {
        id: zone.id.to_string(),
        name: zone.apex.to_string(),
        status: zone.status.as_str().into(),
        name_servers: zone.name_servers.iter().map(ToString::to_string).collect(),
    }
}

fn pack(shown: &PackShown) -> Pack {
    let certificate = shown.certificate.as_ref();
    Pack {
        hosts: shown.pack.hosts.iter().map(ToString::to_string).collect(),
        kind: shown.pack.kind.clone(),
        status: shown.status.to_owned(),
        issuer: certificate.map(|one| one.issuer.clone()).or_else(|| shown.authority.clone()),
        expires_at: certificate.and_then(|one| date(one.not_after)),
        next_at: shown.pack.due_at.and_then(date),
        error: shown.course.failure.as_ref().map(|failure| failure.trouble.to_string()),
    }
}

fn challenge(challenge: &poterne_control_app::Challenge) -> Challenge {
    let expires_at = date(challenge.expires_at).unwrap_or_default();
    Challenge { owner: challenge.owner.to_string(), text: challenge.text.clone(), expires_at }
}

fn tunnel(tunnel: &poterne_control_app::Tunnel) -> Tunnel {
    Tunnel {
        id: tunnel.id.to_string(),
        name: tunnel.name.clone(),
        status: None,
        since: None,
        created_at: date(tunnel.created_at),
        hostnames: Vec::new(),
        connectors: Vec::new(),
    }
}

fn info(info: &TunnelInfo) -> Tunnel {
    let connectors = info.connectors.iter().map(|connector| Connector {
        id: connector.id.to_string(),
        version: connector.version.clone(),
        arch: connector.arch.clone(),
        connections: connector
            .connections
            .iter()
            .map(|connection| {
                let transport = match connection.transport {
                    poterne_model::tunnel::Transport::Quic => "quic",
                    poterne_model::tunnel::Transport::Http2 => "http2",
                };
                let draining = if connection.draining { ", draining" } else { "" };
                format!(
                    "{} over {transport} from {} at {}{draining}",
                    connection.index, connection.origin_ip, connection.location
                )
            })
            .collect(),
    });
    Tunnel {
        status: Some(info.status.as_str().into()),
        since: info.since,
        hostnames: info.hostnames.iter().map(ToString::to_string).collect(),
        connectors: connectors.collect(),
        ..tunnel(&info.tunnel)
    }
}
