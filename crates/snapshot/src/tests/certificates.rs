//! Certificates lie beside the base and the logs, are found there after whatever happened, and are never taken for others.

use bytes::Bytes;
use poterne_model::CertificatePackId;

use super::*;
use crate::{CertificateChunk, CertificateEntry, LoadError};

fn pack(number: u8) -> CertificatePackId {
    CertificatePackId::from_bytes([number; 16])
}

/// The version-th certificate of a pack; `bytes`: how long its leaf is. All have one issuer.
fn certificate(number: u8, version: u8, bytes: usize) -> CertificateChunk {
    let host = format!("host-{number}.example.com");
    CertificateChunk {
        id: pack(number),
        names: [host.clone(), format!("*.{host}")].iter().map(|name| Name::parse(name).unwrap()).collect(),
        chain: vec![Bytes::from(vec![version; bytes]), Bytes::from_static(&[7; 1200])],
        key: Bytes::from(vec![number, version]),
        rank: 1,
        not_after: 1_900_000_000 + u64::from(version),
    }
}

fn put(chunk: &CertificateChunk) -> (ChunkKey, Chunk) {
    (ChunkKey::Certificate(chunk.id), Chunk::Certificate(chunk.clone()))
}

fn found(keeper: &Keeper, number: u8) -> Option<CertificateChunk> {
    let snapshot = keeper.handle().load().clone();
    let by_name = snapshot.certificate(&format!("www.host-{number}.example.com")).map(|entry| entry.load().unwrap());
    assert_eq!(by_name, snapshot.certificate_of(pack(number)).map(|entry| entry.load().unwrap()));
    by_name
}

fn files(dir: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
    files.sort();
    files
}

fn bytes_of(files: &[std::path::PathBuf]) -> u64 {
    files.iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn they_are_found_after_a_restart_and_a_compaction_and_issuers_are_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    keeper.accept(&change(1, (0..50).map(|number| put(&certificate(number, 1, 900))).collect())).unwrap();
    keeper.accept(&change(2, vec![put(&certificate(3, 2, 900))])).unwrap();
    let gone = Change { generation: 3, chunks: vec![(ChunkKey::Certificate(pack(4)).encode(), None)] };
    keeper.accept(&gone).unwrap();
    let as_it_should_be = |keeper: &Keeper| {
        for number in 0..50 {
            let version = if number == 3 { 2 } else { 1 };
            assert_eq!(found(keeper, number), (number != 4).then(|| certificate(number, version, 900)), "{number}");
        }
    };
    as_it_should_be(&keeper);
    drop(keeper);
    let keeper = Keeper::open(dir.path()).unwrap();
    as_it_should_be(&keeper);
    keeper.compact().unwrap();
    as_it_should_be(&keeper);
    let keeper = Keeper::open(dir.path()).unwrap();
    as_it_should_be(&keeper);
    assert_eq!(keeper.handle().load().generation(), 3);
    // 51 leaves and keys; and one issuer in the base, which says little more than names of the others.
    assert!((51 * 900..51 * 920).contains(&bytes_of(&files(dir.path(), "certificates."))));
    assert!((1200..1200 + 50 * 120).contains(&bytes_of(&files(dir.path(), "base"))));
    // What is laid down next goes on where the last file ends.
    keeper.accept(&change(4, vec![put(&certificate(60, 1, 10))])).unwrap();
    assert_eq!(files(dir.path(), "certificates.").len(), 1);
    as_it_should_be(&Keeper::open(dir.path()).unwrap());
}

#[test]
fn whatever_a_file_lost_is_left_out_or_refused_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    keeper.accept(&change(1, vec![put(&certificate(1, 1, 60)), put(&certificate(2, 2, 60)), head(ZoneStatus::Active)])).unwrap();
    let path = files(dir.path(), "certificates.").remove(0);
    let whole = fs::read(&path).unwrap();
    drop(keeper);
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let keeper = Keeper::open(dir.path()).unwrap();
        let snapshot = keeper.handle().load().clone();
        assert!(snapshot.generation() == 1 && snapshot.zone(ZONE).is_some(), "the change is whole but for what is lost");
        assert!(snapshot.certificate_of(pack(2)).is_none(), "{length}");
        assert!(found(&keeper, 1).is_none_or(|chunk| chunk == certificate(1, 1, 60)));
        // What is of no use may have been removed; control sends again what is lost.
        fs::write(&path, &whole).unwrap();
    }
    for at in 8..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        let snapshot = Keeper::open(dir.path()).unwrap().handle().load().clone();
        let loaded = [1, 2].map(|number| snapshot.certificate_of(pack(number)).unwrap().load());
        let damaged = loaded.iter().filter(|loaded| matches!(loaded, Err(LoadError::Damaged { .. }))).count();
        assert_eq!(damaged, 1, "{at}: of both certificates one lies there");
    }
    fs::remove_file(&path).unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    assert_eq!((found(&keeper, 1), found(&keeper, 2)), (None, None));
    keeper.accept(&change(2, vec![put(&certificate(1, 1, 60))])).unwrap();
    assert_eq!(found(&Keeper::open(dir.path()).unwrap(), 1), Some(certificate(1, 1, 60)));
}

#[test]
fn a_change_that_is_refused_leaves_nothing_that_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    keeper.accept(&history(1)[0]).unwrap();
    let stray = name("other.example.org", 9);
    assert!(keeper.accept(&change(2, vec![put(&certificate(1, 1, 100)), stray])).is_err());
    assert!(keeper.accept(&change(3, vec![put(&certificate(1, 1, 100))])).is_err(), "a gap");
    assert_eq!(found(&keeper, 1), None);
    drop(keeper);
    let keeper = Keeper::open(dir.path()).unwrap();
    assert!(files(dir.path(), "certificates.").is_empty());
    // What only the disk holds of a certificate is taken of no feed.
    keeper.accept(&change(2, vec![put(&certificate(1, 1, 100))])).unwrap();
    let stub = crate::shelf::stub(keeper.handle().load().certificate_of(pack(1)).unwrap());
    let foreign = Change { generation: 3, chunks: vec![(ChunkKey::Certificate(pack(2)).encode(), Some(stub))] };
    assert!(keeper.accept(&foreign).is_err());
    assert!(Snapshot::default().apply(&Change { generation: 1, ..foreign }).is_err());
}

#[test]
fn room_is_won_back_and_whoever_holds_what_was_replaced_reads_it_on() {
    const LEAF: usize = 12 << 10;
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    keeper.compacts_when_told();
    let mut generation = 0;
    let mut accept = |numbers: std::ops::Range<u8>, version: u8| {
        for number in numbers {
            generation += 1;
            keeper.accept(&change(generation, vec![put(&certificate(number, version, LEAF))])).unwrap();
        }
    };
    // More than one file; of the first, most is replaced.
    accept(0..30, 1);
    let held: Vec<_> = keeper.handle().load().certificates().cloned().collect();
    accept(0..20, 2);
    let before = bytes_of(&files(dir.path(), "certificates."));
    assert!(before >= 50 * LEAF as u64);
    keeper.compact().unwrap();
    let after = bytes_of(&files(dir.path(), "certificates."));
    assert!(after < before && after < 32 * LEAF as u64, "{after} of {before}");
    for entry in held {
        let number = entry.id().as_bytes()[0];
        assert_eq!(entry.load().unwrap(), certificate(number, 1, LEAF));
    }
    drop(keeper);
    let keeper = Keeper::open(dir.path()).unwrap();
    for number in 0..30 {
        assert_eq!(found(&keeper, number), Some(certificate(number, if number < 20 { 2 } else { 1 }, LEAF)));
    }
}

#[test]
fn what_an_earlier_version_kept_whole_is_laid_beside_the_base() {
    let dir = tempfile::tempdir().unwrap();
    // As that version wrote it: whole chunks in the log.
    let whole = change(1, vec![put(&certificate(1, 1, 300)), put(&certificate(2, 1, 300))]);
    fs::write(dir.path().join("changes.00000000000000000000"), crate::disk::log_of_before(&whole)).unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    assert_eq!(found(&keeper, 2), Some(certificate(2, 1, 300)));
    keeper.compact().unwrap();
    let base = fs::read(dir.path().join("base")).unwrap();
    assert!(!base.windows(300).any(|bytes| bytes == [1; 300]), "it is not in the base any more");
    drop(keeper);
    assert_eq!(found(&Keeper::open(dir.path()).unwrap(), 1), Some(certificate(1, 1, 300)));
}

#[test]
fn an_entry_says_what_the_certificate_says() {
    let chunk = certificate(1, 1, 100);
    let entry = CertificateEntry::of(&chunk);
    assert_eq!((entry.rank(), entry.not_after()), (chunk.rank, chunk.not_after));
    assert_eq!(entry.names().collect::<Vec<_>>(), ["host-1.example.com", "*.host-1.example.com"]);
    assert!(matches!(entry.load(), Err(LoadError::Read { .. })), "it lies nowhere");
    for other in [
        CertificateChunk { rank: 2, ..chunk.clone() },
        CertificateChunk { not_after: 1, ..chunk.clone() },
        CertificateChunk { key: Bytes::new(), ..chunk.clone() },
        CertificateChunk { names: Vec::new(), ..chunk.clone() },
        CertificateChunk { chain: Vec::new(), ..chunk.clone() },
    ] {
        assert!(!entry.is_same(&CertificateEntry::of(&other)), "{other:?}");
        let (_, snapshot) = Snapshot::default().apply(&change(1, vec![put(&other)])).unwrap();
        assert_eq!(snapshot.certificate_of(other.id).unwrap().load().unwrap(), other);
        assert!(snapshot.holds(&ChunkKey::Certificate(other.id), &Chunk::Certificate(other.clone())));
        assert!(!snapshot.holds(&ChunkKey::Certificate(other.id), &Chunk::Certificate(chunk.clone())));
    }
}

#[test]
fn keys_of_certificates_begin_as_no_others_do() {
    let certificate = ChunkKey::Certificate(pack(9)).encode();
    assert!(certificate.starts_with(&ChunkKey::OF_CERTIFICATES));
    let zone = ZoneId::from_bytes([5; 16]);
    for key in
        [ChunkKey::Node, ChunkKey::Zone(zone), ChunkKey::Challenge(ChallengeId::from_bytes([5; 16])), ChunkKey::Rules(zone)]
    {
        assert!(!key.encode().starts_with(&ChunkKey::OF_CERTIFICATES));
    }
}
