//! Requests over HTTPS, by HTTP/1.1 as octets and by HTTP/2.

use std::io::{Read as _, Write as _};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::net::Net;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

/// The target that asks by GET.
pub(crate) fn target(query: &[u8]) -> String {
    format!("/dns-query?dns={}", BASE64_URL_SAFE_NO_PAD.encode(query))
}

impl Net {
    /// What is answered to one message over HTTPS.
    pub(crate) fn https(&self, query: &[u8]) -> Vec<u8> {
        let answered = self.http1("GET", &target(query), &[("accept", "application/dns-message")], b"");
        assert_eq!((answered.status, answered.field("content-type")), (200, "application/dns-message"));
        answered.body
    }

    /// One request over HTTP/1.1, on a connection of its own.
    pub(crate) fn http1(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answered {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: ns1.example.net\r\nConnection: close\r\n");
        fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.http1_raw(&[head.as_bytes(), b"\r\n", body].concat())
    }

    /// These octets, and what came until the end.
    pub(crate) fn http1_raw(&self, octets: &[u8]) -> Answered {
        let mut stream = self.tls_stream(self.doh, &[b"http/1.1"]);
        // Whoever refuses a body need not have read it.
        let _ = stream.write_all(octets);
        let _ = stream.flush();
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        let end = received.windows(4).position(|octets| octets == b"\r\n\r\n").expect("there is a head");
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Answered { status, fields: lines.filter_map(field).collect(), body: received[end + 4..].to_vec() }
    }

    /// Requests that are all under way at once on one HTTP/2 connection; what came back, in their order.
    pub(crate) fn http2(&self, requests: Vec<(http::Request<()>, Vec<u8>)>) -> Vec<Answered> {
        let (config, address) = (self.client_config(&[b"h2"]), self.doh);
        self.runtime().block_on(async move {
            let name = rustls_pki_types::ServerName::try_from("ns1.example.net").unwrap();
            let stream = TlsConnector::from(config).connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let mut answers = Vec::new();
            for (request, body) in requests {
                client = client.ready().await.unwrap();
                let (answer, mut sender) = client.send_request(request, body.is_empty()).unwrap();
                if !body.is_empty() {
                    sender.send_data(body.into(), true).unwrap();
                }
                answers.push(answer);
            }
            let mut all = Vec::new();
            for answer in answers {
                let (head, mut data) = answer.await.unwrap().into_parts();
                let mut body = Vec::new();
                while let Some(piece) = data.data().await {
                    let piece = piece.unwrap();
                    let _ = data.flow_control().release_capacity(piece.len());
                    body.extend_from_slice(&piece);
                }
                let fields = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
                all.push(Answered { status: head.status.as_u16(), fields: fields.collect(), body });
            }
            all
        })
    }
}
