//! Log files and the terminal, in AvalancheGo's plain, colored and JSON layouts.
//!
//! Plain: `[MM-DD|HH:MM:SS.mmm] LEVEL message {"key": value}`. Tools look for the word `FATAL` in
//! `main.log`. Upstream: `utils/logging`.

use std::{
    fmt,
    fs::OpenOptions,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde_json::{Map, Value, json};
use tracing::{Event, Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{
    config::NodeConfig,
    error::{StartError, at},
    identity::make_folder,
};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Plain,
    Colors,
    Json,
}

/// Logs of a node: `main.log` and the terminal. Nothing is written before [`NodeLogs::start`].
#[derive(Debug)]
pub struct NodeLogs {
    folder: PathBuf,
    level: LevelFilter,
    display: LevelFilter,
    file_layout: Layout,
    display_layout: Layout,
}

impl NodeLogs {
    /// The logs a node was configured to keep.
    pub fn new(config: &NodeConfig) -> Result<Self, StartError> {
        let values = &config.values;
        let level = level(&values.text("log-level"), "log-level")?;
        let display = match values.text("log-display-level").as_str() {
            "" => level,
            given => self::level(given, "log-display-level")?,
        };
        let colors = std::io::stdout().is_terminal();
        let (file_layout, display_layout) = match values.text("log-format").as_str() {
            "auto" if colors => (Layout::Plain, Layout::Colors),
            "auto" | "plain" => (Layout::Plain, Layout::Plain),
            "colors" => (Layout::Plain, Layout::Colors),
            "json" => (Layout::Json, Layout::Json),
            other => {
                return Err(StartError::Config(format!(
                    "--log-format: {other:?} is not auto, plain, colors or json"
                )));
            }
        };
        Ok(Self { folder: config.log_dir.clone(), level, display, file_layout, display_layout })
    }

    /// Whether the node has kept logs before.
    pub fn exist(&self) -> bool {
        self.file().exists()
    }

    fn file(&self) -> PathBuf {
        self.folder.join("main.log")
    }

    /// Keeps the logs from here on.
    pub fn start(&self) -> Result<(), StartError> {
        make_folder(&self.folder)?;
        let path = self.file();
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        let to_file = tracing_subscriber::fmt::layer()
            .event_format(Lines(self.file_layout))
            .with_writer(Mutex::new(file))
            .with_filter(self.level);
        let to_display = tracing_subscriber::fmt::layer()
            .event_format(Lines(self.display_layout))
            .with_filter(self.display);
        tracing_subscriber::registry()
            .with(to_file)
            .with(to_display)
            .try_init()
            .map_err(|error| StartError::Other(format!("cannot start logging: {error}")))
    }
}

/// Logs of all nodes of this process, at level info, to one file.
pub fn to_file(path: &Path) -> Result<(), StartError> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(at(path))?;
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Lines(Layout::Plain))
        .with_writer(Mutex::new(file))
        .with_filter(LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|error| StartError::Other(format!("cannot start logging: {error}")))
}

/// Upstream's levels by name. Its trace is less verbose than its debug.
fn level(name: &str, flag: &str) -> Result<LevelFilter, StartError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "verbo" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "trace" | "info" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        "error" | "fatal" => LevelFilter::ERROR,
        "off" => LevelFilter::OFF,
        _ => return Err(StartError::Config(format!("--{flag}: there is no level {name:?}"))),
    })
}

/// Writes events in one of the layouts.
struct Lines(Layout);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = level_name(*event.metadata().level(), &fields.message);
        let now = jiff::Timestamp::now();
        if self.0 == Layout::Json {
            let mut line = json!({
                "level": level.to_lowercase(),
                "timestamp": now.to_string(),
                "msg": fields.message,
            });
            if let Some(line) = line.as_object_mut() {
                line.extend(fields.values);
            }
            return writeln!(writer, "{line}");
        }
        let time = now.to_string();
        let (date, clock) = (time.get(5..10).unwrap_or(""), time.get(11..23).unwrap_or(""));
        let (color, reset) = match self.0 {
            Layout::Colors => (color_of(level), "\u{1b}[0m"),
            _ => ("", ""),
        };
        write!(writer, "[{date}|{clock}] {color}{level}{reset} {}", escaped(&fields.message))?;
        if fields.values.is_empty() {
            return writeln!(writer);
        }
        writeln!(writer, " {}", Value::Object(fields.values))
    }
}

/// Upstream's name of a level; a message that begins with FATAL is of that level.
fn level_name(level: Level, message: &str) -> &'static str {
    match level {
        _ if message.starts_with("FATAL") => "FATAL",
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "VERBO",
    }
}

fn color_of(level: &str) -> &'static str {
    match level {
        "FATAL" => "\u{1b}[0;31m",
        "ERROR" => "\u{1b}[0;33m",
        "WARN" => "\u{1b}[1;33m",
        "DEBUG" => "\u{1b}[1;34m",
        "VERBO" => "\u{1b}[1;32m",
        _ => "\u{1b}[0m",
    }
}

/// Line breaks in a message cannot forge lines.
fn escaped(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

#[derive(Default)]
struct Fields {
    message: String,
    values: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.values.insert(name.to_owned(), value);
            }
        }
    }
}

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }
}
