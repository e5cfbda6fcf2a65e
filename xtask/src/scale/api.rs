//! `cargo xtask scale --api`: what a node answers by HTTP, and what each answer costs it. `wrk` asks, on the same machine; CPU is the
//! node's alone.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};

use crate::run;

/// The zone that is read and written; the large one of what `fill` makes.
const ZONE: &str = "large.test";

/// Connections that read, and that write.
const READERS: &str = "50";
const WRITERS: &str = "200";

pub(super) fn run(dir: &Path, store: Option<&str>, secs: u32) -> anyhow::Result<()> {
    if !run::on_path("wrk") {
        bail!("wrk is not installed: it is Debian's package of that name");
    }
    run::must(run::cargo().args(["build", "--profile", "dist", "--package", "poterne"]))?;
    fs::write(dir.join("poterne.toml"), "version = 1\n")?;
    fs::write(dir.join("write.lua"), include_str!("write.lua"))?;
    fs::write(dir.join("read.lua"), include_str!("read.lua"))?;
    let node = Node::start(dir, store)?;
    let token = field(&node.verb(&["token", "create", "--name", "scale", "--permissions", "all", "--json"])?, "secret")?;
    // It is there already where a store was filled; nobody but the operator's own account is asked.
    let added = node.verb(&["zone", "add", ZONE]);
    let zone = node.get(&token, &format!("/client/v4/zones?name={ZONE}"))?;
    let Ok(id) = field(&zone, "id") else { bail!("there is no zone {ZONE}: {added:?} {zone}") };
    let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string();
    let tunnel = field(&node.verb(&["tunnel", "create", &format!("scale-{run}"), "--json"])?, "id")?;
    let records = format!("/client/v4/zones/{id}/dns_records");
    for number in 0..100 {
        node.post(&token, &records, &format!(r#"{{"type":"A","name":"read-{number}","content":"203.0.113.7"}}"#))?;
    }
    let asked = |what, path: &str, script, connections| {
        let wrk = [("WRK_TOKEN", token.as_str()), ("WRK_PATH", path), ("WRK_TUNNEL", tunnel.as_str())];
        node.ask(what, script, connections, secs, &wrk)
    };
    for (what, path) in [
        ("GET /zones?name=", format!("/client/v4/zones?name={ZONE}")),
        ("GET …/dns_records?name=", format!("{records}?name=read-7.{ZONE}")),
        ("GET …/dns_records, a page of 100", records.clone()),
    ] {
        asked(what, &path, "read.lua", READERS)?;
    }
    asked("POST …/dns_records", &records, "write.lua", WRITERS)?;
    // Once more with what the first round wrote.
    asked("POST …/dns_records, once more", &records, "write.lua", WRITERS)
}

/// A node that runs. Dropped, it is ended.
struct Node {
    process: Child,
    program: PathBuf,
    dir: PathBuf,
    store: Option<String>,
    /// Host and port of the API.
    address: String,
}

impl Node {
    fn start(dir: &Path, store: Option<&str>) -> anyhow::Result<Self> {
        let program = run::target().join("dist/poterne");
        let mut command = Command::new(&program);
        command.args(["serve", "--ready-fd", "1"]);
        sources(&mut command, dir, store);
        for listener in ["edge.http", "edge.https", "tunnel.listen", "control.listen", "control.metrics"] {
            command.args(["--set", &format!("{listener}=127.0.0.1:0")]);
        }
        command.args(["--set", "node.public_addresses=127.0.0.1", "--set", "control.rate_limit=0"]);
        let log = fs::File::create(dir.join("node.log"))?;
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().context("poterne serve")?;
        let mut line = String::new();
        let out = process.stdout.take().context("it has a standard output")?;
        BufReader::new(out).read_line(&mut line)?;
        let api = field(&line, "api").with_context(|| format!("the node did not start: see {}", dir.join("node.log").display()));
        let (dir, store) = (dir.to_path_buf(), store.map(str::to_owned));
        let mut node = Self { process, program, dir, store, address: String::new() };
        node.address = api?.trim_start_matches("http://").trim_end_matches("/client/v4").to_owned();
        Ok(node)
    }

    fn verb(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(words);
        sources(&mut command, &self.dir, self.store.as_deref());
        told(&mut command)
    }

    fn get(&self, token: &str, path: &str) -> anyhow::Result<String> {
        told(self.curl(token, path).arg("--silent"))
    }

    fn post(&self, token: &str, path: &str, body: &str) -> anyhow::Result<String> {
        told(self.curl(token, path).args(["--silent", "--header", "Content-Type: application/json", "--data", body]))
    }

    fn curl(&self, token: &str, path: &str) -> Command {
        let mut command = Command::new("curl");
        command.arg(format!("http://{}{path}", self.address)).args(["--header", &format!("Authorization: Bearer {token}")]);
        command
    }

    fn ask(&self, what: &str, script: &str, connections: &str, secs: u32, words: &[(&str, &str)]) -> anyhow::Result<()> {
        let before = self.cpu()?;
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", connections, "--latency", "--duration", &format!("{secs}s")]);
        wrk.arg("--script").arg(self.dir.join(script)).arg(format!("http://{}", self.address));
        wrk.envs(words.iter().copied()).env("WRK_RUN", run.to_string());
        let table = told(wrk.stderr(Stdio::inherit()))?;
        let spent = self.cpu()? - before;
        let word =
            |begin: &str, at: usize| table.lines().map(str::trim).find(|line| line.contains(begin))?.split_whitespace().nth(at);
        // Other lines hold percentages, too.
        let percentile = |of: &str| table.lines().find_map(|line| line.trim().strip_prefix(of)).map(str::trim);
        let asked: f64 = word("requests in", 0).and_then(|count| count.parse().ok()).unwrap_or(0.0);
        let refused = word("Non-2xx", 4).unwrap_or("0");
        eprintln!(
            "{what:<40} {:>9}/s  {:.3} ms of the node's CPU each  p50 {}  p99 {}  refused {refused}",
            word("Requests/sec:", 1).unwrap_or("?"),
            spent.as_secs_f64() * 1e3 / asked.max(1.0),
            percentile("50%").unwrap_or("?"),
            percentile("99%").unwrap_or("?"),
        );
        Ok(())
    }

    /// What the node has taken of the processors so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().context("no fields")?.split(' ').collect();
        // Ticks of 10 ms (proc(5)).
        let ticks: u64 =
            fields.get(11).context("no utime")?.parse::<u64>()? + fields.get(12).context("no stime")?.parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sources(command: &mut Command, dir: &Path, store: Option<&str>) {
    command.arg("--config").arg(dir.join("poterne.toml")).arg("--state-dir").arg(dir);
    command.args(["--set", &format!("control.activate={ZONE}")]);
    if let Some(store) = store {
        command.args(["--set", &format!("control.store={store}")]);
    }
}

fn told(command: &mut Command) -> anyhow::Result<String> {
    // Not with its words: a token may be among them.
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} could not be started"))?;
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first text of that name in a JSON text; what is looked for here has no escapes.
fn field(json: &str, name: &str) -> anyhow::Result<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).with_context(|| format!("{name} is not in {json}"))?;
    let text = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
    text.map(|(text, _)| text.to_owned()).with_context(|| format!("{name} is no text in {json}"))
}
