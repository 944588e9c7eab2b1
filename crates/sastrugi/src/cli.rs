//! The command line: what is asked is handed to the library.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{
    Arg, ArgMatches, Args, Command, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ErrorKind},
};
use sastrugi::{
    config::{self, NodeConfig, Values},
    error::StartError,
    kv,
    logging::NodeLogs,
    network,
    node::{NoObserver, PreparedNode},
    signals::Signals,
    version,
};
use tokio::runtime::Runtime;

/// Between two looks whether the node still works.
const WATCH_PERIOD: Duration = Duration::from_millis(500);
/// Exit code when the command line makes no sense.
const USAGE_FAULT: u8 = 2;

/// Avalanche's Snow consensus: a node, local networks, and a replicated key-value store.
#[derive(Debug, Parser)]
#[command(name = "sastrugi", after_help = "Example: sastrugi network")]
struct Top {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Makes or reopens a local network and runs it
    Network(Network),
    /// Reads and writes the key-value store of a network
    #[command(subcommand)]
    Kv(Kv),
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "All nodes in the network's folder start, also those that were added; an added node that \
                  runs in a process of its own is left alone.

Examples:
  sastrugi network                       five nodes in ~/.sastrugi/networks/latest
  sastrugi network --fresh --nodes 7     a new network of seven
  sastrugi network --load 100            with 100 transactions per second
  sastrugi network add-node              one more node, while the network runs elsewhere"
)]
struct Network {
    #[command(subcommand)]
    task: Option<NetworkTask>,
    /// Number of validators of a new network [default: 5]
    #[arg(long, value_name = "NUMBER")]
    nodes: Option<usize>,
    /// The network's folder [default: ~/.sastrugi/networks/latest]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Issues so many transactions per second and reports their time to finality
    #[arg(long, value_name = "TX/S")]
    load: Option<f64>,
    /// Stops after so many seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Makes a new network even if there is one, which is kept
    #[arg(long)]
    fresh: bool,
    /// HTTP port of node 0; node i has this + 2i, and the next for peers [default: 9650, or the next free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    http_port: Option<u16>,
    /// Writes JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    snow: Snow,
}

#[derive(Debug, Subcommand)]
enum NetworkTask {
    /// Adds a node to a network that runs in another process, and runs it
    AddNode(AddNode),
}

#[derive(Debug, Args)]
#[command(after_help = "The node does not validate. It fetches and executes what the network has \
                        accepted, shows how far it is, and follows the network from then on. It starts \
                        again with the network, or alone with `sastrugi node --config-file \
                        <folder>/flags.json`.

Examples:
  sastrugi network add-node
  sastrugi network add-node --state-sync     skips most of a long history
  sastrugi kv get greeting --node 5          asks the first node that was added")]
struct AddNode {
    /// The network's folder [default: ~/.sastrugi/networks/latest]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// HTTP port of the node; the next one is for peers [default: the next free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    http_port: Option<u16>,
    /// Jumps to a recent state before it fetches blocks
    #[arg(long)]
    state_sync: bool,
    /// Makes the node's folder and does not start it
    #[arg(long)]
    no_start: bool,
    /// Stops after so many seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Writes JSON lines
    #[arg(long)]
    json: bool,
}

/// Consensus parameters.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the flags are called so")]
#[command(next_help_heading = "Consensus parameters of the network")]
struct Snow {
    /// k: units of weight sampled per poll [default: 20]
    #[arg(long, value_name = "NUMBER")]
    snow_sample_size: Option<String>,
    /// Both quorum sizes
    #[arg(long, value_name = "NUMBER")]
    snow_quorum_size: Option<String>,
    /// Votes that keep or change the preference [default: 15]
    #[arg(long, value_name = "NUMBER")]
    snow_preference_quorum_size: Option<String>,
    /// Votes that raise confidence [default: 15]
    #[arg(long, value_name = "NUMBER")]
    snow_confidence_quorum_size: Option<String>,
    /// beta: consecutive confident polls that decide [default: 20]
    #[arg(long, value_name = "NUMBER")]
    snow_commit_threshold: Option<String>,
    /// Polls kept open while a block is processing [default: 4]
    #[arg(long, value_name = "NUMBER")]
    snow_concurrent_repolls: Option<String>,
    /// Building pauses at so many processing blocks [default: 10]
    #[arg(long, value_name = "NUMBER")]
    snow_optimal_processing: Option<String>,
    /// Unhealthy above so many processing blocks [default: 256]
    #[arg(long, value_name = "NUMBER")]
    snow_max_processing: Option<String>,
    /// Unhealthy when a block is processing for longer [default: 30s]
    #[arg(long, value_name = "DURATION")]
    snow_max_time_processing: Option<String>,
}

impl Snow {
    fn given(self) -> Vec<(String, String)> {
        let flags = [
            ("snow-sample-size", self.snow_sample_size),
            ("snow-quorum-size", self.snow_quorum_size),
            ("snow-preference-quorum-size", self.snow_preference_quorum_size),
            ("snow-confidence-quorum-size", self.snow_confidence_quorum_size),
            ("snow-commit-threshold", self.snow_commit_threshold),
            ("snow-concurrent-repolls", self.snow_concurrent_repolls),
            ("snow-optimal-processing", self.snow_optimal_processing),
            ("snow-max-processing", self.snow_max_processing),
            ("snow-max-time-processing", self.snow_max_time_processing),
        ];
        let given = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?));
        flags.into_iter().filter_map(given).collect()
    }
}

#[derive(Debug, Args)]
struct KvOptions {
    /// Number of the node to ask, from 0
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    node: usize,
    /// Address of the node to ask, instead of its number
    #[arg(long, value_name = "URL", conflicts_with = "node")]
    url: Option<String>,
    /// The network's folder [default: ~/.sastrugi/networks/latest]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The chain's name, ID or alias [default: kv]
    #[arg(long, value_name = "CHAIN")]
    chain: Option<String>,
    /// The key to sign with, made on first use [default: ~/.sastrugi/kv-key.json]
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Wait {
    /// Seconds to wait until it is final; 0 does not wait
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    wait: f64,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  sastrugi kv put greeting hello
  sastrugi kv get greeting --node 4")]
enum Kv {
    /// Sets a key of the own account
    Put {
        /// The key
        key: String,
        /// The value
        value: String,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        options: KvOptions,
    },
    /// Removes a key of the own account
    Delete {
        /// The key
        key: String,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        options: KvOptions,
    },
    /// Shows a value; exits with 1 if the key is not set
    Get {
        /// The key, of the own account unless another stands before it
        #[arg(value_name = "[ACCOUNT/]KEY")]
        key: String,
        /// Asks for a proof and checks it
        #[arg(long)]
        proof: bool,
        #[command(flatten)]
        options: KvOptions,
    },
    /// Lists keys and values in the order of the keys
    Range {
        /// The first key
        #[arg(value_name = "[ACCOUNT/]START", default_value = "")]
        start: String,
        /// The most entries
        #[arg(long, default_value_t = 100, value_name = "NUMBER")]
        limit: u64,
        #[command(flatten)]
        options: KvOptions,
    },
    /// Shows what became of a transaction
    Status {
        /// The transaction
        tx_id: String,
        #[command(flatten)]
        options: KvOptions,
    },
    /// Shows the own account
    Account {
        #[command(flatten)]
        options: KvOptions,
    },
}

/// Parses and runs.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, StartError> {
    let command = Top::command_with_node();
    let matches = match command.try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    if let Some(("node", node)) = matches.subcommand() {
        return run_node(node);
    }
    let top =
        Top::from_arg_matches(&matches).map_err(|error| StartError::Config(error.to_string()))?;
    match top.command {
        Task::Network(Network { task: Some(NetworkTask::AddNode(add)), .. }) => {
            network::add_node(&add_options(add)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Network(network) => {
            network::run(&network_options(network)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Kv(kv) => run_kv(kv),
    }
}

impl Top {
    fn command_with_node() -> Command {
        use clap::CommandFactory as _;
        let node = config::arguments(Command::new("node"))
            .about("Runs one node, with AvalancheGo's flags")
            .after_help(
                "Every flag can also be given as an environment variable, AVAGO_ and its name in \
                 capitals with _ for -, and in the file named by --config-file.\n\nExample: sastrugi \
                 node --config-file ~/.sastrugi/networks/latest/NodeID-…/flags.json",
            )
            .arg(Arg::new("version").long("version").num_args(0).help("Prints the version"))
            .arg(
                Arg::new("version-json")
                    .long("version-json")
                    .num_args(0)
                    .help("Prints the version as JSON"),
            );
        Self::command().version(version::VERSION).subcommand(node).arg_required_else_help(true)
    }
}

/// Prints a text. A reader that has left is no error.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{}", text.trim_end_matches('\n')));
}

/// Help is no error; what is wrong is said in one line that names the closest flag or where help
/// is.
fn explain(error: &clap::Error) -> Result<ExitCode, StartError> {
    if !error.use_stderr() {
        say(&error.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        eprint!("{error}");
        return Ok(ExitCode::from(USAGE_FAULT));
    }
    let task = std::env::args().nth(1).unwrap_or_default();
    let unknown = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let unknown_flag = unknown.as_deref().and_then(|argument| argument.strip_prefix("--"));
    if error.kind() == ErrorKind::UnknownArgument
        && task == "node"
        && let Some(flag) = unknown_flag
    {
        return Err(StartError::Config(config::unknown(flag)));
    }
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let fault = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let fault = fault.split_whitespace().collect::<Vec<_>>().join(" ");
    match paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: ")) {
        Some(tip) => eprintln!("sastrugi: {fault}; {tip}"),
        None => eprintln!("sastrugi: {fault}; see `sastrugi {task} --help`"),
    }
    Ok(ExitCode::from(USAGE_FAULT))
}

fn network_options(network: Network) -> Result<network::Options, StartError> {
    let duration = network.duration.map(|time| seconds("duration", time)).transpose()?;
    Ok(network::Options {
        nodes: network.nodes,
        data_dir: network.data_dir,
        load: network.load,
        duration,
        fresh: network.fresh,
        http_port: network.http_port,
        snow: network.snow.given(),
        json: network.json,
    })
}

fn add_options(add: AddNode) -> Result<network::AddOptions, StartError> {
    Ok(network::AddOptions {
        duration: add.duration.map(|time| seconds("duration", time)).transpose()?,
        data_dir: add.data_dir,
        http_port: add.http_port,
        state_sync: add.state_sync,
        no_start: add.no_start,
        json: add.json,
    })
}

fn seconds(flag: &str, seconds: f64) -> Result<Duration, StartError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| StartError::Config(format!("--{flag}: {seconds} seconds: {error}")))
}

fn run_kv(kv: Kv) -> Result<ExitCode, StartError> {
    let (options, action) = match kv {
        Kv::Put { key, value, wait, options } => {
            (options, kv::Action::Put { key, value, wait: seconds("wait", wait.wait)? })
        }
        Kv::Delete { key, wait, options } => {
            (options, kv::Action::Delete { key, wait: seconds("wait", wait.wait)? })
        }
        Kv::Get { key, proof, options } => (options, kv::Action::Get { key, proof }),
        Kv::Range { start, limit, options } => (options, kv::Action::Range { start, limit }),
        Kv::Status { tx_id, options } => (options, kv::Action::Status { tx_id }),
        Kv::Account { options } => (options, kv::Action::Account),
    };
    let KvOptions { node, url, data_dir, chain, key_file, json } = options;
    let options = kv::Options { node, url, data_dir, chain, key_file, json };
    let (text, is_found) = kv::run(&options, &action)?;
    say(&text);
    Ok(if is_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_node(matches: &ArgMatches) -> Result<ExitCode, StartError> {
    match (matches.get_flag_given("version"), matches.get_flag_given("version-json")) {
        (true, true) => {
            return Err(StartError::Config("--version or --version-json, not both".into()));
        }
        (true, false) => {
            say(&version::line());
            return Ok(ExitCode::SUCCESS);
        }
        (false, true) => {
            say(&format!("{:#}", version::json()));
            return Ok(ExitCode::SUCCESS);
        }
        (false, false) => {}
    }
    let config = NodeConfig::new(Values::gather(matches)?)?;
    let logs = NodeLogs::new(&config)?;
    let runtime = Runtime::new()
        .map_err(|error| StartError::Other(format!("cannot start the runtime: {error}")))?;
    let signals = Signals::listen(&runtime)?;
    let prepared = PreparedNode::new(config, runtime.handle());
    // A start that fails makes no file, but a node that ran before says in its log why it cannot.
    if prepared.is_ok() || logs.exist() {
        logs.start()?;
    }
    let node = prepared
        .and_then(|prepared| prepared.start(Arc::new(NoObserver)))
        .inspect_err(|error| tracing::error!(%error, "FATAL failed to initialize node"))?;
    // A chain that stops does not take the node with it: its API goes on saying what happened.
    while !signals.wait(WATCH_PERIOD) {}
    let has_failed = node.has_failed();
    let faults = node.stop();
    for fault in &faults {
        tracing::warn!(fault, "not stopped cleanly");
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Flags without a value that were defined by hand.
trait GivenFlags {
    fn get_flag_given(&self, name: &str) -> bool;
}

impl GivenFlags for ArgMatches {
    fn get_flag_given(&self, name: &str) -> bool {
        self.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
    }
}
