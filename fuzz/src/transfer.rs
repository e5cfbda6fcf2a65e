//! Checks of what primaries send.

use poterne_dns_resolver::incoming::{Bounds, Came, Reader};
use poterne_model::Name;

/// The messages of a transfer, each behind its length: what comes of it lies in the zone and within its bounds.
pub fn transfer(data: &[u8]) {
    let apex = Name::parse("example.com").expect("a name");
    let bounds = Bounds { records: 50, octets: 20_000 };
    // The first octet says what was asked; the id is the first message's own.
    let Some((choice, mut rest)) = data.split_first() else { return };
    let since = (choice & 1 != 0).then_some(7);
    let id = rest.get(2..4).map_or([0; 2], |id| [id[0], id[1]]);
    let mut reader = Reader::new(apex.clone(), id, since, bounds);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let Some((message, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return };
        rest = after;
        match reader.read(message) {
            Ok(true) => break,
            Ok(false) => {}
            Err(_) => return,
        }
    }
    match reader.finish() {
        Ok(Came::Whole(_, records)) => {
            assert!(records.len() <= bounds.records && records.iter().all(|record| record.owner.is_within(&apex)));
        }
        Ok(Came::Changes(_, changes)) => {
            assert!(since.is_some() && changes.len() <= bounds.records);
            assert!(changes.iter().all(|(_, record)| record.owner.is_within(&apex)));
        }
        Ok(Came::Current) => assert!(since.is_some()),
        Err(_) => {}
    }
}
