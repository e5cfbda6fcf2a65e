//! The project's own commands, so that CI, a newcomer and a maintainer run the same thing: `cargo xtask test`, `ci`, `bench`, `scale`,
//! `fuzz`, `dist`, `schema`.
#![forbid(unsafe_code)]

mod bare;
mod bench;
mod ci;
mod dist;
mod fuzz;
mod namespaces;
mod needs;
mod postgres;
mod run;
mod scale;
mod schema;
mod sources;
mod test;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every test, installing what the tests need when run as root
    Test(test::Options),
    /// Everything that CI checks, then the tests
    Ci,
    /// Micro-benchmarks and, when POTERNE_BENCH names a harness, the tables beside the peers
    Bench(bench::Options),
    /// Fill a store and measure how it starts, what it takes and what one change costs
    Scale(scale::Options),
    /// Search for inputs that break a parser; needs cargo-fuzz and a C++ compiler
    Fuzz(fuzz::Options),
    /// Build what is packaged, trained by a load of its own: some forty minutes on two cores, 6 GiB; needs the toolchain's llvm-tools
    Dist,
    /// Generate the Cap'n Proto code that is checked in; needs `capnp`
    Schema {
        /// Compare and write nothing
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    std::env::set_current_dir(run::root())?;
    match cli.command {
        Command::Test(options) => test::run(&options),
        Command::Ci => ci::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Scale(options) => scale::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Dist => dist::run(),
        Command::Schema { check } => schema::run(check),
    }
}
