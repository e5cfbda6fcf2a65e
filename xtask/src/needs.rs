//! What the tests need beyond cargo: which of it is here, and how to get the rest.
//!
//! The end-to-end tests talk to real servers and clients, the store's to a real PostgreSQL. Each is a *peer* that can be left out by
//! name. A segment of a test's name says which peers it needs (`curl_nginx::quic::pages_and_bodies`, the first of an end-to-end test;
//! `tests::postgres::…` elsewhere), so leaving one out is a filter, and an exact one.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};

use crate::{
    namespaces, postgres,
    run::{self, must, on_path, succeeds},
};

/// One thing that tests use and this repository does not contain.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What `--without` calls it.
    pub(crate) name: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A program, and the Debian package that has it.
    Debian { program: &'static str, package: &'static str },
    /// PostgreSQL's server, which is not on PATH; Debian's package is called alike.
    Postgres,
    /// What a delegation tree of our own takes: programs, Debian's packages that have them, and the right to make namespaces.
    Tree(&'static [(&'static str, &'static str)]),
    /// A Python module, and what pip installs.
    Python { module: &'static str, package: &'static str },
    /// A package of Node.js, and what npm installs.
    Npm { package: &'static str, version: &'static str },
}

/// The peer that is a database server.
pub(crate) const POSTGRES: &str = "postgres";

/// The peer that is a root, a top-level domain and a provider, in a network of their own.
pub(crate) const TREE: &str = "tree";

/// What it is made of. No test needs one of them without the others.
const TREE_PROGRAMS: [(&str, &str); 5] =
    [("nsd", "nsd"), ("ldns-signzone", "ldnsutils"), ("faketime", "faketime"), ("ip", "iproute2"), ("unshare", "util-linux")];

/// Every peer, as the tests use them.
pub(crate) const PEERS: [Peer; 35] = [
    Peer { name: "curl", source: Source::Debian { program: "curl", package: "curl" } },
    Peer { name: "chromium", source: Source::Debian { program: "chromium", package: "chromium" } },
    Peer { name: "nginx", source: Source::Debian { program: "nginx", package: "nginx-light" } },
    Peer { name: POSTGRES, source: Source::Postgres },
    Peer { name: "python", source: Source::Debian { program: "python3", package: "python3" } },
    Peer { name: "websockets", source: Source::Python { module: "websockets", package: "websockets>=13" } },
    Peer { name: "aiohttp", source: Source::Python { module: "aiohttp", package: "aiohttp>=3.10" } },
    Peer { name: "aioquic", source: Source::Python { module: "aioquic", package: "aioquic>=1.2" } },
    Peer { name: "h2", source: Source::Python { module: "h2", package: "h2>=4.1" } },
    Peer { name: "aiosmtpd", source: Source::Python { module: "aiosmtpd", package: "aiosmtpd>=1.4.6" } },
    Peer { name: "grpc", source: Source::Python { module: "grpc", package: "grpcio>=1.60" } },
    Peer {
        name: "opentelemetry",
        source: Source::Python {
            module: "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
            package: "opentelemetry-proto>=1.27",
        },
    },
    Peer { name: "cloudflare", source: Source::Python { module: "cloudflare", package: "cloudflare>=5" } },
    Peer { name: "octodns", source: Source::Python { module: "octodns_cloudflare", package: "octodns-cloudflare>=1.2" } },
    Peer { name: "certbot", source: Source::Python { module: "certbot_dns_cloudflare", package: "certbot-dns-cloudflare>=5.8" } },
    Peer { name: "lexicon", source: Source::Python { module: "lexicon", package: "dns-lexicon>=3.25" } },
    Peer { name: "schemathesis", source: Source::Python { module: "schemathesis", package: "schemathesis>=4.32" } },
    Peer {
        name: "validator",
        source: Source::Python { module: "openapi_spec_validator", package: "openapi-spec-validator>=0.9" },
    },
    Peer { name: "dig", source: Source::Debian { program: "dig", package: "bind9-dnsutils" } },
    Peer { name: "delv", source: Source::Debian { program: "delv", package: "bind9-dnsutils" } },
    Peer { name: "pebble", source: Source::Debian { program: "pebble", package: "pebble" } },
    Peer { name: "unbound", source: Source::Debian { program: "unbound", package: "unbound" } },
    Peer { name: "nsd", source: Source::Debian { program: "nsd", package: "nsd" } },
    Peer { name: "knotd", source: Source::Debian { program: "knotd", package: "knot" } },
    Peer { name: "kdig", source: Source::Debian { program: "kdig", package: "knot-dnsutils" } },
    Peer { name: "dnsperf", source: Source::Debian { program: "dnsperf", package: "dnsperf" } },
    Peer { name: "h2load", source: Source::Debian { program: "h2load", package: "nghttp2-client" } },
    Peer { name: "slowhttptest", source: Source::Debian { program: "slowhttptest", package: "slowhttptest" } },
    Peer { name: "openssl", source: Source::Debian { program: "openssl", package: "openssl" } },
    Peer { name: "sslscan", source: Source::Debian { program: "sslscan", package: "sslscan" } },
    Peer { name: "testssl", source: Source::Debian { program: "testssl", package: "testssl.sh" } },
    Peer { name: TREE, source: Source::Tree(&TREE_PROGRAMS) },
    Peer { name: "zonemaster", source: Source::Debian { program: "zonemaster-cli", package: "zonemaster-cli" } },
    // Debian's npm brings node.
    Peer { name: "npm", source: Source::Debian { program: "npm", package: "npm" } },
    Peer { name: "typescript", source: Source::Npm { package: "cloudflare", version: ">=7" } },
];

/// The Python that has the clients: a virtual environment inside the target directory, nothing of the system is changed.
pub(crate) fn python() -> PathBuf {
    run::target().join("e2e-python/bin/python3")
}

/// Where Node.js looks for packages: inside the target directory, too.
pub(crate) fn node_modules() -> PathBuf {
    run::target().join("e2e-node/node_modules")
}

/// The version of cargo-nextest that is built where there is none; a newer one may want a newer Rust.
const CARGO_NEXTEST: &str = "0.9.143";

/// The peers that these names leave out: themselves, and without Python or npm all that these run or install.
pub(crate) fn left_out(without: &[String]) -> anyhow::Result<Vec<&'static Peer>> {
    for name in without {
        if !PEERS.iter().any(|peer| peer.name == name) {
            let known: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
            bail!("--without {name}: there is no such peer; known are {}", known.join(", "));
        }
    }
    let named = |name: &str| without.iter().any(|other| other == name);
    let is_out = |peer: &&Peer| {
        named(peer.name)
            || matches!(peer.source, Source::Python { .. }) && named("python")
            || matches!(peer.source, Source::Npm { .. }) && named("npm")
    };
    Ok(PEERS.iter().filter(is_out).collect())
}

/// All peers but these: what is left out where only these are asked for.
pub(crate) fn all_but(names: &[&str]) -> Vec<&'static Peer> {
    PEERS.iter().filter(|peer| !names.contains(&peer.name)).collect()
}

/// Installs what is missing (as root), or says how and stops before anything was run.
pub(crate) fn provide(left_out: &[&Peer]) -> anyhow::Result<()> {
    let wanted = || PEERS.iter().filter(|peer| !left_out.iter().any(|out| out.name == peer.name));
    let tree_wanted = wanted().any(|peer| peer.name == TREE);
    // What no package gives is told before any is installed.
    if tree_wanted && on_path("unshare") {
        namespaces::may_be_made()?;
    }
    let python_wanted = wanted().any(|peer| matches!(peer.source, Source::Python { .. }));

    let mut debian: Vec<&str> = wanted().flat_map(Peer::missing_debian_packages).collect();
    if python_wanted
        && !python().exists()
        && on_path("python3")
        && !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
    {
        debian.push("python3-venv");
    }
    if python_wanted && !on_path("python3") {
        debian.push("python3-venv");
    }
    debian.dedup();
    debian_packages(&debian)?;
    if tree_wanted {
        namespaces::may_be_filled()?;
    }
    if python_wanted {
        python_packages(&wanted().filter_map(Peer::python_package).collect::<Vec<_>>())?;
    }
    npm_packages(&wanted().filter_map(Peer::npm_package).collect::<Vec<_>>())?;
    if !succeeds(run::cargo().args(["nextest", "--version"])) {
        eprintln!("cargo-nextest is not here and is built once; this takes some minutes");
        must(run::cargo().args(["install", "--locked", "cargo-nextest", "--version", CARGO_NEXTEST]))?;
    }
    Ok(())
}

impl Peer {
    fn missing_debian_packages(&self) -> Vec<&'static str> {
        match self.source {
            Source::Debian { program, package } if !on_path(program) => vec![package],
            Source::Postgres if postgres::programs().is_none() => vec!["postgresql"],
            Source::Tree(programs) => {
                programs.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect()
            }
            _ => Vec::new(),
        }
    }

    fn python_package(&self) -> Option<(&'static str, &'static str)> {
        match self.source {
            Source::Python { module, package } => Some((module, package)),
            Source::Debian { .. } | Source::Postgres | Source::Tree(_) | Source::Npm { .. } => None,
        }
    }

    fn npm_package(&self) -> Option<(&'static str, &'static str)> {
        match self.source {
            Source::Npm { package, version } => Some((package, version)),
            Source::Debian { .. } | Source::Postgres | Source::Tree(_) | Source::Python { .. } => None,
        }
    }
}

/// Debian's packages, as root; for anybody else the one line to paste.
pub(crate) fn debian_packages(packages: &[&str]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!(
            "these packages are missing; nothing was run. Install them, or leave a test's peer out with --without:\n\n    sudo apt-get update && sudo apt-get install --yes {list}\n"
        );
    }
    if !on_path("apt-get") {
        bail!(
            "what Debian calls {list} is missing, and apt-get is not here: install it in this system's way, or leave it out with --without"
        );
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    must(apt().args(["update", "--quiet"]))?;
    must(apt().args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages))
}

fn python_packages(packages: &[(&str, &str)]) -> anyhow::Result<()> {
    let python = python();
    if !python.exists() {
        let dir = python.parent().and_then(|bin| bin.parent()).context("the virtual environment has a directory")?;
        fs::create_dir_all(dir)?;
        must(Command::new("python3").args(["-m", "venv"]).arg(dir))?;
    }
    let missing: Vec<_> = packages
        .iter()
        .filter(|(module, _)| !succeeds(Command::new(&python).args(["-c", &format!("import {module}")])))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&missing))
}

fn npm_packages(packages: &[(&str, &str)]) -> anyhow::Result<()> {
    let modules = node_modules();
    let missing: Vec<_> = packages
        .iter()
        .filter(|(package, _)| !modules.join(package).is_dir())
        .map(|(package, version)| format!("{package}@{version}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let prefix = modules.parent().context("the packages have a directory")?;
    fs::create_dir_all(prefix)?;
    // What a package would like to run when it is installed is not needed.
    let options = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"];
    must(Command::new("npm").args(options).arg(prefix).args(&missing))
}
