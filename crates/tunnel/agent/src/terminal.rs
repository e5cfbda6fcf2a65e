//! Others' words on a person's terminal. Pure.
//!
//! What an agent, a node or a proxy says may hold sequences that move the cursor, rename the window or hide what was printed before, and
//! marks that turn the order of letters round. Whoever prints such words makes them plain first; logs are seen to by their own library.

/// Takes the place of what is not shown.
const INSTEAD: char = '\u{fffd}';

/// A text as a part of one line.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if drives(c) { INSTEAD } else { c }).collect()
}

/// A text of several lines; tabs and the ends of lines stay.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if drives(c) && !matches!(c, '\n' | '\t') { INSTEAD } else { c }).collect()
}

/// A text of JSON, which still means the same: JSON lets stand in its strings much that drives a terminal (RFC 8259 §7).
pub fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Between values, where it is there at all.
        if drives(c) && c != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Controls of all sets (C0, DEL, C1), ends of lines that are none in ASCII, and what changes the direction of writing.
fn drives(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        let text = "à\tb\u{1b}[2J\r\n\u{9b}31m\u{7f}\u{202e}c";
        assert_eq!(plain(text), "à\u{fffd}b\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}31m\u{fffd}\u{fffd}c");
        assert_eq!(lines(text), "à\tb\u{fffd}[2J\u{fffd}\n\u{fffd}31m\u{fffd}\u{fffd}c");
    }

    #[test]
    fn json_says_the_same_and_drives_nothing() {
        let said = serde_json::json!({ "a": "à\u{1b}\u{9b}\u{7f}\u{202e}\n" });
        for text in [said.to_string(), serde_json::to_string_pretty(&said).unwrap()] {
            let shown = json(&text);
            assert_eq!(lines(&shown), shown);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), said);
        }
    }
}
