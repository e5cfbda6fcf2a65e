//! The node key: one file, readable by one user.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use crate::{DataKey, EnvelopeError, KeyId, Purpose, Secret, random_bytes};

/// First word of the file; the second is the key in base64.
const FORMAT: &str = "poterne-node-key-1";

/// Longest private file read, in bytes; a key or a CA takes a few hundred.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a private file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error(
        "{path} has mode {mode:o}, so others than its owner can read it: run `chmod 600 {path}`, and rotate the key if they may have"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("{path} is not a {what}: restore it from your backup of this state directory")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// What it holds is wrapped by another node key.
    #[error("{path}: {error}")]
    Wrapped {
        /// The file.
        path: PathBuf,
        /// Why.
        error: EnvelopeError,
    },
}

/// Wraps data keys and the local CAs' keys. Lives in one file of mode 0600.
#[derive(Clone, Debug)]
pub struct NodeKey(DataKey);

impl NodeKey {
    /// Reads the key, or makes one where there is none. Of two processes that race, both end with the same key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match read_private_file(path)? {
            Some(text) => Self::parse(&text, path),
            None => {
                let text = Self::generate().text();
                match write_private_file(path, &text) {
                    Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    written => written?,
                }
                Self::parse(&read_private_file(path)?.unwrap_or(text), path)
            }
        }
    }

    /// A key in memory alone, for a rotation or a test.
    pub fn generate() -> Self {
        Self(DataKey::from_bytes(random_bytes()))
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        self.0.id()
    }

    /// Wraps a data key for the store.
    pub fn wrap(&self, key: &DataKey) -> Vec<u8> {
        self.0.seal(Purpose::DataKey, &key.id(), key.bytes())
    }

    /// Unwraps the data key called `id`.
    pub fn unwrap(&self, id: KeyId, wrapped: &[u8]) -> Result<DataKey, EnvelopeError> {
        let bytes = self.0.open(Purpose::DataKey, &id, wrapped)?;
        let key = DataKey::from_bytes(bytes.expose().try_into().map_err(|_| EnvelopeError::Format)?);
        if key.id() == id { Ok(key) } else { Err(EnvelopeError::Forged(Purpose::DataKey)) }
    }

    /// The same data key under `new`: what rotating the node key does to each.
    pub fn rewrap(&self, id: KeyId, wrapped: &[u8], new: &NodeKey) -> Result<Vec<u8>, EnvelopeError> {
        self.unwrap(id, wrapped).map(|key| new.wrap(&key))
    }

    /// Seals something that stands beside the node key on the same disk, such as a CA's key.
    pub fn seal(&self, purpose: Purpose, subject: &[u8], plain: &[u8]) -> Vec<u8> {
        self.0.seal(purpose, subject, plain)
    }

    /// Opens what [`NodeKey::seal`] made.
    pub fn open(&self, purpose: Purpose, subject: &[u8], sealed: &[u8]) -> Result<Secret, EnvelopeError> {
        self.0.open(purpose, subject, sealed)
    }

    /// A key for something that need not be kept, since whoever has this one can make it again: HMAC-SHA-256 (RFC 2104) of
    /// `label`, which must be no other use's.
    pub fn derive(&self, label: &str) -> Secret {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.bytes());
        Secret::new(hmac::sign(&key, label.as_bytes()).as_ref().to_vec())
    }

    fn text(&self) -> Secret {
        let key = Zeroizing::new(BASE64_STANDARD.encode(self.0.bytes()));
        Secret::new(format!("{FORMAT} {}\n", *key).into_bytes())
    }

    fn parse(text: &Secret, path: &Path) -> Result<Self, KeyFileError> {
        let read = || {
            let text = std::str::from_utf8(text.expose()).ok()?;
            let key = Zeroizing::new(BASE64_STANDARD.decode(text.trim().strip_prefix(FORMAT)?.trim()).ok()?);
            Some(Self(DataKey::from_bytes(key.as_slice().try_into().ok()?)))
        };
        read().ok_or(KeyFileError::Malformed { path: path.to_owned(), what: "node key" })
    }
}

/// Reads a file that must be its owner's alone; none when it is absent.
pub fn read_private_file(path: &Path) -> Result<Option<Secret>, KeyFileError> {
    let wrong = |error| KeyFileError::Io { path: path.to_owned(), error };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(wrong)?,
    };
    let metadata = file.metadata().map_err(wrong)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or(0));
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX), &mut bytes).map_err(wrong)?;
    Ok(Some(Secret::new(bytes)))
}

/// Writes a new file of mode 0600, whole or not at all, and durably; an existing one is an error of kind `AlreadyExists`.
pub fn write_private_file(path: &Path, content: &Secret) -> Result<(), KeyFileError> {
    let wrong = |error| KeyFileError::Io { path: path.to_owned(), error };
    let aside = path.with_extension(format!("new-{}", crate::random_name(8)));
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(content.expose())?;
        file.sync_all()?;
        // A link, unlike a rename, never replaces what another process has just put there.
        fs::hard_link(&aside, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    let result = written();
    match fs::remove_file(&aside) {
        Err(error) if result.is_ok() && error.kind() != io::ErrorKind::NotFound => Err(wrong(error)),
        _ => result.map_err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_private_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let key = NodeKey::load_or_create(&path).unwrap();
        assert_eq!(NodeKey::load_or_create(&path).unwrap().id(), key.id());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn racing_starts_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let ids: Vec<KeyId> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| NodeKey::load_or_create(&path).unwrap().id())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }

    #[test]
    fn a_key_others_can_read_or_that_is_damaged_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        NodeKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = NodeKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("has mode 640") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(NodeKey::load_or_create(&path), Err(KeyFileError::Malformed { .. })));
    }

    #[test]
    fn derived_keys_are_the_same_again_and_another_for_each_label_and_key() {
        // RFC 4231, test case 2, of a key filled up with zeros, which HMAC does itself.
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(b"Jefe");
        let key = NodeKey(DataKey::from_bytes(bytes));
        let derived = key.derive("what do ya want for nothing?");
        assert_eq!(derived.expose()[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_ne!(key.derive("another").expose(), derived.expose());
        assert_ne!(NodeKey::generate().derive("what do ya want for nothing?").expose(), derived.expose());
    }

    #[test]
    fn data_keys_move_to_a_new_node_key() {
        let (old, new, data) = (NodeKey::generate(), NodeKey::generate(), DataKey::generate());
        let wrapped = old.wrap(&data);
        assert!(matches!(new.unwrap(data.id(), &wrapped), Err(EnvelopeError::UnknownKey(_))));
        let rewrapped = old.rewrap(data.id(), &wrapped, &new).unwrap();
        let sealed = data.seal(Purpose::TunnelSecret, b"t", b"hush");
        assert_eq!(
            new.unwrap(data.id(), &rewrapped).unwrap().open(Purpose::TunnelSecret, b"t", &sealed).unwrap().expose(),
            b"hush"
        );
        assert!(new.unwrap([0; 8], &rewrapped).is_err());
    }
}
