//! Local services, and origins.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use crate::{
    process::{Running, eventually},
    reserved::Reserved,
};

/// A real nginx with a few files.
pub struct Nginx {
    /// Where it listens.
    pub url: String,
    /// The process.
    pub process: Running,
    _reserved: Option<Reserved>,
}

impl Nginx {
    /// Serves `dir/www`, as a local service.
    pub fn start(dir: &Path) -> Self {
        Self::start_at(dir, Ipv4Addr::LOCALHOST)
    }

    /// The same at another address of loopback: an origin must not have the node's own.
    pub fn start_at(dir: &Path, address: Ipv4Addr) -> Self {
        let reserved = Reserved::at(address);
        let at = format!("{address}:{}", reserved.port);
        Self::serve(dir, &at, &format!("listen {at};"), Some(reserved))
    }

    /// The same over TLS, offering HTTP/2. The certificate and key are files.
    pub fn start_over_tls(dir: &Path, address: Ipv4Addr, certificate: &Path, key: &Path) -> Self {
        let reserved = Reserved::at(address);
        let at = format!("{address}:{}", reserved.port);
        let (certificate, key) = (certificate.display(), key.display());
        let listen = format!("listen {at} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};");
        Self::serve(dir, &at, &listen, Some(reserved))
    }

    /// Serves `dir/www` as an origin: at the ports that the world knows, of an address in the test's own network. The certificate and key are
    /// files.
    pub fn straight(dir: &Path, address: &str, certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.display(), key.display());
        let listen =
            format!("listen {address}:80; listen {address}:443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};");
        Self::serve(dir, &format!("{address}:80"), &listen, None)
    }

    /// The same, offering HTTP/2 over TLS.
    pub fn multiplexing(dir: &Path, address: &str, certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.display(), key.display());
        let listen = format!(
            "listen {address}:80; listen {address}:443 ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};"
        );
        Self::serve(dir, &format!("{address}:80"), &listen, None)
    }

    /// The same, letting in over TLS whoever shows a certificate of these authorities, and nobody else.
    pub fn asking(dir: &Path, address: &str, certificate: &Path, key: &Path, authorities: &Path) -> Self {
        let (certificate, key, authorities) = (certificate.display(), key.display(), authorities.display());
        let listen = format!(
            "listen {address}:80; listen {address}:443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
            ssl_client_certificate {authorities}; ssl_verify_client on;"
        );
        Self::serve(dir, &format!("{address}:80"), &listen, None)
    }

    fn serve(dir: &Path, at: &str, listen: &str, reserved: Option<Reserved>) -> Self {
        let www = dir.join("www");
        fs::create_dir_all(&www).unwrap();
        fs::write(www.join("hello"), "Hello, world\n").unwrap();
        fs::write(www.join("big"), vec![7; 16 << 20]).unwrap();
        let d = dir.display();
        let config = format!(
            "daemon off; master_process off; pid {d}/pid; error_log {d}/nginx.log;
            events {{ worker_connections 512; }}
            http {{ access_log off; client_max_body_size 0; default_type text/plain;
              client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
              server {{ {listen} root {d}/www;
                location = /way {{ return 200 \"$scheme|$ssl_server_name|$connection_requests\"; }}
                location = /who {{ return 200 \"$ssl_client_verify|$ssl_client_s_dn\"; }}
                location = /shown {{ return 200 \"$http_cf_cert_presented|$http_cf_cert_verified|$http_cf_cert_subject_dn|$http_client_cert\"; }}
                location = /upload {{ proxy_pass $scheme://{at}/way; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }}
                location = /host {{ return 200 \"$host|$http_x_forwarded_proto|$http_cf_connecting_ip\"; }} }} }}"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
        let mut command = Command::new(nginx);
        command.arg("-c").arg(&file).arg("-p").arg(dir).stdin(Stdio::null()).stderr(Stdio::null());
        let process = Running::start(&mut command);
        eventually("nginx answers", || TcpStream::connect(at).is_ok());
        Self { url: format!("http://{at}"), process, _reserved: reserved }
    }
}

/// A service that writes whatever a test wants on the wire: one request a connection.
pub struct Raw {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Raw {
    /// Answers each request, given its path, on a thread of its own; the connection closes when `answer` returns.
    pub fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { address }
    }

    /// One that says this text to everybody.
    pub fn saying(text: &'static str) -> Self {
        Self::start(move |_, stream| {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str, &mut TcpStream)) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    answer(head.split(' ').nth(1).unwrap_or_default(), &mut stream);
}
