//! `poterne`: the server and its administration.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use poterne_node::{
    cli::{Cli, Command},
    config::{self, Config},
    demo, init, process, serve, verbs,
};
use poterne_tunnel_agent::terminal;

#[global_allocator]
static ALLOCATOR: poterne_allocator::Allocator = poterne_allocator::Allocator;

fn main() -> ExitCode {
    // Some machines give huge pages to all who do not refuse, which an idle node would hold for nothing. A kernel that cannot turn them
    // off only costs memory.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(process::threads())
        .on_thread_park(poterne_allocator::give_back)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("the runtime could not be started")),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(serve) => Box::pin(serve::run(serve)).await.map(|()| ExitCode::SUCCESS),
        Command::Upgrade(verb) => verbs::upgrade(verb).await,
        Command::Reload(admin) => verbs::reload(admin).await,
        Command::Demo(demo) => Box::pin(demo::run(demo)).await.map(|()| ExitCode::SUCCESS),
        Command::Zone(verb) => verbs::zone(verb).await,
        Command::Dns(verb) => verbs::dns(verb).await,
        Command::Init(arguments) => init::run(arguments).await,
        Command::Backup(verb) => verbs::backup(verb).await,
        Command::Restore(verb) => verbs::restore(verb).await,
        Command::Cert(verb) => verbs::cert(verb).await,
        Command::Token(verb) => verbs::token(verb).await,
        Command::Login(verb) => verbs::login(verb).await,
        Command::Member(verb) => verbs::member(verb).await,
        Command::Mail(verb) => verbs::mail(verb).await,
        Command::Tunnel(verb) => verbs::tunnel(verb).await,
        Command::User(verb) => verbs::user(verb).await,
        Command::Tail(verb) => Box::pin(poterne_node::tail::run(verb)).await,
        Command::Config(poterne_node::cli::ConfigVerb::Template) => print(&config::keys::template()),
        Command::Config(poterne_node::cli::ConfigVerb::Check { sources }) => {
            let config = Config::from_sources(&sources)?;
            // Files that it names are read too.
            config.mail()?;
            config.resolver(poterne_guard::Guard::default())?;
            config.acme_authorities()?;
            print("The configuration is right.\n")
        }
    }
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The whole chain of causes, once.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("poterne: {}", terminal::lines(&format!("{error:#}")));
    ExitCode::FAILURE
}
