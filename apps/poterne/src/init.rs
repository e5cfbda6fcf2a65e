//! `poterne init`: from a fresh machine to a node that can be started.
//!
//! What it asks can be given by flags, and must be where nobody sits at a terminal. It writes a configuration in which every key stands
//! documented and the answers are set, makes the state (keys, authorities, store, the first account and its owner), and says what is left
//! to do elsewhere: at the registrar, and in the firewall. Nothing that is there already is written over.

mod ask;
mod unit;

use std::{
    fs::{self, OpenOptions},
    io::{IsTerminal as _, Write as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use poterne_control_app::Caller;
use poterne_model::Name;

use crate::{
    administration::Administration,
    cli::Init,
    config::{Config, keys},
    state::StateDir,
};

/// Where the configuration is looked for.
const CONFIG: &str = "/etc/poterne/poterne.toml";

/// What a node must be told.
struct Answers {
    name: Name,
    addresses: Vec<IpAddr>,
    email: String,
}

/// Does it.
pub async fn run(arguments: Init) -> anyhow::Result<ExitCode> {
    let path = arguments.config.clone().unwrap_or_else(|| CONFIG.into());
    ensure!(!path.exists(), "{} is there already: edit it, or name another file with --config", path.display());
    if arguments.systemd {
        unit::check()?;
    }
    let answers = answers(&arguments)?;
    let text = configuration(&answers, arguments.state_dir.as_deref());
    write(&path, &text)?;
    let made = state(&path, arguments.state_dir.as_deref(), &answers).await;
    if made.is_err() {
        // So that the next try does not stumble over this one.
        let _ = fs::remove_file(&path);
    }
    let code = made?;
    if arguments.systemd {
        unit::install(&path)?;
    }
    say(&mut std::io::stdout(), &path, &answers, &code, arguments.systemd)?;
    Ok(ExitCode::SUCCESS)
}

fn answers(arguments: &Init) -> anyhow::Result<Answers> {
    let mut asked = ask::Asker::new(std::io::stdin().is_terminal());
    let name = asked.value(
        arguments.name.as_deref(),
        "--name",
        "The node's own name, which leads to this machine, as in node.example.net",
        |text| Name::parse(text).map_err(|error| error.to_string()),
    )?;
    let given = (!arguments.address.is_empty()).then(|| arguments.address.join(","));
    let addresses = asked.value(
        given.as_deref(),
        "--address",
        "The addresses the world reaches this machine at, separated by commas, as in 203.0.113.10,2001:db8::10",
        addresses,
    )?;
    let email = asked.value(arguments.email.as_deref(), "--email", "Your e-mail address, the first administrator's", email)?;
    Ok(Answers { name, addresses, email })
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read =
        parts.map(|part| part.parse::<IpAddr>().map_err(|_| format!("{part:?} is no address; write one as in 203.0.113.10")));
    let addresses: Vec<IpAddr> = read.collect::<Result<_, _>>()?;
    if addresses.is_empty() { Err("one address at least is needed".into()) } else { Ok(addresses) }
}

/// As far as a program can tell: something, an @, and a domain.
fn email(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no e-mail address; write one as in admin@example.net");
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let fine = !local.is_empty() && text.len() <= 254 && text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if fine && domain.contains('.') && Name::parse(domain).is_ok() { Ok(text.to_lowercase()) } else { Err(wrong()) }
}

/// The template with the answers in their places.
fn configuration(answers: &Answers, state_dir: Option<&Path>) -> String {
    let list: Vec<String> = answers.addresses.iter().map(|address| format!("{:?}", address.to_string())).collect();
    let mut set = vec![
        ("node", "name", format!("{:?}", answers.name.as_str())),
        ("node", "public_addresses", format!("[{}]", list.join(", "))),
    ];
    if let Some(state_dir) = state_dir {
        set.push(("node", "state_dir", toml::Value::from(state_dir.display().to_string()).to_string()));
    }
    keys::template_with(&set)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    // It may come to hold a database's password.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
    let mut file = file.with_context(|| {
        format!("{} cannot be written; run this with sudo, or name another file with --config", path.display())
    })?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

/// Keys, authorities, store, the account and its owner; the code with which the owner sets their password.
async fn state(path: &Path, state_dir: Option<&Path>, answers: &Answers) -> anyhow::Result<String> {
    let mut config = Config::load(Some(path), std::iter::empty(), &[])?;
    if let Some(state_dir) = state_dir {
        config.node.state_dir = PathBuf::from(state_dir);
    }
    let state = StateDir::hold(&config.node.state_dir)?;
    if state.found() {
        bail!("{} holds a state already: name another with --state-dir", state.path().display());
    }
    let administration = Administration::open(&state, &config).await?;
    administration.app().own_by(&answers.email).await?;
    let (code, _) = administration.app().user_link(&Caller::Operator, &answers.email).await?;
    Ok(code)
}

fn say(out: &mut impl std::io::Write, path: &Path, answers: &Answers, code: &str, with_unit: bool) -> std::io::Result<()> {
    let name = &answers.name;
    writeln!(out, "{} is written, and the state is made.\n", path.display())?;
    writeln!(out, "At the registrar or name server of {name}, so that the world finds this machine:\n")?;
    for address in &answers.addresses {
        let kind = if address.is_ipv4() { "A   " } else { "AAAA" };
        writeln!(out, "    {name}.  {kind}  {address}")?;
    }
    writeln!(out, "\nIn the firewall: let in 80 and 443 (tcp), and 7844 (tcp and udp) for the agents.\n")?;
    if with_unit {
        writeln!(out, "The node runs: systemctl status poterne; journalctl -u poterne")?;
    } else {
        writeln!(out, "Start the node:    poterne serve --config {}", path.display())?;
    }
    writeln!(out, "Set your password: poterne user password {} --config {}", answers.email, path.display())?;
    writeln!(out, "                   or by API, once and within a day, with the code {code}")?;
    writeln!(out, "Add a domain:      poterne zone add example.org --config {}", path.display())?;
    writeln!(out, "Drive it by API:   poterne token create --name me --permissions all --config {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_people_write_them() {
        assert_eq!(addresses("203.0.113.10, 2001:db8::10").unwrap().len(), 2);
        assert!(addresses("").is_err() && addresses("here").unwrap_err().contains("here"));
        assert_eq!(email("Admin@Example.NET").unwrap(), "admin@example.net");
        for wrong in ["admin", "@example.net", "a b@example.net", "admin@localhost", "admin@"] {
            assert!(email(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_configuration_says_what_was_answered_and_documents_the_rest() {
        let answers = Answers {
            name: Name::parse("node.example.net").unwrap(),
            addresses: vec![[203, 0, 113, 10].into()],
            email: "a@example.net".into(),
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/poterne.toml");
        write(&path, &configuration(&answers, Some(Path::new("/srv/poterne \"x\"")))).unwrap();
        let config = Config::load(Some(&path), std::iter::empty(), &[]).unwrap();
        assert_eq!(config.node.name, Some(answers.name.clone()));
        assert_eq!(config.node.public_addresses, answers.addresses);
        assert_eq!(config.node.state_dir, Path::new("/srv/poterne \"x\""));
        assert!(write(&path, "").unwrap_err().to_string().contains("poterne.toml"), "nothing is written over");
        let mut out = Vec::new();
        say(&mut out, &path, &answers, "pol_x", false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("node.example.net.  A     203.0.113.10"));
        assert!(text.contains("poterne user password a@example.net") && text.contains("pol_x"), "{text}");
    }
}
