//! Checks of `poterne-model`.

use poterne_model::{
    Rdata, Rtype,
    rdata::{Fields, Hosts},
};

/// Data of a record. The first byte chooses the type, the second whether the third is a priority beside the text that follows.
pub fn rdata(data: &[u8]) {
    let [at, has_priority, priority, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let rtype = Rtype::OFFERED.get(usize::from(*at)).copied().unwrap_or(Rtype::Unknown(731));
    let priority = (has_priority % 2 == 1).then_some(u16::from(*priority));
    let Ok(rdata) = Rdata::parse(rtype, text, priority, Hosts::default()) else { return };
    // Type, content and priority are what a store keeps.
    assert_eq!(Rdata::parse(rtype, &rdata.content(), rdata.priority(), Hosts::default()).as_ref(), Ok(&rdata));
    let presentation = rdata.presentation();
    assert!(presentation.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{presentation:?}");
    let presented = Rdata::parse(rtype, &presentation, None, Hosts::default()).expect("zone files are read again");
    assert!(presented.same(&rdata), "{presented:?} {rdata:?}");
    if let Some(members) = rdata.members() {
        let fields: Fields = members.iter().map(|member| (member.name.to_owned(), member.field())).collect();
        assert_eq!(Rdata::from_fields(rtype, &fields, rdata.priority(), Hosts::default()).as_ref(), Ok(&rdata));
    }
}
