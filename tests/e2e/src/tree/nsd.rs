//! Debian's `nsd`, at the port that the world expects.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Place, dig, server};
use crate::{Running, eventually};

/// A zone that it serves.
#[derive(Debug, Clone)]
pub struct Served<'z> {
    /// Its name.
    pub apex: &'z str,
    /// Its file, in the server's directory.
    pub file: String,
    /// Whether it is given to whoever asks for the whole of it.
    pub is_given: bool,
}

/// A running server.
pub struct Nsd {
    addresses: Vec<&'static str>,
    process: Running,
    log: PathBuf,
}

impl Nsd {
    /// One at all of these addresses, which answers.
    pub fn start(dir: &Path, places: &[Place], zones: &[Served<'_>]) -> Self {
        let addresses: Vec<&str> = places.iter().flat_map(|place| [place.v4, place.v6]).collect();
        let d = dir.display();
        let mut config = format!(
            "remote-control:\n  control-enable: no\nserver:\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{d}\"\n  database: \"\"\n  \
             zonelistfile: \"{d}/zone.list\"\n  xfrdfile: \"{d}/xfrd.state\"\n  xfrdir: \"{d}\"\n  pidfile: \"\"\n  \
             logfile: \"{d}/nsd.log\"\n  rrl-ratelimit: 0\n"
        );
        for address in &addresses {
            config += &format!("  ip-address: {address}\n");
        }
        for Served { apex, file, is_given } in zones {
            config += &format!("zone:\n  name: {apex}\n  zonefile: {file}\n");
            if *is_given {
                config += "  provide-xfr: 0.0.0.0/0 NOKEY\n  provide-xfr: ::/0 NOKEY\n";
            }
        }
        let file = dir.join("nsd.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(server("nsd"));
        // What goes wrong before its log is open is told on stderr.
        command.args(["-d", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let nsd = Self { addresses, process: Running::start(&mut command), log: dir.join("nsd.log") };
        for Served { apex, .. } in zones {
            nsd.wait_for(apex, 1);
        }
        nsd
    }

    /// Has it read its files again, and waits until it answers from them.
    pub fn reload(&self, apex: &str, serial: u32) {
        self.process.hang_up();
        self.wait_for(apex, serial);
    }

    fn wait_for(&self, apex: &str, serial: u32) {
        let apex = if apex == "." { ".".to_owned() } else { format!("{apex}.") };
        for address in &self.addresses {
            eventually("nsd answers", || {
                let soa = dig(address, &apex, "SOA", &["+short", "+tries=1", "+time=1"]);
                soa.split(' ').nth(2) == Some(serial.to_string().as_str())
            });
        }
    }
}

impl Drop for Nsd {
    /// What it said, where it is why a test failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("== {}\n{log}", self.log.display());
        }
    }
}
