//! The systemd unit: the node as a user of its own, with the one right that its ports need.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};

const UNIT: &str = "/etc/systemd/system/poterne.service";

/// Whether it can be installed.
pub(super) fn check() -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "--systemd changes this machine and needs root; run it with sudo");
    ensure!(Path::new("/run/systemd/system").is_dir(), "this machine does not run systemd; leave --systemd out");
    ensure!(!Path::new(UNIT).exists(), "the service is installed already ({UNIT}); remove it first");
    Ok(())
}

/// Writes it, and starts the node by it.
pub(super) fn install(config: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let known = Command::new("id").arg("poterne").output().is_ok_and(|output| output.status.success());
    if !known {
        run(Command::new("useradd").args(["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "poterne"]))?;
    }
    let state = "/var/lib/poterne";
    run(Command::new("chown").args(["--recursive", "poterne:poterne", state]))?;
    run(Command::new("chown").arg("root:poterne").arg(config))?;
    fs::write(UNIT, text(&program, config)).with_context(|| format!("cannot write {UNIT}"))?;
    for words in [&["daemon-reload"][..], &["enable", "--now", "poterne.service"]] {
        run(Command::new("systemctl").args(words))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{name} cannot be run"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

fn text(program: &Path, config: &Path) -> String {
    format!(
        "[Unit]
Description=Poterne, your own edge
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart={program} serve --config {config}
ExecReload={program} reload --config {config}
User=poterne
StateDirectory=poterne
StateDirectoryMode=0700
LogsDirectory=poterne
LogsDirectoryMode=0750
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
LimitNOFILE=1048576
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
Restart=on-failure
RestartSec=2
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
",
        program = program.display(),
        config = config.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where systemd's own checker is.
    #[test]
    #[allow(clippy::print_stderr, reason = "what was not checked is said")]
    fn systemd_finds_nothing_wrong_with_it() {
        if Command::new("systemd-analyze").arg("--version").output().is_err() {
            eprintln!("left out: systemd-analyze is not on this machine");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let verified = |text: &str| {
            let path = dir.path().join("poterne.service");
            fs::write(&path, text).unwrap();
            let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
            // What is wrong with a unit is told, and the exit code stays 0; other units of this machine may be told of too.
            let told = String::from_utf8(output.stderr).unwrap();
            told.lines().filter(|line| line.contains("poterne.service")).map(str::to_owned).collect::<Vec<_>>()
        };
        let text = text(&std::env::current_exe().unwrap(), "/etc/poterne/poterne.toml".as_ref());
        assert_eq!(verified(&text), Vec::<String>::new());
        assert_eq!(verified(&text.replace("Restart=on-failure", "Restart=sometimes")).len(), 1, "it does look");
    }

    #[test]
    fn the_unit_has_a_user_of_its_own_and_one_right() {
        let text = text("/usr/bin/poterne".as_ref(), "/etc/poterne/poterne.toml".as_ref());
        assert!(text.contains("ExecStart=/usr/bin/poterne serve --config /etc/poterne/poterne.toml\n"));
        assert!(text.contains("ExecReload=/usr/bin/poterne reload --config /etc/poterne/poterne.toml\n"));
        for line in [
            "User=poterne",
            "StateDirectory=poterne",
            "LogsDirectory=poterne",
            "Type=notify",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}");
        }
    }
}
