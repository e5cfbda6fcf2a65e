//! Where log lines go, and how they look.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Mutex,
};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt::MakeWriter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::Tap;

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Text when stderr is a terminal and no file is named, JSON otherwise.
    #[default]
    Auto,
    /// For a person to read.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log, where and how. The default is `info` on stderr.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How a line looks.
    pub format: Format,
    /// A level (`info`), or directives such as `info,poterne_edge_pipeline=debug`. Absent: `info`.
    pub filter: Option<String>,
    /// Append to this file instead of writing to stderr. It is created with mode 0600 when missing; rotation by renaming needs a
    /// restart.
    pub file: Option<PathBuf>,
}

/// Why logs could not begin. Culprit: the operator's settings.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error(
        "log filter {filter:?} is not understood: {error}; write a level such as \"info\", or \"info,poterne_edge_pipeline=debug\""
    )]
    Filter {
        /// As given.
        filter: String,
        /// Why.
        error: String,
    },
    /// The file cannot be opened.
    #[error("log file {} cannot be opened for appending: {error}", path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody began before.
    #[error("logs were already started in this process")]
    Twice,
}

/// What of the running logs can be changed: the filter. Places that log are asked again when it changes, and cost what they did before.
pub struct Changing(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Changing {
    /// Logs by this filter from now on.
    ///
    /// # Errors
    /// It does not parse; the former one stays.
    pub fn filter(&self, filter: &str) -> Result<(), LogError> {
        let parsed = parse(filter)?;
        // It fails only where the subscriber is gone, and with it the logs.
        let _ = (self.0)(parsed);
        Ok(())
    }
}

impl std::fmt::Debug for Changing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Changing")
    }
}

/// Whether a filter is one.
///
/// # Errors
/// What is wrong with it.
pub fn check(filter: &str) -> Result<(), LogError> {
    parse(filter).map(|_| ())
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter { filter: filter.to_owned(), error: error.to_string() })
}

/// Begins logging for the whole process. Call once, first thing in `main`.
pub fn init(settings: &Settings) -> Result<Changing, LogError> {
    init_with(settings, None)
}

/// The same, with a tap that other readers can open.
pub fn init_with(settings: &Settings, tap: Option<&Tap>) -> Result<Changing, LogError> {
    let (filter, handle) = reload::Layer::new(parse(settings.filter.as_deref().unwrap_or("info"))?);
    let changing = Changing(Box::new(move |filter| handle.reload(filter)));
    let text = match settings.format {
        Format::Auto => settings.file.is_none() && io::stderr().is_terminal(),
        Format::Text => true,
        Format::Json => false,
    };
    match &settings.file {
        Some(path) => {
            let file = open(path).map_err(|error| LogError::File { path: path.clone(), error })?;
            install(Mutex::new(file), filter, text, false, tap)?;
        }
        None => install(io::stderr, filter, text, io::stderr().is_terminal(), tap)?,
    }
    Ok(changing)
}

fn open(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn install<W>(
    writer: W,
    filter: reload::Layer<EnvFilter, Registry>,
    text: bool,
    colours: bool,
    tap: Option<&Tap>,
) -> Result<(), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer);
    let lines = if text {
        lines.with_ansi(colours).with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    };
    // What the tap wants is no affair of the filter's, nor the other way round.
    let all = tracing_subscriber::registry().with(lines.with_filter(filter)).with(tap.map(Tap::layer));
    all.try_init().map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_refused_with_the_remedy() {
        let error = init(&Settings { filter: Some("loud=very".into()), ..Settings::default() }).unwrap_err();
        assert!(error.to_string().contains("\"loud=very\" is not understood"), "{error}");
        assert!(error.to_string().contains("write a level such as"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let path = PathBuf::from("/nonexistent/poterne.log");
        let error = init(&Settings { file: Some(path), ..Settings::default() }).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/poterne.log"), "{error}");
    }
}
