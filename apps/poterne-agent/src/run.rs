//! A tunnel, until a signal.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use poterne_otlp::Exporter;
use poterne_telemetry::{Tap, Tracer, logs};
use poterne_tunnel_agent::{Agent, AgentConfig, LOG_TARGETS, Proxies, local_file, quick, terminal, web};
use poterne_tunnel_proto::config::LocalFile;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{RootFlags, RunFlags, TunnelFlags},
    settings::Settings,
};

/// How long `tunnel ready` waits for each address.
const READY_MAX: Duration = Duration::from_secs(2);

/// `tunnel run`, and `tunnel --url` when `run` is absent.
pub(crate) fn tunnel(root: &RootFlags, flags: TunnelFlags, run: Option<RunFlags>, workers: usize) -> anyhow::Result<ExitCode> {
    // Its own log is what an agent tells at `/logs`.
    let tap = Tap::new(LOG_TARGETS);
    log_with(root, logs::Format::Auto, Some(&tap))?;
    let file = local_file(root)?;
    let files = raise_nofile();
    tracing::info!(files, requests = files.saturating_sub(64), "open files allowed, and with them requests at once");
    let settings = Settings::new(flags, file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .on_thread_park(poterne_allocator::give_back)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pidfile = settings.flags.pidfile.clone();
        let mut config = match &run {
            Some(run) => settings.named(&settings.with_id(run).await?)?,
            None if settings.names_no_tunnel() => quick_tunnel(&settings).await?,
            None => settings.named(&settings.with_id(&RunFlags::default()).await?)?,
        };
        config.management.tap = Some(tap);
        let Some(traces) = settings.traces(|name| std::env::var(name).ok())? else { return serve(config, pidfile).await };
        // Nothing of this is made, nor its memory taken, where nobody traces.
        Box::pin(serve_traced(config, pidfile, traces)).await
    })
}

/// Logs as the line asks; in `format` where it does not say.
pub(crate) fn log_to(root: &RootFlags, format: logs::Format) -> anyhow::Result<()> {
    log_with(root, format, None)
}

fn log_with(root: &RootFlags, format: logs::Format, tap: Option<&Tap>) -> anyhow::Result<()> {
    let settings = logs::Settings {
        format: match root.output.as_deref() {
            Some("json") => logs::Format::Json,
            Some(_) => logs::Format::Text,
            None => format,
        },
        filter: root.loglevel.as_deref().map(level),
        file: root.logfile.clone(),
    };
    logs::init_with(&settings, tap)?;
    Ok(())
}

/// config.yml, where there is one.
pub(crate) fn local_file(root: &RootFlags) -> anyhow::Result<Option<LocalFile>> {
    let Some(path) = local_file::find(root.config.as_deref())? else { return Ok(None) };
    tracing::info!(path = %path.display(), "Settings");
    Ok(Some(local_file::read(&path)?))
}

/// `cloudflared`'s words for levels, where they differ from ours.
fn level(given: &str) -> String {
    match given {
        "fatal" | "panic" => "error".to_owned(),
        other => other.to_owned(),
    }
}

async fn quick_tunnel(settings: &Settings) -> anyhow::Result<AgentConfig> {
    let flags = &settings.flags;
    if flags.url.is_none() && flags.unix_socket.is_none() && !flags.hello_world && !flags.bastion {
        bail!("nothing to publish; try `poterne-agent tunnel --url http://localhost:8080`, or `tunnel run --token TOKEN`");
    }
    let Some(service) = &flags.quick_service else {
        bail!(
            "a quick tunnel needs a Poterne node that offers them: give --quick-service https://NODE, or set POTERNE_QUICK_SERVICE. \
             To try on this machine alone, `poterne demo` runs a node with everything in it and publishes a service of yours with --url"
        );
    };
    tracing::info!(service = web::origin_of(service), "Requesting new quick tunnel");
    let tunnel = quick::request_quick_tunnel(service, &settings.web_trust(), &Proxies::from_environment()?).await?;
    let config = settings.quick(&tunnel)?;
    announce(&format!("https://{}", terminal::plain(&tunnel.hostname)))?;
    Ok(config)
}

/// The one thing a newcomer looks for, in a box.
fn announce(url: &str) -> anyhow::Result<()> {
    let lines = ["Your quick tunnel is ready; it lives as long as this program:", url];
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let edge = "-".repeat(width + 2);
    let mut text = format!("+{edge}+\n");
    for line in lines {
        text.push_str(&format!("| {line:width$} |\n"));
    }
    text.push_str(&format!("+{edge}+\n"));
    Ok(std::io::stderr().write_all(text.as_bytes())?)
}

/// The same, telling a collector of requests; what waits to be sent when the agent has ended is sent then.
async fn serve_traced(
    mut config: AgentConfig,
    pidfile: Option<std::path::PathBuf>,
    traces: poterne_otlp::Settings,
) -> anyhow::Result<ExitCode> {
    let (collector, sample) = (traces.collector(), traces.sample);
    tracing::info!(collector, sample, "Requests are traced");
    let (exporter, worker) = Exporter::new(traces);
    let ended = CancellationToken::new();
    let sending = tokio::spawn(worker.run(ended.clone()));
    config.tracer = Some(Tracer::new(exporter, sample));
    let served = serve(config, pidfile).await;
    ended.cancel();
    let _ = sending.await;
    served
}

async fn serve(config: AgentConfig, pidfile: Option<std::path::PathBuf>) -> anyhow::Result<ExitCode> {
    let agent = Agent::new(config)?;
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => "interrupt",
                    _ = terminate.recv() => "terminate",
                }
            };
            let signal = next().await;
            tracing::info!(signal, "Initiating graceful shutdown due to signal; a second one ends at once");
            shutdown.cancel();
            next().await;
            // The default disposition of a second signal: nothing is waited for.
            std::process::exit(130);
        }
    });
    let mut connected = agent.connected();
    tokio::spawn(async move {
        if connected.wait_for(|connections| *connections > 0).await.is_ok() {
            notify_systemd();
            if let Some(path) = pidfile
                && let Err(error) = std::fs::write(&path, std::process::id().to_string())
            {
                tracing::warn!(path = %path.display(), %error, "the pidfile cannot be written");
            }
        }
    });
    Box::pin(agent.run(shutdown)).await?;
    Ok(ExitCode::SUCCESS)
}

/// `READY=1` for units of `Type=notify` (sd_notify(3)); abstract socket names begin with `@`.
fn notify_systemd() {
    use std::os::{linux::net::SocketAddrExt as _, unix::net};
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => net::SocketAddr::from_abstract_name(name),
        None => net::SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| net::UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd could not be told that the agent is ready");
    }
}

/// Each request takes two descriptors at most; the default limit is for shells.
fn raise_nofile() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limits.maximum } else { limits.current };
    now.unwrap_or(u64::MAX)
}

/// `tunnel ready`: asks `/ready` of the agent on this machine.
pub(crate) fn ready(metrics: Option<&str>) -> anyhow::Result<ExitCode> {
    let addresses: Vec<SocketAddr> = match metrics {
        Some(text) => vec![text.replace("localhost:", "127.0.0.1:").parse().with_context(|| format!("--metrics {text}"))?],
        None => (20241..=20245).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect(),
    };
    for address in &addresses {
        if let Ok(answer) = ask(*address) {
            let is_ready = answer.starts_with("HTTP/1.1 200");
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            crate::print(&format!("{body}\n"))?;
            return Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    bail!("no agent answers on {}; give --metrics ADDRESS:PORT as the agent was given it", list(&addresses));
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, READY_MAX)?;
    stream.set_read_timeout(Some(READY_MAX))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
