//! The systemd unit: `service install`, `service uninstall`.
//!
//! The token goes to a file that only root reads; the unit hands it over as a systemd credential, so that it is on no command
//! line, and the agent runs as a user of its own that cannot read `/etc/poterne-agent`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail, ensure};
use poterne_tunnel_agent::local_file;
use poterne_tunnel_proto::token::TunnelToken;

use crate::print;

const UNIT: &str = "/etc/systemd/system/poterne-agent.service";
const DIR: &str = "/etc/poterne-agent";
const TOKEN: &str = "/etc/poterne-agent/token";
const CONFIG: &str = "/etc/poterne-agent/config.yml";

/// What the unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Token,
    Config,
}

pub(crate) fn install(token: Option<String>, token_file: Option<PathBuf>, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let token = match (token, token_file) {
        (Some(token), _) => Some(token),
        (None, Some(path)) => {
            Some(fs::read_to_string(&path).with_context(|| format!("cannot read the token file {}", path.display()))?)
        }
        (None, None) => None,
    };
    if let Some(token) = &token {
        TunnelToken::parse(token.trim()).context("the tunnel token")?;
    }
    must_be_root("install")?;
    ensure!(
        Path::new("/run/systemd/system").is_dir(),
        "this machine does not run systemd; start `poterne-agent tunnel run --token-file PATH` by its own means"
    );
    ensure!(
        !Path::new(UNIT).exists(),
        "the service is already installed ({UNIT}); `poterne-agent service uninstall` removes it first"
    );
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    fs::create_dir_all(DIR).with_context(|| format!("cannot create {DIR}"))?;
    let source = match token {
        Some(token) => {
            write_secret(Path::new(TOKEN), token.trim())?;
            Source::Token
        }
        None => {
            let Some(found) = local_file::find(config)? else {
                bail!("no token was given and no config.yml found; write `service install TOKEN`, or --config PATH")
            };
            let file = local_file::read(&found)?;
            for key in ["tunnel", "credentials-file"] {
                ensure!(file.others.iter().any(|(name, _)| name == key), "{} must have the key `{key}`", found.display());
            }
            if found != Path::new(CONFIG) {
                fs::copy(&found, CONFIG).with_context(|| format!("cannot copy {} to {CONFIG}", found.display()))?;
            }
            Source::Config
        }
    };
    fs::write(UNIT, unit(&program, source)).with_context(|| format!("cannot write {UNIT}"))?;
    for arguments in [&["daemon-reload"][..], &["enable", "poterne-agent.service"], &["start", "poterne-agent.service"]] {
        systemctl(arguments)?;
    }
    print("The service is installed and running. See `journalctl -u poterne-agent` for what it says.\n")
}

pub(crate) fn uninstall() -> anyhow::Result<ExitCode> {
    must_be_root("uninstall")?;
    ensure!(Path::new(UNIT).exists(), "the service is not installed ({UNIT} does not exist)");
    systemctl(&["disable", "--now", "poterne-agent.service"])?;
    fs::remove_file(UNIT).with_context(|| format!("cannot remove {UNIT}"))?;
    if Path::new(TOKEN).exists() {
        fs::remove_file(TOKEN).with_context(|| format!("cannot remove {TOKEN}"))?;
    }
    systemctl(&["daemon-reload"])?;
    print("The service is stopped and removed, and its token with it.\n")
}

fn must_be_root(verb: &str) -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "`service {verb}` changes this machine and needs root; run it with sudo");
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = options.with_context(|| format!("cannot write {}", path.display()))?;
    // A file that was already there keeps the mode it had.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("systemctl").args(arguments).status().context("cannot run systemctl")?;
    ensure!(status.success(), "`systemctl {}` failed ({status}); `journalctl -u poterne-agent` says why", arguments.join(" "));
    Ok(())
}

fn unit(program: &Path, source: Source) -> String {
    let program = program.display();
    let (credential, run) = match source {
        Source::Token => (
            format!("LoadCredential=token:{TOKEN}\n"),
            format!("{program} tunnel run --token-file ${{CREDENTIALS_DIRECTORY}}/token"),
        ),
        // The credentials file that the configuration names is the operator's: run as who can read it.
        Source::Config => (String::new(), format!("{program} --config {CONFIG} tunnel run")),
    };
    let user = if source == Source::Token { "DynamicUser=yes\n" } else { "" };
    format!(
        "[Unit]\nDescription=Poterne agent: publishes local services through a tunnel\nAfter=network-online.target\n\
         Wants=network-online.target\n\n[Service]\nType=notify\nTimeoutStartSec=0\n{credential}ExecStart={run}\nRestart=on-failure\n\
         RestartSec=5s\nTimeoutStopSec=200\n{user}StateDirectory=poterne-agent\nLimitNOFILE=1048576\nNoNewPrivileges=yes\nProtectSystem=strict\n\
         ProtectHome=read-only\nPrivateTmp=yes\nPrivateDevices=yes\nProtectKernelTunables=yes\nProtectControlGroups=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n\n[Install]\nWantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_never_on_the_command_line() {
        let text = unit(Path::new("/usr/bin/poterne-agent"), Source::Token);
        assert!(
            text.contains("ExecStart=/usr/bin/poterne-agent tunnel run --token-file ${CREDENTIALS_DIRECTORY}/token\n"),
            "{text}"
        );
        assert!(text.contains("LoadCredential=token:/etc/poterne-agent/token\n"), "{text}");
        assert!(!text.contains("--token "), "{text}");
    }

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_secret(&path, "secret").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, "another").unwrap();
        assert_eq!((mode(), fs::read_to_string(&path).unwrap().as_str()), (0o600, "another"));
    }

    #[test]
    fn a_wrong_token_is_refused_before_anything_is_changed() {
        let error = format!("{:#}", install(Some("nonsense".into()), None, None).unwrap_err());
        assert!(error.starts_with("the tunnel token"), "{error}");
    }
}
