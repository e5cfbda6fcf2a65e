//! `poterne backup` and `poterne restore`: all that makes a node itself, in one file.
//!
//! A backup is a tar archive with the store as of one moment, the node key and the authorities' keys: whoever has it has every tunnel's
//! and certificate's secret, so it is its owner's alone (mode 0600). The snapshot is left out: it is made again from the store. Agents
//! of a restored node find it if its tokens' names (`[tunnel] edges`) lead to it, and trust it, since its authority is the same.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path},
};

use anyhow::{Context as _, bail};
use poterne_control_app::{App, Caller};

use crate::state::{self, StateDir};

/// What is kept beside the store, in a state directory's own names. The demo's note may be absent.
const FILES: [&str; 8] = [
    "node.key",
    "tunnel-ca.key",
    "visitors-ca.key",
    "origin-pull-ca.key",
    "origin-ca.key",
    "ca.pem",
    "visitors-ca.pem",
    "demo-service",
];

/// Largest file that is taken out of an archive.
const FILE_BYTES_MAX: u64 = 1 << 40;

/// Writes a backup to a file that is not there yet; tells its size.
pub(crate) async fn write(app: &App, state: &Path, destination: &Path) -> anyhow::Result<u64> {
    let unwritable = || format!("{} cannot be written", destination.display());
    if destination.symlink_metadata().is_ok() {
        bail!("{}: it is there already; name another file", unwritable());
    }
    // Beside it first, and under its name once it is whole: half a backup is worse than none, whoever is killed meanwhile.
    let dir = destination.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(".poterne-backup-").tempfile_in(dir).with_context(unwritable)?;
    let bytes = write_into(app, state, beside.reopen().with_context(unwritable)?).await?;
    beside.persist_noclobber(destination).map_err(|error| error.error).with_context(unwritable)?;
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(unwritable)?;
    Ok(bytes)
}

async fn write_into(app: &App, state_dir: &Path, file: File) -> anyhow::Result<u64> {
    // Beside the store, where there is room for it, and where nobody else reads it.
    let dir = tempfile::Builder::new().prefix(state::COPY_PREFIX).tempdir_in(state_dir).context("the copy of the store")?;
    let copy = dir.path().join(state::STORE);
    app.copy_store(&Caller::Operator, &copy).await?;
    let state_dir = state_dir.to_path_buf();
    let archived = tokio::task::spawn_blocking(move || -> anyhow::Result<u64> {
        let mut archive = tar::Builder::new(file);
        archive.mode(tar::HeaderMode::Deterministic);
        archive.append_path_with_name(&copy, state::STORE)?;
        for name in FILES {
            match archive.append_path_with_name(state_dir.join(name), name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && name != state::NODE_KEY => {}
                done => done.with_context(|| format!("{name} cannot be read"))?,
            }
        }
        let file = archive.into_inner()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    });
    let bytes = archived.await??;
    drop(dir);
    Ok(bytes)
}

/// Makes a state directory of a backup. It must have no state yet, and no node runs on it meanwhile.
pub(crate) fn restore(archive: &Path, state: &StateDir) -> anyhow::Result<()> {
    if state.found() {
        bail!("{} holds a state already: restore into another directory, named with --state-dir", state.path().display());
    }
    let mut written = Vec::new();
    let restored = unpack(archive, state, &mut written);
    if restored.is_err() {
        // Half a state would be taken for one by the next try.
        for name in written {
            let _ = fs::remove_file(state.join(&name));
        }
    }
    restored
}

/// Writes the archive's files, and notes which.
fn unpack(archive: &Path, state: &StateDir, found: &mut Vec<String>) -> anyhow::Result<()> {
    let file = File::open(archive).with_context(|| format!("{} cannot be read", archive.display()))?;
    let mut archive_reader = tar::Archive::new(file);
    let wrong = || format!("{} is no backup of Poterne", archive.display());
    for entry in archive_reader.entries().with_context(wrong)? {
        let mut entry = entry.with_context(wrong)?;
        let path = entry.path().with_context(wrong)?.into_owned();
        let name = match path.components().collect::<Vec<_>>().as_slice() {
            [Component::Normal(name)] => name.to_str().map(str::to_owned),
            _ => None,
        };
        let known = |name: &String| name == state::STORE || FILES.contains(&name.as_str());
        let Some(name) = name.filter(known) else {
            bail!("{}: it holds {}, which is none of a backup's files", wrong(), path.display())
        };
        if entry.size() > FILE_BYTES_MAX || !entry.header().entry_type().is_file() {
            bail!("{}: {name} is no plain file of a backup", wrong());
        }
        let place = state.join(&name);
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place);
        let out = out.as_mut().map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", place.display()))?;
        found.push(name);
        io::copy(&mut entry.by_ref().take(FILE_BYTES_MAX), out)
            .with_context(|| format!("{} cannot be written", place.display()))?;
        out.sync_all()?;
    }
    for needed in [state::STORE, state::NODE_KEY, "tunnel-ca.key"] {
        if !found.iter().any(|name| name == needed) {
            bail!("{}: {needed} is missing", wrong());
        }
    }
    Ok(())
}
