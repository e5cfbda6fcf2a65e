//! Keys and signed zones, by NLnet Labs' `ldns`: nothing here was made by what it is to test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// One key, which signs all of a zone.
pub struct Signer {
    dir: PathBuf,
    apex: String,
    /// The files of the key begin so.
    key: String,
}

impl Signer {
    /// A new key, in a directory.
    pub fn new(dir: &Path, apex: &str) -> Self {
        let key = told(dir, &["ldns-keygen", "-r", "/dev/urandom", "-a", "ECDSAP256SHA256", "-k", apex]).trim().to_owned();
        Self { dir: dir.to_owned(), apex: apex.to_owned(), key }
    }

    /// What the parent should have: tag, algorithm, type and digest.
    pub fn ds(&self) -> String {
        let text = told(&self.dir, &["ldns-key2ds", "-n", "-2", &format!("{}.key", self.key)]);
        // It may be followed by a comment.
        let (_, data) = text.split_once("\tDS\t").unwrap();
        data.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
    }

    /// Signs a zone from two days ago until in more than a year, as long as a test's clock may go; the file's name.
    pub fn sign(&self, zone: &str) -> String {
        let name = if self.apex == "." { "root" } else { &self.apex };
        fs::write(self.dir.join(name), zone).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let [from, until] = [now - 2 * 86_400, now + 400 * 86_400].map(|time| time.to_string());
        let signed = format!("{name}.signed");
        // Never half written where it is read.
        told(&self.dir, &["ldns-signzone", "-i", &from, "-e", &until, "-f", "signing", name, &self.key]);
        fs::rename(self.dir.join("signing"), self.dir.join(&signed)).unwrap();
        signed
    }
}

/// What a program printed that must do well.
fn told(dir: &Path, words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
