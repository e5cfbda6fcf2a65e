//! A PostgreSQL database of the test command's server, and a way to it that can be cut.

use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A database of its own.
pub struct Database {
    name: String,
    /// The directory of the server's socket.
    socket: PathBuf,
}

impl Database {
    /// Makes one on the server that `POTERNE_POSTGRES` names.
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let server = env::var("POTERNE_POSTGRES").expect("POTERNE_POSTGRES names a server: `cargo xtask test` starts one");
        let (_, socket) = server.split_once("host=").unwrap();
        let name = format!("e2e_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let made =
            Command::new("psql").args(["--quiet", "--command"]).arg(format!("CREATE DATABASE {name}")).arg(&server).status();
        assert!(made.unwrap().success());
        Self { name, socket: socket.into() }
    }

    /// Straight to it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/{}?host={}", self.name, self.socket.display())
    }

    /// By a way that can be cut.
    pub fn way(&self) -> Way {
        Way::open(&self.socket.join(".s.PGSQL.5432"), &self.name)
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of those who go this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// They arrive.
    Open,
    /// Nobody is there.
    Closed,
    /// The next `COMMIT` is lost on its way, with its connection.
    LosesCommit,
    /// The next `COMMIT` arrives, and its answer is lost.
    LosesAnswer,
    /// The same, and nobody is there afterwards.
    LosesAnswerAndCloses,
}

/// A TCP address that leads to the server's socket.
#[derive(Clone)]
pub struct Way(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    database: String,
    mood: Mutex<Mood>,
    connections: Mutex<Vec<Arc<Connection>>>,
    lost: AtomicUsize,
}

struct Connection {
    client: TcpStream,
    server: UnixStream,
    /// The answer that comes next is lost.
    is_doomed: Mutex<bool>,
}

impl Way {
    fn open(socket: &Path, database: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self(Arc::new(Inner {
            address: listener.local_addr().unwrap(),
            database: database.to_owned(),
            mood: Mutex::new(Mood::Open),
            connections: Mutex::default(),
            lost: AtomicUsize::new(0),
        }));
        let (inner, socket) = (Arc::clone(&way.0), socket.to_path_buf());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if *inner.mood.lock().unwrap() != Mood::Closed {
                    inner.join(client, UnixStream::connect(&socket).unwrap());
                }
            }
        });
        way
    }

    /// What a store is told.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.0.address, self.0.database)
    }

    /// What becomes of everybody from now on; closing takes those away who are under way.
    pub fn set(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
        if mood == Mood::Closed {
            self.0.hang_up();
        }
    }

    /// How many commits, or answers to them, were lost so far.
    pub fn lost(&self) -> usize {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn join(self: &Arc<Self>, client: TcpStream, server: UnixStream) {
        client.set_nodelay(true).unwrap();
        let connection = Arc::new(Connection { client, server, is_doomed: Mutex::new(false) });
        self.connections.lock().unwrap().push(Arc::clone(&connection));
        let (inner, there) = (Arc::clone(self), Arc::clone(&connection));
        thread::spawn(move || inner.there(&there));
        let inner = Arc::clone(self);
        thread::spawn(move || inner.back(&connection));
    }

    fn there(&self, connection: &Connection) {
        pump(&connection.client, &connection.server, |bytes| {
            if !bytes.windows(7).any(|window| window == b"COMMIT\0") {
                return true;
            }
            let mut mood = self.mood.lock().unwrap();
            match *mood {
                Mood::Open | Mood::Closed => return true,
                Mood::LosesCommit => {}
                Mood::LosesAnswer | Mood::LosesAnswerAndCloses => *connection.is_doomed.lock().unwrap() = true,
            }
            self.lost.fetch_add(1, Ordering::Relaxed);
            let arrives = *mood != Mood::LosesCommit;
            *mood = if *mood == Mood::LosesAnswerAndCloses { Mood::Closed } else { Mood::Open };
            arrives
        });
        connection.hang_up();
    }

    fn back(&self, connection: &Connection) {
        pump(&connection.server, &connection.client, |_| !*connection.is_doomed.lock().unwrap());
        connection.hang_up();
        if *self.mood.lock().unwrap() == Mood::Closed {
            self.hang_up();
        }
    }

    fn hang_up(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|connection| connection.hang_up());
    }
}

impl Connection {
    fn hang_up(&self) {
        // It may have ended by itself.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// Carries bytes until the end, or until some must not pass.
fn pump<F, T>(from: &F, to: &T, mut passes: impl FnMut(&[u8]) -> bool)
where
    for<'a> &'a F: Read,
    for<'a> &'a T: Write,
{
    let (mut from, mut to) = (from, to);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !passes(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
