//! Frames of the administration socket: four bytes of length (big-endian), then JSON with a version.

use std::{io, net::SocketAddr, path::PathBuf};

use super::live::Filter;
use poterne_control_app::OriginKeys;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Version of the frames. Program and node are one binary, but an upgraded program may meet a node that still runs.
pub const VERSION: u32 = 1;
/// Longest request, in bytes: a verb with a few names.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Longest answer, in bytes: a list of some ten thousand tunnels.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Verb {
    ZoneAdd {
        name: String,
    },
    ZoneActivate {
        name: String,
    },
    ZoneList {
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        deleted: bool,
    },
    ZoneRestore {
        name: String,
    },
    ZoneCertificates {
        name: String,
    },
    ZoneDelete {
        name: String,
        force: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        purge: bool,
    },
    ChallengePut {
        name: String,
        text: String,
        hours: u16,
    },
    ChallengeRemove {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    TunnelCreate {
        name: String,
    },
    TunnelRoute {
        hostname: String,
        tunnel: String,
        service: String,
        #[serde(default, skip_serializing_if = "OriginKeys::is_empty")]
        origin: OriginKeys,
    },
    TunnelToken {
        tunnel: String,
    },
    TunnelList {},
    TunnelInfo {
        tunnel: String,
    },
    TunnelDelete {
        tunnel: String,
        force: bool,
    },
    DnsCheck {
        name: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        resolvers: Vec<SocketAddr>,
    },
    Backup {
        path: PathBuf,
    },
    Certificate {
        zone: String,
    },
    TokenCreate {
        name: String,
        permissions: Vec<String>,
    },
    TokenList {},
    TokenDelete {
        id: String,
    },
    LoginList {},
    LoginApprove {
        code: String,
        zone: String,
    },
    LoginRefuse {
        code: String,
    },
    ManagementToken {
        tunnel: String,
    },
    UserList {},
    UserPassword {
        email: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Hidden>,
        #[serde(default)]
        forget_second_factors: bool,
    },
    UserLink {
        email: String,
    },
    MemberInvite {
        email: String,
        roles: Vec<String>,
    },
    MailTest {
        address: String,
    },
    Reload {},
    Upgrade {
        program: PathBuf,
    },
    /// Answered by any number of answers, until whoever asked leaves.
    TailRequests {
        filter: Filter,
    },
}

/// A text that is sent, and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Answer {
    Zone(Zone),
    Zones(Vec<Zone>),
    Certificates {
        zone: Zone,
        packs: Vec<Pack>,
    },
    ZoneDeleted {
        zone: Zone,
        #[serde(default)]
        purged: bool,
    },
    /// Not done: whoever asks may well not want it, and must say so again.
    Doubtful {
        message: String,
    },
    Challenge(Challenge),
    ChallengesRemoved(Vec<Challenge>),
    Created {
        tunnel: Tunnel,
        token: String,
    },
    Routed {
        hostname: String,
        tunnel: Tunnel,
        service: String,
        zone: Zone,
    },
    Token {
        tunnel: Tunnel,
        token: String,
    },
    Tunnels(Vec<Tunnel>),
    Tunnel(Tunnel),
    Deleted {
        tunnel: Tunnel,
        removed: Vec<String>,
        left: Vec<String>,
    },
    Checked(poterne_control_scout::check::Report),
    BackedUp {
        path: PathBuf,
        bytes: u64,
    },
    Certificate {
        zone_id: String,
        account_id: String,
        api_token: String,
        /// Where the API is, as far as the configuration says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api: Option<String>,
        /// PEM of the authorities of the node's own certificate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authorities: Option<String>,
    },
    ApiToken {
        token: ApiToken,
        secret: String,
    },
    ApiTokens(Vec<ApiToken>),
    ApiTokenDeleted {
        id: String,
    },
    Logins(Vec<Login>),
    LoginApproved {
        login: Login,
        zone: String,
    },
    LoginRefused {
        login: Login,
    },
    /// `https`: where the node receives visitors over TLS; none where no node runs.
    ManagementToken {
        token: String,
        https: Option<SocketAddr>,
    },
    Users(Vec<User>),
    Password {
        user: User,
        made: Option<String>,
    },
    PasswordLink {
        email: String,
        token: String,
        until: String,
    },
    Invited {
        email: String,
        roles: Vec<String>,
        link: String,
        expires_at: Option<String>,
        by_mail: bool,
    },
    MailTaken {
        address: String,
        server: String,
    },
    Reloaded(Reloaded),
    Upgraded(Upgraded),
    /// A request, in both forms.
    Request {
        json: String,
        text: String,
    },
    /// So many requests that were meant are not shown: they came faster than they were read.
    Missed(u64),
    Refused {
        message: String,
    },
}

/// What became of a configuration that was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Keys that changed and are obeyed, as in `edge.drain_secs`.
    pub changed: Vec<String>,
    /// Keys that changed and are obeyed when the node starts anew.
    pub left: Vec<String>,
    /// Names that the certificates of `[edge] certificates` cover; their files were read again.
    pub certificate_names: usize,
}

/// A program that took another's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// Its process.
    pub process: u32,
    /// Where it is.
    pub program: PathBuf,
    /// Tunnels whose agents had not come to it when visitors did; their requests waited for them.
    pub agents_missing: usize,
}

/// A zone, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its id.
    pub id: String,
    /// Its apex.
    pub name: String,
    /// `pending`, `active` or `moved`.
    pub status: String,
    /// What it should be delegated to; an older node tells none.
    #[serde(default)]
    pub name_servers: Vec<String>,
}

/// A certificate pack, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Its names.
    pub hosts: Vec<String>,
    /// `universal`, `total_tls`, `advanced` or `sni_custom`.
    pub kind: String,
    /// By the API's word.
    pub status: String,
    /// Who issued its certificate, or else who is asked.
    pub issuer: Option<String>,
    /// Until when its certificate is good, RFC 3339.
    pub expires_at: Option<String>,
    /// When it is ordered, renewed or tried next.
    pub next_at: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// A challenge, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Where it is.
    pub owner: String,
    /// What it says.
    pub text: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
}

/// Somebody who may sign in, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub id: String,
    /// Their address.
    pub email: String,
    /// Whether they have a password.
    pub password: bool,
    /// Whether they have a second factor.
    pub second_factor: bool,
    /// Whether they may do nothing.
    pub suspended: bool,
}

/// An API token, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its id; not its secret.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `active`, `disabled` or `expired`.
    pub status: String,
    /// When it was last used, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

/// An agent that waits to be logged in, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The code it shows.
    pub code: String,
    /// The address it asked from.
    pub source: String,
    /// What it calls its machine.
    pub who: String,
    /// Since when it waits, in seconds since the Unix epoch.
    pub since: u64,
    /// The zone it was approved for, until it has fetched that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
}

/// A tunnel, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `healthy`, `degraded`, `down` or `inactive`; absent where a verb only names the tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Since when, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// When it was created, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The hostnames its configuration names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Agents connected now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<Connector>,
}

/// One connected agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its platform.
    pub arch: String,
    /// Its connections, each in words.
    pub connections: Vec<String>,
}

/// A request in its envelope.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope<T> {
    version: u32,
    #[serde(flatten)]
    body: T,
}

/// An answer in its envelope: a name of its own, because not every answer is a JSON object.
#[derive(Debug, Serialize, Deserialize)]
struct AnswerEnvelope {
    version: u32,
    answer: Answer,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other end is gone, or silent.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// A frame over its bound.
    #[error("a frame of {bytes} bytes exceeds the bound of {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Not what was expected.
    #[error("the frame is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version.
    #[error(
        "the other end speaks version {0} of the administration protocol, this program version {VERSION}: restart the node after an upgrade"
    )]
    Version(u32),
}

/// Sends a request.
pub async fn write_request(writer: &mut (impl AsyncWrite + Unpin), verb: &Verb) -> Result<(), FrameError> {
    write(writer, &Envelope { version: VERSION, body: verb }, REQUEST_BYTES_MAX).await
}

/// Receives a request.
pub async fn read_request(reader: &mut (impl AsyncRead + Unpin)) -> Result<Verb, FrameError> {
    let bytes = read(reader, REQUEST_BYTES_MAX).await?;
    // The version is read first: another version's verbs may be unknown here.
    let Version { version } = serde_json::from_slice(&bytes)?;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes)?;
    object.remove("version");
    Ok(Verb::deserialize(serde_json::Value::Object(object))?)
}

/// Sends an answer.
pub async fn write_answer(writer: &mut (impl AsyncWrite + Unpin), answer: Answer) -> Result<(), FrameError> {
    write(writer, &AnswerEnvelope { version: VERSION, answer }, ANSWER_BYTES_MAX).await
}

/// Receives an answer.
pub async fn read_answer(reader: &mut (impl AsyncRead + Unpin)) -> Result<Answer, FrameError> {
    let bytes = read(reader, ANSWER_BYTES_MAX).await?;
    let Version { version } = serde_json::from_slice(&bytes)?;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let envelope: AnswerEnvelope = from(&bytes)?;
    Ok(envelope.answer)
}

/// What every version says.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn from<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(bytes)?)
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), value: &impl Serialize, max: usize) -> Result<(), FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, value)?;
    let bytes = frame.len() - 4;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= max).ok_or(FrameError::TooLong { bytes, max })?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    writer.write_all(&frame).await?;
    Ok(writer.flush().await?)
}

/// Reads one frame; memory grows with what arrives, not with what the length promises.
async fn read(reader: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Vec<u8>, FrameError> {
    let bytes = reader.read_u32().await? as usize;
    if bytes > max {
        return Err(FrameError::TooLong { bytes, max });
    }
    let mut frame = Vec::new();
    reader.take(bytes as u64).read_to_end(&mut frame).await?;
    if frame.len() < bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_and_answers_survive_the_way() {
        let verbs = [
            Verb::ZoneList { deleted: false },
            Verb::ZoneCertificates { name: "example.org".into() },
            Verb::ZoneAdd { name: "example.org".into() },
            Verb::TunnelRoute {
                hostname: "a.example.org".into(),
                tunnel: "home".into(),
                service: "http://localhost:1".into(),
                origin: OriginKeys { no_tls_verify: Some(true), ..OriginKeys::default() },
            },
        ];
        for verb in verbs {
            let (mut a, mut b) = tokio::io::duplex(1024);
            write_request(&mut a, &verb).await.unwrap();
            assert_eq!(read_request(&mut b).await.unwrap(), verb);
        }
        let zone = Zone {
            id: "1".into(),
            name: "example.org".into(),
            status: "pending".into(),
            name_servers: vec!["ns1.node.net".into()],
        };
        for answer in [Answer::Zones(vec![zone.clone()]), Answer::Zone(zone), Answer::Refused { message: "no".into() }] {
            let (mut a, mut b) = tokio::io::duplex(1024);
            write_answer(&mut a, answer.clone()).await.unwrap();
            assert_eq!(read_answer(&mut b).await.unwrap(), answer);
        }
    }

    async fn request_of(bytes: &[u8]) -> Result<Verb, FrameError> {
        let mut input = bytes;
        read_request(&mut input).await
    }

    fn frame(json: &str) -> Vec<u8> {
        let mut frame = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(json.as_bytes());
        frame
    }

    #[tokio::test]
    async fn a_frame_over_its_bound_is_refused_by_its_length_alone() {
        let error = request_of(&u32::MAX.to_be_bytes()).await.unwrap_err();
        assert!(matches!(error, FrameError::TooLong { max: REQUEST_BYTES_MAX, .. }), "{error}");
        let verb = Verb::ZoneAdd { name: "x".repeat(REQUEST_BYTES_MAX) };
        let error = write_request(&mut Vec::new(), &verb).await.unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }

    #[test]
    fn a_password_is_sent_and_not_printed() {
        let verb =
            Verb::UserPassword { email: "a@b.c".into(), password: Some(Hidden("secret".into())), forget_second_factors: false };
        assert!(!format!("{verb:?}").contains("secret"));
        assert!(serde_json::to_string(&verb).unwrap().contains("\"password\":\"secret\""));
    }

    #[tokio::test]
    async fn garbage_truncation_unknown_verbs_and_fields_are_refused() {
        assert!(matches!(request_of(b"").await, Err(FrameError::Io(_))));
        assert!(matches!(request_of(&[0, 0, 0, 9, b'{']).await, Err(FrameError::Io(_))));
        assert!(matches!(request_of(&frame("\u{1}\u{2}")).await, Err(FrameError::Malformed(_))));
        assert!(matches!(request_of(&frame(r#"{"version":1,"verb":"burn"}"#)).await, Err(FrameError::Malformed(_))));
        assert!(matches!(request_of(&frame(r#"{"version":1,"verb":"zone_list","x":1}"#)).await, Err(FrameError::Malformed(_))));
        assert!(matches!(request_of(&frame(r#"{"version":1,"verb":"zone_add"}"#)).await, Err(FrameError::Malformed(_))));
    }

    #[tokio::test]
    async fn another_version_is_told_apart_from_garbage() {
        let error = request_of(&frame(r#"{"version":2,"verb":"fly"}"#)).await.unwrap_err();
        assert!(matches!(error, FrameError::Version(2)), "{error}");
    }
}
