//! The command line: one definition, from which help comes too.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use poterne_control_app::OriginKeys;

pub use tail::{RequestFilters, Tail};

mod tail;

/// Your own edge on a machine you own: server and administration.
#[derive(Debug, Parser)]
#[command(name = "poterne", version, about, max_term_width = 100, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node
    ///
    /// Every setting has a default: without a configuration file the node listens on 80, 443 and 7844, keeps its state in
    /// /var/lib/poterne, and makes its keys, its certificate authorities and one account at its first start.
    Serve(Serve),
    /// Make a node of this machine: its configuration, its keys, and what to set elsewhere
    Init(Init),
    /// Have the running node read its configuration and its certificate files again, and tell what became of it
    ///
    /// No connection is cut. What is wrong is told by file, line and key, and leaves everything as it was; keys that a running node
    /// cannot obey are named.
    Reload(Admin),
    /// Have this program take the place of the running node under load: no request fails
    ///
    /// Install the new version, then run its `upgrade`. The new program takes over ports, state, agents and visitors, and the former one
    /// ends what it has begun, for at most `drain_secs`. Where the new one cannot start, the former one serves on and this tells why.
    Upgrade(Upgrade),
    /// Try everything on this machine: a node, a sample site, an agent, and a URL that works
    Demo(Demo),
    /// Zones: the domains this node answers for
    #[command(subcommand, arg_required_else_help = true)]
    Zone(ZoneVerb),
    /// DNS: what the world sees of a zone
    #[command(subcommand, arg_required_else_help = true)]
    Dns(DnsVerb),
    /// Tunnels: ways in that are opened from inside
    #[command(subcommand, arg_required_else_help = true)]
    Tunnel(TunnelVerb),
    /// Watch requests as they are answered, or read the log of a tunnel's agent as it is written
    ///
    /// Without a tunnel: each request that the node has answered, by the filters below. With one: what its agent logs.
    Tail(Tail),
    /// API tokens: what lets programs drive this node
    #[command(subcommand, arg_required_else_help = true)]
    Token(TokenVerb),
    /// Users: who may sign in, and how whoever cannot gets back in
    #[command(subcommand, arg_required_else_help = true)]
    User(UserVerb),
    /// Members: who else may see and change this node's account
    #[command(subcommand, arg_required_else_help = true)]
    Member(MemberVerb),
    /// Mail: whether it leaves as the settings say
    #[command(subcommand, arg_required_else_help = true)]
    Mail(MailVerb),
    /// Write all that makes this node itself to one file, while it runs
    Backup(Backup),
    /// Make a node's state of a backup, on this machine or another
    Restore(Restore),
    /// Print a cert.pem: what the agent's own commands (`tunnel create`, `route dns`, …) need for a zone
    ///
    /// It goes to ~/.cloudflared/cert.pem on the agent's machine, and holds an API token of its own; `poterne token list` shows it.
    Cert(Cert),
    /// Agents that ask to be logged in: `poterne-agent login` shows a code, and waits for your word
    #[command(subcommand, arg_required_else_help = true)]
    Login(LoginVerb),
    /// The configuration file: its documented template, and whether one is right
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigVerb),
}

/// Where settings come from: flags over environment over file over defaults.
#[derive(Debug, Clone, Default, Args)]
pub struct Sources {
    /// Configuration file [default: /etc/poterne/poterne.toml, where there is one]
    #[arg(long, value_name = "FILE", env = "POTERNE_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Where the node keeps its state [default: /var/lib/poterne]
    #[arg(long, value_name = "DIR", env = "POTERNE_STATE_DIR", hide_env = true)]
    pub state_dir: Option<PathBuf>,
    /// Any other setting, as in `--set edge.http=127.0.0.1:8080`; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// `poterne serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub sources: Sources,
    /// Write one line of JSON to this file descriptor once everything listens
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<u32>,
}

/// `poterne upgrade`.
#[derive(Debug, Args)]
pub struct Upgrade {
    /// The program that takes over [default: this one]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub admin: Admin,
}

/// `poterne init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The node's own name, which leads to this machine, as in node.example.net
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// An address the world reaches this machine at; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub address: Vec<String>,
    /// The first administrator's e-mail address
    #[arg(long, value_name = "EMAIL")]
    pub email: Option<String>,
    /// The configuration file to write [default: /etc/poterne/poterne.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the node keeps its state [default: /var/lib/poterne]
    #[arg(long, value_name = "DIR", conflicts_with = "systemd")]
    pub state_dir: Option<PathBuf>,
    /// Install a systemd service that runs the node as a user of its own, and start it
    #[arg(long)]
    pub systemd: bool,
}

/// `poterne demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Publish this local service instead of the sample site, as in http://localhost:3000
    #[arg(long, value_name = "URL", conflicts_with = "no_agent")]
    pub url: Option<String>,
    /// First of the demo's ports, 10000 to 56000; 0 lets the system choose them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = parse_port_base)]
    pub port_base: u16,
    /// Where the demo keeps its state [default: poterne/demo in your XDG state directory]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Start no agent, so that another can take its place
    #[arg(long)]
    pub no_agent: bool,
    /// Say where everything is in one line of JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

/// What every administration verb takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Admin {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub sources: Sources,
    /// Answer in JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

/// `poterne zone …`.
#[derive(Debug, Subcommand)]
pub enum ZoneVerb {
    /// Add a zone; it serves nothing until it is active
    Add {
        /// The domain, as in example.org
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Declare, as the operator of this node, that a zone is served here
    Activate {
        /// The domain, as in example.org
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Delete a zone, with all its records
    ///
    /// It may be taken back for seven days. Refused while the zone above shows a DS record of it; at a terminal you are asked then.
    Delete {
        /// The domain, as in example.org
        name: String,
        /// Although the zone above shows a DS record of it
        #[arg(long)]
        force: bool,
        /// For good: it cannot be taken back
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Take a deleted zone back, as it was
    Restore {
        /// The domain, as in example.org
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Show a zone's certificates: which names have one, until when, and what went wrong
    Certificates {
        /// The domain, as in example.org
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// List the zones
    List {
        /// Those that were deleted, and may be taken back
        #[arg(long)]
        deleted: bool,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne dns …`.
#[derive(Debug, Subcommand)]
pub enum DnsVerb {
    /// Say what the world sees of a zone: delegation, name servers, DNSSEC, and what gives the origin away
    ///
    /// The zone need not be one of this node. Ends with 1 where something is wrong.
    Check {
        /// The domain, as in example.org
        name: String,
        /// Another resolver to ask what it knows, as in 192.0.2.53; may be repeated
        #[arg(long, value_name = "ADDRESS", value_parser = parse_resolver)]
        resolver: Vec<std::net::SocketAddr>,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Show what a certificate authority asks for (ACME, dns-01) at _acme-challenge, beside your records
    #[command(subcommand)]
    Challenge(ChallengeVerb),
}

/// `poterne dns challenge …`.
#[derive(Debug, Subcommand)]
pub enum ChallengeVerb {
    /// Show a text; it is visible when this returns, disturbs no wildcard, and is over by itself
    Put {
        /// The name that is to be proven, as in www.example.org or *.example.org
        name: String,
        /// The text that the authority gave, as in certbot's CERTBOT_VALIDATION
        text: String,
        /// For how many hours, at most 168
        #[arg(long, default_value_t = 24)]
        hours: u16,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Show it no more
    Remove {
        /// The name that was to be proven
        name: String,
        /// The text; without it, all of the name's
        text: Option<String>,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne tunnel …`.
#[derive(Debug, Subcommand)]
pub enum TunnelVerb {
    /// Create a tunnel and show its token
    Create {
        /// A name of your choice
        name: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Send a hostname through a tunnel to a service: makes the proxied record and the ingress rule
    Route {
        /// The public name, in one of your zones
        hostname: String,
        /// The tunnel, by name or id
        tunnel: String,
        /// The service as the agent's machine reaches it, as in http://localhost:8080
        service: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        origin: Origin,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Show a tunnel's token, which is all an agent needs
    Token {
        /// The tunnel, by name or id
        tunnel: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// List the tunnels
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Show a tunnel, its hostnames and its connected agents
    Info {
        /// The tunnel, by name or id
        tunnel: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Delete a tunnel and close its connections
    Delete {
        /// The tunnel, by name or id
        tunnel: String,
        /// Delete it although agents are connected
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write, which must not be there yet
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub admin: Admin,
}

/// `poterne restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// A file that `poterne backup` wrote
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub sources: Sources,
}

/// `poterne cert`.
#[derive(Debug, Args)]
pub struct Cert {
    /// The zone whose names the agent may route, as in example.org
    pub zone: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub admin: Admin,
}

/// `poterne token …`.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make an API token and show it, this once
    Create {
        /// What you call it
        #[arg(long)]
        name: String,
        /// Permission groups, as in "Zone Read,DNS Write"; `all` for everything in the account
        #[arg(long, value_delimiter = ',', required = true)]
        permissions: Vec<String>,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// List the API tokens
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Delete an API token; it is worth nothing from then on
    Delete {
        /// Its id, as the list shows it
        id: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne login …`.
#[derive(Debug, Subcommand)]
pub enum LoginVerb {
    /// List the agents that wait, and whence each came
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Let the agent that shows this code change tunnels, and the names of a zone
    ///
    /// Approve only a code that you yourself saw on the machine you mean: whoever shows it gets the right, and somebody may ask you for it
    /// who should not have it.
    Approve {
        /// As `poterne-agent login` shows it, like K7QM-2XPD
        code: String,
        /// The zone whose names the agent may lead, as in example.org
        zone: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Send an agent away
    Refuse {
        /// The code it shows
        code: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne user …`.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List the users
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
    /// Set a user's password, asked for at the terminal or read from standard input, and end their sessions
    Password {
        /// The user's e-mail address
        email: String,
        /// Make a password and show it, this once
        #[arg(long, conflicts_with = "link")]
        generate: bool,
        /// Make a code instead, with which the user sets one, once and within a day
        #[arg(long, conflicts_with = "forget_second_factors")]
        link: bool,
        /// Take their authenticator application, passkeys and recovery codes away too, as when a telephone is lost
        #[arg(long)]
        forget_second_factors: bool,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne member …`.
#[derive(Debug, Subcommand)]
pub enum MemberVerb {
    /// Invite somebody to the account, and show the link by which they answer
    ///
    /// Where the node sends mail, they get the link by mail too. Whoever has not answered yet can be invited again: the link is another
    /// one then.
    Invite {
        /// Their e-mail address
        email: String,
        /// A role, by name or id; may be repeated
        #[arg(long = "role", value_name = "ROLE", default_value = "Administrator Read Only")]
        roles: Vec<String>,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// `poterne mail …`.
#[derive(Debug, Subcommand)]
pub enum MailVerb {
    /// Send a message to an address, and say what the mail server made of it
    Test {
        /// Where to
        address: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        admin: Admin,
    },
}

/// How the agent speaks to a routed service, by the stock agent's names. What is not given stays as an earlier call set it; `=false`, or
/// an empty text, takes it back.
#[derive(Debug, Clone, Default, Args)]
#[command(
    next_help_heading = "How the agent speaks to the service (what is not given stays as it was; =false or \"\" takes it back)"
)]
pub struct Origin {
    /// Take any certificate from an https:// service, as from one that signed its own
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_tls_verify: Option<bool>,
    /// The name expected in the service's certificate, where it is not that of its address
    #[arg(long, value_name = "NAME")]
    pub origin_server_name: Option<String>,
    /// A PEM file on the agent's machine with the authority that signed the service's certificate
    #[arg(long, value_name = "PATH", alias = "ca-pool")]
    pub origin_ca_pool: Option<String>,
    /// Host field sent to the service instead of the visitor's, for one that answers to a name of its own
    #[arg(long, value_name = "HOST")]
    pub http_host_header: Option<String>,
    /// Speak HTTP/2 to the service, which gRPC needs
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub http2_origin: Option<bool>,
    /// Send a length instead of chunks, for a service that takes no chunks (WSGI)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_chunked_encoding: Option<bool>,
}

impl Origin {
    /// As the verb takes them.
    pub fn keys(self) -> OriginKeys {
        OriginKeys {
            no_tls_verify: self.no_tls_verify,
            origin_server_name: self.origin_server_name,
            ca_pool: self.origin_ca_pool,
            http_host_header: self.http_host_header,
            http2_origin: self.http2_origin,
            disable_chunked_encoding: self.no_chunked_encoding,
        }
    }
}

/// `poterne config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print a configuration file in which every key is documented and has its default
    Template,
    /// Say whether the configuration is right, without starting anything
    Check {
        #[command(flatten)]
        #[allow(missing_docs)]
        sources: Sources,
    },
}

fn parse_resolver(text: &str) -> Result<std::net::SocketAddr, String> {
    crate::config::ResolverAddress::try_from(text.to_owned()).map(|resolver| resolver.0)
}

fn parse_port_base(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(base @ (0 | 10_000..=56_000)) => Ok(base),
        _ => Err("the base is 0 (the system chooses) or a number from 10000 to 56000".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_port_base_outside_its_range_is_refused_with_the_range() {
        let error = Cli::try_parse_from(["poterne", "demo", "--port-base", "80"]).unwrap_err().to_string();
        assert!(error.contains("10000 to 56000"), "{error}");
        assert!(Cli::try_parse_from(["poterne", "demo", "--port-base", "0"]).is_ok());
        assert!(Cli::try_parse_from(["poterne", "demo", "--port-base", "56000"]).is_ok());
        assert!(Cli::try_parse_from(["poterne", "demo", "--port-base", "56001"]).is_err());
    }

    #[test]
    fn a_route_takes_the_stock_agents_flags() {
        let keys = |flags: &str| {
            let line = format!("poterne tunnel route nas.example.org home https://nas:5001 {flags}");
            let Command::Tunnel(TunnelVerb::Route { origin, .. }) = Cli::try_parse_from(line.split_whitespace()).unwrap().command
            else {
                panic!("{line}")
            };
            origin.keys()
        };
        assert_eq!(keys(""), OriginKeys::default());
        let set =
            keys("--no-tls-verify --http2-origin=false --origin-server-name nas --ca-pool /ca.pem --http-host-header nas.home");
        let expected = OriginKeys {
            no_tls_verify: Some(true),
            origin_server_name: Some("nas".into()),
            ca_pool: Some("/ca.pem".into()),
            http_host_header: Some("nas.home".into()),
            http2_origin: Some(false),
            disable_chunked_encoding: None,
        };
        assert_eq!(set, expected);
        assert_eq!(keys("--origin-ca-pool /b.pem --no-chunked-encoding").disable_chunked_encoding, Some(true));
    }

    #[test]
    fn every_verb_of_the_story_parses() {
        for line in [
            "serve --config poterne.toml --state-dir /tmp/x --ready-fd 3 --set edge.http=127.0.0.1:8080",
            "demo --json --no-agent --port-base 0 --state-dir /tmp/x",
            "demo --url http://localhost:3000",
            "zone add example.org",
            "zone activate example.org --json",
            "zone list --state-dir /tmp/x",
            "zone delete example.org --force",
            "dns challenge put *.example.org token --hours 2",
            "dns challenge remove www.example.org token --json",
            "tunnel create home",
            "tunnel route app.example.org home http://localhost:8080",
            "tunnel token home",
            "tunnel list",
            "tunnel info home",
            "tunnel delete home",
            "tunnel delete home --force",
            "user list",
            "user password ada@example.net",
            "user password ada@example.net --generate --forget-second-factors --json",
            "user password ada@example.net --link",
            "member invite ada@example.org --role DNS --role Tunnels",
            "mail test ada@example.org",
            "config template",
            "config check --config poterne.toml",
        ] {
            let words = std::iter::once("poterne").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn help_names_every_command_with_what_it_is_for() {
        let help = Cli::command().render_long_help().to_string();
        for line in
            ["serve", "demo", "zone", "tunnel", "user", "config", "Run the node", "a URL that works", "opened from inside"]
        {
            assert!(help.contains(line), "{line} is missing in:\n{help}");
        }
    }
}
