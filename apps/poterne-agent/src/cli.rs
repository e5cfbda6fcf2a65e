//! What may be typed. Names and environment are the stock agent's (`docs/protocol/tunnel.md`); what only Poterne has says so.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::{
    manage::cli::{LoginFlags, ManageVerb},
    tail::{ManagementVerb, TailFlags},
};

/// Runs a tunnel from this machine to a Poterne edge.
#[derive(Debug, Parser)]
#[command(name = "poterne-agent", version, about, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) root: RootFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Accepted anywhere on the line.
#[derive(Debug, Clone, Args)]
pub(crate) struct RootFlags {
    /// Read this config.yml instead of searching for one
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// How much to log: debug, info, warn, error
    #[arg(long, global = true, value_name = "LEVEL", env = "TUNNEL_LOGLEVEL")]
    pub(crate) loglevel: Option<String>,
    /// Append logs to this file, as JSON, instead of stderr
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_LOGFILE")]
    pub(crate) logfile: Option<PathBuf>,
    /// Log format on stderr: text or json; default: text on a terminal
    #[arg(long, global = true, value_name = "FORMAT", env = "TUNNEL_LOG_OUTPUT", value_parser = ["text", "default", "json"])]
    pub(crate) output: Option<String>,
    /// Accepted for the stock agent's command lines; this agent never updates itself
    #[arg(long, global = true, hide = true, env = "NO_AUTOUPDATE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) no_autoupdate: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a local service
    Tunnel(Box<Tunnel>),
    /// Log in to a node: writes the cert.pem that `tunnel create`, `tunnel route` and their like need
    Login(LoginFlags),
    /// Read the log of a tunnel's agent, as it is written
    Tail(TailFlags),
    /// Tokens that open what agents answer themselves
    #[command(subcommand, hide = true)]
    Management(ManagementVerb),
    /// Run the agent with this machine (systemd)
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct Tunnel {
    #[command(flatten)]
    pub(crate) flags: TunnelFlags,
    #[command(subcommand)]
    pub(crate) verb: Option<TunnelVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TunnelVerb {
    /// Run a tunnel that exists, by its token, or by the credentials that config.yml names
    Run(RunFlags),
    /// Examine the ingress rules of config.yml
    #[command(subcommand)]
    Ingress(IngressVerb),
    /// Say whether the agent on this machine has a connection (exit code 0 or 1)
    Ready,
    #[command(flatten)]
    Manage(ManageVerb),
}

#[derive(Debug, Subcommand)]
pub(crate) enum IngressVerb {
    /// Check that the rules can be used
    Validate,
    /// Tell which rule a URL matches
    Rule {
        /// For example `https://app.example.org/path`
        url: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceVerb {
    /// Install and start a systemd service; without a token, for the tunnel of config.yml
    Install {
        /// The tunnel's token; kept in a file that only root reads
        #[arg(env = "TUNNEL_TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// Read the token from this file, which keeps it out of the list of processes
        #[arg(long, value_name = "PATH", env = "TUNNEL_TOKEN_FILE")]
        token_file: Option<PathBuf>,
    },
    /// Stop and remove it
    Uninstall,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunFlags {
    /// The tunnel's token; better given by TUNNEL_TOKEN or --token-file, since every user sees command lines
    #[arg(long, env = "TUNNEL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Read the token from this file
    #[arg(long, value_name = "PATH", env = "TUNNEL_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Name or UUID of the tunnel, for whose credentials file is searched
    pub(crate) tunnel: Option<String>,
}

/// Between `tunnel` and its verb, or after the verb. Each may also stand in config.yml by its long name.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TunnelFlags {
    /// Publish this service, for example http://localhost:8080; alone, as a quick tunnel
    #[arg(long, global = true, env = "TUNNEL_URL")]
    pub(crate) url: Option<String>,
    /// Publish a built-in test site
    #[arg(long, global = true, env = "TUNNEL_HELLO_WORLD", action = ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) hello_world: bool,
    /// Publish a service on this Unix socket
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_UNIX_SOCKET")]
    pub(crate) unix_socket: Option<String>,
    /// Let clients choose the destination (jump host)
    #[arg(long, global = true, env = "TUNNEL_BASTION", action = ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) bastion: bool,
    /// Host field sent to the service of --url
    #[arg(long, global = true, env = "TUNNEL_HTTP_HOST_HEADER")]
    pub(crate) http_host_header: Option<String>,
    /// Name expected in the certificate of the service of --url
    #[arg(long, global = true, env = "TUNNEL_ORIGIN_SERVER_NAME")]
    pub(crate) origin_server_name: Option<String>,
    /// More authorities for the service of --url
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_ORIGIN_CA_POOL")]
    pub(crate) origin_ca_pool: Option<String>,
    /// Take any certificate from the service of --url
    #[arg(long, global = true, env = "NO_TLS_VERIFY", action = ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_tls_verify: bool,
    /// Send lengths instead of chunks to the service of --url
    #[arg(long, global = true, env = "TUNNEL_NO_CHUNKED_ENCODING", action = ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_chunked_encoding: bool,
    /// Speak HTTP/2 to the service of --url
    #[arg(long, global = true, env = "TUNNEL_ORIGIN_ENABLE_HTTP2", action = ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) http2_origin: bool,
    /// Where to ask for a quick tunnel: a Poterne node, https://HOST
    #[arg(long, global = true, value_name = "URL", env = "POTERNE_QUICK_SERVICE")]
    pub(crate) quick_service: Option<String>,
    /// An edge, HOST:PORT; repeatable. A token of Poterne already names them
    #[arg(long, global = true, value_name = "HOST:PORT", env = "TUNNEL_EDGE", value_delimiter = ',')]
    pub(crate) edge: Vec<String>,
    /// Trust only the authorities of this PEM file for the edge
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_CACERT")]
    pub(crate) cacert: Option<PathBuf>,
    /// auto, quic or http2
    #[arg(long, short = 'p', global = true, env = "TUNNEL_TRANSPORT_PROTOCOL")]
    pub(crate) protocol: Option<String>,
    /// auto, 4 or 6
    #[arg(long, global = true, env = "TUNNEL_EDGE_IP_VERSION")]
    pub(crate) edge_ip_version: Option<String>,
    /// Local address to dial from
    #[arg(long, global = true, value_name = "IP", env = "TUNNEL_EDGE_BIND_ADDRESS")]
    pub(crate) edge_bind_address: Option<String>,
    /// Offer X25519MLKEM768 and nothing else to the edge
    #[arg(long, alias = "pq", global = true, env = "TUNNEL_POST_QUANTUM", action = ArgAction::SetTrue, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) post_quantum: bool,
    /// Connections to the edge (default 4; 1 for a quick tunnel)
    #[arg(long, global = true, value_name = "N", env = "TUNNEL_HA_CONNECTIONS")]
    pub(crate) ha_connections: Option<u8>,
    /// Pauses between attempts grow to 2^N seconds (default 5)
    #[arg(long, global = true, value_name = "N", env = "TUNNEL_RETRIES")]
    pub(crate) retries: Option<u8>,
    /// How long running requests may take after a signal (default 30s, at most 3m)
    #[arg(long, global = true, value_name = "TIME", env = "TUNNEL_GRACE_PERIOD")]
    pub(crate) grace_period: Option<String>,
    /// Longest wait for an answer to a registration (default 5s)
    #[arg(long, global = true, value_name = "TIME", hide = true, env = "TUNNEL_RPC_TIMEOUT")]
    pub(crate) rpc_timeout: Option<String>,
    /// Where /metrics and /ready listen (default: the first free of 127.0.0.1:20241 to 20245)
    #[arg(long, global = true, value_name = "ADDRESS", env = "TUNNEL_METRICS")]
    pub(crate) metrics: Option<String>,
    /// Requests for this hostname are the agent's own to answer, its log among them; a node of Poterne tells its own
    #[arg(long, global = true, value_name = "HOST", env = "TUNNEL_MANAGEMENT_HOSTNAME", hide = true)]
    pub(crate) management_hostname: Option<String>,
    /// Whether what the agent counts is answered there too (default true)
    #[arg(
        long, global = true, value_name = "BOOL", env = "TUNNEL_MANAGEMENT_DIAGNOSTICS", hide = true,
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) management_diagnostics: Option<bool>,
    /// What this agent is called where several run one tunnel (default: the machine's host name)
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// Add a Cf-Warp-Tag-KEY field to each request; repeatable
    #[arg(long, global = true, value_name = "KEY=VALUE", env = "TUNNEL_TAG", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// Credentials file of the tunnel
    #[arg(long, visible_alias = "cred-file", global = true, value_name = "PATH", env = "TUNNEL_CRED_FILE")]
    pub(crate) credentials_file: Option<PathBuf>,
    /// Its content (wins over the file)
    #[arg(long, global = true, env = "TUNNEL_CRED_CONTENTS", hide_env_values = true)]
    pub(crate) credentials_contents: Option<String>,
    /// The cert.pem of `login`, which says who asks a node's API
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_ORIGIN_CERT")]
    pub(crate) origincert: Option<PathBuf>,
    /// The API, where cert.pem does not say it: https://NODE/client/v4
    #[arg(long, global = true, value_name = "URL", env = "TUNNEL_API_URL")]
    pub(crate) api_url: Option<String>,
    /// How many items of a list are asked for at once
    #[arg(long, global = true, value_name = "N", hide = true, env = "TUNNEL_MAX_FETCH_SIZE")]
    pub(crate) max_fetch_size: Option<u32>,
    /// bbr (default) or cubic, towards the edge (Poterne only)
    #[arg(long, global = true, env = "POTERNE_CONGESTION")]
    pub(crate) congestion: Option<String>,
    /// Where the list of edges is remembered (Poterne only)
    #[arg(long, global = true, value_name = "DIR", env = "POTERNE_AGENT_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Send traces of requests to this collector (OTLP over HTTP, as in http://localhost:4318); else OTEL_EXPORTER_OTLP_ENDPOINT (Poterne only)
    #[arg(long, global = true, value_name = "URL", env = "POTERNE_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
    /// The share of requests whose trace is recorded where the edge has no say, 0.0 to 1.0 (default 1.0; Poterne only)
    #[arg(long, global = true, value_name = "SHARE", env = "POTERNE_OTLP_SAMPLE")]
    pub(crate) otlp_sample: Option<f64>,
    /// What this agent is called in traces (default: OTEL_SERVICE_NAME, else poterne-agent; Poterne only)
    #[arg(long, global = true, value_name = "NAME", env = "POTERNE_OTLP_SERVICE")]
    pub(crate) otlp_service: Option<String>,
    /// Write the process id here after the first registration
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_PIDFILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Accepted for the stock agent's command lines; this agent makes no such checks
    #[arg(long, global = true, hide = true, env = "TUNNEL_NO_PRECHECKS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) no_prechecks: Option<String>,
    /// Accepted for the stock agent's command lines; edges are named, not discovered
    #[arg(long, global = true, hide = true, env = "TUNNEL_REGION")]
    pub(crate) region: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_or_after_the_verb() {
        for line in [
            "poterne-agent --no-autoupdate tunnel --edge a:1 --edge b:2 --protocol quic run --token T",
            "poterne-agent tunnel run --edge a:1,b:2 -p quic --token T --no-autoupdate",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let Command::Tunnel(tunnel) = cli.command else { panic!("{line}") };
            assert_eq!(tunnel.flags.edge, ["a:1", "b:2"], "{line}");
            assert_eq!(tunnel.flags.protocol.as_deref(), Some("quic"), "{line}");
            let Some(TunnelVerb::Run(run)) = tunnel.verb else { panic!("{line}") };
            assert_eq!(run.token.as_deref(), Some("T"), "{line}");
        }
    }
}
