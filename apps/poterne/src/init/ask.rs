//! Asking a person, where there is one.

use std::io::{self, BufRead as _, Write as _};

use anyhow::bail;

/// How often a person may answer wrongly before it is taken for something else than a person.
const TRIES_MAX: usize = 5;

/// Asks for what was not given.
pub(super) struct Asker {
    is_terminal: bool,
}

impl Asker {
    pub(super) const fn new(is_terminal: bool) -> Self {
        Self { is_terminal }
    }

    /// The value that was given, or is answered; what is wrong with either is told, and asked again at a terminal.
    pub(super) fn value<T>(
        &mut self,
        given: Option<&str>,
        flag: &str,
        question: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        if let Some(given) = given {
            return read(given).map_err(|why| anyhow::anyhow!("{flag}: {why}"));
        }
        if !self.is_terminal {
            bail!("{flag} is missing, and there is no terminal to ask at. {question}");
        }
        for _ in 0..TRIES_MAX {
            let mut error = io::stderr().lock();
            write!(error, "{question}:\n> ")?;
            error.flush()?;
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line)? == 0 {
                bail!("nothing was answered; {flag} says it too");
            }
            match read(line.trim()) {
                Ok(value) => return Ok(value),
                Err(why) => writeln!(error, "{why}")?,
            }
        }
        bail!("{TRIES_MAX} answers were wrong; {flag} says it too")
    }
}
