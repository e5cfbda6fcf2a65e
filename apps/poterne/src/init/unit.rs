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
Type=exec
ExecStart={} serve --config {}
User=poterne
StateDirectory=poterne
StateDirectoryMode=0700
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
        program.display(),
        config.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_has_a_user_of_its_own_and_one_right() {
        let text = text("/usr/bin/poterne".as_ref(), "/etc/poterne/poterne.toml".as_ref());
        assert!(text.contains("ExecStart=/usr/bin/poterne serve --config /etc/poterne/poterne.toml\n"));
        for line in ["User=poterne", "StateDirectory=poterne", "AmbientCapabilities=CAP_NET_BIND_SERVICE"] {
            assert!(text.lines().any(|other| other == line), "{line}");
        }
    }
}
