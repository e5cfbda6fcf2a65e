//! The time that some processes have: the machine's, and as much more as a test says, by `libfaketime`.
//!
//! Only the time of day is put forward. What waits for a while waits as long as ever.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

/// Debian's library; the loader knows where this machine's libraries are.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// How far ahead, and where that is written.
pub struct Clock {
    file: PathBuf,
    ahead_secs: Cell<u64>,
}

impl Clock {
    /// One that agrees with the machine's.
    pub fn start(dir: &Path) -> Self {
        let clock = Self { file: dir.join("clock"), ahead_secs: Cell::new(0) };
        clock.put_forward(0);
        clock
    }

    /// So many seconds pass.
    pub fn put_forward(&self, secs: u64) {
        self.ahead_secs.set(self.ahead_secs.get() + secs);
        let new = self.file.with_extension("new");
        // It is read again each time that somebody asks what time it is.
        fs::write(&new, format!("+{}\n", self.ahead_secs.get())).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// The environment of a process that has this time.
    pub fn rules(&self) -> Vec<(String, String)> {
        let file = self.file.to_str().unwrap();
        [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}
