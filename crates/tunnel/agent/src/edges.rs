//! Where edges are: what the token said, and what the edge itself said last.
//!
//! At registration an edge tells where all the edges are and which authorities will vouch for them. The list is kept beside the
//! token in a file only its owner reads, and comes first from then on: a node that moves takes its agents along.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use poterne_model::TunnelId;
use poterne_tunnel_proto::registration::Edges;

/// Most edges and pins believed.
const EDGES_MAX: usize = 64;
/// Longest remembered file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Known edges of one tunnel.
#[derive(Debug)]
pub(crate) struct EdgeBook {
    given: Vec<String>,
    remembered: Mutex<Option<Edges>>,
    file: Option<PathBuf>,
}

impl EdgeBook {
    /// `given` by the operator or the token; `state_dir` absent: nothing is remembered over a restart.
    pub(crate) fn open(given: Vec<String>, state_dir: Option<&Path>, tunnel: TunnelId) -> Self {
        let file = state_dir.map(|dir| dir.join(format!("edges-{tunnel}.json")));
        let remembered = file.as_deref().and_then(read);
        Self { given, remembered: Mutex::new(remembered), file }
    }

    /// All known edges, the remembered first, each once.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut all: Vec<String> = self.lock().as_ref().map(|edges| edges.edges.clone()).unwrap_or_default();
        for given in &self.given {
            if !all.contains(given) {
                all.push(given.clone());
            }
        }
        all
    }

    /// Pins the edge announced.
    pub(crate) fn pins(&self) -> Vec<[u8; 32]> {
        self.lock().as_ref().map(Edges::pins).unwrap_or_default()
    }

    /// Takes what an edge announced; true when it is news. Lists too long, or without an edge, are not believed.
    pub(crate) fn learn(&self, announced: &[u8]) -> bool {
        let Some(edges) = Edges::parse(announced) else { return false };
        if edges.edges.is_empty() || edges.edges.len() > EDGES_MAX || edges.pins.len() > EDGES_MAX {
            return false;
        }
        let mut remembered = self.lock();
        if remembered.as_ref() == Some(&edges) {
            return false;
        }
        if let Some(file) = &self.file
            && let Err(error) = write(file, &edges.encode())
        {
            tracing::warn!(file = %file.display(), %error, "the list of edges cannot be kept; it is asked for again after a restart");
        }
        *remembered = Some(edges);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Edges>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(file: &Path) -> Option<Edges> {
    let known = std::fs::metadata(file).ok()?;
    if known.len() > FILE_BYTES_MAX {
        return None;
    }
    Edges::parse(&std::fs::read(file).ok()?)
}

/// Written beside and renamed: a torn list is never read.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let beside = file.with_extension("new");
    let mut new = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    std::fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_the_edge_announced_is_kept_and_preferred() {
        let dir = tempfile::tempdir().unwrap();
        let tunnel = TunnelId::from_bytes([7; 16]);
        let book = EdgeBook::open(vec!["given:7844".into()], Some(dir.path()), tunnel);
        assert_eq!(book.addresses(), ["given:7844"]);
        let announced = Edges::new(vec!["moved:7844".into(), "given:7844".into()], &[[9; 32]]).encode();
        assert!(book.learn(&announced));
        assert!(!book.learn(&announced), "not news the second time");
        assert!(!book.learn(b"not a list"));
        assert!(!book.learn(&Edges::new(Vec::new(), &[]).encode()));
        let again = EdgeBook::open(vec!["given:7844".into()], Some(dir.path()), tunnel);
        assert_eq!(again.addresses(), ["moved:7844", "given:7844"]);
        assert_eq!(again.pins(), [[9; 32]]);
        let mode = std::fs::metadata(dir.path().join(format!("edges-{tunnel}.json"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
