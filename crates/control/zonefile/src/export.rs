//! Records into text.

use std::fmt::Write;

use poterne_model::{Name, entry::Entry};

use crate::attributes::Attributes;

/// What the zone's SOA record says (RFC 1035 §3.3.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soa {
    /// The primary name server.
    pub mname: Name,
    /// Who is responsible, the `@` written as a dot.
    pub rname: Name,
    /// The zone's serial.
    pub serial: u32,
    /// Seconds between a secondary's looks.
    pub refresh_secs: u32,
    /// Seconds until it tries again.
    pub retry_secs: u32,
    /// Seconds until it stops answering.
    pub expire_secs: u32,
    /// Seconds a "no such name" is kept.
    pub minimum_secs: u32,
    /// The record's own TTL.
    pub ttl_secs: u32,
}

/// The zone's file: a comment, SOA, name servers, then the records by type and name. `exported_on` is a time as text.
pub fn export<'a>(
    apex: &Name,
    exported_on: &str,
    soa: &Soa,
    name_servers: (&[Name], u32),
    entries: impl IntoIterator<Item = &'a Entry>,
) -> String {
    let mut file = String::new();
    let exported_on: String = exported_on.chars().filter(|c| !c.is_control()).collect();
    line(&mut file, format_args!(";; Zone:     {apex}."));
    line(&mut file, format_args!(";; Exported: {exported_on}"));
    line(
        &mut file,
        format_args!(";;\n;; Comments behind records keep what DNS has no place for; importing this file reads them."),
    );
    line(&mut file, format_args!(";; SOA and the zone's own NS records are for other programs: importing passes over them.\n"));
    let Soa { mname, rname, serial, refresh_secs, retry_secs, expire_secs, minimum_secs, ttl_secs } = soa;
    line(&mut file, format_args!(";; SOA"));
    line(
        &mut file,
        format_args!(
            "{apex}.\t{ttl_secs}\tIN\tSOA\t{mname}. {rname}. {serial} {refresh_secs} {retry_secs} {expire_secs} {minimum_secs}"
        ),
    );
    let (servers, ttl_secs) = name_servers;
    line(&mut file, format_args!("\n;; Name servers"));
    for server in servers {
        line(&mut file, format_args!("{apex}.\t{ttl_secs}\tIN\tNS\t{server}."));
    }
    let mut entries: Vec<&Entry> = entries.into_iter().collect();
    entries.sort_by_cached_key(|entry| (entry.rdata.rtype().to_string(), entry.name.clone(), entry.rdata.presentation()));
    let mut last = None;
    for entry in entries {
        let rtype = entry.rdata.rtype();
        if last.replace(rtype) != Some(rtype) {
            line(&mut file, format_args!("\n;; {rtype}"));
        }
        let (name, ttl, data, comment) = (&entry.name, entry.ttl_secs, entry.rdata.presentation(), Attributes::write(entry));
        let gap = if comment.is_empty() { "" } else { " " };
        line(&mut file, format_args!("{name}.\t{ttl}\tIN\t{rtype}\t{data}{gap}{comment}"));
    }
    file
}

fn line(file: &mut String, text: std::fmt::Arguments<'_>) {
    file.write_fmt(text).expect("memory takes what is written to it");
    file.push('\n');
}
