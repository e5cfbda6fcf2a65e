//! SNI → certificate.
//!
//! In this order: the operator's files, certificates of the snapshot, and the local authority, which issues on the spot for names of
//! zones that serve and for the node's own. A name that none of them answers for gets an alert: there is no default certificate, so
//! that scanning an address tells nothing of who lives there.
//!
//! The snapshot is asked at each handshake, and what it has is kept ready for as long as it has exactly that: a certificate that was renewed
//! or taken away is so at once, and connections that are there stay.
//!
//! Of a certificate that nobody asked for lately the snapshot knows where it lies ([`CertificateEntry::load`]). Over TCP it is read on a thread for that before
//! the handshake goes on ([`Certificates::prepare`]), at most [`CERTIFICATE_LOADS_MAX`] at a time: visitors beyond wait, within the time that a
//! handshake may take. Whoever asks for another name each time keeps those threads busy and takes the places of certificates that were asked
//! for once, not of those that are asked for again and again: the cache lets new ones in at its cold end.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use poterne_keys::NodeKey;
use poterne_model::{CertificatePackId, Name, setting::EdgeSettings};
use poterne_snapshot::{CertificateChunk, CertificateEntry, Lookup, Snapshot, SnapshotHandle, ZoneHead};
use rustls::{
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::sync::Semaphore;

use crate::{challenge, tickets::Tickets};

/// Certificates kept ready, issued here and of the snapshot each; a few KiB apiece.
const ISSUED_MAX: usize = 10_000;
/// Certificates of the snapshot that are kept ready.
pub const CERTIFICATES_READY_MAX: usize = 10_000;

/// Certificates that are read and made ready at a time.
pub const CERTIFICATE_LOADS_MAX: usize = 8;

/// What could not be made ready is not tried again for so long: its log line, and its read, are one.
const UNUSABLE_FOR: Duration = Duration::from_secs(60);

/// A certificate made on the spot.
pub struct Issued {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// From then on a new one is made.
    pub renew_after: SystemTime,
}

/// A local authority, as far as this crate knows it.
pub trait Issuer: Send + Sync + 'static {
    /// A certificate for exactly this name.
    ///
    /// # Errors
    /// In words, for the log.
    fn issue(&self, name: &str) -> Result<Issued, String>;
}

/// Unwraps a certificate's key, which travels wrapped for the node.
pub type Unwrap = dyn Fn(&CertificateChunk) -> Option<PrivateKeyDer<'static>> + Send + Sync;

/// Where certificates come from.
#[derive(Default)]
pub struct CertificatesSettings {
    /// Pairs of PEM files: chain and key.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// The node's own names.
    pub node_names: Vec<Name>,
    /// Makes what nothing else has.
    pub issuer: Option<Arc<dyn Issuer>>,
    /// Opens the snapshot's keys.
    pub unwrap: Option<Arc<Unwrap>>,
    /// What keys of session tickets are wrapped with; none: this process has its own, and no other takes its sessions up.
    pub node_key: Option<NodeKey>,
}

/// Why a pair of files is refused. Culprit: the operator.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("[edge] certificates: {path} cannot be read: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no PEM of the kind.
    #[error("[edge] certificates: {path} does not hold {expected} in PEM form: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What is wrong.
        error: String,
    },
    /// Certificate and key do not belong together, or the names cannot be read.
    #[error("[edge] certificates: {cert} with {key}: {error}")]
    Pair {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        error: String,
    },
}

/// The operator's certificates, read and found right.
pub struct Files(HashMap<Box<str>, Arc<CertifiedKey>>);

impl Files {
    /// Reads pairs of PEM files, chain and key.
    ///
    /// # Errors
    /// A file is missing, no PEM, or key and certificate do not belong together.
    pub fn read(pairs: &[(PathBuf, PathBuf)]) -> Result<Self, FileError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut files = HashMap::new();
        for (cert, key) in pairs {
            let (names, certified) = load(cert, key, &provider)?;
            for name in names {
                files.insert(name.into_boxed_str(), certified.clone());
            }
        }
        Ok(Self(files))
    }

    /// How many names they cover.
    pub fn names(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Files").field(&self.0.len()).finish()
    }
}

/// Answers handshakes with certificates.
pub struct Certificates {
    snapshot: SnapshotHandle,
    files: ArcSwap<HashMap<Box<str>, Arc<CertifiedKey>>>,
    node_names: Vec<Name>,
    issuer: Option<Arc<dyn Issuer>>,
    unwrap: Option<Arc<Unwrap>>,
    tickets: Arc<Tickets>,
    issued: quick_cache::sync::Cache<Box<str>, Arc<Made>>,
    served: quick_cache::sync::Cache<CertificatePackId, Arc<Served>>,
    loads: Semaphore,
    provider: Arc<CryptoProvider>,
}

/// Issued here.
struct Made {
    key: Arc<CertifiedKey>,
    renew_after: SystemTime,
}

/// Of the snapshot, and of which entry.
struct Served {
    entry: Arc<CertificateEntry>,
    /// None: it is unusable.
    key: Option<Arc<CertifiedKey>>,
    loaded_at: Instant,
}

impl Served {
    fn is_of(&self, entry: &CertificateEntry) -> bool {
        self.entry.is_same(entry) && (self.key.is_some() || self.loaded_at.elapsed() < UNUSABLE_FOR)
    }
}

impl Certificates {
    /// Reads the operator's files; the rest is made or looked up when a visitor asks.
    ///
    /// # Errors
    /// A file is missing, no PEM, or key and certificate do not belong together.
    pub fn new(snapshot: SnapshotHandle, settings: CertificatesSettings) -> Result<Self, FileError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let files = Files::read(&settings.files)?;
        Ok(Self {
            tickets: Arc::new(Tickets::new(snapshot.clone(), settings.node_key)),
            snapshot,
            files: ArcSwap::from_pointee(files.0),
            node_names: settings.node_names,
            issuer: settings.issuer,
            unwrap: settings.unwrap,
            issued: quick_cache::sync::Cache::new(ISSUED_MAX),
            served: quick_cache::sync::Cache::new(CERTIFICATES_READY_MAX),
            loads: Semaphore::new(CERTIFICATE_LOADS_MAX),
            provider,
        })
    }

    /// Answers with these instead of the operator's files that it had. Connections that are there keep what they were answered with.
    pub fn take_files(&self, files: Files) {
        self.files.store(Arc::new(files.0));
    }

    /// The certificate for a name in lower case. One of the snapshot that is not ready is read here, unless as many as may are being read already: then
    /// there is none this time.
    pub fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(key) = self.of_file(name) {
            return Some(key);
        }
        let snapshot = self.snapshot.load();
        if let Some(entry) = snapshot.certificate(name)
            && self.unwrap.is_some()
        {
            let served = self.served.get(&entry.id()).filter(|served| served.is_of(entry));
            let served = match served {
                Some(served) => served,
                None => {
                    let _permit = self.loads.try_acquire().ok()?;
                    self.load(entry)
                }
            };
            if let Some(key) = &served.key {
                return Some(Arc::clone(key));
            }
        }
        let now = SystemTime::now();
        if let Some(made) = self.issued.get(name).filter(|made| now < made.renew_after) {
            return Some(made.key.clone());
        }
        let made = Arc::new(self.make(&snapshot, name)?);
        self.issued.insert(name.into(), made.clone());
        Some(made.key.clone())
    }

    /// Has the certificate for a name in lower case ready when the handshake asks for it, so that nobody waits for the disk but whoever asks.
    pub async fn prepare(self: &Arc<Self>, name: &str) {
        let is_ready = |entry: &CertificateEntry| self.served.get(&entry.id()).is_some_and(|served| served.is_of(entry));
        let cold = || self.snapshot.load().certificate(name).filter(|entry| !is_ready(entry)).cloned();
        let Some(entry) = cold().filter(|_| self.unwrap.is_some() && self.of_file(name).is_none()) else { return };
        let Ok(_permit) = self.loads.acquire().await else { return };
        // Another visitor of the same name came before.
        if is_ready(&entry) {
            return;
        }
        let this = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || drop(this.load(&entry))).await;
        if let Err(error) = loaded {
            tracing::error!(name, %error, "reading a certificate failed");
        }
    }

    fn of_file(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let files = self.files.load();
        if files.is_empty() {
            return None;
        }
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        files.get(name).or_else(|| files.get(wildcard?.as_str())).cloned()
    }

    /// Looks at the zone of a name in lower case, where there is one.
    pub(crate) fn with_zone<T>(&self, name: &str, look: impl FnOnce(Option<&ZoneHead>) -> T) -> T {
        match self.snapshot.load().route(name) {
            Lookup::Route { zone, .. } | Lookup::NoHost(zone) | Lookup::ZoneNotServing(zone) => look(Some(zone)),
            Lookup::NoZone => look(None),
        }
    }

    /// Whether visitors of this name may come by HTTP/3.
    pub fn takes_http3(&self, name: &str) -> bool {
        self.with_zone(name, |zone| zone.map_or(EdgeSettings::default().http3, |zone| zone.edge.http3))
    }

    /// What makes sessions resumable.
    pub(crate) fn tickets(&self) -> Arc<Tickets> {
        Arc::clone(&self.tickets)
    }

    /// What proves a name to an authority (RFC 8737): a certificate that says nothing but that it was asked for. None: no authority is being
    /// shown anything of that name.
    pub fn challenge(&self, name: &str, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        // Modulo 2^32, as it is compared.
        let secs = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % (1 << 32);
        let digest = self.snapshot.load().tls_challenge(name, u32::try_from(secs).ok()?)?;
        let made = challenge::certificate(name, &digest, &self.provider);
        made.inspect_err(|error| tracing::error!(name, error, "a certificate for a challenge could not be made"))
            .ok()
            .map(Arc::new)
    }

    /// Reads and unwraps one. Blocks on the disk.
    fn load(&self, entry: &Arc<CertificateEntry>) -> Arc<Served> {
        let loaded = entry.load().inspect_err(|error| tracing::error!(%error, "a certificate of the snapshot cannot be served"));
        let key = loaded.ok().and_then(|chunk| {
            let secret = self.unwrap.as_ref().and_then(|unwrap| unwrap(&chunk))?;
            let chain = chunk.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
            let key = CertifiedKey::from_der(chain, secret, &self.provider);
            key.inspect_err(|error| tracing::error!(pack = %chunk.id, %error, "a certificate of the snapshot is unusable")).ok()
        });
        let served = Arc::new(Served { entry: Arc::clone(entry), key: key.map(Arc::new), loaded_at: Instant::now() });
        self.served.insert(entry.id(), Arc::clone(&served));
        served
    }

    fn make(&self, snapshot: &Snapshot, name: &str) -> Option<Made> {
        let ours = self.node_names.iter().any(|node| node.as_str() == name)
            || matches!(snapshot.route(name), Lookup::Route { .. } | Lookup::NoHost(_));
        if !ours {
            return None;
        }
        let issued = self.issuer.as_ref()?.issue(name);
        let issued =
            issued.inspect_err(|error| tracing::error!(name, error, "the local authority cannot issue a certificate")).ok()?;
        let key = CertifiedKey::from_der(issued.chain, issued.key, &self.provider);
        let key = key.inspect_err(|error| tracing::error!(name, %error, "an issued certificate is unusable")).ok()?;
        Some(Made { key: Arc::new(key), renew_after: issued.renew_after })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 6066 §3: names in the extension are compared without regard to case.
        self.find(&hello.server_name()?.to_ascii_lowercase())
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files.load().len())
            .field("issued", &self.issued.len())
            .field("served", &self.served.len())
            .finish_non_exhaustive()
    }
}

fn load(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<(Vec<String>, Arc<CertifiedKey>), FileError> {
    let read = |path: &Path| fs::read(path).map_err(|error| FileError::Read { path: path.to_owned(), error });
    let pem = |path: &Path, expected, error: String| FileError::Pem { path: path.to_owned(), expected, error };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(cert, "certificates", error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| pem(cert, "certificates", "there is none".into()))?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| pem(key, "a private key", error.to_string()))?;
    let pair = |error: String| FileError::Pair { cert: cert.to_owned(), key: key.to_owned(), error };
    let names = names_of(leaf).ok_or_else(|| pair("the certificate names no host (subjectAltName)".into()))?;
    let certified = CertifiedKey::from_der(chain, secret, provider).map_err(|error| pair(error.to_string()))?;
    Ok((names, Arc::new(certified)))
}

fn names_of(leaf: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let names: Vec<String> = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    (!names.is_empty()).then_some(names)
}
