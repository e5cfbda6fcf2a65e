//! curl, as one visitor or as several.

use std::process::{Command, Stdio};

use crate::{Node, Running};

/// One request to be made.
pub struct Curl(Command);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// curl's own verdict: 0 when all is well, 18 and 92 when a body was cut off.
    pub exit: i32,
    /// The status; 0 when there was none.
    pub status: u16,
    /// What came of the body.
    pub body: Vec<u8>,
    /// What `--verbose` told, and errors.
    pub told: String,
}

impl Curl {
    /// To the node in clear.
    pub fn http(node: &Node, hostname: &str, path: &str) -> Self {
        Self::to(hostname, node.text("http"), "http", path)
    }

    /// To the node over TLS, verified.
    pub fn https(node: &Node, hostname: &str, path: &str) -> Self {
        Self::to(hostname, node.text("https"), "https", path).with(&["--cacert", node.text("ca_file")])
    }

    /// To the node's API, as its administrator; the path follows `/client/v4`.
    pub fn api(node: &Node, path: &str) -> Self {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "120", "--write-out", "%{http_code}", "--header"]);
        command.arg(format!("Authorization: Bearer {}", node.text("api_token"))).arg(format!("{}{path}", node.text("api")));
        Self(command)
    }

    /// No name is looked up: curl is told where the hostname lives, as the demo tells its user.
    fn to(hostname: &str, address: &str, scheme: &str, path: &str) -> Self {
        let port = address.rsplit(':').next().unwrap();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "120", "--write-out", "%{http_code}", "--resolve"]);
        command.arg(format!("{hostname}:{port}:127.0.0.1")).arg(format!("{scheme}://{hostname}:{port}{path}"));
        Self(command)
    }

    /// More options.
    #[must_use]
    pub fn with(mut self, options: &[&str]) -> Self {
        self.0.args(options);
        self
    }

    /// Makes the request and waits for its end.
    pub fn run(mut self) -> Answered {
        let output = self.0.stdin(Stdio::null()).output().unwrap();
        let (body, status) = output.stdout.split_at(output.stdout.len() - 3);
        Answered {
            exit: output.status.code().unwrap(),
            status: String::from_utf8_lossy(status).parse().unwrap(),
            body: body.to_vec(),
            told: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Begins the request; its body, then its status in three digits, come out of the process as they come in.
    pub fn begin(mut self) -> Running {
        Running::start(self.0.arg("--no-buffer").stdin(Stdio::null()).stdout(Stdio::piped()))
    }
}

impl Answered {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether this is the edge's own page with this status and code.
    pub fn is_error(&self, status: u16, code: u16) -> bool {
        self.status == status && self.text().contains(&code.to_string())
    }
}
