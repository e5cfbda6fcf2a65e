//! Checks of `poterne-edge-http`.

use poterne_edge_http::{Limits, guard::Guard};

/// Bytes of an HTTP/1.1 visitor: however they are cut into reads, the guard gives the same verdict. The first byte says how long the
/// reads are. Small limits, so that the search meets them.
pub fn guard(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    let limits = Limits { head_bytes_max: 512, target_bytes_max: 64, field_bytes_max: 128, fields_max: 8, ..Limits::default() };
    let verdict = |cut: usize| {
        let mut guard = Guard::default();
        data.chunks(cut).try_for_each(|read| {
            guard.scan(read, &limits).map_err(|stop| {
                assert!(stop.pass < read.len(), "a refused byte must not pass");
                stop.refusal
            })
        })
    };
    let (whole, pieces) = (verdict(usize::MAX), verdict(cut));
    // Beyond a bound the status may say which bound was met first; refused is refused.
    assert_eq!(whole.is_err(), pieces.is_err(), "{whole:?} in one read, {pieces:?} in several");
}
