//! `sastrugi network` and `sastrugi kv` as a person uses them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/program.rs"]
mod program;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use ports::Ports;
use program::{Ended, Program, until};

/// A folder for networks and for the home of whoever runs the command.
struct Desk {
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), ports: Ports::take() }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn place(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts a network and waits until its nodes are healthy.
    fn network(&self, place: &str, more: &[&str]) -> Program {
        let port = self.ports.first().to_string();
        let place = self.place(place);
        let mut arguments = vec!["network", "--data-dir", &place, "--http-port", &port];
        arguments.extend(more);
        let mut program = Program::start(&self.home(), &arguments);
        until("the network is healthy", || {
            program.assert_runs();
            program.stdout().contains("healthy").then_some(())
        });
        program
    }

    fn kv(&self, arguments: &[&str]) -> Ended {
        Program::start(&self.home(), &[&["kv"], arguments].concat()).end()
    }

    /// What `sastrugi kv` answers about a network.
    fn ask(&self, place: &str, arguments: &[&str]) -> Value {
        let place = self.place(place);
        let ended = self.kv(&[arguments, &["--json", "--data-dir", &place]].concat());
        serde_json::from_str(&ended.assert_success().stdout).unwrap()
    }
}

/// Ctrl-C. The network stops cleanly and leaves no sign of running nodes behind.
fn interrupt(network: Program) -> Ended {
    let ended = network.stop(Signal::INT);
    ended.assert_success();
    ended
}

/// The JSON events of a kind.
fn events(text: &str, kind: &str) -> Vec<Value> {
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

fn nodes_in(place: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| name(path).starts_with("NodeID-")).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The height of the block a `kv get` was answered from.
fn height(reply: &Value) -> u64 {
    reply["reply"]["height"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_network_keeps_its_data_when_it_is_started_again() {
    let desk = Desk::new();
    let network = desk.network("network", &["--json"]);
    let healthy = events(&network.stdout(), "healthy").remove(0);
    assert_eq!(healthy["nodes"], 5);
    println!("healthy after {} ms", healthy["afterMs"]);
    let nodes = events(&network.stdout(), "node");
    assert_eq!(nodes.len(), 5);

    let put = desk.ask("network", &["put", "greeting", "hello", "--node", "4"]);
    assert_eq!(put["height"], 1);
    println!("the first write took {} ms", put["afterMs"]);
    let uri = nodes[1]["uri"].as_str().unwrap();
    desk.kv(&["put", "farewell", "goodbye", "--url", uri]).assert_success();
    desk.kv(&["put", "waste", "1", "--url", uri]).assert_success();
    desk.kv(&["delete", "waste", "--url", uri]).assert_success();
    let get = || desk.ask("network", &["get", "greeting", "--proof", "--node", "3"]);
    let before = until("node 3 knows all", || Some(get()).filter(|reply| height(reply) == 4));
    assert_eq!(before["proven"], true);
    interrupt(network);
    let place = desk.place("network");
    for node in nodes_in(&place) {
        assert!(!node.join("process.json").exists(), "{}", node.display());
    }

    let network = desk.network("network", &["--json", "--nodes", "5"]);
    let again = desk.ask("network", &["get", "greeting", "--proof", "--node", "3"]);
    assert_eq!(again, before);
    let range = desk.kv(&["range", "--data-dir", &place, "--node", "2"]);
    assert_eq!(range.assert_success().stdout, "farewell\tgoodbye\ngreeting\thello\n");
    let missing = desk.kv(&["get", "waste", "--data-dir", &place]);
    assert_eq!((missing.status.code(), missing.stderr.as_str()), (Some(1), ""));
    assert_eq!(missing.stdout, "waste is not set at height 4\n");
    let status = put["txID"].as_str().unwrap();
    let status = desk.kv(&["status", status, "--data-dir", &place]);
    assert_eq!(status.assert_success().stdout, "accepted at height 1\n");
    let account = desk.ask("network", &["account"]);
    assert_eq!(account["nextNonce"], "4");
    let put = desk.ask("network", &["put", "greeting", "again"]);
    assert_eq!(put["height"], 5);
    interrupt(network);
}

#[test]
fn load_is_reported_with_times_to_finality() {
    let desk = Desk::new();
    let arguments = ["--json", "--load", "20", "--duration", "5"];
    let ended = desk.network("network", &arguments).end();
    let report = events(&ended.assert_success().stdout, "load").remove(0);
    println!("{report}");
    let count = |name: &str| report[name].as_u64().unwrap();
    assert!(0 < count("accepted") && count("accepted") <= count("issued"), "{report}");
    assert_eq!(report["refused"], 0);
    let percentile = |name: &str| report["finalityMs"][name].as_f64().unwrap();
    assert!(0.0 < percentile("p50") && percentile("p50") <= percentile("p95"), "{report}");
    assert!(percentile("p95") <= percentile("p99"), "{report}");
    assert!(!events(&ended.stdout, "status").is_empty());
    assert_eq!(events(&ended.stdout, "stopped").len(), 1);
}

#[test]
fn a_fresh_network_keeps_the_old_one_aside_where_it_still_runs() {
    let desk = Desk::new();
    let network = desk.network("my.network", &["--json"]);
    desk.ask("my.network", &["put", "greeting", "hello"]);
    interrupt(network);
    let old = nodes_in(&desk.place("my.network"));

    let network = desk.network("my.network", &["--json", "--fresh", "--nodes", "2"]);
    let new = nodes_in(&desk.place("my.network"));
    assert_eq!(new.len(), 2);
    assert!(new.iter().all(|node| !old.contains(node)));
    let place = desk.place("my.network");
    assert_eq!(desk.kv(&["get", "greeting", "--data-dir", &place]).status.code(), Some(1));
    interrupt(network);

    let network = desk.network("my.network.old1", &["--json"]);
    // Node 2 may have been stopped before it heard of the write; then it hears of it now.
    let place = desk.place("my.network.old1");
    let get = || desk.kv(&["get", "greeting", "--node", "2", "--data-dir", &place]);
    let found = until("node 2 knows", || Some(get()).filter(|get| get.status.success()));
    assert_eq!(found.stdout, "hello\n");
    interrupt(network);
    assert_eq!(nodes_in(&desk.place("my.network")), new);
}

#[test]
fn a_node_that_is_added_catches_up_and_follows() {
    let desk = Desk::new();
    let place = desk.place("network");
    let network = desk.network("network", &["--json", "--nodes", "3"]);
    for value in ["one", "two", "three"] {
        desk.ask("network", &["put", "number", value]);
    }
    let add = ["network", "add-node", "--json", "--data-dir", &place];
    let mut added = Program::start(&desk.home(), &add);
    until("the added node is healthy", || {
        added.assert_runs();
        events(&added.stdout(), "healthy").pop()
    });
    assert_eq!(events(&added.stdout(), "added")[0]["number"], 3);
    let get = ["get", "number", "--proof", "--node", "3"];
    let caught_up = desk.ask("network", &get);
    assert_eq!((height(&caught_up), &caught_up["proven"]), (3, &Value::Bool(true)));
    desk.ask("network", &["put", "number", "four", "--node", "3"]);
    assert_eq!(height(&desk.ask("network", &get)), 4, "it takes transactions, too");
    desk.ask("network", &["put", "number", "five", "--node", "1"]);
    until("the added node follows", || {
        Some(()).filter(|()| height(&desk.ask("network", &get)) == 5)
    });
    interrupt(network);

    // The network starts without the added node, which runs elsewhere, and then with it.
    let network = desk.network("network", &["--json", "--nodes", "3"]);
    assert_eq!(events(&network.stdout(), "node").len(), 3);
    desk.ask("network", &["put", "number", "six"]);
    until("the added node is back", || {
        Some(()).filter(|()| height(&desk.ask("network", &get)) == 6)
    });
    interrupt(network);
    let fresh = ["network", "--fresh", "--data-dir", &place];
    let refused = Program::start(&desk.home(), &fresh).end();
    assert!(refused.stderr.contains("node 3 runs already"), "{refused:?}");
    interrupt(added);
    let network = desk.network("network", &["--json"]);
    let started = events(&network.stdout(), "node");
    let numbers: Vec<_> = started.iter().map(|node| node["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert_eq!(events(&network.stdout(), "healthy")[0]["nodes"], 4);
    assert_eq!(height(&desk.ask("network", &get)), 6);
    interrupt(network);
}

#[test]
fn a_node_can_be_added_without_being_started() {
    let desk = Desk::new();
    let place = desk.place("network");
    interrupt(desk.network("network", &["--json", "--nodes", "1"]));
    let port = (desk.ports.first() + 6).to_string();
    for more in [&[][..], &["--no-start", "--state-sync", "--http-port", &port]] {
        let add = [&["network", "add-node", "--json", "--data-dir", &place][..], more].concat();
        let ended = Program::start(&desk.home(), &add).end();
        assert_eq!(events(&ended.assert_success().stdout, "notStarted").len(), 1);
    }
    let network = desk.network("network", &["--json"]);
    let started = events(&network.stdout(), "node");
    assert_eq!(started.len(), 3);
    assert_eq!(events(&network.stdout(), "healthy")[0]["nodes"], 3);
    desk.ask("network", &["put", "key", "value"]);
    for node in ["1", "2"] {
        let get = ["get", "key", "--data-dir", &place, "--node", node];
        until("added nodes follow", || desk.kv(&get).status.success().then_some(()));
    }
    interrupt(network);
}

#[test]
fn a_network_of_one_node_works() {
    let desk = Desk::new();
    let network = desk.network("network", &["--json", "--nodes", "1"]);
    assert_eq!(events(&network.stdout(), "healthy")[0]["nodes"], 1);
    assert_eq!(desk.ask("network", &["put", "greeting", "hello"])["height"], 1);
    interrupt(network);
}

#[test]
fn a_reader_that_leaves_does_not_stop_the_network() {
    let desk = Desk::new();
    let files = ["stdout", "stderr"].map(|name| desk.folder.path().join(name));
    let [output, errors] = files.each_ref().map(|path| fs::File::create(path).unwrap());
    drop(output);
    let (place, port) = (desk.place("network"), desk.ports.first().to_string());
    let mut child = Command::new(env!("CARGO_BIN_EXE_sastrugi"))
        .args(["network", "--nodes", "1", "--data-dir", &place, "--http-port", &port])
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let [output, errors] = files;
    let network = Program::new(child, output, errors);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("network in "), "{line}");
    drop(reader);
    until("the node serves", || {
        desk.kv(&["account", "--data-dir", &place]).status.success().then_some(())
    });
    for value in ["one", "two"] {
        assert!(desk.ask("network", &["put", "key", value])["height"].is_u64());
    }
    interrupt(network);
}

#[test]
fn plain_output_is_text_and_only_text() {
    let desk = Desk::new();
    let network = desk.network("network", &[]);
    let place = desk.place("network");
    let put = desk.kv(&["put", "greeting", "hello", "--data-dir", &place]);
    until("the write is shown", || network.stdout().contains("heights 1").then_some(()));
    let stopped = interrupt(network).stdout;
    assert!(stopped.contains("5 of 5 nodes healthy"), "{stopped}");
    assert!(stopped.lines().last().unwrap().starts_with("stopped in "), "{stopped}");
    for text in [&stopped, &put.assert_success().stdout] {
        let is_control = |letter: &char| letter.is_control() && *letter != '\n';
        assert_eq!(text.chars().find(is_control), None, "{text:?}");
    }
}
