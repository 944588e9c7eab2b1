//! A node that catches up with a network of five which keeps accepting: from nothing, by a state
//! summary, and after a while away. Real processes, TLS over loopback, databases on the disk.
//!
//! ```text
//! cargo bench -p sastrugi --bench catching_up [-- --blocks 100000] [--behind 10000] [--load 10] [--short]
//! ```
//!
//! For each run a line of JSON: the time from the start of the process until it votes at the tip of the
//! network, blocks per second, the largest memory of the process, and where the time went, by what the
//! node said about itself.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/support/history.rs"]
mod history;

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use history::History;
use sastrugi::{
    client::KvClient,
    description::SnowParameters,
    network::layout::{NetworkDir, Plan},
};
use serde_json::{Value, json};

/// Between two looks at the node.
const PERIOD: Duration = Duration::from_millis(20);
/// Nobody waits longer.
const LIMIT: Duration = Duration::from_mins(20);
const VALIDATORS: usize = 5;

/// What is measured.
struct Plans {
    blocks: u64,
    behind: u64,
    load: u32,
}

impl Plans {
    fn from_args() -> Self {
        let arguments: Vec<String> = env::args().collect();
        let number = |name: &str, default| {
            let at = arguments.iter().position(|argument| argument == name);
            at.and_then(|at| arguments.get(at + 1)).map_or(default, |text| text.parse().unwrap())
        };
        let is_short = arguments.iter().any(|argument| argument == "--short")
            || !arguments.iter().any(|argument| argument == "--bench");
        let (blocks, behind) = if is_short { (2_000, 500) } else { (100_000, 10_000) };
        Self {
            blocks: number("--blocks", blocks),
            behind: number("--behind", behind),
            load: number("--load", 10) as u32,
        }
    }
}

/// A process that is killed when dropped.
struct Process(Child);

impl Process {
    fn start(log: &Path, arguments: &[&str]) -> Self {
        let output = File::create(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sastrugi"))
            .args(arguments)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The largest memory so far, in MiB.
    fn memory_peak(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The height of the last accepted block, once the chain answers.
fn height(client: &KvClient) -> Option<u64> {
    let last: Value = client.call("kv.lastAccepted", &()).ok()?;
    last["height"].as_str()?.parse().ok().or_else(|| last["height"].as_u64())
}

/// What the chain says about its way back.
fn phase(health: &str) -> Option<String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(health).call().ok()?;
    let body: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
    let details = &body["checks"]["kv"]["message"]["engine"];
    let phase = ["bootstrap", "stateSync"]
        .into_iter()
        .find_map(|gear| details[gear]["phase"].as_str().map(|phase| format!("{gear}: {phase}")));
    phase.or_else(|| Some("voting".to_owned()))
}

struct Bench {
    folder: tempfile::TempDir,
    network: NetworkDir,
    load: u32,
}

impl Bench {
    fn new(load: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan =
            Plan { nodes: VALIDATORS, http_port: None, parameters: SnowParameters::default() };
        let network = NetworkDir::create(&folder.path().join("network"), &plan).unwrap();
        Self { folder, network, load }
    }

    fn network_arguments(&self) -> Vec<String> {
        let place = self.network.path.display().to_string();
        let load = self.load.to_string();
        ["network", "--data-dir", &place, "--load", &load].map(str::to_owned).to_vec()
    }

    fn joiner_folder(&self) -> PathBuf {
        self.folder.path().join("joiner")
    }

    /// Starts a node beside the network and waits until it votes at the tip.
    fn join(&self, id: &str, flags: &[&str], missing: u64) {
        let folder = self.joiner_folder();
        let arguments = self.network_arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let _network = Process::start(&self.folder.path().join("network.log"), &arguments);
        let context = self.network.process(0);
        let deadline = Instant::now() + LIMIT;
        let url = loop {
            if let Some(context) = self.network.process(0).unwrap_or_default() {
                break context.uri;
            }
            assert!(Instant::now() < deadline, "the network does not start: {context:?}");
            sleep(PERIOD);
        };
        let tip = KvClient::new(&url, "kv");
        while height(&tip).is_none() {
            sleep(PERIOD);
        }
        let [http, staking] = ports();
        let description = self.network.path.join("sastrugi.json").display().to_string();
        let data_dir = folder.display().to_string();
        let mut arguments = vec!["node", "--network-file", &description, "--data-dir", &data_dir];
        let (http_text, staking_text) = (http.to_string(), staking.to_string());
        arguments.extend(["--http-port", &http_text, "--staking-port", &staking_text]);
        arguments.extend(flags);
        let start = Instant::now();
        let joiner = Process::start(&self.folder.path().join("joiner.log"), &arguments);
        let own = KvClient::new(&format!("http://127.0.0.1:{http}"), "kv");
        let health = format!("http://127.0.0.1:{http}/ext/health");
        let mut phases: BTreeMap<String, f64> = BTreeMap::new();
        let mut before = start;
        let reached = loop {
            let now = Instant::now();
            let phase = phase(&health).unwrap_or_else(|| "starting".to_owned());
            *phases.entry(phase.clone()).or_default() += (now - before).as_secs_f64();
            before = now;
            if phase == "voting"
                && let (Some(own), Some(tip)) = (height(&own), height(&tip))
                && own + 1 >= tip
            {
                break tip;
            }
            assert!(now < deadline, "not there after {LIMIT:?}: {phases:?}");
            sleep(PERIOD);
        };
        let seconds = start.elapsed().as_secs_f64();
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        println!(
            "{}",
            json!({
                "id": id,
                "blocks": missing,
                "seconds_to_tip": rounded(seconds),
                "blocks_per_second": (missing as f64 / seconds).round(),
                "peak_memory_mib": joiner.memory_peak(),
                "tip": reached,
                "seconds_by_phase": phases.into_iter().map(|(name, spent)| (name, rounded(spent))).collect::<BTreeMap<_, _>>(),
            })
        );
    }
}

/// Two free ports.
fn ports() -> [u16; 2] {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    [bind(), bind()].each_ref().map(|listener| listener.local_addr().unwrap().port())
}

/// One network with a history; the joiner knows the chain up to a height, if it knows it at all.
fn run(id: &str, plans: &Plans, known: Option<u64>, tip: u64, flags: &[&str]) {
    let bench = Bench::new(plans.load);
    let mut history = History::of(&bench.network.description);
    let start = Instant::now();
    if let Some(known) = known {
        history.grow(known);
        history.write_to(&bench.joiner_folder());
    }
    history.grow(tip);
    for number in 0..VALIDATORS {
        history.write_to(&bench.network.node_dir(number).unwrap());
    }
    println!("# {id}: history of {tip} blocks in {:.1} s", start.elapsed().as_secs_f64());
    bench.join(id, flags, tip - known.unwrap_or(0));
}

fn main() {
    let plans = Plans::from_args();
    run("catch-up-from-nothing", &plans, None, plans.blocks, &[]);
    run("catch-up-by-state-sync", &plans, None, plans.blocks, &["--state-sync-enabled"]);
    run("catch-up-after-pause", &plans, Some(plans.behind), 2 * plans.behind, &[]);
}
