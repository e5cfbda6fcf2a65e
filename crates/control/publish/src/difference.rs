//! What must be sent so that a snapshot becomes what the world says. Pure.

use bytes::Bytes;
use poterne_feed::Key;
use poterne_snapshot::{Chunk, ChunkKey, Snapshot};

use crate::world::World;

/// As a [`poterne_feed::Change`] carries them.
pub(crate) type Chunks = Vec<(Key, Option<Bytes>)>;

/// Of these keys alone: what is not in force as it should be. Names come last: what they lead to is there before them.
pub(crate) fn of_keys<'a>(world: &World, snapshot: &Snapshot, keys: impl Iterator<Item = &'a ChunkKey>) -> Chunks {
    let (names, others): (Vec<_>, Vec<_>) = keys.partition(|key| matches!(key, ChunkKey::Name(..)));
    others.into_iter().chain(names).filter_map(|key| of_key(world, snapshot, key)).collect()
}

/// Of everything; empty when the snapshot is what it should be.
pub(crate) fn of_everything(world: &World, snapshot: &Snapshot) -> Chunks {
    let heads = world.head_keys().filter_map(|key| of_key(world, snapshot, &key));
    let names = world.zones.iter().flat_map(|(id, zone)| {
        let differing = world.names_differing(*id, zone, snapshot).into_iter();
        differing.map(|(name, chunk)| (ChunkKey::Name(*id, name).encode(), chunk.map(|chunk| Chunk::Name(chunk).encode())))
    });
    // A zone takes its names with it.
    let gone = snapshot.head_keys().filter(|key| !world.wants(key)).map(|key| (key.encode(), None));
    heads.chain(names).chain(gone).collect()
}

fn of_key(world: &World, snapshot: &Snapshot, key: &ChunkKey) -> Option<(Key, Option<Bytes>)> {
    match world.wanted(key) {
        Some(chunk) => (!snapshot.holds(key, &chunk)).then(|| (key.encode(), Some(chunk.encode()))),
        None => snapshot.contains(key).then(|| taken(world, key)).flatten(),
    }
}

fn taken(world: &World, key: &ChunkKey) -> Option<(Key, Option<Bytes>)> {
    match key {
        // A zone takes its names with it.
        ChunkKey::Name(zone, _) if !world.wants(&ChunkKey::Zone(*zone)) => None,
        key => Some((key.encode(), None)),
    }
}
