//! A browser, and how it comes: Chromium without a window.
//!
//! It is told to take the node's certificate as it is, by its key: QUIC to a private authority's names is otherwise refused by Chromium
//! itself, whatever its user trusts.

use std::{
    io::Write as _,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
};

use poterne_e2e::{Agent, Kind, Node, Raw, Running, process::PATIENCE};

columns!(a_browser_finds_http3_by_what_it_is_told; ours alone: a_browser_comes_by_http3_at_once);

/// Asks again until HTTP/3 carried an answer, then goes to another page.
const FIRST: &str = r#"<!doctype html><title>first</title><h1>The first page</h1><script>
const came = performance.getEntriesByType("navigation")[0].nextHopProtocol;
const ask = async () => {
  for (let asked = 0; asked < 200; asked++) {
    await (await fetch("/asked?" + asked, { cache: "no-store" })).text();
    const [entry] = performance.getEntriesByName(new URL("/asked?" + asked, location).href);
    if (entry && entry.nextHopProtocol === "h3") break;
    await new Promise(done => setTimeout(done, 25));
  }
  location.href = "/second?first=" + came;
};
performance.setResourceTimingBufferSize(1000);
addEventListener("load", ask);
</script>"#;

/// Says how both came.
const SECOND: &str = r#"<!doctype html><title>second</title><h1>The second page</h1><script>
const came = performance.getEntriesByType("navigation")[0].nextHopProtocol;
addEventListener("load", () => fetch("/told" + location.search + "&second=" + came, { cache: "no-store" }));
</script>"#;

/// The two pages, and what the second says.
fn pages() -> (Raw, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let raw = Raw::start(move |path, stream| {
        let body = match path.split('?').next().unwrap() {
            "/" => FIRST,
            "/second" => SECOND,
            "/told" => {
                let _ = tell.send(path.to_owned());
                ""
            }
            _ => "an answer",
        };
        let _ = answer(stream, body);
    });
    (raw, told)
}

fn answer(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// The digest of the key in the node's certificate, as Chromium wants it.
fn key_digest(node: &Node) -> String {
    let line = "openssl s_client -connect \"$1\" -servername \"$2\" </dev/null 2>/dev/null | openssl x509 -pubkey -noout \
        | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64";
    let output = Command::new("sh").args(["-c", line, "sh", node.text("https"), &node.hostname]).output().unwrap();
    let digest = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert_eq!(digest.len(), 44, "{digest}: {}", String::from_utf8_lossy(&output.stderr));
    digest
}

/// Opens the first page in a browser of its own.
fn browse(node: &Node, profile: &Path, more: &[String]) -> Running {
    let (host, at) = (&node.hostname, node.text("https"));
    let port = at.rsplit(':').next().unwrap();
    let mut chromium = Command::new("chromium");
    // The tests may run as root, and in a container whose /dev/shm is small.
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    // A debugger keeps the page open; nobody comes to it.
    chromium.args(["--remote-debugging-port=0", "--enable-quic"]).args(more);
    chromium.arg(format!("--user-data-dir={}", profile.display()));
    chromium.arg(format!("--host-resolver-rules=MAP {host} 127.0.0.1"));
    chromium.arg(format!("--ignore-certificate-errors-spki-list={}", key_digest(node)));
    chromium.arg(format!("https://{host}:{port}/"));
    Running::start(chromium.env("HOME", profile).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// How the two pages came.
fn visit(kind: Kind, forced: impl Fn(&Node) -> String) -> String {
    let (origin, told) = pages();
    let node = Node::leading_to(&origin.url());
    let _agent = Agent::connect(&node, kind);
    let profile = node.file("profile");
    let _browser = browse(&node, &profile, &[format!("--origin-to-force-quic-on={}", forced(&node))]);
    told.recv_timeout(PATIENCE).expect("the second page says how it came")
}

/// Over HTTP/2 first; `Alt-Svc` tells of HTTP/3. (That QUIC is forced on for another port of the host is how Chromium is told to take
/// private authorities over QUIC; this port it leaves alone.)
fn a_browser_finds_http3_by_what_it_is_told(kind: Kind) {
    assert_eq!(visit(kind, |node| format!("{}:1", node.hostname)), "/told?first=h2&second=h3");
}

fn a_browser_comes_by_http3_at_once(kind: Kind) {
    let to = |node: &Node| format!("{}:{}", node.hostname, node.text("https").rsplit(':').next().unwrap());
    assert_eq!(visit(kind, to), "/told?first=h3&second=h3");
}
