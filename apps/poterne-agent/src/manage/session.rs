//! Who asks which node: cert.pem found and read, and the files beside it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use poterne_control_wire::{CERTIFICATE_BYTES_MAX, LoginCertificate};
use poterne_model::TunnelId;
use poterne_tunnel_agent::{Trust, local_file};
use poterne_tunnel_proto::token::Credentials;

use super::{
    api::{Api, base_of},
    tunnels,
};
use crate::cli::TunnelFlags;

/// The file's name.
pub(crate) const CERTIFICATE: &str = "cert.pem";

/// An API, and whose it is.
pub(crate) struct Session {
    pub(crate) api: Api,
    /// `/accounts/ID`.
    pub(crate) account: String,
    /// `/zones/ID`.
    pub(crate) zone: String,
    /// Beside this file, credentials are kept.
    certificate: PathBuf,
    /// `--credentials-file`, where it was given.
    pub(crate) credentials_file: Option<PathBuf>,
}

impl Session {
    pub(crate) fn open(flags: &TunnelFlags, credentials_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = find(flags.origincert.as_deref())?;
        let certificate = read(&path)?;
        let base = match (&flags.api_url, &certificate.api) {
            (Some(given), _) => base_of(given)?,
            (None, Some(node)) => node.clone(),
            // The token is for one node; guessing another would hand it to strangers.
            (None, None) => bail!(
                "{} does not say which node it is of: give --api-url https://NODE/client/v4 (or TUNNEL_API_URL), or log in with \
                 `poterne-agent login --url https://NODE`",
                path.display()
            ),
        };
        let trust = match (&flags.cacert, &certificate.authorities) {
            (Some(path), _) => Trust::CaFile(path.clone()),
            (None, Some(pem)) => Trust::WebPkiAnd(pem.clone()),
            (None, None) => Trust::WebPki,
        };
        let api = Api::new(&base, &certificate.token, trust, flags.max_fetch_size)?;
        let (account, zone) = (format!("/accounts/{}", certificate.account), format!("/zones/{}", certificate.zone));
        let credentials_file = credentials_file.as_deref().map(expand);
        Ok(Self { api, account, zone, certificate: path, credentials_file })
    }

    /// Where a tunnel's credentials are to be written.
    pub(crate) fn credentials_path(&self, tunnel: TunnelId) -> PathBuf {
        let beside = self.certificate.parent().unwrap_or(Path::new("."));
        self.credentials_file.clone().unwrap_or_else(|| beside.join(format!("{tunnel}.json")))
    }

    /// Where a tunnel's credentials are, if they are here.
    pub(crate) fn credentials_found(&self, tunnel: TunnelId) -> Option<PathBuf> {
        match &self.credentials_file {
            Some(path) => Some(path.clone()).filter(|path| path.is_file()),
            None => {
                let dirs = search_dirs(Some(&self.certificate));
                dirs.iter().map(|dir| dir.join(format!("{tunnel}.json"))).find(|path| path.is_file())
            }
        }
    }
}

/// The id of a tunnel that is named on the line or in config.yml, where an account has to be asked for it.
pub(crate) async fn id_of(flags: &TunnelFlags, tunnel: &str) -> anyhow::Result<TunnelId> {
    let session = Session::open(flags, None).with_context(|| {
        format!("{tunnel} is no UUID and has no credentials file {tunnel}.json, and to look for the name cert.pem is needed")
    })?;
    tunnels::find(&session, tunnel).await
}

/// Where credentials files are: beside the certificate, then where config.yml is searched (reference §9.2).
pub(crate) fn search_dirs(certificate: Option<&Path>) -> Vec<PathBuf> {
    let beside = certificate.map(expand).and_then(|path| path.parent().map(Path::to_path_buf));
    beside.into_iter().chain(local_file::search_dirs(home().as_deref())).collect()
}

/// Credentials, for their owner to read; a file that is there is not touched.
pub(crate) fn write_credentials(path: &Path, credentials: &Credentials) -> anyhow::Result<()> {
    write_new(path, &credentials.encode(), 0o400)
}

/// A file that was not there.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret is worth nothing, and would be in the way.
        let _ = fs::remove_file(path);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The file given, which must exist, or the first found.
fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(expand(given));
    }
    let dirs = local_file::search_dirs(home().as_deref());
    dirs.iter().map(|dir| dir.join(CERTIFICATE)).find(|path| path.is_file()).with_context(|| {
        let tried: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        format!(
            "there is no {CERTIFICATE} in {}: log in with `poterne-agent login --url https://NODE`, or name the file with --origincert \
             (or TUNNEL_ORIGIN_CERT)",
            tried.join(", ")
        )
    })
}

pub(crate) fn read(path: &Path) -> anyhow::Result<LoginCertificate> {
    let shown = path.display();
    let length = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if length > CERTIFICATE_BYTES_MAX as u64 {
        bail!("{shown} is {length} bytes long, and so no cert.pem: log in again with `poterne-agent login`");
    }
    let text = zeroize::Zeroizing::new(fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?);
    LoginCertificate::parse(&text).with_context(|| {
        format!("{shown} is no cert.pem: log in again with `poterne-agent login`, or take what `poterne cert` prints on the node")
    })
}

pub(crate) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// `~/…`, where no shell saw it, as in config.yml.
pub(crate) fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn certificate(api: Option<&str>) -> LoginCertificate {
        LoginCertificate {
            zone: "z".into(),
            account: "a".into(),
            token: "t".into(),
            api: api.map(str::to_owned),
            authorities: None,
        }
    }

    fn flags(dir: &Path, api: Option<&str>) -> TunnelFlags {
        let path = dir.join(CERTIFICATE);
        fs::write(&path, certificate(api).encode()).unwrap();
        TunnelFlags { origincert: Some(path), ..TunnelFlags::default() }
    }

    #[test]
    fn the_line_names_the_node_before_the_certificate_does_and_nobody_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let base = |flags: &TunnelFlags| Session::open(flags, None).map(|session| session.api.base.clone());
        let mut flags = flags(dir.path(), Some("https://node.example/client/v4"));
        assert_eq!(base(&flags).unwrap(), "https://node.example/client/v4");
        flags.api_url = Some("http://127.0.0.1:8600/client/v4/".into());
        assert_eq!(base(&flags).unwrap(), "http://127.0.0.1:8600/client/v4");
        let flags = self::flags(dir.path(), None);
        assert!(base(&flags).unwrap_err().to_string().contains("does not say which node"));
    }

    #[test]
    fn credentials_are_beside_the_certificate_unless_named() {
        let dir = tempfile::tempdir().unwrap();
        let flags = flags(dir.path(), Some("https://node.example/client/v4"));
        let tunnel: TunnelId = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d".parse().unwrap();
        let session = Session::open(&flags, None).unwrap();
        let path = dir.path().join("3d539f97-cd3a-4d8e-833b-65e9099c7a8d.json");
        assert_eq!((session.credentials_path(tunnel), session.credentials_found(tunnel)), (path.clone(), None));
        write_new(&path, b"{}", 0o400).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        assert!(write_new(&path, b"{}", 0o400).is_err(), "a file that is there is not touched");
        assert_eq!(session.credentials_found(tunnel), Some(path));
        let named = Session::open(&flags, Some("named.json".into())).unwrap();
        assert_eq!(named.credentials_path(tunnel), Path::new("named.json"));
    }
}
