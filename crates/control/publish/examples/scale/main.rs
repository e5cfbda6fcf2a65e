//! How large an instance may be: fills a store through the store's own methods, then measures what docs/scale.md tells.
//! `cargo xtask scale` runs it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

mod certificates;
mod fill;
mod import;
mod lists;
mod measure;
mod process;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use poterne_control_store::Store;

#[global_allocator]
static ALLOCATOR: poterne_allocator::Allocator = poterne_allocator::Allocator;

#[derive(Debug, Parser)]
struct Cli {
    /// Where the store and the snapshot are
    #[arg(long)]
    dir: PathBuf,
    /// A PostgreSQL database instead of a file there, as postgres://user@host/database
    #[arg(long)]
    store: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill an empty store
    Fill(fill::Size),
    /// Take in a zone file over an empty store
    Import {
        /// Records in it, each with a name of its own
        #[arg(long, default_value_t = 1_000_000)]
        records: u32,
    },
    /// Fill a store with zones, and then with certificates
    FillCertificates(certificates::Size),
    /// Start over those and measure what they take
    MeasureCertificates,
    /// Start over it and measure; the first time everything is published, afterwards it is a start like any other
    Measure {
        /// Changes to publish, one after another
        #[arg(long, default_value_t = 300)]
        rounds: u32,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // As many threads as a node takes on two cores.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().on_thread_park(poterne_allocator::give_back).build()?;
    match &cli.command {
        Command::Fill(size) => runtime.block_on(fill::run(&cli, size)),
        Command::FillCertificates(size) => runtime.block_on(certificates::fill(&cli, size)),
        Command::MeasureCertificates => runtime.block_on(certificates::measure(&cli)),
        Command::Import { records } => runtime.block_on(import::run(&cli, *records)),
        Command::Measure { rounds } => runtime.block_on(measure::run(&cli, *rounds)),
    }
}

impl Cli {
    async fn open(&self) -> anyhow::Result<Store> {
        Ok(match &self.store {
            Some(url) => Store::connect(url).await?,
            None => Store::open(&self.dir.join("store.sqlite")).await?,
        })
    }
}
