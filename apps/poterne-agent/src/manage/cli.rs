//! The verbs that speak to a node's API, as they may be typed: the stock agent's names, environment and short forms.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Subcommand};

/// Below `tunnel`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManageVerb {
    /// Log in to a node: writes the cert.pem that the other verbs need
    Login(LoginFlags),
    /// Create a tunnel, and write the credentials that run it
    Create(CreateFlags),
    /// List tunnels
    List(ListFlags),
    /// Show the agents that run a tunnel
    Info(InfoFlags),
    /// Delete tunnels, and their credentials files
    Delete(DeleteFlags),
    /// Close the connections of tunnels; agents that still run come back
    Cleanup(CleanupFlags),
    /// Print the token that runs a tunnel, or write its credentials file
    Token(OneTunnel),
    /// Say what is led through a tunnel: a hostname, or a private network
    #[command(subcommand, arg_required_else_help = true)]
    Route(RouteVerb),
    /// Virtual networks, which keep private networks of equal addresses apart
    #[command(subcommand, arg_required_else_help = true)]
    Vnet(VnetVerb),
}

/// `login`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LoginFlags {
    /// The node, https://NODE
    #[arg(long, value_name = "NODE", env = "POTERNE_URL")]
    pub(crate) url: Option<String>,
    /// Trust only the authorities of this PEM file; kept in cert.pem. The node's own is ca.pem in its state directory
    #[arg(long, value_name = "PATH", env = "TUNNEL_CACERT")]
    pub(crate) cacert: Option<PathBuf>,
    /// Log in with this API token, or what `poterne cert` printed; `-` reads it from stdin, which keeps it out of the list of processes
    #[arg(long, value_name = "TOKEN", env = "POTERNE_API_TOKEN", hide_env_values = true)]
    pub(crate) api_token: Option<String>,
    /// The zone whose names `route dns` may lead; needed where the token sees several
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// Write the certificate here [default: ~/.cloudflared/cert.pem]
    #[arg(long, value_name = "PATH", env = "TUNNEL_ORIGIN_CERT")]
    pub(crate) origincert: Option<PathBuf>,
}

/// How a verb's answer is shown.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Shape {
    /// Print json or yaml instead of a table
    #[arg(long, short = 'o', value_name = "FORMAT", value_parser = ["json", "yaml"])]
    pub(crate) output: Option<String>,
}

/// `tunnel create`. Where the credentials go is said by `--credentials-file`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateFlags {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// The tunnel's secret, base64 of at least 32 bytes; a random one unless given
    #[arg(long, short = 's', value_name = "BASE64", env = "TUNNEL_CREATE_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// What you call it
    pub(crate) name: String,
}

/// `tunnel list`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ListFlags {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Deleted ones too
    #[arg(long, short = 'd', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) show_deleted: Option<bool>,
    /// Only the one of this name
    #[arg(long, short = 'n')]
    pub(crate) name: Option<String>,
    /// Only those whose name begins so
    #[arg(long, alias = "np", value_name = "PREFIX")]
    pub(crate) name_prefix: Option<String>,
    /// Only those whose name does not begin so
    #[arg(long, alias = "enp", value_name = "PREFIX")]
    pub(crate) exclude_name_prefix: Option<String>,
    /// Only those that existed at this instant, as in 2026-01-02T03:04:05Z
    #[arg(long, short = 'w', value_name = "TIME")]
    pub(crate) when: Option<String>,
    /// Only the one of this UUID
    #[arg(long, short = 'i')]
    pub(crate) id: Option<String>,
    /// Connections that are about to end too
    #[arg(long, alias = "rd", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) show_recently_disconnected: Option<bool>,
    /// By name, id, createdAt, deletedAt or numConnections
    #[arg(long, value_name = "FIELD", default_value = "name", env = "TUNNEL_LIST_SORT_BY")]
    pub(crate) sort_by: String,
    /// The other way round
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "TUNNEL_LIST_INVERT_SORT")]
    pub(crate) invert_sort: Option<bool>,
}

/// `tunnel info`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InfoFlags {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Connections that are about to end too
    #[arg(long, alias = "rd", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) show_recently_disconnected: Option<bool>,
    /// By createdAt, id, numConnections or version
    #[arg(long, value_name = "FIELD", default_value = "createdAt", env = "TUNNEL_INFO_SORT_BY")]
    pub(crate) sort_by: String,
    /// The other way round
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "TUNNEL_INFO_INVERT_SORT")]
    pub(crate) invert_sort: Option<bool>,
    /// Name or UUID
    pub(crate) tunnel: String,
}

/// `tunnel delete`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeleteFlags {
    /// Also a tunnel that is connected, and with it the private networks led through it
    #[arg(long, short = 'f', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "TUNNEL_RUN_FORCE_OVERWRITE")]
    pub(crate) force: Option<bool>,
    /// Names or UUIDs
    #[arg(required = true)]
    pub(crate) tunnels: Vec<String>,
}

/// `tunnel cleanup`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CleanupFlags {
    /// Only the connections of this agent, by the UUID that `tunnel info` shows
    #[arg(long, short = 'c', value_name = "UUID", env = "TUNNEL_CLEANUP_CONNECTOR")]
    pub(crate) connector_id: Option<String>,
    /// Names or UUIDs
    #[arg(required = true)]
    pub(crate) tunnels: Vec<String>,
}

/// A verb of one tunnel.
#[derive(Debug, Clone, Args)]
pub(crate) struct OneTunnel {
    /// Name or UUID
    pub(crate) tunnel: String,
}

/// `tunnel route …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteVerb {
    /// Lead a hostname through a tunnel: makes its proxied record
    Dns {
        /// Replace the records that the hostname has
        #[arg(long, short = 'f', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "TUNNEL_FORCE_PROVISIONING_DNS")]
        overwrite_dns: Option<bool>,
        /// Name or UUID
        tunnel: String,
        /// As in app.example.org
        hostname: String,
    },
    /// Make a tunnel part of a load balancer's pool
    Lb {
        /// Name or UUID
        tunnel: String,
        /// The load balancer's hostname
        hostname: String,
        /// The pool's name
        pool: String,
    },
    /// Private networks
    #[command(subcommand, arg_required_else_help = true)]
    Ip(RouteIpVerb),
}

/// Which virtual network is meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OfVnet {
    /// Name or UUID of the virtual network; the account's default unless given
    #[arg(long, alias = "vn", value_name = "VNET")]
    pub(crate) vnet: Option<String>,
}

/// `tunnel route ip …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteIpVerb {
    /// Lead a network through a tunnel
    Add {
        #[command(flatten)]
        of: OfVnet,
        /// As in 10.0.0.0/8
        network: String,
        /// Name or UUID
        tunnel: String,
        /// What it is for
        comment: Option<String>,
    },
    /// List the networks that are led
    #[command(alias = "list")]
    Show(RouteShowFlags),
    /// Lead a network no more
    Delete {
        #[command(flatten)]
        of: OfVnet,
        /// The route's UUID, or its network
        route: String,
    },
    /// Tell which route an address takes
    Get {
        #[command(flatten)]
        of: OfVnet,
        /// As in 10.0.0.7
        ip: String,
    },
}

/// `tunnel route ip show`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RouteShowFlags {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Only deleted ones
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) filter_is_deleted: Option<bool>,
    /// Only those of this tunnel
    #[arg(long, value_name = "UUID")]
    pub(crate) filter_tunnel_id: Option<String>,
    /// Only networks within this one
    #[arg(long, alias = "nsub", value_name = "CIDR")]
    pub(crate) filter_network_is_subset_of: Option<String>,
    /// Only networks that hold this one
    #[arg(long, alias = "nsup", value_name = "CIDR")]
    pub(crate) filter_network_is_superset_of: Option<String>,
    /// Only those with this comment
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter_comment_is: Option<String>,
    /// Only those of this virtual network
    #[arg(long, value_name = "UUID")]
    pub(crate) filter_vnet_id: Option<String>,
}

/// `tunnel vnet …`.
#[derive(Debug, Subcommand)]
pub(crate) enum VnetVerb {
    /// Add one
    Add {
        /// Make it the account's default
        #[arg(long, short = 'd', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        default: Option<bool>,
        /// What you call it
        name: String,
        /// What it is for
        comment: Option<String>,
    },
    /// List them
    List(VnetListFlags),
    /// Delete one
    Delete {
        /// Also with the networks that are led in it
        #[arg(long, short = 'f', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        force: Option<bool>,
        /// Name or UUID
        vnet: String,
    },
    /// Change one
    Update {
        /// Its new name
        #[arg(long, short = 'n')]
        name: Option<String>,
        /// Its new comment
        #[arg(long, short = 'c', value_name = "TEXT")]
        comment: Option<String>,
        /// Make it the account's default
        #[arg(long, short = 'd', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        default: Option<bool>,
        /// Name or UUID
        vnet: String,
    },
}

/// `tunnel vnet list`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct VnetListFlags {
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Only the one of this UUID
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Only the one of this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only the default one; =false: only the others
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) is_default: Option<bool>,
    /// Only deleted ones
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) show_deleted: Option<bool>,
}

/// Long names in the one-dash form that the stock agent takes too (`-vnet`, `-np`), made what they are.
pub(crate) fn two_dashes(words: impl IntoIterator<Item = OsString>, known: &clap::Command) -> Vec<OsString> {
    let mut names = Vec::new();
    collect(known, &mut names);
    let mut literal = false;
    let fix = |word: OsString| {
        literal |= word == "--";
        let name = word.to_str().and_then(|word| word.strip_prefix('-'));
        let name = name.filter(|rest| !literal && !rest.starts_with('-') && rest.len() > 1);
        let name = name.map(|rest| rest.split('=').next().unwrap_or_default());
        if !name.is_some_and(|name| names.iter().any(|known| known == name)) {
            return word;
        }
        let mut fixed = OsString::from("-");
        fixed.push(word);
        fixed
    };
    words.into_iter().map(fix).collect()
}

fn collect(command: &clap::Command, names: &mut Vec<String>) {
    for argument in command.get_arguments() {
        names.extend(argument.get_long_and_visible_aliases().into_iter().flatten().map(str::to_owned));
        names.extend(argument.get_all_aliases().into_iter().flatten().map(str::to_owned));
    }
    command.get_subcommands().for_each(|verb| collect(verb, names));
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::{Cli, Command, TunnelVerb};

    fn parse(line: &str) -> Result<ManageVerb, String> {
        let words = two_dashes(line.split(' ').map(OsString::from), &Cli::command());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Tunnel(tunnel) => match tunnel.verb {
                Some(TunnelVerb::Manage(verb)) => Ok(verb),
                _ => Err("another verb".into()),
            },
            _ => Err("another command".into()),
        }
    }

    #[test]
    fn the_stock_agents_lines_are_taken() {
        for line in [
            "tunnel login --url https://node.example.net --cacert ca.pem --zone example.org",
            "tunnel --origincert c.pem --api-url http://127.0.0.1:8600/client/v4 create --secret AAAA --cred-file f.json web",
            "tunnel create -o json -s AAAA web",
            "tunnel list -d -n web --name-prefix w --exclude-name-prefix x -w 2026-01-02T03:04:05Z -i ID --sort-by id --invert-sort",
            "tunnel list -np w -enp x -rd --show-deleted=false --output yaml",
            "tunnel info --sort-by version --invert-sort -o yaml web",
            "tunnel delete -f web other",
            "tunnel delete --force=true web",
            "tunnel cleanup -c ID web other",
            "tunnel token --cred-file f.json web",
            "tunnel route dns -f web app.example.org",
            "tunnel route dns --overwrite-dns web app.example.org",
            "tunnel route lb web lb.example.org pool",
            "tunnel route ip add --vnet lab 10.0.0.0/8 web comment",
            "tunnel route ip add -vn lab 10.0.0.0/8 web",
            "tunnel route ip show --filter-network-is-subset-of 10.0.0.0/8 --filter-is-deleted --filter-comment-is x -o json",
            "tunnel route ip list -nsup 10.0.0.1/32 --filter-tunnel-id ID --filter-vnet-id ID",
            "tunnel route ip delete -vnet lab 10.0.0.0/8",
            "tunnel route ip get --vn=lab 10.0.0.7",
            "tunnel vnet add -d lab comment",
            "tunnel vnet list --is-default=false --show-deleted --id ID --name lab -o json",
            "tunnel vnet update -n new -c comment -d lab",
            "tunnel vnet delete --force lab",
        ] {
            parse(&format!("poterne-agent {line}")).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn a_format_is_the_verbs_own_and_not_the_logs() {
        let ManageVerb::List(list) = parse("poterne-agent tunnel list --output yaml").unwrap() else { panic!() };
        assert_eq!(list.shape.output.as_deref(), Some("yaml"));
        assert!(parse("poterne-agent tunnel list --output xml").is_err());
    }

    #[test]
    fn words_that_are_no_flags_stay_as_they_are() {
        let fixed = |line: &str| {
            let words = two_dashes(line.split(' ').map(OsString::from), &Cli::command());
            words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(fixed("a tunnel -p quic -pquic --np x -np=y"), "a tunnel -p quic -pquic --np x --np=y");
        assert_eq!(fixed("a tunnel vnet add -- -vnet"), "a tunnel vnet add -- -vnet");
    }
}
