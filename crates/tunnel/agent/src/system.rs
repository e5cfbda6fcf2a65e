//! The machine, as `/diag/system` tells it (reference §10.1): what `cloudflared tunnel diag` puts into its archive.
//!
//! Read from `/proc` when asked; what this system does not tell is left out. Nothing here names a tunnel or a secret.

use std::fs;

use serde_json::{Map, Value, json};

/// Longest file of `/proc` that is read, in bytes.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// The page.
pub(crate) fn page(version: &str) -> Value {
    let mut info = Map::new();
    let kernel = |name: &str| read(&format!("/proc/sys/kernel/{name}"));
    for (key, name) in [("osSystem", "ostype"), ("hostName", "hostname"), ("osVersion", "version"), ("osRelease", "osrelease")] {
        if let Some(value) = kernel(name) {
            info.insert(key.into(), value.into());
        }
    }
    if let Some((total, available)) = read("/proc/meminfo").as_deref().and_then(memory) {
        info.insert("memoryMaximum".into(), total.into());
        info.insert("memoryCurrent".into(), total.saturating_sub(available).into());
    }
    if let Some((open, max)) = read("/proc/sys/fs/file-nr").as_deref().and_then(descriptors) {
        info.insert("fileDescriptorMaximum".into(), max.into());
        info.insert("fileDescriptorCurrent".into(), open.into());
    }
    info.insert("architecture".into(), std::env::consts::ARCH.into());
    info.insert("cloudflaredVersion".into(), format!("poterne-agent {version}").into());
    json!({ "info": info, "errors": null })
}

/// This machine's host name.
pub(crate) fn hostname() -> Option<String> {
    read("/proc/sys/kernel/hostname")
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok().filter(|text| text.len() <= FILE_BYTES_MAX)?;
    Some(text.trim().to_owned())
}

/// Total and available kB.
fn memory(meminfo: &str) -> Option<(u64, u64)> {
    let kilobytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some((kilobytes("MemTotal:")?, kilobytes("MemAvailable:")?))
}

/// Descriptors that are open, and how many may be.
fn descriptors(file_nr: &str) -> Option<(u64, u64)> {
    let mut numbers = file_nr.split_ascii_whitespace().map(str::parse);
    let (allocated, free, max) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((u64::saturating_sub(allocated, free), max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(memory("MemTotal:  200 kB\nMemFree: 1 kB\nMemAvailable:    50 kB\n"), Some((200, 50)));
        assert_eq!(memory("MemTotal: many\n"), None);
        assert_eq!(descriptors("1984\t0\t9223372036854775807"), Some((1984, 9_223_372_036_854_775_807)));
        assert_eq!(descriptors("1984"), None);
    }
}
