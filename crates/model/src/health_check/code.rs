//! The statuses that a check takes for good.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One status, or a hundred: `200`, `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRange {
    first: u16,
    last: u16,
}

/// Neither a status nor a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a status from 100 to 599, as in 200, or a class of them, as in 2xx")]
pub struct CodeError;

impl CodeRange {
    /// 200.
    pub const OK: Self = Self { first: 200, last: 200 };

    /// Whether it is among them.
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl FromStr for CodeRange {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| digits).ok_or(CodeError)
        };
        match text.strip_suffix("xx") {
            Some(class) if class.len() == 1 => {
                let first = number(class)? * 100;
                Self { first, last: first + 99 }.checked()
            }
            None if text.len() == 3 => {
                let code = number(text)?;
                Self { first: code, last: code }.checked()
            }
            _ => Err(CodeError),
        }
    }
}

impl CodeRange {
    fn checked(self) -> Result<Self, CodeError> {
        if (100..600).contains(&self.first) { Ok(self) } else { Err(CodeError) }
    }
}

impl fmt::Display for CodeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}xx", self.first / 100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_a_class_are_read_as_they_are_shown() {
        for (text, good, bad) in [("200", 200, 201), ("2xx", 299, 300), ("5xx", 500, 499), ("100", 100, 101)] {
            let range: CodeRange = text.parse().unwrap();
            assert_eq!((range.contains(good), range.contains(bad), range.to_string()), (true, false, text.to_owned()));
        }
        assert_eq!("200".parse(), Ok(CodeRange::OK));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "20", "2000", "xx", "6xx", "0xx", "099", "600", "2XX", "+20", "2x", "22xx", "200-299", "-1x", "²00"] {
            assert_eq!(text.parse::<CodeRange>(), Err(CodeError), "{text}");
        }
    }
}
