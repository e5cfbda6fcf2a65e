//! A certificate as a node knows it: by its names, and where the rest of it lies.
//!
//! Of a certificate that nobody has asked for yet a node needs to know which names it is for, how it stands among others, and whether it is
//! the one that control means. That is [`CertificateEntry`], some hundred bytes and its names. Chain and wrapped key lie on disk
//! ([`crate::shelf`]) and are read by [`CertificateEntry::load`] when a visitor wants them; nothing is believed of what is read there unless its digest
//! is the entry's. Issuers' certificates, which thousands of chains end with, are in memory once ([`Issuers`]).

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    io,
    sync::Arc,
};

use bytes::Bytes;
use poterne_model::{CertificatePackId, Name, NameError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{CertificateChunk, Chunk, shelf::Place};

/// The first 128 bits of a SHA-256: nobody finds other octets of a given digest (2^128 tries), and who finds two of his own that have one digest (2^64)
/// has two certificates of his own.
pub(crate) type Digest = [u8; 16];

/// See the module's page. Immutable; shared by the trees that hold it.
pub struct CertificateEntry {
    pub(crate) id: CertificatePackId,
    /// Of the chunk as it travels: two entries of one digest are of the same certificate, and say the same of it.
    pub(crate) digest: Digest,
    /// The rank in the highest octet, below it the end of validity: in the order in which one is used before another.
    pub(crate) order: u64,
    pub(crate) place: Place,
    pub(crate) issuers: Option<Arc<Issuers>>,
    /// The names with a space between. One block of memory, however many there are.
    pub(crate) names: Box<str>,
}

/// What certificates of one issuer have in common: their chains behind the leaf.
pub(crate) struct Issuers {
    pub(crate) digest: Digest,
    pub(crate) chain: Vec<Bytes>,
}

/// Chain and key, as they lie where an entry's place says.
#[derive(Serialize, Deserialize)]
pub(crate) struct Body<'a> {
    /// The leaf first; without what its issuers have in common.
    #[serde(borrow)]
    pub(crate) chain: Vec<&'a [u8]>,
    /// The private key, wrapped for the node.
    pub(crate) key: &'a [u8],
}

/// Why a certificate cannot be had from where it lies.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system refused, or the file is too short.
    #[error("certificate of pack {id} cannot be read from the snapshot on disk: {error}")]
    Read {
        /// Whose.
        id: CertificatePackId,
        /// Why.
        error: io::Error,
    },
    /// What is there is something else.
    #[error(
        "certificate of pack {id} is damaged on disk: move the snapshot's directory away and start anew, and control will publish everything"
    )]
    Damaged {
        /// Whose.
        id: CertificatePackId,
    },
}

impl CertificateEntry {
    /// What is known of a certificate that lies nowhere: to be compared.
    pub fn of(chunk: &CertificateChunk) -> Self {
        Self::at(chunk, Place::nowhere(), None)
    }

    /// A certificate that is kept whole in memory.
    pub(crate) fn in_memory(chunk: &CertificateChunk) -> Self {
        Self::at(chunk, Place::memory(Body::of(chunk, false).encode()), None)
    }

    /// One that lies somewhere, but for its issuers where these are given.
    pub(crate) fn at(chunk: &CertificateChunk, place: Place, issuers: Option<Arc<Issuers>>) -> Self {
        let names = chunk.names.iter().map(Name::as_str).collect::<Vec<_>>().join(" ").into_boxed_str();
        let order = u64::from(chunk.rank) << 56 | chunk.not_after.min((1 << 56) - 1);
        Self { id: chunk.id, digest: digest(&Chunk::Certificate(chunk.clone()).encode()), order, place, issuers, names }
    }

    /// Its pack.
    pub fn id(&self) -> CertificatePackId {
        self.id
    }

    /// The names it is for, wildcards with their `*`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(' ').filter(|name| !name.is_empty())
    }

    /// Of two certificates for a name, that of the greater rank is used.
    pub fn rank(&self) -> u8 {
        u8::try_from(self.order >> 56).unwrap_or(u8::MAX)
    }

    /// End of validity, seconds since the Unix epoch; of two certificates of equal rank the later one is used.
    pub fn not_after(&self) -> u64 {
        self.order & ((1 << 56) - 1)
    }

    /// Whether both are of the same certificate and say the same of it, wherever it lies.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.digest == other.digest
    }

    /// All of it, from where it lies. Blocks on the disk, where it lies there: one read of some 1.5 KiB.
    ///
    /// # Errors
    /// It cannot be read, or is not what it was.
    pub fn load(&self) -> Result<CertificateChunk, LoadError> {
        let id = self.id;
        let bytes = self.place.read().map_err(|error| LoadError::Read { id, error })?;
        self.assemble(&bytes)
            .filter(|chunk| digest(&Chunk::Certificate(chunk.clone()).encode()) == self.digest)
            .ok_or(LoadError::Damaged { id })
    }

    fn assemble(&self, bytes: &[u8]) -> Option<CertificateChunk> {
        let body: Body<'_> = postcard::from_bytes(bytes).ok()?;
        let issuers = self.issuers.iter().flat_map(|issuers| issuers.chain.iter().cloned());
        Some(CertificateChunk {
            id: self.id,
            names: self.names().map(Name::parse).collect::<Result<_, NameError>>().ok()?,
            chain: body.chain.into_iter().map(Bytes::copy_from_slice).chain(issuers).collect(),
            key: Bytes::copy_from_slice(body.key),
            rank: self.rank(),
            not_after: self.not_after(),
        })
    }
}

impl AsRef<CertificatePackId> for CertificateEntry {
    fn as_ref(&self) -> &CertificatePackId {
        &self.id
    }
}

impl std::fmt::Debug for CertificateEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateEntry").field("id", &self.id).field("names", &self.names).finish_non_exhaustive()
    }
}

impl Issuers {
    /// What a chain has behind its leaf; none where that is nothing.
    pub(crate) fn of(chain: &[Bytes]) -> Option<Self> {
        let chain = chain.get(1..).filter(|issuers| !issuers.is_empty())?;
        Some(Self { digest: digest(&Self::encoded(chain)), chain: chain.to_vec() })
    }

    pub(crate) fn encode(&self) -> Bytes {
        Self::encoded(&self.chain).into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let chain: Vec<Bytes> = postcard::from_bytes(bytes).ok()?;
        Some(Self { digest: digest(bytes), chain })
    }

    fn encoded(chain: &[Bytes]) -> Vec<u8> {
        postcard::to_allocvec(chain).expect("plain data always serializes into memory")
    }
}

impl<'a> Body<'a> {
    /// Of a certificate; `shares`: without what its issuers have in common.
    pub(crate) fn of(chunk: &'a CertificateChunk, shares: bool) -> Self {
        let own = if shares { chunk.chain.len().min(1) } else { chunk.chain.len() };
        Self { chain: chunk.chain[..own].iter().map(|der| &**der).collect(), key: &chunk.key }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain data always serializes into memory")
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut first = [0; 16];
    first.copy_from_slice(&Sha256::digest(bytes)[..16]);
    first
}

/// An entry, found by its pack: a tree of these keeps no key beside it.
#[derive(Clone)]
pub(crate) struct ByPack(pub(crate) Arc<CertificateEntry>);

impl Borrow<CertificatePackId> for ByPack {
    fn borrow(&self) -> &CertificatePackId {
        &self.0.id
    }
}

impl Hash for ByPack {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ByPack {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ByPack {}
