//! The flags of `sastrugi node`: one table that drives the command line, the environment, the
//! configuration file and the help text.
//!
//! Names, types and defaults are those of AvalancheGo v1.14.2 (`config/flags.go`), for the flags
//! whose part of the node exists here; any other flag is an error. A value is taken from the
//! command line, else from the environment (`AVAGO_` and the name in capitals, `-` as `_`), else
//! from the configuration file, else it is the default.

use std::{collections::BTreeMap, path::Path, time::Duration};

use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use serde_json::Value;

use super::duration;
use crate::error::{StartError, at};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Number,
    Fraction,
    Duration,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, help }
}

use Kind::{Bool, Duration as Span, Fraction, Number, Text};

/// Every flag, by theme.
pub(crate) const FLAGS: &[Flag] = &[
    flag("data-dir", Text, "~/.sastrugi/node", "Folder of the node's files"),
    flag("config-file", Text, "", "JSON file with values for these flags"),
    flag("network-id", Text, "", "The network's number or name; must agree with the description"),
    flag(
        "network-file",
        Text,
        "",
        "The network description, such as sastrugi.json of a local network",
    ),
    flag("db-dir", Text, "", "Folder of the database [default: <data-dir>/db]"),
    flag("log-dir", Text, "", "Folder of the log files [default: <data-dir>/logs]"),
    flag(
        "log-level",
        Text,
        "info",
        "Least severe level written to the log file: verbo, debug, trace, info, warn, error, fatal or off",
    ),
    flag("log-display-level", Text, "", "The same for the terminal [default: as log-level]"),
    flag("log-format", Text, "auto", "auto, plain, colors or json"),
    flag(
        "chain-config-dir",
        Text,
        "",
        "Folder of chain configurations [default: <data-dir>/configs/chains]",
    ),
    flag(
        "chain-data-dir",
        Text,
        "",
        "Folder for files of virtual machines [default: <data-dir>/chainData]",
    ),
    flag(
        "process-context-file",
        Text,
        "",
        "Where the running node says how to reach it [default: <data-dir>/process.json]",
    ),
    flag("staking-host", Text, "", "Address to listen on for peers; empty is all"),
    flag("staking-port", Number, "9651", "Port to listen on for peers; 0 is any"),
    flag("public-ip", Text, "", "Address told to peers [default: the address listened on]"),
    flag(
        "staking-tls-key-file",
        Text,
        "",
        "Private key of the staking certificate [default: <data-dir>/staking/staker.key]",
    ),
    flag("staking-tls-key-file-content", Text, "", "The same key, base64"),
    flag(
        "staking-tls-cert-file",
        Text,
        "",
        "Staking certificate [default: <data-dir>/staking/staker.crt]",
    ),
    flag("staking-tls-cert-file-content", Text, "", "The same certificate, base64"),
    flag(
        "staking-signer-key-file",
        Text,
        "",
        "BLS secret key [default: <data-dir>/staking/signer.key]",
    ),
    flag("staking-signer-key-file-content", Text, "", "The same key, base64"),
    flag(
        "staking-ephemeral-cert-enabled",
        Bool,
        "false",
        "Use a certificate that is forgotten at exit",
    ),
    flag(
        "staking-ephemeral-signer-enabled",
        Bool,
        "false",
        "Use a BLS key that is forgotten at exit",
    ),
    flag(
        "bootstrap-ips",
        Text,
        "",
        "Addresses of further peers to dial, ip:port, separated by commas",
    ),
    flag("bootstrap-ids", Text, "", "Their node IDs, in the same order"),
    flag(
        "bootstrap-beacon-connection-timeout",
        Span,
        "1m",
        "A chain that waits longer for the connections it needs to begin says so in the log",
    ),
    flag(
        "bootstrap-max-time-get-ancestors",
        Span,
        "50ms",
        "Longest time spent on collecting blocks for a peer that catches up",
    ),
    flag(
        "bootstrap-ancestors-max-containers-sent",
        Number,
        "2000",
        "Most blocks sent at once to a peer that catches up",
    ),
    flag(
        "bootstrap-ancestors-max-containers-received",
        Number,
        "2000",
        "Most blocks taken from one answer while catching up",
    ),
    flag(
        "state-sync-enabled",
        Bool,
        "false",
        "Jump to a recent state instead of executing all blocks, where the virtual machine can; the \
         chain's own configuration wins",
    ),
    flag(
        "state-sync-ips",
        Text,
        "",
        "Addresses of the peers whose word on recent states counts, ip:port, separated by commas \
         [default: the validators]",
    ),
    flag("state-sync-ids", Text, "", "Their node IDs, in the same order"),
    flag(
        "track-subnets",
        Text,
        "",
        "Subnets to take part in, separated by commas [default: all of the description]",
    ),
    flag("network-initial-timeout", Span, "5s", "Request timeout at the start"),
    flag("network-minimum-timeout", Span, "2s", "Shortest request timeout"),
    flag("network-maximum-timeout", Span, "10s", "Longest request timeout"),
    flag(
        "network-maximum-inbound-timeout",
        Span,
        "10s",
        "Longest time a peer's request is worth answering",
    ),
    flag("network-timeout-halflife", Span, "5m", "Half-life of the average latency"),
    flag(
        "network-timeout-coefficient",
        Fraction,
        "2",
        "Request timeout as a multiple of the average latency, at least 1",
    ),
    flag("network-read-handshake-timeout", Span, "15s", "Longest handshake"),
    flag("network-ping-timeout", Span, "30s", "A peer silent for longer is disconnected"),
    flag("network-ping-frequency", Span, "22.5s", "Time between pings; below network-ping-timeout"),
    flag("network-compression-type", Text, "zstd", "zstd or none"),
    flag("network-max-clock-difference", Span, "1m", "Largest difference to a peer's clock"),
    flag("network-outbound-connection-timeout", Span, "30s", "Longest dial"),
    flag("network-initial-reconnect-delay", Span, "1s", "Wait before the second dial"),
    flag("network-max-reconnect-delay", Span, "1m", "Longest wait between dials"),
    flag("network-peer-list-pull-gossip-frequency", Span, "2s", "Time between requests for peers"),
    flag(
        "throttler-outbound-at-large-alloc-size",
        Number,
        "33554432",
        "Bytes that may wait to be sent to all peers",
    ),
    flag(
        "throttler-outbound-validator-alloc-size",
        Number,
        "33554432",
        "Bytes that may wait to be sent to validators",
    ),
    flag(
        "throttler-outbound-node-max-at-large-bytes",
        Number,
        "2097152",
        "Bytes of the former one peer may use",
    ),
    flag(
        "consensus-app-concurrency",
        Number,
        "2",
        "Threads per chain for messages of virtual machines",
    ),
    flag("consensus-shutdown-timeout", Span, "1m", "Longest wait for a chain to stop"),
    flag("consensus-frontier-poll-frequency", Span, "100ms", "Time between frontier polls"),
    flag("snow-sample-size", Number, "20", "k: units of weight sampled per poll"),
    flag("snow-quorum-size", Number, "15", "If given, both of the two quorum sizes"),
    flag("snow-preference-quorum-size", Number, "15", "Votes that keep or change the preference"),
    flag("snow-confidence-quorum-size", Number, "15", "Votes that raise confidence"),
    flag("snow-commit-threshold", Number, "20", "beta: consecutive confident polls that decide"),
    flag("snow-concurrent-repolls", Number, "4", "Polls kept open while a block is processing"),
    flag("snow-optimal-processing", Number, "10", "Building pauses at so many processing blocks"),
    flag("snow-max-processing", Number, "256", "Unhealthy above so many processing blocks"),
    flag(
        "snow-max-time-processing",
        Span,
        "30s",
        "Unhealthy when a block is processing for longer",
    ),
    flag("http-host", Text, "127.0.0.1", "Address of the HTTP API; empty is all"),
    flag("http-port", Number, "9650", "Port of the HTTP API; 0 is any"),
    flag("http-allowed-origins", Text, "*", "Web pages that may use the API, separated by commas"),
    flag(
        "http-allowed-hosts",
        Text,
        "localhost",
        "Host names the API answers to, separated by commas; * is all, IP addresses always are",
    ),
    flag("http-read-timeout", Span, "30s", "Longest time to read a request"),
    flag("http-shutdown-wait", Span, "0", "Time the node says it is stopping before it stops"),
    flag("http-shutdown-timeout", Span, "10s", "Longest wait for running API calls at the end"),
    flag("api-info-enabled", Bool, "true", "Serve /ext/info"),
    flag("api-metrics-enabled", Bool, "true", "Serve /ext/metrics"),
    flag("api-health-enabled", Bool, "true", "Serve /ext/health"),
    flag(
        "health-check-frequency",
        Span,
        "30s",
        "Time between health checks; they also run at once",
    ),
    flag(
        "network-health-max-outstanding-request-duration",
        Span,
        "5m",
        "Unhealthy when a request is unanswered for longer",
    ),
    flag(
        "router-health-max-outstanding-requests",
        Number,
        "1024",
        "Unhealthy above so many unanswered requests",
    ),
    flag("network-health-min-conn-peers", Number, "1", "Unhealthy with fewer peers"),
];

/// Flags of older releases, with what replaced them.
const RETIRED: &[(&str, &str)] = &[
    ("staking-enabled", "sampling in the network description"),
    ("sybil-protection-enabled", "sampling in the network description"),
    ("whitelisted-subnets", "track-subnets"),
    ("benchlist-fail-threshold", "nothing"),
    ("benchlist-min-failing-duration", "nothing"),
    ("api-keystore-enabled", "nothing: there is no keystore"),
    ("api-ipcs-enabled", "nothing: there is no IPC"),
];

/// The values of all flags, each from the strongest source.
#[derive(Clone, Debug)]
pub struct Values {
    values: BTreeMap<&'static str, String>,
    given: BTreeMap<&'static str, bool>,
}

/// Adds the flags to a command.
pub fn arguments(command: Command) -> Command {
    command.args(FLAGS.iter().map(argument))
}

fn argument(flag: &'static Flag) -> Arg {
    let environment = format!("AVAGO_{}", flag.name.to_uppercase().replace('-', "_"));
    let value_name = match flag.kind {
        Text => "TEXT",
        Bool => "BOOL",
        Number => "NUMBER",
        Fraction => "FRACTION",
        Span => "DURATION",
    };
    let help = match flag.default {
        "" => flag.help.to_owned(),
        default => format!("{} [default: {default}]", flag.help),
    };
    let argument = Arg::new(flag.name).long(flag.name).value_name(value_name).help(help);
    let argument = argument.env(environment).hide_env(true).allow_hyphen_values(true);
    match flag.kind {
        Bool => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => argument,
    }
}

impl Values {
    /// Gathers the values from a parsed command line, the environment that clap looked at, and the
    /// configuration file.
    pub fn gather(matches: &ArgMatches) -> Result<Self, StartError> {
        let mut values = Self { values: BTreeMap::new(), given: BTreeMap::new() };
        for flag in FLAGS {
            let value = matches.get_one::<String>(flag.name).filter(|value| {
                // An empty variable counts as absent.
                !value.is_empty()
                    || matches.value_source(flag.name) == Some(ValueSource::CommandLine)
            });
            if let Some(value) = value {
                values.set(flag, value.clone())?;
            }
        }
        let file = values.values.get("config-file").cloned().unwrap_or_default();
        if !file.is_empty() {
            values.read_file(Path::new(&file))?;
        }
        Ok(values)
    }

    /// Values given by name, as a program does that starts nodes itself.
    pub fn of<'a>(given: impl IntoIterator<Item = (&'a str, String)>) -> Result<Self, StartError> {
        let mut values = Self { values: BTreeMap::new(), given: BTreeMap::new() };
        for (name, value) in given {
            values.set(find(name)?, value)?;
        }
        Ok(values)
    }

    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), StartError> {
        let wrong = match flag.kind {
            Text => None,
            Bool => value.parse::<bool>().err().map(|_| format!("{value:?} is not true or false")),
            Number => value.parse::<u64>().err().map(|_| format!("{value:?} is not a number")),
            Fraction => value.parse::<f64>().err().map(|_| format!("{value:?} is not a number")),
            Span => duration::parse(&value).err(),
        };
        if let Some(wrong) = wrong {
            return Err(StartError::Config(format!("--{}: {wrong}", flag.name)));
        }
        self.given.insert(flag.name, true);
        self.values.insert(flag.name, value);
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<(), StartError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        let members: BTreeMap<String, Value> = serde_json::from_str(&text)
            .map_err(|error| StartError::file(path, format!("not a JSON object: {error}")))?;
        for (name, value) in members {
            let flag = find(&name).map_err(|error| StartError::file(path, error.to_string()))?;
            if self.given.contains_key(flag.name) {
                continue;
            }
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            self.set(flag, value).map_err(|error| StartError::file(path, error.to_string()))?;
        }
        Ok(())
    }

    /// Whether the flag was given anywhere.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The flag's value or default.
    pub fn text(&self, name: &str) -> String {
        let default =
            || FLAGS.iter().find(|flag| flag.name == name).map_or("", |flag| flag.default);
        self.values.get(name).cloned().unwrap_or_else(|| default().to_owned())
    }

    /// A list separated by commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name);
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// A flag that is true or false.
    pub fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A whole number. Values were checked when they were set, so zero only stands for a flag that
    /// is not a number.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// A number.
    pub fn fraction(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// A span of time.
    pub fn duration(&self, name: &str) -> Duration {
        duration::parse(&self.text(name)).unwrap_or_default()
    }
}

/// The flag of this name; the error names its replacement or the closest flag.
fn find(name: &str) -> Result<&'static Flag, StartError> {
    if let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) {
        return Ok(flag);
    }
    Err(StartError::Config(unknown(name)))
}

/// The message for a flag that does not exist.
pub fn unknown(name: &str) -> String {
    if let Some((_, replacement)) = RETIRED.iter().find(|(retired, _)| *retired == name) {
        return format!("--{name} is gone; it was replaced by {replacement}");
    }
    let distance = |flag: &&Flag| (strsim::jaro(name, flag.name) * 1e6) as u64;
    let closest = FLAGS.iter().max_by_key(distance).map_or("help", |flag| flag.name);
    format!("there is no flag --{name}; did you mean --{closest}?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(arguments: &[&str]) -> Result<Values, StartError> {
        let command = super::arguments(Command::new("node").no_binary_name(true));
        Values::gather(&command.try_get_matches_from(arguments).unwrap())
    }

    #[test]
    fn values_come_from_the_command_line_then_the_file_then_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flags.json");
        std::fs::write(
            &file,
            r#"{"http-port": "9", "staking-port": 8, "api-info-enabled": false}"#,
        )
        .unwrap();
        let file = format!("--config-file={}", file.display());
        let values = gather(&[&file, "--http-port", "7", "--api-health-enabled=false"]).unwrap();
        assert_eq!(values.number("http-port"), 7);
        assert_eq!(values.number("staking-port"), 8);
        assert_eq!(values.duration("network-ping-frequency"), Duration::from_millis(22_500));
        assert!(!values.bool("api-info-enabled") && !values.bool("api-health-enabled"));
        assert!(values.bool("api-metrics-enabled"));
        assert!(values.is_given("staking-port") && !values.is_given("snow-sample-size"));
    }

    #[test]
    fn wrong_values_and_unknown_members_say_what_to_do() {
        let error = gather(&["--http-port", "many"]).unwrap_err().to_string();
        assert_eq!(error, "--http-port: \"many\" is not a number");
        let error = Values::of([("snow-sample-sise", String::new())]).unwrap_err().to_string();
        assert_eq!(error, "there is no flag --snow-sample-sise; did you mean --snow-sample-size?");
        let error = Values::of([("whitelisted-subnets", String::new())]).unwrap_err().to_string();
        assert_eq!(error, "--whitelisted-subnets is gone; it was replaced by track-subnets");
    }

    #[test]
    fn every_default_has_the_type_of_its_flag() {
        for flag in FLAGS.iter().filter(|flag| flag.kind != Text) {
            Values::of([(flag.name, flag.default.to_owned())]).unwrap();
        }
    }
}
