//! Agents: ours, and the stock one.

use std::{
    ffi::OsStr,
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    Node, Running,
    process::{eventually, program},
};

/// Which agent, over which transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The stock one (`CLOUDFLARED_BIN`) instead of ours.
    pub stock: bool,
    /// `quic` or `http2`.
    pub protocol: &'static str,
}

/// A running agent.
pub struct Agent {
    process: Running,
    log: PathBuf,
}

impl Agent {
    /// `tunnel run`, with this token.
    pub fn run(node: &Node, kind: Kind, token: &str) -> Self {
        Self::run_with(node, kind, token, &[])
    }

    /// The same, with more flags.
    pub fn run_with(node: &Node, kind: Kind, token: &str, more: &[&str]) -> Self {
        let mut command = kind.tunnel(node);
        command.args(["--grace-period", "20s"]).args(more).args(["run", "--token", token]);
        Self::start(command, node)
    }

    /// `tunnel --url URL run --credentials-file FILE TUNNEL`: where requests go is the agent's own affair.
    pub fn run_local(node: &Node, kind: Kind, tunnel: &str, credentials: &Path, url: &str) -> Self {
        let mut command = kind.tunnel(node);
        command.args(["--url", url, "run", "--credentials-file"]).arg(credentials).arg(tunnel);
        Self::start(command, node)
    }

    /// `tunnel --url URL run NAME`, with these variables: name and credentials are found by what they say.
    pub fn run_named(node: &Node, kind: Kind, name: &str, url: &str, variables: &[(&str, &OsStr)]) -> Self {
        let mut command = kind.tunnel(node);
        command.args(["--url", url, "run", name]);
        Self::start_with(command, node, variables)
    }

    /// `tunnel run` with the node's token, connected.
    pub fn connect(node: &Node, kind: Kind) -> Self {
        Self::connect_with(node, kind, &[])
    }

    /// The same, with more flags.
    pub fn connect_with(node: &Node, kind: Kind, more: &[&str]) -> Self {
        let before = node.connectors();
        let agent = Self::run_with(node, kind, &node.token, more);
        node.wait_for_agents(before + 1);
        agent
    }

    /// `tunnel --url`: a quick tunnel to this service; also the name that it was given.
    pub fn quick(node: &Node, kind: Kind, url: &str, more: &[&str]) -> (Self, String) {
        let mut command = kind.tunnel(node);
        command.args(["--quick-service", node.quick_service(), "--url", url]).args(more);
        let agent = Self::start(command, node);
        let mut hostname = None;
        eventually("the agent names its quick tunnel", || {
            let log = agent.log();
            let name = log.split("https://").skip(1).find_map(|rest| {
                let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c))).next()?;
                name.ends_with(".quick.poterne.localhost").then(|| name.to_owned())
            });
            hostname = name;
            hostname.is_some()
        });
        (agent, hostname.unwrap())
    }

    fn start(command: Command, node: &Node) -> Self {
        Self::start_with(command, node, &[])
    }

    fn start_with(mut command: Command, node: &Node, variables: &[(&str, &OsStr)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let log = node.file(&format!("agent-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::create(&log).unwrap();
        // Nothing of the user's own configuration is to be found.
        command.env("HOME", node.file("")).envs(variables.iter().copied()).stdout(Stdio::null()).stderr(file);
        Self { process: Running::start(&mut command), log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Deref for Agent {
    type Target = Running;
    fn deref(&self) -> &Running {
        &self.process
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.process
    }
}

impl Kind {
    /// The program up to where its verb belongs. A stock agent must be told the edges, and whom to trust.
    fn tunnel(self, node: &Node) -> Command {
        let mut command;
        if self.stock {
            command = program("CLOUDFLARED_BIN");
            command.args(["tunnel", "--no-autoupdate", "--no-prechecks", "--cacert", node.text("ca_file")]);
            for _ in 0..4 {
                command.args(["--edge", node.text("tunnel")]);
            }
        } else {
            command = program("POTERNE_AGENT_BIN");
            command.arg("tunnel");
        }
        command.args(["--metrics", "127.0.0.1:0", "--protocol", self.protocol]);
        command
    }
}
