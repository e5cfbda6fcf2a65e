//! The access log: a line a request, written by a thread of its own.
//!
//! ```text
//! pipeline ─ Reader::take ─→ bounded queue ─→ thread: format, gather, write whole lines ─→ file or standard output
//! ```
//!
//! A request never waits for a disk: what finds the queue full is counted (`access_log_dropped`) and not written. A reload opens the file
//! anew, so that a rotated one is let go. Never written: fields of requests and answers but those listed here, and queries unless asked for.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, SystemTime},
};

use http::{StatusCode, Version};
use poterne_edge_pipeline::access::{Entry, Reader, Readers};
use poterne_telemetry::{Counter, Metrics};
use poterne_tunnel_agent::terminal::plain;
use serde::{Deserialize, Serialize};

use crate::{admin::live::Share, config};

/// Requests that may wait to be written; some hundred bytes each.
pub const QUEUE_MAX: usize = 8192;
/// Bytes gathered before they are written; fewer when nothing waits.
const GATHERED_BYTES: usize = 64 * 1024;
/// How long the thread may take to write what waits when the node ends.
const END_PATIENCE: Duration = Duration::from_secs(1);
/// `[log] access` that is no file.
pub const STDOUT: &str = "stdout";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object.
    Json,
    /// For a person to read.
    Text,
}

/// A line of JSON. A key is absent where there is nothing to say.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    ray: &'a str,
    visitor: std::net::IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    scheme: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    protocol: &'static str,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    /// Absent where the answer reached its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<String>,
    /// Absent where no trace of it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry, with_query: bool) -> Self {
        Self {
            time: time(entry.at),
            ray: entry.ray.to_str().unwrap_or_default(),
            visitor: entry.visitor,
            method: entry.method.as_ref().map(http::Method::as_str),
            scheme: entry.scheme,
            host: entry.hostname(),
            path: entry.target.path(),
            query: entry.target.query().filter(|_| with_query),
            protocol: protocol(entry.version),
            status: entry.status.as_u16(),
            bytes: entry.bytes,
            duration_ms: (entry.duration.as_secs_f64() * 1e6).round() / 1e3,
            cut: !entry.whole,
            user_agent: entry.user_agent.as_ref().and_then(|value| value.to_str().ok()),
            ja4: entry.ja4.as_deref(),
            zone: entry.zone.map(|zone| zone.to_string()),
            account: entry.account.map(|account| account.to_string()),
            tunnel: entry.tunnel.map(|tunnel| tunnel.to_string()),
            trace: entry.trace.map(|trace| trace.to_string()),
        }
    }
}

/// Adds the line of a request.
pub fn write(entry: &Entry, format: Format, with_query: bool, out: &mut Vec<u8>) {
    let line = Line::of(entry, with_query);
    // Writing to memory does not fail.
    let _ = match format {
        Format::Json => serde_json::to_writer(&mut *out, &line).map_err(io::Error::from),
        Format::Text => text(&line, out),
    };
    out.push(b'\n');
}

fn text(line: &Line<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    let (method, query) = (line.method.unwrap_or("-"), line.query.map(|query| format!("?{query}")).unwrap_or_default());
    let target = plain(&format!("{method} {}://{}{}{query}", line.scheme, line.host, line.path));
    let (Line { time, visitor, protocol, status, bytes, duration_ms, .. }, cut) = (line, if line.cut { " cut" } else { "" });
    write!(out, "{time} {visitor} {status} {target} {protocol} {bytes} B {duration_ms} ms{cut} ray={}", line.ray)?;
    for (name, value) in [("zone", &line.zone), ("tunnel", &line.tunnel), ("trace", &line.trace)] {
        if let Some(value) = value {
            write!(out, " {name}={value}")?;
        }
    }
    Ok(())
}

fn time(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()).unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// Where lines go, opened.
enum Place {
    File(File),
    Stdout,
}

impl Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        }
    }
}

/// What the settings say, found right: its file is open.
pub struct Opened {
    place: Place,
    path: PathBuf,
    format: Format,
    with_query: bool,
    /// Of 2^32: the share of requests that is written.
    share: u64,
}

impl Opened {
    /// Opens what `[log]` names; none: there is no access log.
    ///
    /// # Errors
    /// Of the file, beginning with its key.
    pub fn of(settings: &config::Log) -> Result<Option<Self>, String> {
        let Some(access) = &settings.access else { return Ok(None) };
        let place = match access.as_str() {
            STDOUT => Place::Stdout,
            path => {
                let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
                Place::File(file.map_err(|error| format!("[log] access: {path} cannot be opened for appending: {error}"))?)
            }
        };

        let share = Share::of(settings.access_sample).0;
        let (format, with_query) = (settings.access_format, settings.access_query);
        Ok(Some(Self { place, path: PathBuf::from(access), format, with_query, share }))
    }
}

enum Message {
    Entry(Arc<Entry>),
    /// Write there from now on.
    Use(Box<Opened>),
}

/// The access log of a node, which may be there or not.
pub struct AccessLog {
    readers: Arc<dyn Fn(Change) + Send + Sync>,
    written: Counter,
    dropped: Counter,
    current: Mutex<Option<Current>>,
}

/// What becomes of a reader.
pub enum Change {
    /// It reads.
    Add(Arc<dyn Reader>),
    /// It reads no more.
    Remove(Arc<dyn Reader>),
}

struct Current {
    queue: Arc<Queue>,
    reader: Arc<dyn Reader>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

struct Queue {
    sender: Mutex<Option<SyncSender<Message>>>,
    /// Of 2^32.
    share: AtomicU64,
    /// Requests that could have been written: each of them falls elsewhere.
    seen: AtomicU64,
}

/// What the pipeline hands requests to: a sender of its own, since a lock would be one on each request's way.
struct Sampled {
    sender: SyncSender<Message>,
    queue: Arc<Queue>,
    dropped: Counter,
}

/// Whether the request of this number is written: a share of all, spread evenly. Pure.
pub fn is_written(number: u64, share: u64) -> bool {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < share
}

impl Reader for Sampled {
    fn wants(&self, status: StatusCode) -> bool {
        status.is_server_error() || is_written(self.queue.seen.fetch_add(1, Relaxed), self.queue.share.load(Relaxed))
    }

    fn take(&self, entry: &Arc<Entry>) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Entry(Arc::clone(entry))) {
            self.dropped.inc();
        }
    }
}

impl AccessLog {
    /// None yet. `readers`: of the pipeline.
    pub fn new(readers: impl Fn(Change) + Send + Sync + 'static, metrics: &Metrics) -> Self {
        Self {
            readers: Arc::new(readers),
            written: metrics.counter("access_log_lines", "Requests written to the access log"),
            dropped: metrics.counter("access_log_dropped", "Requests that the access log had no room or no disk for"),
            current: Mutex::default(),
        }
    }

    /// Writes as these settings say from now on; none: not at all. What waits is written where it was meant for.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn set(&self, opened: Option<Opened>) -> io::Result<()> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = opened else {
            if let Some(former) = current.take() {
                self.end(former);
            }
            return Ok(());
        };
        if let Some(Current { queue, .. }) = &*current {
            queue.share.store(opened.share, Relaxed);
            let sender = queue.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // It waits where the queue is full: this is no request's way.
            let _ = sender.map(|sender| sender.send(Message::Use(Box::new(opened))));
            return Ok(());
        }
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let (share, seen) = (AtomicU64::new(opened.share), AtomicU64::new(0));
        let queue = Arc::new(Queue { sender: Mutex::new(Some(sender.clone())), share, seen });
        let (written, dropped) = (self.written.clone(), self.dropped.clone());
        let (ending, ended) = sync_channel(0);
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            run(&receiver, opened, &written, &dropped);
            drop(ending);
        })?;
        let reader: Arc<dyn Reader> = Arc::new(Sampled { sender, queue: Arc::clone(&queue), dropped: self.dropped.clone() });
        (self.readers)(Change::Add(Arc::clone(&reader)));
        *current = Some(Current { queue, reader, ended });
        Ok(())
    }

    fn end(&self, former: Current) {
        (self.readers)(Change::Remove(Arc::clone(&former.reader)));
        former.queue.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its thread ends once the last request that was watched for it is over.
        drop(former);
    }

    /// Writes what waits, and ends. Requests that are over later are not written. Blocks.
    pub fn close(&self) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Current { queue, reader, ended }) = current {
            (self.readers)(Change::Remove(Arc::clone(&reader)));
            queue.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop((queue, reader));
            // A request that is watched still holds its reader: nobody waits for it.
            let _ = ended.recv_timeout(END_PATIENCE);
        }
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

/// Puts readers of the pipeline in their place.
pub fn readers_of(readers: &Readers, change: Change) {
    match change {
        Change::Add(reader) => readers.add(reader),
        Change::Remove(reader) => readers.remove(&reader),
    }
}

/// Writes until nobody sends any more.
fn run(receiver: &Receiver<Message>, mut opened: Opened, written: &Counter, dropped: &Counter) {
    let (mut gathered, mut lines) = (Vec::with_capacity(GATHERED_BYTES), 0);
    let mut is_failing = false;
    let mut next = receiver.recv().ok();
    while let Some(message) = next {
        let used = match message {
            Message::Entry(entry) => {
                write(&entry, opened.format, opened.with_query, &mut gathered);
                lines += 1;
                None
            }
            Message::Use(used) => Some(used),
        };
        next = receiver.try_recv().ok();
        let is_due = next.is_none() || used.is_some() || gathered.len() >= GATHERED_BYTES;
        if is_due && lines > 0 {
            match opened.place.write(&gathered) {
                Ok(()) => {
                    written.inc_by(lines);
                    is_failing = false;
                }
                Err(error) => {
                    dropped.inc_by(lines);
                    // Once, until it goes again.
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(path = %shown(&opened.path), %error, "the access log cannot be written; its lines are lost until it can");
                    }
                }
            }
            gathered.clear();
            lines = 0;
        }
        if let Some(used) = used {
            (opened, is_failing) = (*used, false);
        }
        if next.is_none() {
            next = receiver.recv().ok();
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::UNIX_EPOCH;

    use poterne_telemetry::trace::Parent;

    use http::HeaderValue;

    use super::*;

    pub(crate) fn entry() -> Entry {
        Entry {
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            duration: Duration::from_micros(12_345),
            ray: HeaderValue::from_static("0123456789abcdef-LOC"),
            visitor: "203.0.113.7".parse().unwrap(),
            scheme: "https",
            version: Version::HTTP_2,
            method: Some(http::Method::GET),
            host: Some(HeaderValue::from_static("app.site.test:8443")),
            target: "/a/b?secret=1".parse().unwrap(),
            user_agent: Some(HeaderValue::from_static("curl/8")),
            ja4: None,
            status: StatusCode::OK,
            bytes: 42,
            whole: true,
            zone: None,
            account: None,
            tunnel: None,
            trace: None,
        }
    }

    fn line(entry: &Entry, format: Format, with_query: bool) -> String {
        let mut out = Vec::new();
        write(entry, format, with_query, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_says_what_was_asked_and_no_query_unless_wanted() {
        let expected = r#"{"time":"2023-11-14T22:13:20.123Z","ray":"0123456789abcdef-LOC","visitor":"203.0.113.7","method":"GET","scheme":"https","host":"app.site.test","path":"/a/b","protocol":"HTTP/2","status":200,"bytes":42,"duration_ms":12.345,"user_agent":"curl/8"}"#;
        assert_eq!(line(&entry(), Format::Json, false), format!("{expected}\n"));
        assert!(line(&entry(), Format::Json, true).contains(r#""path":"/a/b","query":"secret=1""#));
        let cut = Entry { whole: false, ja4: Some("t13d".into()), ..entry() };
        assert!(line(&cut, Format::Json, false).contains(r#""cut":true"#) && line(&cut, Format::Json, false).contains("t13d"));
        let trace = Parent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap().trace;
        let traced = Entry { trace: Some(trace), ..entry() };
        assert!(line(&traced, Format::Json, false).contains(r#""trace":"4bf92f3577b34da6a3ce929d0e0e4736""#));
        assert!(line(&traced, Format::Text, false).ends_with(" trace=4bf92f3577b34da6a3ce929d0e0e4736\n"));
        assert_eq!(
            line(&entry(), Format::Text, false),
            "2023-11-14T22:13:20.123Z 203.0.113.7 200 GET https://app.site.test/a/b HTTP/2 42 B 12.345 ms ray=0123456789abcdef-LOC\n"
        );
    }

    #[test]
    fn a_share_is_a_share_however_it_is_asked_for() {
        let written = |share: f64| {
            let share = Share::of(share).0;
            (0..10_000).filter(|number| is_written(*number, share)).count()
        };
        assert_eq!((written(0.0), written(1.0)), (0, 10_000));
        for (share, expected) in [(0.01, 100), (0.1, 1_000), (0.5, 5_000), (0.9, 9_000)] {
            assert!(written(share).abs_diff(expected) <= 10, "{share}: {}", written(share));
        }
    }

    fn settings(path: &Path) -> config::Log {
        config::Log { access: Some(path.to_str().unwrap().into()), ..config::Config::defaults().log }
    }

    /// Where requests are told.
    type Place = Arc<Mutex<Option<Arc<dyn Reader>>>>;

    /// The log, and the reader that it has put in place.
    fn log() -> (AccessLog, Place) {
        let place = Place::default();
        let readers = Arc::clone(&place);
        let log = AccessLog::new(
            move |change| {
                *readers.lock().unwrap() = if let Change::Add(reader) = change { Some(reader) } else { None };
            },
            &Metrics::new(),
        );
        (log, place)
    }

    #[test]
    fn lines_are_written_whole_and_a_rotated_file_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (log, place) = log();
        let open = || Opened::of(&settings(&path)).unwrap();
        log.set(open()).unwrap();
        let take = |count| {
            let reader = place.lock().unwrap().clone().unwrap();
            (0..count).for_each(|_| reader.take(&Arc::new(entry())));
        };
        take(1000);
        let rotated = dir.path().join("access.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        // What waits is written before the other file is used.
        log.set(open()).unwrap();
        take(10);
        log.close();
        assert!(place.lock().unwrap().is_none(), "nobody reads any more");
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&rotated), lines(&path)), (1000, 10));
        assert_eq!(log.written.get(), 1010);
    }

    #[test]
    fn errors_are_always_written_and_others_by_their_share() {
        let dir = tempfile::tempdir().unwrap();
        let (log, place) = log();
        let none = config::Log { access_sample: 0.0, ..settings(&dir.path().join("a")) };
        log.set(Opened::of(&none).unwrap()).unwrap();
        let reader = place.lock().unwrap().clone().unwrap();
        assert!(!reader.wants(StatusCode::OK) && !reader.wants(StatusCode::NOT_FOUND));
        assert!(reader.wants(StatusCode::BAD_GATEWAY));
        let error = Opened::of(&settings(Path::new("/nowhere/a"))).err().unwrap();
        assert!(error.starts_with("[log] access: /nowhere/a cannot be opened"), "{error}");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (sender, _receiver) = sync_channel(1);
        let queue = Arc::new(Queue { sender: Mutex::default(), share: AtomicU64::new(0), seen: AtomicU64::new(0) });
        let sampled = Sampled { sender, queue, dropped: Counter::default() };
        (0..3).for_each(|_| sampled.take(&Arc::new(entry())));
        assert_eq!(sampled.dropped.get(), 2);
    }
}
