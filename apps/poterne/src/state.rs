//! The state directory: its owner's alone, and one process's at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The directory, held. Dropping it gives it free.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Whether it was there before.
    found: bool,
    last_alive: Option<SystemTime>,
    lock: File,
}

/// Why the directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or opened.
    #[error(
        "the state directory {path} cannot be used: {error}; take another with --state-dir, or run as a user who may write there"
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It belongs to another user.
    #[error(
        "the state directory {path} belongs to user {owner}, not to you: it holds private keys; take another with --state-dir"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The numeric user.
        owner: u32,
    },
    /// Another process holds it.
    #[error(
        "the state directory {path} is held by process {holder}: one node at a time; stop it, or take another with --state-dir"
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process, as the lock file says.
        holder: String,
    },
}

/// How often a node notes that it is alive. No disk is waited for.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

impl StateDir {
    /// Makes the directory where it is missing, closes it to others, and holds it.
    pub fn hold(path: &Path) -> Result<Self, StateError> {
        let unusable = |error| StateError::Unusable { path: path.into(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let path = fs::canonicalize(path).map_err(unusable)?;
        let unusable = |error| StateError::Unusable { path: path.clone(), error };
        let metadata = fs::metadata(&path).map_err(unusable)?;
        let me = rustix::process::geteuid();
        if metadata.uid() != me.as_raw() && !me.is_root() {
            return Err(StateError::Foreign { path, owner: metadata.uid() });
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&lock).take(32).read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(StateError::Held { path, holder: if holder.is_empty() { "(unknown)".into() } else { holder } });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // Whoever left them held the directory, and was killed: nobody else can be at it.
        remove_leftovers(&path);
        let found = path.join(STORE).exists();
        let last_alive = lock.metadata().and_then(|metadata| metadata.modified()).ok().filter(|_| found);
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(unusable)?;
        Ok(Self { path, found, last_alive, lock })
    }

    /// The directory that a predecessor holds, which gave its lock to this program: both hold it, and the last to end gives it free.
    pub fn take_over(path: &Path, lock: OwnedFd) -> Result<Self, StateError> {
        let unusable = |error| StateError::Unusable { path: path.into(), error };
        let path = fs::canonicalize(path).map_err(unusable)?;
        let lock = File::from(lock);
        let last_alive = lock.metadata().and_then(|metadata| metadata.modified()).ok();
        Ok(Self { path, found: true, last_alive, lock })
    }

    /// Says in the lock file that this process holds it.
    pub fn sign(&self) {
        // It is for people who ask who holds it.
        let _ = self.lock.set_len(0);
        let mut lock = &self.lock;
        let _ = lock.rewind().and_then(|()| writeln!(lock, "{}", std::process::id()));
    }

    /// The descriptor that holds it, for a successor.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was a store in it already.
    pub fn found(&self) -> bool {
        self.found
    }

    /// When its former holder was alive for the last time, within [`ALIVE_INTERVAL`]; none if there was none.
    pub fn last_alive(&self) -> Option<SystemTime> {
        self.last_alive
    }

    /// Notes that its holder is alive, as the time of the lock file: whoever starts after a `kill -9` knows when that was.
    pub fn note_alive(&self) {
        // It is for a status that people read: without it the loss of a killed node's connections is dated later.
        let _ = self.lock.set_modified(SystemTime::now());
    }

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The store's file.
pub const STORE: &str = "store.sqlite";
/// The node key's file.
pub const NODE_KEY: &str = "node.key";
/// The administration socket.
pub const SOCKET: &str = "admin.sock";
/// Both local authorities' certificates.
pub const CA: &str = "ca.pem";
/// The visitors' authority alone: what a browser should import.
pub const VISITORS_CA: &str = "visitors-ca.pem";
/// The authority that vouches for the edge towards origins: what an origin lets in.
pub const ORIGIN_PULL_CA: &str = "origin-pull-ca.pem";
/// The authority that vouches for origins.
pub const ORIGIN_CA: &str = "origin-ca.pem";
/// The snapshot's directory.
pub const SNAPSHOT: &str = "snapshot";

/// What copies that are under way are called, before they are in a backup.
pub const COPY_PREFIX: &str = ".copy-for-backup-";

/// Takes away what a process left that was killed while it made a backup: copies of the store, as large as the store.
fn remove_leftovers(state: &Path) {
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(COPY_PREFIX)) {
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => tracing::info!(path = %entry.path().display(), "a copy that a killed backup left is removed"),
            Err(error) => tracing::warn!(path = %entry.path().display(), %error, "a copy that a killed backup left stays"),
        }
    }
}

/// Writes a file whole: beside it first, then in its place, so that nobody reads half of it.
pub fn write_whole(path: &Path, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The user's XDG state directory for the demo (XDG Base Directory Specification): `$XDG_STATE_HOME/poterne/demo`, else
/// `~/.local/state/poterne/demo`.
pub fn demo_dir(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("poterne/demo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_made_closed_and_held_by_one() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let held = StateDir::hold(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!held.found());
        let error = StateDir::hold(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("held by process {}", std::process::id())), "{error}");
        fs::write(path.join(STORE), b"").unwrap();
        drop(held);
        assert!(StateDir::hold(&path).unwrap().found());
    }

    #[test]
    fn whoever_comes_next_knows_when_the_holder_was_alive() {
        let outer = tempfile::tempdir().unwrap();
        let held = StateDir::hold(outer.path()).unwrap();
        assert_eq!(held.last_alive(), None);
        fs::write(outer.path().join(STORE), b"").unwrap();
        let killed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        held.lock.set_modified(killed_at).unwrap();
        drop(held);
        let next = StateDir::hold(outer.path()).unwrap();
        assert_eq!(next.last_alive(), Some(killed_at));
        next.lock.set_modified(killed_at).unwrap();
        next.note_alive();
        drop(next);
        assert!(StateDir::hold(outer.path()).unwrap().last_alive() > Some(killed_at));
    }

    #[test]
    fn what_a_killed_backup_left_is_removed_and_nothing_else() {
        let outer = tempfile::tempdir().unwrap();
        for (dir, file) in
            [(format!("{COPY_PREFIX}Ab12"), "store.sqlite"), ("backup-2026".into(), "mine"), ("snapshot".into(), "base")]
        {
            fs::create_dir(outer.path().join(&dir)).unwrap();
            fs::write(outer.path().join(dir).join(file), b"x").unwrap();
        }
        let held = StateDir::hold(outer.path()).unwrap();
        let left = || {
            let names = fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        assert_eq!(left(), ["backup-2026", "lock", "snapshot"]);
        // Whoever does not hold it removes nothing: a backup may be under way.
        fs::create_dir(outer.path().join(format!("{COPY_PREFIX}Cd34"))).unwrap();
        StateDir::hold(outer.path()).unwrap_err();
        assert_eq!(left().len(), 4);
        drop(held);
        drop(StateDir::hold(outer.path()).unwrap());
        assert_eq!(left().len(), 3);
    }

    #[test]
    fn an_open_directory_is_closed_to_others() {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let _held = StateDir::hold(outer.path()).unwrap();
        assert_eq!(fs::metadata(outer.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("ca.pem");
        write_whole(&path, 0o644, b"one").unwrap();
        write_whole(&path, 0o600, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_demo_lives_where_xdg_says() {
        let home = |name: &str| (name == "HOME").then(|| "/home/u".into());
        assert_eq!(demo_dir(home).unwrap(), Path::new("/home/u/.local/state/poterne/demo"));
        let xdg = |name: &str| Some(if name == "HOME" { "/home/u".into() } else { "/s".into() });
        assert_eq!(demo_dir(xdg).unwrap(), Path::new("/s/poterne/demo"));
        assert_eq!(demo_dir(|_: &str| None), None);
        // A relative path is to be ignored, says the specification.
        let relative = |name: &str| Some(if name == "HOME" { "/home/u".into() } else { "s".into() });
        assert_eq!(demo_dir(relative).unwrap(), Path::new("/home/u/.local/state/poterne/demo"));
    }
}
