//! A PostgreSQL server for the tests: on a socket in a directory of its own, gone with it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::run::must;

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server. Dropped, it is stopped and its data removed.
pub(crate) struct Server {
    process: Child,
    // Held for its removal.
    dir: tempfile::TempDir,
}

/// Where Debian and Ubuntu put the server's programs, which are not on PATH: the newest version's.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path());
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions
        .map(|path| path.join("bin"))
        .filter(|bin| bin.join("postgres").is_file())
        .max_by_key(|bin| bin.parent().map(Path::to_path_buf).as_ref().and_then(version))
}

impl Server {
    /// Starts one for tests: what a power cut leaves is PostgreSQL's own concern.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(&["fsync=off"])
    }

    /// Starts one with these settings beside PostgreSQL's own.
    pub(crate) fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        let bin = programs().context("no PostgreSQL server is installed")?;
        let dir = tempfile::Builder::new().prefix("poterne-postgres-").tempdir()?;
        if rustix::process::geteuid().is_root() {
            // The server refuses to run as root; Debian's package brings a user for it.
            must(Command::new("chown").arg("postgres").arg(dir.path()))?;
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))?;
        let data = dir.path().join("data");
        let mut initdb = unprivileged(&bin.join("initdb"));
        must(
            initdb
                .arg("--pgdata")
                .arg(&data)
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
                .stdout(Stdio::null()),
        )?;
        let mut server = unprivileged(&bin.join("postgres"));
        server.arg("-D").arg(&data).args(["-c", "listen_addresses="]).arg("-c");
        server.arg(format!("unix_socket_directories={}", dir.path().display()));
        for setting in settings.iter().chain(&["max_connections=400"]) {
            server.args(["-c", setting]);
        }
        let log = fs::File::create(dir.path().join("log"))?;
        let process =
            server.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("postgres")?;
        let mut server = Self { process, dir };
        server.wait(&bin)?;
        Ok(server)
    }

    /// Its administrator's URL.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.dir.path().display())
    }

    #[expect(clippy::disallowed_methods, reason = "there is no task here that could stall")]
    fn wait(&mut self, bin: &Path) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let mut ready = Command::new(bin.join("pg_isready"));
            if ready.arg("--quiet").arg("--host").arg(self.dir.path()).status()?.success() {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() || begin.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                bail!("the PostgreSQL server for the tests did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Immediate shutdown, by the word for it: nothing of this server is wanted afterwards.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.process.wait();
    }
}

/// The program, as a user that the server runs for.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command.current_dir("/");
    command
}
