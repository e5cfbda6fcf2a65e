//! Tunnels (api-v4 §6). `/accounts/{account}/tunnels` is the older name of the same, without its type.

use axum::extract::State;
use base64::{Engine, prelude::BASE64_STANDARD};
use poterne_control_app::{AppError, ConfigSource, RecordOutcome, Tunnel, TunnelFilter, TunnelInfo};
use poterne_control_wire::{
    WireTime,
    query::{
        self, Parameter,
        page::{Page, PageLimits},
    },
    tunnel::{ConnectionObject, ConnectorObject, RoutedObject, TunnelObject},
    tunnel_configuration::ConfigurationObject,
};
use poterne_keys::Secret;
use poterne_model::{
    AccountId, At, ConnectorId, Schema, ShapeError, Timestamp, TunnelId, TunnelStatus, ZoneId, permission::Subject,
};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids, Ids3},
    routes::{Routes, edits, known, reads},
};

/// Longest name that is looked at.
const NAME_MAX: usize = 200;

/// Where a tunnel's configuration may be kept.
const SOURCES: &[&str] = &["local", "cloudflare"];

/// Fewest bytes of a secret, and the most that are kept.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=128;

/// Longest text of one that is looked at.
const SECRET_TEXT_MAX: usize = 400;

/// Under `/accounts/{account}`, and `route dns`'s own.
pub(crate) fn routes() -> Routes {
    let route_op =
        edits(Subject::DnsRecords, "Lead a hostname through a tunnel").about("Needs to read the account's tunnels, too.");
    let start =
        Routes::of("Tunnels", "Tunnels, their connectors and configurations. `tunnels` is the older name of `cfd_tunnel`.");
    let mut routes = start.put("/zones/{zone}/tunnels/{tunnel}/routes", route, route_op.body(route_schema()));
    let tunnels = Subject::Tunnels;
    for base in ["/accounts/{account}/cfd_tunnel", "/accounts/{account}/tunnels"] {
        let path = |rest: &str| format!("{base}{rest}");
        let (one, configurations, connections_at) =
            (path("/{tunnel}"), path("/{tunnel}/configurations"), path("/{tunnel}/connections"));
        let client = Parameter::new("client_id", Schema::uuid("a connector"), "that one alone");
        let cascade = Parameter::boolean("cascade", "with its connections");
        routes = routes
            .get(base, list, reads(tunnels, "List tunnels").pages(PageLimits::TUNNELS).query(parameters()))
            .post(base, create, edits(tunnels, "Make a tunnel").body(tunnel_schema(true)).says([409]))
            .get(&one, show, reads(tunnels, "Show a tunnel"))
            .patch(&one, change, edits(tunnels, "Change a tunnel's name or secret").body(tunnel_schema(false)).says([409]))
            .delete(&one, delete, edits(tunnels, "Delete a tunnel").query([cascade]))
            .get(&path("/{tunnel}/token"), token, edits(tunnels, "Tell a tunnel's token"))
            .get(&configurations, configuration, reads(tunnels, "Show a tunnel's configuration"))
            .put(&configurations, configure, edits(tunnels, "Configure a tunnel").body(configuration_schema()))
            .get(&connections_at, connections, reads(tunnels, "List a tunnel's connectors"))
            .delete(&connections_at, clean_up, edits(tunnels, "Drop a tunnel's connections").query([client]))
            .get(&path("/{tunnel}/connectors/{connector}"), connector, reads(tunnels, "Show a connector"));
    }
    // Agents of another kind: there are none, and dashboards ask.
    let none_op = known("List agents of another kind").about("There are none.").pages(PageLimits::TUNNELS);
    routes.get("/accounts/{account}/warp_connector", none, none_op)
}

fn tunnel_schema(is_new: bool) -> Schema {
    let name = Schema::text(NAME_MAX).not_empty();
    let secret = Schema::text(400).with("contentEncoding", "base64").about("32 to 128 bytes; left out, it is made, or stays");
    let source =
        Schema::one_of(SOURCES).by_default("local").about("where its configuration is kept: here, or in the agent's own file");
    if is_new {
        let members = [("name", name.required()), ("config_src", source), ("tunnel_secret", secret)];
        return Schema::object(members).named("NewTunnel").example(json!({ "name": "web", "config_src": "cloudflare" }));
    }
    Schema::object([("name", name), ("tunnel_secret", secret)]).named("TunnelChanges").example(json!({ "name": "web-2" }))
}

/// What agents would take, they decide: here is what they look at first.
fn configuration_schema() -> Schema {
    let rule = Schema::object([
        ("hostname", Schema::text(254).about("absent: every other; the last rule has none")),
        ("path", Schema::text(1000).about("a regular expression")),
        ("service", Schema::text(4096).required().about("as in http://localhost:8080 or http_status:404")),
        ("originRequest", Schema::object([])),
    ]);
    let config = [
        ("ingress", Schema::list(rule)),
        ("originRequest", Schema::object([])),
        ("warp-routing", Schema::object([("enabled", Schema::boolean())])),
    ];
    let rules = json!([{ "hostname": "app.example.com", "service": "http://localhost:8080" }, { "service": "http_status:404" }]);
    let example = json!({ "config": { "ingress": rules } });
    Schema::object([("config", Schema::object(config).required())]).named("NewConfiguration").example(example)
}

fn route_schema() -> Schema {
    let members = [
        ("type", Schema::one_of(&["dns"]).required()),
        ("user_hostname", Schema::text(255).not_empty().required()),
        ("overwrite_existing", Schema::boolean().by_default(false)),
    ];
    Schema::object(members).named("NewHostname").example(json!({ "type": "dns", "user_hostname": "app.example.com" }))
}

shown![TunnelObject, ConnectorObject, ConfigurationObject, RoutedObject];

fn micros(micros: i64) -> WireTime {
    WireTime(Timestamp::from_micros(micros))
}

fn object(info: TunnelInfo) -> TunnelObject {
    let TunnelInfo { tunnel, status, connectors, .. } = info;
    TunnelObject {
        id: tunnel.id,
        account_tag: Some(tunnel.account),
        name: tunnel.name,
        created_at: micros(tunnel.created_at),
        deleted_at: tunnel.deleted_at.map(micros),
        conns_active_at: tunnel.conns_active_at.map(micros),
        conns_inactive_at: tunnel.conns_inactive_at.map(micros),
        connections: connectors.iter().flat_map(ConnectionObject::of).collect(),
        tun_type: "cfd_tunnel".to_owned(),
        status: Some(status),
        config_src: tunnel.config_source.as_str().to_owned(),
        remote_config: tunnel.config_source == ConfigSource::Remote,
        metadata: json!({}),
        token: None,
        credentials_file: None,
    }
}

/// What [`filter`] reads.
fn parameters() -> [Parameter; 11] {
    let prefixes = |name: &str, about: &str| Parameter::list(name, Schema::text(NAME_MAX), about);
    [
        Parameter::new("uuid", Schema::uuid("a tunnel"), "that tunnel alone"),
        Parameter::text("name", "of that name"),
        prefixes("name_prefix", "whose names begin with one of these"),
        prefixes("include_prefix", "the same"),
        prefixes("exclude_prefix", "whose names begin with none of these"),
        Parameter::boolean("is_deleted", "deleted ones, or those that are there; absent: both"),
        Parameter::instant("existed_at", "that were there then"),
        Parameter::instant("was_active_at", "whose connections had begun by then"),
        Parameter::instant("was_inactive_at", "whose connections had ended by then"),
        Parameter::list("status", Schema::one_of(&["inactive", "healthy", "degraded", "down"]), "that are so"),
        Parameter::list("tun_types", Schema::text(64), "of these types; there is cfd_tunnel alone"),
    ]
}

/// Which tunnels a list is of, and how they are (api-v4 §6.1).
fn filter(query: &query::Query) -> Result<(TunnelFilter, Option<Vec<TunnelStatus>>), query::QueryError> {
    let instant = |name| Ok::<_, query::QueryError>(query.instant(name)?.map(Timestamp::as_micros));
    let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut prefixes = owned(query.list("name_prefix")?);
    prefixes.extend(owned(query.list("include_prefix")?));
    let mut statuses = query.list("status")?;
    let types = query.list("tun_types")?;
    if !types.is_empty() && !types.contains(&"cfd_tunnel") {
        // None is of another type: none is in any of these words.
        statuses = vec!["none"];
    }
    let known = |word: &&str| TunnelStatus::ALL.into_iter().find(|status| status.as_str() == *word);
    let statuses = (!statuses.is_empty()).then(|| statuses.iter().filter_map(known).collect());
    let filter = TunnelFilter {
        id: query.parsed("uuid")?,
        name: query.text("name").map(str::to_owned),
        prefixes,
        excluded: owned(query.list("exclude_prefix")?),
        deleted: query.boolean("is_deleted")?,
        existed_at: instant("existed_at")?,
        active_at: instant("was_active_at")?,
        inactive_at: instant("was_inactive_at")?,
        statuses: None,
    };
    Ok((filter, statuses))
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<TunnelObject>> {
    let page = Page::read(&query, PageLimits::TUNNELS)?;
    let (filter, statuses) = filter(&query)?;
    let (shown, total) = door.app.tunnel_page(&caller, account, filter, statuses, page.offset(), page.per_page).await?;
    let shown: Vec<_> = shown.into_iter().map(object).collect();
    let info = page.info(shown.len(), total);
    Ok(Answer::part(shown, info))
}

fn secret(body: &At<'_>) -> Result<Option<Secret>, ShapeError> {
    let Some(given) = body.member("tunnel_secret").filter(|given| given.value != "") else { return Ok(None) };
    let text = given.value.as_str().filter(|text| text.len() <= SECRET_TEXT_MAX).unwrap_or_default();
    let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
    // The value is not repeated: it is a secret, if a wrong one.
    let why = "the tunnel's secret is not base64 of 32 to 128 bytes: leave it out, and one is made";
    bytes.map(|bytes| Some(Secret::new(bytes))).ok_or_else(|| ShapeError::new(given.pointer(), why))
}

async fn create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<TunnelObject> {
    let body = At::body(&body);
    let name = body.required("name")?.text(NAME_MAX)?;
    let source = body.member("config_src").map(|source| source.one_of(SOURCES)).transpose()?;
    let source = if source == Some("cloudflare") { ConfigSource::Remote } else { ConfigSource::Local };
    let new = door.app.tunnel_create_in(&caller, account, name, source, secret(&body)?).await?;
    let described = door.app.tunnels_described(vec![new.tunnel.clone()]).await.map_err(AppError::once_kept)?;
    let Some(info) = described.into_iter().next() else { return Err(Answer::no_route(name)) };
    let credentials = json!({
        "AccountTag": new.tunnel.account, "TunnelID": new.tunnel.id, "TunnelName": new.tunnel.name,
        "TunnelSecret": BASE64_STANDARD.encode(new.secret.expose()),
    });
    let token = Some(new.token.to_string());
    Ok(Answer::success(TunnelObject { token, credentials_file: Some(credentials), ..object(info) }))
}

type OfAccount = Ids<AccountId, TunnelId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<TunnelObject> {
    Ok(Answer::success(object(door.app.tunnel_object(&caller, account, id).await?)))
}

async fn change(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Json(body): Json,
) -> Answered<TunnelObject> {
    let body = At::body(&body);
    body.object()?;
    let name = body.member("name").map(|name| name.text(NAME_MAX)).transpose()?;
    Ok(Answer::success(object(door.app.tunnel_change(&caller, account, id, name, secret(&body)?).await?)))
}

async fn delete(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Query(query): Query,
) -> Answered<TunnelObject> {
    let cascade = query.boolean("cascade")?.unwrap_or(false);
    let tunnel = door.app.tunnel_remove(&caller, account, id, cascade).await?;
    let described = door.app.tunnels_described(vec![tunnel]).await.map_err(AppError::once_kept)?;
    described.into_iter().next().map(|info| Answer::success(object(info))).ok_or_else(|| Answer::no_route("tunnel"))
}

async fn token(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<String> {
    Ok(Answer::success(door.app.tunnel_token_of(&caller, account, id).await?.to_string()))
}

fn configured(tunnel: &Tunnel, configuration: Option<&poterne_control_app::Configuration>) -> ConfigurationObject {
    ConfigurationObject {
        account_id: Some(tunnel.account),
        tunnel_id: tunnel.id,
        version: configuration.map_or(0, |configuration| u64::from(configuration.version.unsigned_abs())),
        config: configuration.and_then(|configuration| serde_json::from_str(&configuration.json).ok()),
        source: tunnel.config_source.as_str().to_owned(),
        created_at: micros(configuration.map_or(tunnel.created_at, |configuration| configuration.created_at)),
    }
}

async fn configuration(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<ConfigurationObject> {
    let (tunnel, configuration) = door.app.tunnel_configuration(&caller, account, id).await?;
    Ok(Answer::success(configured(&tunnel, configuration.as_ref())))
}

async fn configure(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Json(body): Json,
) -> Answered<ConfigurationObject> {
    let (tunnel, configuration) = door.app.tunnel_configure(&caller, account, id, &At::body(&body)).await?;
    Ok(Answer::success(configured(&tunnel, Some(&configuration))))
}

async fn connectors(
    door: &Door,
    caller: &poterne_control_app::Caller,
    account: AccountId,
    id: TunnelId,
) -> Result<Vec<ConnectorObject>, Answer<()>> {
    let info = door.app.tunnel_object(caller, account, id).await?;
    let (_, configuration) = door.app.tunnel_configuration(caller, account, id).await?;
    let config_version = configuration.map_or(0, |configuration| configuration.version);
    Ok(info.connectors.iter().map(|connector| ConnectorObject::new(connector, config_version)).collect())
}

async fn connections(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<Vec<ConnectorObject>> {
    Ok(Answer::success(connectors(&door, &caller, account, id).await?))
}

async fn connector(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(account, id, connector): Ids3<AccountId, TunnelId, ConnectorId>,
) -> Answered<ConnectorObject> {
    let found = connectors(&door, &caller, account, id).await?.into_iter().find(|found| found.id == connector);
    found.map(Answer::success).ok_or_else(|| Answer::no_route(&format!("connector {connector}")))
}

async fn clean_up(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Query(query): Query,
) -> Answered<Value> {
    door.app.tunnel_clean_up(&caller, account, id, query.parsed("client_id")?).await?;
    Ok(Answer::success(json!({})))
}

async fn none(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<[Value; 0]> {
    door.app.account_get(&caller, account).await?;
    let page = Page::read(&query, PageLimits::TUNNELS)?;
    Ok(Answer::part([], page.info(0, 0)))
}

async fn route(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, tunnel): Ids<ZoneId, TunnelId>,
    Json(body): Json,
) -> Answered<RoutedObject> {
    let body = At::body(&body);
    let kind = body.required("type")?;
    if kind.one_of(&["dns", "lb"])? == "lb" {
        return Err(kind.wrong("load balancers are not offered yet; write \"dns\"").into());
    }
    let hostname = body.required("user_hostname")?.text(255)?;
    let overwrite = body.member("overwrite_existing").map_or(Ok(false), |given| given.boolean())?;
    let routed = door.app.route_dns(&caller, zone, tunnel, hostname, overwrite).await?;
    let outcome = match routed.outcome {
        RecordOutcome::New => "new",
        RecordOutcome::Updated => "updated",
        RecordOutcome::Unchanged => "unchanged",
    };
    let (cname, name) = (outcome.to_owned(), routed.name.to_string());
    Ok(Answer::success(RoutedObject { cname, name, dns_tag: Some(routed.record) }))
}
