//! The node's API, asked in plain HTTP/1.1 by the test itself: quick enough for writers, and whoever is cut off knows it.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use crate::Node;

/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The API, as whoever holds a token meets it.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
    /// What is shown: `Authorization` and its value, as a rule.
    pub fields: Vec<(String, String)>,
    /// The node's first account.
    pub account: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Its status line and fields, as they came.
    pub head: String,
    /// Its body.
    pub body: Value,
}

impl Api {
    /// As an administrator: with a token of all permissions, made by the node's own verb where the node has told none.
    pub fn of(node: &Node) -> Self {
        let token = node.line["api_token"].as_str().map_or_else(|| new_token(node), str::to_owned);
        let mut api = Self { address: address(node), fields: Vec::new(), account: String::new() }.with_token(&token);
        api.account = api.get("/accounts").unwrap().result()[0]["id"].as_str().unwrap().to_owned();
        api
    }

    /// The same with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.with_fields(&[("Authorization", &format!("Bearer {token}"))])
    }

    /// The same, as whoever shows these fields.
    #[must_use]
    pub fn with_fields(&self, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { fields, ..self.clone() }
    }

    /// The same at a node that was started again, perhaps elsewhere.
    #[must_use]
    pub fn again(&self, node: &Node) -> Self {
        Self { address: address(node), ..self.clone() }
    }

    /// One request on a connection of its own; the path follows `/client/v4`. A null body is none.
    ///
    /// # Errors
    /// The node is not there, or goes away before it has answered.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> io::Result<Told> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask_text(method, path, &body)
    }

    /// The same with a body that need not be JSON.
    ///
    /// # Errors
    /// As for [`Api::ask`].
    pub fn ask_text(&self, method: &str, path: &str, body: &str) -> io::Result<Told> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut request = format!("{method} /client/v4{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in &self.fields {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        read(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// A GET.
    ///
    /// # Errors
    /// As for [`Api::ask`].
    pub fn get(&self, path: &str) -> io::Result<Told> {
        self.ask("GET", path, &Value::Null)
    }

    /// What must be done: its result.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, path, body).unwrap().result().clone()
    }

    /// A zone that serves, made by the node's verbs; its path.
    pub fn zone(&self, node: &Node, name: &str) -> String {
        let made = self.done("POST", "/zones", &json!({ "name": name, "account": { "id": self.account } }));
        node.verb(&["zone", "activate", name]).unwrap();
        format!("/zones/{}", made["id"].as_str().unwrap())
    }
}

impl Told {
    /// The result of a success.
    pub fn result(&self) -> &Value {
        assert_eq!((self.status, &self.body["success"]), (200, &json!(true)), "{}", self.body);
        &self.body["result"]
    }

    /// The errors' codes.
    pub fn codes(&self) -> Vec<i64> {
        self.body["errors"]
            .as_array()
            .map_or_else(Vec::new, |errors| errors.iter().map(|error| error["code"].as_i64().unwrap()).collect())
    }

    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        let line = |line: &str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(|text| line(text)).and_then(|text| text.split_once(':')).map(|(_, value)| value.trim())
    }
}

fn address(node: &Node) -> SocketAddr {
    node.text("api").trim_start_matches("http://").trim_end_matches("/client/v4").parse().unwrap()
}

fn new_token(node: &Node) -> String {
    let made = node.verb(&["token", "create", "--name", "test", "--permissions", "all", "--json"]).unwrap();
    serde_json::from_str::<Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned()
}

/// A whole answer; none where it was cut off.
fn read(answer: &[u8]) -> Option<Told> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let told = Told { status, head, body: Value::Null };
    let length: usize = told.field("content-length")?.parse().ok()?;
    let body = answer.get(end + 4..end + 4 + length)?;
    Some(Told { body: serde_json::from_slice(body).ok()?, ..told })
}
