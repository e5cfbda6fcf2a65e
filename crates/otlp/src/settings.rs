//! Where spans go, as whom, and how many: a program's own settings over OpenTelemetry's variables over defaults. Pure, but for the file of
//! authorities, which is read when a connection is first made.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

/// Most header fields, and attributes of the resource, that are given.
pub const PAIRS_MAX: usize = 32;
/// What follows a collector's base URL.
const PATH: &str = "/v1/traces";

/// What was given, in part.
#[derive(Clone, Default, PartialEq)]
pub struct Given {
    /// The collector's base URL, as in `http://localhost:4318`; spans go to `/v1/traces` below it.
    pub endpoint: Option<String>,
    /// Header fields of each request: `name=value,name=value`, values percent-encoded. They may be secret.
    pub headers: Option<String>,
    /// Certificates (PEM) that vouch for the collector, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The program's name: `service.name`.
    pub service: Option<String>,
    /// The share of traces begun here that is recorded, from 0.0 to 1.0.
    pub sample: Option<f64>,
    /// More about the program, likewise `name=value,name=value`.
    pub resource: Option<String>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("endpoint", &self.endpoint).field("service", &self.service).finish_non_exhaustive()
    }
}

/// What is wrong with what was given. Culprit: the operator. `by` is the key, flag or variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No URL.
    #[error("{by}: {url:?} is no address of a collector: write one as in http://localhost:4318, with no user in it")]
    Endpoint {
        /// What gave it.
        by: &'static str,
        /// As given.
        url: String,
    },
    /// A list that is none. Its values are not shown: they may be secret.
    #[error("{by}: entry {number} is not name=value: write a list as in \"authorization=Bearer%20SECRET,x-team=edge\"")]
    Pairs {
        /// What gave it.
        by: &'static str,
        /// From 1.
        number: usize,
    },
    /// Another way to speak to collectors.
    #[error(
        "OTEL_EXPORTER_OTLP_PROTOCOL: {0:?} is not spoken; take the collector's port for OTLP over HTTP (4318) and write http/protobuf, or OTEL_TRACES_EXPORTER=none"
    )]
    Protocol(String),
    /// A sampler that is none.
    #[error("{by}: {value:?} is no share: write one from 0.0 to 1.0")]
    Sample {
        /// What gave it.
        by: &'static str,
        /// As given.
        value: String,
    },
    /// A sampler that is not known.
    #[error(
        "OTEL_TRACES_SAMPLER: {0:?} is not known: take always_on, always_off or traceidratio, or one of these after parentbased_"
    )]
    Sampler(String),
}

/// What each setting is called where it was given.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Of [`Given::endpoint`].
    pub endpoint: &'static str,
    /// Of [`Given::headers`].
    pub headers: &'static str,
    /// Of [`Given::sample`].
    pub sample: &'static str,
}

const VARIABLES: Names =
    Names { endpoint: "OTEL_EXPORTER_OTLP_ENDPOINT", headers: "OTEL_EXPORTER_OTLP_HEADERS", sample: "OTEL_TRACES_SAMPLER_ARG" };

/// Everything that an exporter needs.
#[derive(Clone, PartialEq)]
pub struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) version: &'static str,
    /// The share of traces begun here that is recorded.
    pub sample: f64,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.endpoint).field("sample", &self.sample).finish_non_exhaustive()
    }
}

/// A collector's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As `Host` has it.
    pub(crate) authority: HeaderValue,
    pub(crate) path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }
}

impl Settings {
    /// What was given, over what the environment says; none where no collector is named. `program` and `version` are its name and version.
    ///
    /// # Errors
    /// What is wrong, with the name of what gave it.
    pub fn of(
        given: &Given,
        names: Names,
        environment: impl Fn(&str) -> Option<String>,
        program: &str,
        version: &'static str,
    ) -> Result<Option<Self>, SettingsError> {
        let variable = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let endpoint = match &given.endpoint {
            Some(url) => Endpoint::parse(url, names.endpoint, true)?,
            None => {
                let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
                    || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
                let exact = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
                let (url, by, is_base) = match (exact, variable(VARIABLES.endpoint)) {
                    _ if is_off => return Ok(None),
                    (Some(url), _) => (url, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", false),
                    (None, Some(url)) => (url, VARIABLES.endpoint, true),
                    (None, None) => return Ok(None),
                };
                let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
                if let Some(protocol) = protocol.filter(|protocol| protocol != "http/protobuf") {
                    return Err(SettingsError::Protocol(protocol));
                }
                Endpoint::parse(&url, by, is_base)?
            }
        };
        let headers = match &given.headers {
            Some(list) => fields(list, names.headers)?,
            None => {
                let list = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| variable(VARIABLES.headers));
                fields(&list.unwrap_or_default(), VARIABLES.headers)?
            }
        };
        let ca_file = given.ca_file.clone().or_else(|| variable("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from));
        let sample = match given.sample {
            Some(sample) if (0.0..=1.0).contains(&sample) => sample,
            Some(sample) => return Err(SettingsError::Sample { by: names.sample, value: sample.to_string() }),
            None => sampler(&variable)?,
        };
        let more = match &given.resource {
            Some(list) => list.clone(),
            None => variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default(),
        };
        let more = pairs(&more, "OTEL_RESOURCE_ATTRIBUTES")?;
        let service = given.service.clone().or_else(|| variable("OTEL_SERVICE_NAME"));
        let service = service.or_else(|| more.iter().find(|(key, _)| key == "service.name").map(|(_, value)| value.clone()));
        let mut resource = vec![
            ("service.name".to_owned(), service.unwrap_or_else(|| program.to_owned())),
            ("service.version".to_owned(), version.to_owned()),
        ];
        let more = more.into_iter().filter(|(key, _)| key != "service.name" && key != "service.version");
        resource.extend(more);
        Ok(Some(Self { endpoint, headers, ca_file, resource, version, sample }))
    }

    /// Where spans go: scheme, host and port.
    pub fn collector(&self) -> String {
        self.endpoint.to_string()
    }

    /// The file of authorities.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }
}

/// `OTEL_TRACES_SAMPLER`. Whose word on recording is taken is not its to say: a visitor's would be.
fn sampler(variable: &impl Fn(&str) -> Option<String>) -> Result<f64, SettingsError> {
    let Some(name) = variable("OTEL_TRACES_SAMPLER") else { return Ok(1.0) };
    match name.strip_prefix("parentbased_").unwrap_or(&name) {
        "always_on" => Ok(1.0),
        "always_off" => Ok(0.0),
        "traceidratio" => {
            let Some(value) = variable(VARIABLES.sample) else { return Ok(1.0) };
            let wrong = || SettingsError::Sample { by: VARIABLES.sample, value: value.clone() };
            value.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(wrong)
        }
        _ => Err(SettingsError::Sampler(name)),
    }
}

impl Endpoint {
    fn parse(url: &str, by: &'static str, is_base: bool) -> Result<Self, SettingsError> {
        // Before an @ there may be a secret.
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host).chars().take(300).collect();
        let wrong = || SettingsError::Endpoint { by, url: shown };
        let parsed = || {
            let uri: Uri = url.trim().parse().ok()?;
            let tls = match uri.scheme_str()? {
                "https" => true,
                "http" => false,
                _ => return None,
            };
            let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
            let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
            let path = uri.path().trim_end_matches('/');
            let path = match is_base && !path.ends_with(PATH) {
                true => format!("{path}{PATH}"),
                false if path.is_empty() => "/".to_owned(),
                false => path.to_owned(),
            };
            let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let authority = HeaderValue::from_str(authority.as_str()).ok()?;
            (!host.is_empty()).then_some(Self { tls, host, port, authority, path })
        };
        parsed().ok_or_else(wrong)
    }
}

fn fields(list: &str, by: &'static str) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
    let read = |(at, (name, value)): (usize, (String, String))| {
        let field = name.parse::<HeaderName>().ok().zip(HeaderValue::try_from(value).ok());
        let (name, mut value) = field.ok_or(SettingsError::Pairs { by, number: at + 1 })?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    pairs(list, by)?.into_iter().enumerate().map(read).collect()
}

/// `name=value,name=value`, values percent-encoded.
fn pairs(list: &str, by: &'static str) -> Result<Vec<(String, String)>, SettingsError> {
    let read = |(at, entry): (usize, &str)| {
        let wrong = SettingsError::Pairs { by, number: at + 1 };
        let Some((name, value)) = entry.split_once('=') else { return Err(wrong) };
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| wrong.clone())?;
        if name.trim().is_empty() || at >= PAIRS_MAX { Err(wrong) } else { Ok((name.trim().to_owned(), value.into_owned())) }
    };
    list.split(',').filter(|entry| !entry.trim().is_empty()).enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names { endpoint: "[telemetry] otlp", headers: "[telemetry] headers", sample: "[telemetry] sample" };

    fn of(given: &Given, environment: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::of(given, NAMES, find, "poterne", "1.2.3")
    }

    fn at(url: &str) -> Given {
        Given { endpoint: Some(url.into()), ..Given::default() }
    }

    fn told(given: &Given, environment: &[(&str, &str)]) -> String {
        of(given, environment).unwrap_err().to_string()
    }

    #[test]
    fn without_a_collector_nothing_is_sent() {
        assert_eq!(of(&Given::default(), &[]), Ok(None));
        assert_eq!(of(&Given { sample: Some(1.0), ..Given::default() }, &[("OTEL_SERVICE_NAME", "x")]), Ok(None));
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(of(&Given::default(), &[endpoint, off]), Ok(None), "{off:?}");
            assert!(of(&at("http://c:4318"), &[off]).unwrap().is_some(), "what the program was told wins");
        }
    }

    #[test]
    fn a_base_url_is_followed_by_the_path_of_traces() {
        let parsed = |url: &str| {
            let endpoint = of(&at(url), &[]).unwrap().unwrap().endpoint;
            (endpoint.tls, endpoint.host, endpoint.port, endpoint.path)
        };
        assert_eq!(parsed("http://localhost:4318"), (false, "localhost".into(), 4318, "/v1/traces".into()));
        assert_eq!(parsed("https://otel.example.net/otlp/"), (true, "otel.example.net".into(), 443, "/otlp/v1/traces".into()));
        assert_eq!(parsed("http://[::1]:4318/v1/traces"), (false, "::1".into(), 4318, "/v1/traces".into()));
        let exact = of(&Given::default(), &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/in")]).unwrap().unwrap();
        assert_eq!((exact.endpoint.port, exact.endpoint.path.as_str()), (80, "/in"));
        assert_eq!(exact.collector(), "http://c");
        for wrong in ["localhost:4318", "grpc://c:4317", "http://", "/v1/traces", "", "http://user:s3cret@c"] {
            let error = told(&at(wrong), &[]);
            assert!(error.starts_with("[telemetry] otlp: ") && error.contains("http://localhost:4318"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_the_program_was_told_wins_over_the_environment() {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://around:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20around"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/around.pem"),
            ("OTEL_SERVICE_NAME", "around"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test, service.name=ignored"),
        ];
        let around = of(&Given::default(), &environment).unwrap().unwrap();
        assert_eq!((around.collector().as_str(), around.sample), ("http://around:4318", 0.25));
        assert_eq!(around.headers, [(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer around"))]);
        assert_eq!(around.ca_file(), Some(Path::new("/around.pem")));
        let resource = |service: &str| {
            [("service.name", service), ("service.version", "1.2.3"), ("deployment.environment.name", "test")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        assert_eq!(around.resource, resource("around"));
        let given = Given {
            headers: Some("x-team=edge".into()),
            ca_file: Some("/told.pem".into()),
            service: Some("told".into()),
            sample: Some(0.5),
            ..at("http://told")
        };
        let told = of(&given, &environment).unwrap().unwrap();
        assert_eq!((told.collector().as_str(), told.sample), ("http://told", 0.5));
        assert_eq!(told.headers[0].0, "x-team");
        assert_eq!((told.ca_file(), &told.resource[..]), (Some(Path::new("/told.pem")), &resource("told")[..]));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name_and_no_secret_is() {
        let headers = |list: &str| Given { headers: Some(list.into()), ..at("http://c") };
        for (list, number) in
            [("a=1,s3cret", "entry 2"), ("=s3cret", "entry 1"), ("a b=s3cret", "entry 1"), ("a=s3cret%0a", "entry 1")]
        {
            let error = told(&headers(list), &[]);
            assert!(error.starts_with("[telemetry] headers: ") && error.contains(number) && !error.contains("s3cret"), "{error}");
        }
        let many: Vec<String> = (0..=PAIRS_MAX).map(|number| format!("x-{number}=1")).collect();
        assert!(told(&headers(&many.join(",")), &[]).contains("entry 33"));
        assert!(told(&Given { sample: Some(1.5), ..at("http://c") }, &[]).starts_with("[telemetry] sample: \"1.5\" is no share"));
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        assert!(told(&Given::default(), &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).contains("\"grpc\" is not spoken"));
        assert!(told(&Given::default(), &[endpoint, ("OTEL_TRACES_SAMPLER", "jaeger_remote")]).contains("is not known"));
        let ratio = [endpoint, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "ten")];
        assert!(told(&Given::default(), &ratio).starts_with("OTEL_TRACES_SAMPLER_ARG: \"ten\""));
        assert!(!format!("{:?}", headers("a=s3cret")).contains("s3cret"));
        assert!(!format!("{:?}", of(&headers("a=s3cret"), &[]).unwrap().unwrap()).contains("s3cret"));
    }

    #[test]
    fn samplers_are_shares() {
        let sample = |sampler: &str| {
            let around = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_TRACES_SAMPLER", sampler)];
            of(&Given::default(), &around).unwrap().unwrap().sample
        };
        for (sampler, share) in
            [("always_on", 1.0), ("parentbased_always_on", 1.0), ("always_off", 0.0), ("traceidratio", 1.0), (" ", 1.0)]
        {
            assert!((sample(sampler) - share).abs() < f64::EPSILON, "{sampler}");
        }
    }
}
