//! `poterne zone …`, `poterne tunnel …`, `poterne token …` and their like: asked of the running node; where none runs, done on its state under the same lock.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use poterne_tunnel_agent::terminal;

use crate::{
    admin::{
        client,
        protocol::{Answer, Hidden, Verb},
        server::Administrator as _,
    },
    administration::Administration,
    cli::{
        Admin, Backup, Cert, ChallengeVerb, DnsVerb, LoginVerb, MailVerb, MemberVerb, Restore, TokenVerb, TunnelVerb, Upgrade,
        UserVerb, ZoneVerb,
    },
    config::Config,
    password, print, state,
    state::StateDir,
};

/// `poterne zone …`.
pub async fn zone(verb: ZoneVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ZoneVerb::Add { name, admin } => run(Verb::ZoneAdd { name }, admin).await,
        ZoneVerb::Activate { name, admin } => run(Verb::ZoneActivate { name }, admin).await,
        ZoneVerb::Delete { name, force, purge, admin } => zone_delete(name, force, purge, &admin).await,
        ZoneVerb::Restore { name, admin } => run(Verb::ZoneRestore { name }, admin).await,
        ZoneVerb::Certificates { name, admin } => run(Verb::ZoneCertificates { name }, admin).await,
        ZoneVerb::List { deleted, admin } => run(Verb::ZoneList { deleted }, admin).await,
    }
}

async fn zone_delete(name: String, force: bool, purge: bool, admin: &Admin) -> anyhow::Result<ExitCode> {
    let config = Config::from_sources(&admin.sources)?;
    let mut answer = asked(&config, Verb::ZoneDelete { name: name.clone(), force, purge }).await?;
    if let Answer::Doubtful { message } = &answer {
        let mut error = std::io::stderr().lock();
        writeln!(error, "{message}")?;
        if !(std::io::stdin().is_terminal() && error.is_terminal()) {
            return Ok(ExitCode::FAILURE);
        }
        write!(error, "Write the zone's name to delete it all the same:\n> ")?;
        error.flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        if !line.trim().trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.')) {
            writeln!(error, "Nothing was deleted.")?;
            return Ok(ExitCode::FAILURE);
        }
        drop(error);
        answer = asked(&config, Verb::ZoneDelete { name, force: true, purge }).await?;
    }
    show(&answer, admin.json)
}

/// `poterne reload`.
pub async fn reload(admin: Admin) -> anyhow::Result<ExitCode> {
    of_a_running_node(Verb::Reload {}, admin).await
}

/// `poterne upgrade`.
pub async fn upgrade(verb: Upgrade) -> anyhow::Result<ExitCode> {
    let program = match verb.program {
        // The node has a directory of its own: it is told where the file is from anywhere.
        Some(program) => std::path::absolute(&program).with_context(|| format!("{} is no path", program.display()))?,
        None => std::env::current_exe().context("cannot tell where this program is; name it with --program")?,
    };
    of_a_running_node(Verb::Upgrade { program }, verb.admin).await
}

async fn of_a_running_node(verb: Verb, admin: Admin) -> anyhow::Result<ExitCode> {
    // The node reads the configuration, as its own user: here only its socket is looked for. A file that is wrong must not keep the
    // node from saying so.
    let dir = match (&admin.sources.state_dir, Config::from_sources(&admin.sources)) {
        (Some(dir), _) => dir.clone(),
        (None, config) => config?.node.state_dir,
    };
    match client::ask(&dir.join(state::SOCKET), &verb).await? {
        Some(Answer::Refused { message }) => bail!(message),
        Some(answer) => show(&answer, admin.json),
        None => bail!("no node runs with the state in {}: it begins with what there is when it starts", dir.display()),
    }
}

/// `poterne dns …`.
pub async fn dns(verb: DnsVerb) -> anyhow::Result<ExitCode> {
    let (name, resolver, admin) = match verb {
        DnsVerb::Check { name, resolver, admin } => (name, resolver, admin),
        DnsVerb::Challenge(ChallengeVerb::Put { name, text, hours, admin }) => {
            return run(Verb::ChallengePut { name, text, hours }, admin).await;
        }
        DnsVerb::Challenge(ChallengeVerb::Remove { name, text, admin }) => {
            return run(Verb::ChallengeRemove { name, text }, admin).await;
        }
    };
    let config = Config::from_sources(&admin.sources)?;
    let answer = asked(&config, Verb::DnsCheck { name, resolvers: resolver }).await?;
    let done = show(&answer, admin.json)?;
    Ok(if matches!(&answer, Answer::Checked(report) if report.has_problems()) { ExitCode::FAILURE } else { done })
}

/// `poterne tunnel …`.
pub async fn tunnel(verb: TunnelVerb) -> anyhow::Result<ExitCode> {
    match verb {
        TunnelVerb::Create { name, admin } => run(Verb::TunnelCreate { name }, admin).await,
        TunnelVerb::Route { hostname, tunnel, service, origin, admin } => {
            run(Verb::TunnelRoute { hostname, tunnel, service, origin: origin.keys() }, admin).await
        }
        TunnelVerb::Token { tunnel, admin } => run(Verb::TunnelToken { tunnel }, admin).await,
        TunnelVerb::List { admin } => run(Verb::TunnelList {}, admin).await,
        TunnelVerb::Info { tunnel, admin } => run(Verb::TunnelInfo { tunnel }, admin).await,
        TunnelVerb::Delete { tunnel, force, admin } => run(Verb::TunnelDelete { tunnel, force }, admin).await,
    }
}

/// `poterne backup`.
pub async fn backup(verb: Backup) -> anyhow::Result<ExitCode> {
    // The node has a directory of its own: it is told where the file is from anywhere.
    let path = std::path::absolute(&verb.file).with_context(|| format!("{} is no path", verb.file.display()))?;
    run(Verb::Backup { path }, verb.admin).await
}

/// `poterne restore`.
pub async fn restore(verb: Restore) -> anyhow::Result<ExitCode> {
    let config = Config::from_sources(&verb.sources)?;
    let dir = &config.node.state_dir;
    let state = StateDir::hold(dir)?;
    crate::backup::restore(&verb.file, &state)?;
    writeln!(std::io::stdout(), "{} holds the state of the backup. Start the node: poterne serve", state.path().display())?;
    Ok(ExitCode::SUCCESS)
}

/// `poterne cert`.
pub async fn cert(verb: Cert) -> anyhow::Result<ExitCode> {
    let config = Config::from_sources(&verb.admin.sources)?;
    let mut answer = asked(&config, Verb::Certificate { zone: verb.zone }).await?;
    if let (Answer::Certificate { api, authorities, .. }, Some(name)) = (&mut answer, &config.node.name) {
        let port = config.edge.https.first().map_or(443, std::net::SocketAddr::port);
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        *api = Some(format!("https://{name}{port}/client/v4"));
        // Without them an agent would have to be told whom to trust: the node's own certificate is its own work, unless files were given.
        *authorities = std::fs::read_to_string(config.node.state_dir.join(state::VISITORS_CA)).ok();
    }
    show(&answer, verb.admin.json)
}

/// `poterne login …`.
pub async fn login(verb: LoginVerb) -> anyhow::Result<ExitCode> {
    match verb {
        LoginVerb::List { admin } => run(Verb::LoginList {}, admin).await,
        LoginVerb::Approve { code, zone, admin } => run(Verb::LoginApprove { code, zone }, admin).await,
        LoginVerb::Refuse { code, admin } => run(Verb::LoginRefuse { code }, admin).await,
    }
}

/// `poterne token …`.
pub async fn token(verb: TokenVerb) -> anyhow::Result<ExitCode> {
    match verb {
        TokenVerb::Create { name, permissions, admin } => run(Verb::TokenCreate { name, permissions }, admin).await,
        TokenVerb::List { admin } => run(Verb::TokenList {}, admin).await,
        TokenVerb::Delete { id, admin } => run(Verb::TokenDelete { id }, admin).await,
    }
}

/// `poterne user …`.
pub async fn user(verb: UserVerb) -> anyhow::Result<ExitCode> {
    match verb {
        UserVerb::List { admin } => run(Verb::UserList {}, admin).await,
        UserVerb::Password { email, link: true, admin, .. } => run(Verb::UserLink { email }, admin).await,
        UserVerb::Password { email, generate, forget_second_factors, admin, .. } => {
            let password = if generate { None } else { Some(Hidden(password::ask(&email)?)) };
            run(Verb::UserPassword { email, password, forget_second_factors }, admin).await
        }
    }
}

/// `poterne member …`.
pub async fn member(verb: MemberVerb) -> anyhow::Result<ExitCode> {
    match verb {
        MemberVerb::Invite { email, roles, admin } => run(Verb::MemberInvite { email, roles }, admin).await,
    }
}

/// `poterne mail …`.
pub async fn mail(verb: MailVerb) -> anyhow::Result<ExitCode> {
    match verb {
        MailVerb::Test { address, admin } => run(Verb::MailTest { address }, admin).await,
    }
}

async fn run(verb: Verb, admin: Admin) -> anyhow::Result<ExitCode> {
    let config = Config::from_sources(&admin.sources)?;
    show(&asked(&config, verb).await?, admin.json)
}

async fn asked(config: &Config, verb: Verb) -> anyhow::Result<Answer> {
    let answer = match client::ask(&config.node.state_dir.join(state::SOCKET), &verb).await? {
        Some(answer) => answer,
        None => without_a_node(config, verb).await?,
    };
    match answer {
        Answer::Refused { message } => bail!(message),
        answer => Ok(answer),
    }
}

fn show(answer: &Answer, as_json: bool) -> anyhow::Result<ExitCode> {
    let text = if as_json {
        format!("{}\n", terminal::json(&json(answer)?.to_string()))
    } else {
        print::render(answer, SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The verb on a state that no node holds.
async fn without_a_node(config: &Config, verb: Verb) -> anyhow::Result<Answer> {
    let dir = &config.node.state_dir;
    if !has_state(dir) {
        bail!(
            "there is no state in {}: start the node once with `poterne serve`, or name its directory with --state-dir",
            dir.display()
        );
    }
    let state = StateDir::hold(dir).context("no node answers, and its state cannot be opened")?;
    let administration = Administration::open(&state, config).await?;
    Ok(administration.execute(verb).await)
}

fn has_state(dir: &Path) -> bool {
    // A directory that may not be looked into is not one without state: `hold` says what is wrong with it.
    dir.join(state::STORE).try_exists().unwrap_or(true)
}

/// What `--json` prints: the answer itself, without the envelope that tells answers apart.
fn json(answer: &Answer) -> serde_json::Result<serde_json::Value> {
    let value = serde_json::to_value(answer)?;
    Ok(match value {
        serde_json::Value::Object(tagged) if tagged.len() == 1 => {
            tagged.into_iter().next().map_or(serde_json::Value::Null, |(_, value)| value)
        }
        value => value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::Zone;

    #[test]
    fn json_is_the_answer_itself() {
        let zone = Zone { id: "1".into(), name: "a.b".into(), status: "active".into(), name_servers: Vec::new() };
        let one = json(&Answer::Zone(zone.clone())).unwrap();
        assert_eq!(one["name"], "a.b");
        assert_eq!(json(&Answer::Zones(vec![zone])).unwrap()[0]["status"], "active");
    }
}
