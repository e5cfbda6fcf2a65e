//! A password, asked for at the terminal without showing it, or read from standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Longest line that is read, in bytes: more than a password may have.
const LINE_BYTES_MAX: u64 = 4096;

/// Asks twice where somebody sits at a terminal; else takes the first line of standard input.
pub fn ask(email: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return line(&mut io::stdin().lock());
    }
    let _quiet = Quiet::begin()?;
    let first = asked(&format!("A password for {email}"))?;
    ensure!(first == asked("Once more")?, "the two are not the same: nothing was changed");
    Ok(first)
}

fn asked(question: &str) -> anyhow::Result<String> {
    let mut error = io::stderr().lock();
    write!(error, "{question}: ")?;
    error.flush()?;
    let line = line(&mut io::stdin().lock());
    writeln!(error)?;
    line
}

/// The first line without its end.
fn line(input: &mut impl io::BufRead) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(LINE_BYTES_MAX).read_line(&mut text)?;
    let line = text.trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        bail!("no password was given: write one on standard input, or let one be made with --generate");
    }
    Ok(line.to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // It was a terminal a moment ago; if it is gone, nobody sees it.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_taken_as_it_is() {
        let read = |text: &str| line(&mut text.as_bytes()).ok();
        assert_eq!(read(" two words \r\nmore").as_deref(), Some(" two words "));
        assert_eq!(read("without end").as_deref(), Some("without end"));
        assert_eq!((read(""), read("\n")), (None, None));
        assert_eq!(read(&"x".repeat(5000)).unwrap().len(), 4096);
    }
}
