//! `cargo xtask scale`: fills a store, starts over it twice and prints what docs/scale.md tells. Everything is made in a directory that is
//! removed afterwards; a million hostnames take some minutes and 2 GiB of disk.

mod api;

use std::{path::PathBuf, process::Command};

use clap::Args;

use crate::{postgres, run};

/// `cargo xtask scale`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 10_000)]
    zones: u32,
    #[arg(long, default_value_t = 1_000_000)]
    hostnames: u32,
    #[arg(long, default_value_t = 100_000)]
    tunnels: u32,
    /// Work here, and leave what was made; if it was filled before, that is measured
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the store in a PostgreSQL server of its own instead of SQLite; the server is gone afterwards
    #[arg(long)]
    postgres: bool,
    /// Ask a node by HTTP, reading and writing, with `wrk`; with --dir over what is filled there, else over an empty store
    #[arg(long)]
    api: bool,
    /// Take in a zone file of so many records over an empty store, and nothing else
    #[arg(long)]
    import: Option<u32>,
    /// Measure what so many certificates take that nobody asked for, and nothing else; a million take some ten minutes and 12 GiB of disk
    #[arg(long)]
    certificates: Option<u32>,
    /// How long each of these is asked for, in seconds
    #[arg(long, default_value_t = 10)]
    secs: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // As an operator runs it: what was acknowledged survives a power cut.
    let server = options.postgres.then(|| postgres::Server::start_with(&["shared_buffers=512MB"])).transpose()?;
    let url = server.as_ref().map(postgres::Server::url);
    let scratch = tempfile::Builder::new().prefix("poterne-scale").tempdir()?;
    let dir = options.dir.as_deref().unwrap_or(scratch.path());
    if options.api {
        return api::run(dir, url.as_deref(), options.secs);
    }
    run::must(run::cargo().args(["build", "--profile", "dist", "--package", "poterne-control-publish", "--example", "scale"]))?;
    let program = run::target().join("dist/examples/scale");
    let scale = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--dir").arg(dir);
        if let Some(url) = &url {
            command.args(["--store", url]);
        }
        run::must(command.args(words))
    };
    if let Some(records) = options.import {
        return scale(&["import", "--records", &records.to_string()]);
    }
    if let Some(certificates) = options.certificates {
        let zones = options.zones.to_string();
        // The first start publishes; what the second takes is what a node takes.
        for certificates in [0, certificates] {
            scale(&["fill-certificates", "--zones", &zones, "--certificates", &certificates.to_string()])?;
            scale(&["measure-certificates"])?;
            scale(&["measure-certificates"])?;
        }
        return Ok(());
    }
    if server.is_some() || !dir.join("store.sqlite").exists() {
        let [zones, hostnames, tunnels] = [options.zones, options.hostnames, options.tunnels].map(|count| count.to_string());
        scale(&["fill", "--zones", &zones, "--hostnames", &hostnames, "--tunnels", &tunnels])?;
    }
    scale(&["measure"])?;
    scale(&["measure"])
}
