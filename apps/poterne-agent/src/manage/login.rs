//! `login`: from who a person is to a cert.pem.
//!
//! The stock agent opens a page and polls a fixed host of another company; nobody else can answer there. Here the node is named. The agent
//! shows a code that the node's operator approves; or it is given an API token, or the cert.pem that the operator printed, and tries that
//! out at the node before anything is written.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use http::Method;
use poterne_control_wire::{
    CERTIFICATE_BYTES_MAX, LoginCertificate,
    login::{LoginObject, LoginOutcome},
};
use poterne_tunnel_agent::{Trust, terminal::plain};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    api::{Api, Refused, base_of},
    cli::LoginFlags,
    session::{CERTIFICATE, expand, home, read, write_new},
};
use crate::print;

/// Longest that a code is waited for, whatever the node says.
const CODE_LIFE_MAX: Duration = Duration::from_secs(1800);
/// Longest name of the machine that the node is told.
const WHO_CHARS_MAX: usize = 64;
/// Zones told where one has to be chosen.
const ZONES_TOLD: usize = 20;

pub(crate) async fn log_in(flags: LoginFlags) -> anyhow::Result<ExitCode> {
    let path = flags.origincert.as_deref().map_or_else(default_path, |given| Ok(expand(given)))?;
    let base = flags.url.as_deref().map(base_of).transpose()?;
    if fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        return already(&path, base.as_deref());
    }
    let Some(base) = base else { bail!("which node? `poterne-agent login --url https://NODE`") };
    let (trust, authorities) = match &flags.cacert {
        Some(file) => {
            let pem = fs::read_to_string(file).with_context(|| format!("cannot read the CA file {}", file.display()))?;
            (Trust::CaPem(pem.clone()), Some(pem))
        }
        None => (Trust::WebPki, None),
    };
    let mut certificate = match proof(flags.api_token)? {
        Some(given) if given.contains("-----BEGIN") => {
            let certificate = LoginCertificate::parse(&given).context("what was given is no cert.pem")?;
            let authorities = authorities.is_none().then(|| certificate.authorities.clone()).flatten();
            let trust = authorities.clone().map_or(trust, Trust::WebPkiAnd);
            let api = Api::new(&base, &certificate.token, trust, None)?;
            let path = format!("/zones/{}", certificate.zone);
            let zone: Zone = api.ask(Method::GET, &path, None).await.map_err(|error| why(error, "cert.pem"))?;
            let mut certificate = certified(&zone, &certificate.token);
            certificate.authorities = authorities;
            certificate
        }
        Some(token) => {
            let api = Api::new(&base, &token, trust, None)?;
            let verified: anyhow::Result<Value> = api.ask(Method::GET, "/user/tokens/verify", None).await;
            verified.map_err(|error| why(error, "token"))?;
            certified(&zone(&api, flags.zone.as_deref()).await?, &token)
        }
        None => by_code(&Api::new(&base, "", trust, None)?, flags.zone.as_deref()).await?,
    };
    certificate.api = Some(base);
    certificate.authorities = authorities.or(certificate.authorities.take());
    make_dir(&path)?;
    // An empty file is as good as none.
    if fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
        fs::remove_file(&path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    write_new(&path, Zeroizing::new(certificate.encode()).as_bytes(), 0o600)?;
    print(&format!(
        "You are logged in. {} says so: as secret as a password, and all that these verbs need on another machine too.\n\
         Next:  poterne-agent tunnel create NAME\n",
        path.display()
    ))
}

/// Whether it was the proof's fault.
fn why(error: anyhow::Error, proof: &str) -> anyhow::Error {
    let refused = error.downcast_ref::<Refused>().is_some();
    if refused { error.context(format!("the node does not take that {proof}")) } else { error }
}

/// A second login would make the first one's file worthless to whoever still uses it: as the stock agent, it leaves the file alone.
fn already(path: &Path, base: Option<&str>) -> anyhow::Result<ExitCode> {
    let there = read(path).ok().and_then(|there| there.api.clone());
    let again = "move or delete that file to log in anew";
    match (there, base) {
        (Some(there), Some(base)) if there != base => bail!("{} is of another node, {}: {again}", path.display(), plain(&there)),
        (there, _) => {
            let node = there.map_or_else(String::new, |there| format!(", to {}", plain(&there)));
            tracing::warn!("You are logged in already{node}: {}; {again}", path.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn default_path() -> anyhow::Result<PathBuf> {
    let home = home().context("HOME is not set, so there is no place for cert.pem: name one with --origincert")?;
    Ok(home.join(".cloudflared").join(CERTIFICATE))
}

fn make_dir(path: &Path) -> anyhow::Result<()> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// The token or cert.pem, from the line or stdin, where one was given.
fn proof(given: Option<String>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let Some(given) = given.map(Zeroizing::new) else { return Ok(None) };
    let text = if given.as_str() == "-" { from_stdin()? } else { given };
    let text = Zeroizing::new(text.trim().to_owned());
    ensure!(!text.is_empty(), "no token was given");
    Ok(Some(text))
}

/// Shows a code, and waits until the node's operator has approved it.
async fn by_code(api: &Api, zone: Option<&str>) -> anyhow::Result<LoginCertificate> {
    let body = json!({ "who": machine() });
    let begun: LoginObject = api.ask(Method::POST, "/poterne/login", Some(&body)).await.context(
        "a login by code could not be begun; `--api-token -` takes a token from stdin, or what `poterne cert ZONE` prints on the node",
    )?;
    let secret = Zeroizing::new(begun.secret.clone());
    let minutes = begun.expires_in.min(CODE_LIFE_MAX.as_secs()) / 60;
    let text = format!(
        "On the node, its operator types:\n\n    poterne login approve {} {}\n\n\
         Whoever approves the code lets this machine change tunnels and names: give it to nobody but the operator.\n\
         It is good for {minutes} minutes. Waiting ...\n",
        plain(&begun.code),
        zone.unwrap_or("ZONE")
    );
    std::io::stderr().write_all(text.as_bytes())?;
    let pause = Duration::from_secs(begun.interval.clamp(1, 30));
    let ends = Instant::now() + Duration::from_secs(begun.expires_in).min(CODE_LIFE_MAX);
    let body = json!({ "secret": secret.as_str() });
    loop {
        tokio::time::sleep(pause).await;
        let outcome: anyhow::Result<LoginOutcome> = api.ask(Method::POST, "/poterne/login/claim", Some(&body)).await;
        match outcome {
            Ok(LoginOutcome::Approved { zone_id, zone_name, account_id, api_token }) => {
                // Nobody may be reading any more; the token is here all the same.
                let _ = std::io::stderr().write_all(format!("Approved, for {zone_name}.\n").as_bytes());
                return Ok(LoginCertificate {
                    zone: zone_id.to_string(),
                    account: account_id.to_string(),
                    token: api_token,
                    api: None,
                    authorities: None,
                });
            }
            Ok(LoginOutcome::Waiting) => {}
            // A node that starts anew is back in a moment, and has forgotten the code.
            Err(error) if error.downcast_ref::<Refused>().is_some() => {
                return Err(error.context("the code was refused, or is too old: log in anew"));
            }
            Err(error) => tracing::warn!("{error:#}; trying again"),
        }
        if Instant::now() >= ends {
            bail!("nobody approved the code in time: log in anew");
        }
    }
}

/// What this machine calls itself.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().take(WHO_CHARS_MAX).collect()
}

fn from_stdin() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let max = CERTIFICATE_BYTES_MAX as u64 + 1;
    std::io::stdin().lock().take(max).read_to_string(&mut text).context("stdin cannot be read as text")?;
    Ok(text)
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    name: String,
    account: Account,
}

#[derive(Deserialize)]
struct Account {
    id: String,
}

fn certified(zone: &Zone, token: &str) -> LoginCertificate {
    LoginCertificate {
        zone: zone.id.clone(),
        account: zone.account.id.clone(),
        token: token.to_owned(),
        api: None,
        authorities: None,
    }
}

/// The zone named, or the only one that the token sees.
async fn zone(api: &Api, named: Option<&str>) -> anyhow::Result<Zone> {
    let filters: Vec<(&str, String)> = named.map(|name| ("name", name.to_owned())).into_iter().collect();
    let zones: Vec<Zone> = api.list("/zones", &filters).await?;
    choose(zones, named)
}

fn choose(mut zones: Vec<Zone>, named: Option<&str>) -> anyhow::Result<Zone> {
    match (zones.len(), named) {
        (1, _) => zones.pop().context("there is one"),
        (0, Some(name)) => bail!("the token sees no zone {name}: `poterne zone list` on the node shows what there is"),
        (0, None) => {
            bail!("the token sees no zone: give it `Zone Read`, or add a zone first (`poterne zone add example.org` on the node)")
        }
        (count, _) => {
            let names: Vec<String> = zones.iter().take(ZONES_TOLD).map(|zone| plain(&zone.name)).collect();
            let more = if count > ZONES_TOLD { format!(" and {} more", count - ZONES_TOLD) } else { String::new() };
            bail!(
                "the token sees {count} zones; choose the one whose names are to be led with --zone: {}{more}",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &[&str]) -> Vec<Zone> {
        let zone = |name: &&str| Zone { id: format!("id of {name}"), name: (*name).into(), account: Account { id: "a".into() } };
        names.iter().map(zone).collect()
    }

    #[test]
    fn the_only_zone_is_taken_and_several_are_told() {
        assert_eq!(choose(zones(&["a.test"]), None).ok().unwrap().id, "id of a.test");
        let told = |names: &[&str], named| choose(zones(names), named).err().unwrap().to_string();
        assert!(told(&[], None).contains("`Zone Read`"));
        assert!(told(&[], Some("b.test")).contains("no zone b.test"));
        assert!(told(&["a.test", "b.test"], None).ends_with("with --zone: a.test, b.test"));
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let mut there = certified(&zones(&["a.test"])[0], "t");
        there.api = Some("https://node.example/client/v4".into());
        fs::write(&path, there.encode()).unwrap();
        assert!(already(&path, None).is_ok() && already(&path, Some("https://node.example/client/v4")).is_ok());
        let error = already(&path, Some("https://other.example/client/v4")).unwrap_err().to_string();
        assert!(error.contains("another node, https://node.example/client/v4"), "{error}");
    }
}
