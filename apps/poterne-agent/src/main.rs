//! `poterne-agent`: runs beside the private service and dials out; it takes the stock agent's verbs, flags and files.
//!
//! * [`cli`]: what may be typed; [`settings`]: flags over environment over config.yml over defaults;
//! * [`run`]: a tunnel, named or quick, until a signal; [`ingress`]: rules examined without running them;
//! * [`manage`]: the verbs that speak to a node's API;
//! * [`tail`]: an agent's log, read from elsewhere;
//! * [`service`]: the systemd unit.
#![forbid(unsafe_code)]

mod cli;
mod ingress;
mod manage;
mod run;
mod service;
mod settings;
mod tail;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use poterne_tunnel_agent::terminal;

use crate::cli::{Cli, Command, IngressVerb, ServiceVerb, TunnelVerb};

#[global_allocator]
static ALLOCATOR: poterne_allocator::Allocator = poterne_allocator::Allocator;

/// One thread carries some Gbit/s. A second would wake the first for each request: a fifth more CPU on two cores (measured), for
/// throughput that a home's line does not have.
const WORKERS: usize = 1;

/// What the stock agent ends with where its line makes no sense.
const USAGE: u8 = 255;

fn main() -> ExitCode {
    // Some machines give huge pages to all who do not refuse: up to 40 MiB more resident for an idle agent (measured), for nothing.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let words = manage::cli::two_dashes(std::env::args_os(), &Cli::command());
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(told) => {
            let _ = told.print();
            return if told.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Version => print(&format!("poterne-agent version {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Login(login) => manage::log_in(&cli.root, login),
        Command::Tail(flags) => tail::tail(&cli.root, flags),
        Command::Management(verb) => tail::management(&cli.root, verb),
        Command::Service(ServiceVerb::Install { token, token_file }) => {
            service::install(token, token_file, cli.root.config.as_deref())
        }
        Command::Service(ServiceVerb::Uninstall) => service::uninstall(),
        Command::Tunnel(tunnel) => match tunnel.verb {
            Some(TunnelVerb::Ingress(IngressVerb::Validate)) => ingress::validate(cli.root.config.as_deref()),
            Some(TunnelVerb::Ingress(IngressVerb::Rule { url })) => ingress::rule(cli.root.config.as_deref(), &url),
            Some(TunnelVerb::Manage(verb)) => manage::verb(&cli.root, tunnel.flags, verb),
            Some(TunnelVerb::Ready) => run::ready(tunnel.flags.metrics.as_deref()),
            Some(TunnelVerb::Run(run)) => run::tunnel(&cli.root, tunnel.flags, Some(run), WORKERS),
            None => run::tunnel(&cli.root, tunnel.flags, None, WORKERS),
        },
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            use std::io::Write as _;
            // Whoever started it may have closed what it reads.
            let _ = writeln!(std::io::stderr(), "poterne-agent: {}", terminal::lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// To stdout, which may be a pipe that closes early. Much of it is a node's words.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    std::io::stdout().write_all(terminal::lines(text).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
