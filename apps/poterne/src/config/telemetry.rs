//! `[telemetry]`: what it says, over OpenTelemetry's own variables.

use poterne_otlp::{Given, Settings, settings::Names};
use poterne_telemetry::trace;

use super::{Config, ConfigError, Hidden, Parents, Telemetry};

const NAMES: Names = Names { endpoint: "[telemetry] otlp", headers: "[telemetry] headers", sample: "[telemetry] sample" };

/// What the keys alone can tell.
pub(super) fn check(telemetry: &Telemetry) -> Result<(), ConfigError> {
    read(telemetry, |_| None).map(|_| ())
}

fn read(telemetry: &Telemetry, environment: impl Fn(&str) -> Option<String>) -> Result<Option<Settings>, ConfigError> {
    let given = Given {
        endpoint: telemetry.otlp.clone(),
        headers: telemetry.headers.as_ref().map(|Hidden(text)| text.clone()),
        ca_file: telemetry.ca_file.clone(),
        service: telemetry.service.clone(),
        sample: telemetry.sample,
        resource: None,
    };
    if let Some(sample) = given.sample.filter(|sample| !(0.0..=1.0).contains(sample)) {
        let what = format!("[telemetry] sample: {sample} is no share: write one from 0.0 to 1.0");
        return Err(ConfigError::Inconsistent(what));
    }
    let read = Settings::of(&given, NAMES, environment, "poterne", env!("CARGO_PKG_VERSION"));
    read.map_err(|error| ConfigError::Inconsistent(error.to_string()))
}

impl Config {
    /// Where spans go, and how many; none: nobody traces. What a key leaves open, the environment may say.
    ///
    /// # Errors
    /// What is wrong, with the key or variable.
    pub fn traces(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<Settings>, ConfigError> {
        read(&self.telemetry, environment)
    }

    /// Whose word on a trace is taken.
    pub fn parents(&self) -> trace::Parents {
        match self.telemetry.parents {
            Parents::Ignore => trace::Parents::Ignore,
            Parents::Continue => trace::Parents::Continue,
            Parents::Trust => trace::Parents::Trust,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poterne.toml");
        std::fs::write(&path, format!("version = 1\n[telemetry]\n{text}")).unwrap();
        Config::load(Some(&path), [], &[])
    }

    #[test]
    fn nobody_traces_unless_a_collector_is_named() {
        let none = load("sample = 0.5\nservice = \"edge\"\n").unwrap();
        assert_eq!(none.traces(|_| None).unwrap(), None);
        assert_eq!(none.parents(), trace::Parents::Continue);
        let around = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://around:4318".to_owned());
        let traces = none.traces(around).unwrap().unwrap();
        assert_eq!((traces.collector().as_str(), traces.sample), ("http://around:4318", 0.5));
        let told = load("otlp = \"https://told\"\nparents = \"trust\"\n").unwrap();
        let traces = told.traces(around).unwrap().unwrap();
        assert_eq!((traces.collector().as_str(), traces.sample), ("https://told", 1.0));
        assert_eq!(told.parents(), trace::Parents::Trust);
    }

    #[test]
    fn what_is_wrong_has_a_place_and_no_secret() {
        for (text, why) in [
            ("otlp = \"localhost:4318\"\n", "3:1: [telemetry] otlp: \"localhost:4318\" is no address of a collector"),
            ("sample = 2.0\n", "3:1: [telemetry] sample: 2 is no share"),
            ("otlp = \"http://c\"\nheaders = \"hush\"\n", "4:1: [telemetry] headers: entry 1 is not name=value"),
            ("parents = \"all\"\n", "`ignore`, `continue`, `trust`"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hush"), "{text}: {error}");
        }
    }
}
