//! Names in other letters than ASCII: into A-labels (RFC 5891, UTS #46 without transitional processing).
//!
//! Stands here, before every verb and behind every door, and not in `model`: its tables are large, and neither the edge nor the
//! agent ever meets such a name.

use poterne_model::NameError;

/// The same name in A-labels. What is ASCII already is only folded to lower case, `@`, `*` and `_` stay as they are, and what is no
/// name even then is for [`Name::parse`](poterne_model::Name::parse) to refuse.
pub fn to_ascii(text: &str) -> Result<String, NameError> {
    // Conversion takes more than linear time in a label's length.
    if text.len() > TEXT_OCTETS_MAX {
        return Err(NameError::new(text, "it is longer than 253 characters"));
    }
    match idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY) {
        Ok(ascii) => Ok(ascii.into_owned()),
        Err(_) => {
            Err(NameError::new(text, "it has letters that no domain name can have, or in an order it cannot: check its spelling"))
        }
    }
}

/// Longer text is no name in any letters: four octets for each of 253 characters.
const TEXT_OCTETS_MAX: usize = 4 * 253;

#[cfg(test)]
mod tests {
    use poterne_model::{Name, rdata::Hosts};

    use super::*;

    #[test]
    fn names_become_a_labels_and_keep_what_is_special() {
        for (text, ascii) in [
            ("München.example", "xn--mnchen-3ya.example"),
            ("faß.example", "xn--fa-hia.example"),
            ("*.bücher.example.", "*.xn--bcher-kva.example."),
            ("_sip._tcp.bücher", "_sip._tcp.xn--bcher-kva"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("@", "@"),
            ("WWW", "www"),
        ] {
            assert_eq!(to_ascii(text).unwrap(), ascii, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_with_its_value() {
        let error = to_ascii("a\u{301}\u{202e}.example").unwrap_err().to_string();
        assert!(error.contains("letters that no domain name can have"), "{error}");
        assert!(to_ascii(&"é".repeat(600)).is_err());
        // A letter that stands for "a/c".
        assert!(Name::parse(&to_ascii("\u{2100}.example").unwrap()).is_err());
    }

    #[test]
    fn hosts_inside_data_are_converted_too() {
        let hosts = Hosts { to_ascii, ..Hosts::default() };
        assert_eq!(hosts.read("Bücher.example.").unwrap().to_string(), "xn--bcher-kva.example");
    }
}
