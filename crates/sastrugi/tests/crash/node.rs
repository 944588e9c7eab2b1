//! A node as a process, and what it tells.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, sleep, spawn},
    time::Duration,
};

use rustix::process::Signal;
use sastrugi::{
    client::KvClient,
    kvvm::api::{BlockInfo, Decimal},
    network::layout::CHAIN_NAME,
    types::Id,
};
use serde_json::Value;

use crate::program::{Ended, Program};

/// An answer takes no longer, or there is none.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions.
const PERIOD: Duration = Duration::from_millis(2);

/// A node that is started and killed again and again.
pub(crate) struct Node {
    pub(crate) data_dir: PathBuf,
    arguments: Vec<String>,
    home: PathBuf,
    eyes: Eyes,
    program: Option<Program>,
}

impl Node {
    /// A node that does not run yet. Its outputs go to `home`.
    pub(crate) fn new(data_dir: PathBuf, home: PathBuf, http: u16, arguments: Vec<String>) -> Self {
        let eyes = Eyes::new(http);
        Self { data_dir, arguments, home, eyes, program: None }
    }

    pub(crate) fn start(&mut self) {
        assert!(self.program.is_none());
        self.program = Some(Program::start(&self.home, &self.arguments));
    }

    fn stop(&mut self, signal: Signal) -> Ended {
        self.program.take().unwrap().stop(signal)
    }

    /// Ends the process without telling it; until then it must have run well.
    pub(crate) fn kill(&mut self) {
        let ended = self.stop(Signal::KILL);
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()), "{ended:?}");
        assert!(!ended.stdout.contains("FATAL"), "{}", ended.stdout);
        assert_eq!(ended.stderr, "", "{}", ended.stdout);
    }

    /// Tells the process to stop; it does so cleanly.
    pub(crate) fn end(&mut self) {
        let ended = self.stop(Signal::TERM);
        assert!(ended.assert_success().stdout.contains("node stopped"), "{ended:?}");
    }

    /// Removes everything the node has.
    pub(crate) fn wipe(&self) {
        assert!(self.program.is_none());
        if self.data_dir.exists() {
            fs::remove_dir_all(&self.data_dir).unwrap();
        }
    }

    pub(crate) fn assert_runs(&mut self) {
        self.program.as_mut().unwrap().assert_runs();
    }

    /// What it has written since it started.
    pub(crate) fn output(&self) -> String {
        self.program.as_ref().unwrap().stdout()
    }

    pub(crate) const fn eyes(&self) -> &Eyes {
        &self.eyes
    }
}

/// Asks a node.
#[derive(Clone)]
pub(crate) struct Eyes {
    agent: ureq::Agent,
    url: String,
    client: KvClient,
}

/// How a node says it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    /// What it does.
    pub(crate) phase: String,
    /// How much of that is done, from 0 to 1.
    pub(crate) part: f64,
    /// Whether it takes part in consensus.
    pub(crate) is_voting: bool,
}

/// What a node has counted since it started, all at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// The height of the last accepted block, once it takes part in consensus.
    pub(crate) height: Option<u64>,
    /// Blocks that it executed and accepted, by bootstrapping or by votes.
    pub(crate) accepted: u64,
}

impl Eyes {
    fn new(http: u16) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        let url = format!("http://127.0.0.1:{http}");
        Self { agent: config.into(), client: KvClient::new(&url, CHAIN_NAME), url }
    }

    pub(crate) const fn client(&self) -> &KvClient {
        &self.client
    }

    /// The last accepted block, if the node answers.
    pub(crate) fn last(&self) -> Option<(u64, Id)> {
        let BlockInfo { block_id, height: Decimal(height), .. } =
            self.client.call("kv.lastAccepted", &()).ok()?;
        Some((height, block_id))
    }

    fn page(&self, path: &str) -> Option<String> {
        self.agent.get(format!("{}{path}", self.url)).call().ok()?.body_mut().read_to_string().ok()
    }

    /// How it is, if it answers.
    pub(crate) fn view(&self) -> Option<View> {
        let report: Value = serde_json::from_str(&self.page("/ext/health")?).ok()?;
        let checks = &report["checks"];
        let is_voting = checks["bootstrapped"]["error"].is_null();
        let engine = &checks[CHAIN_NAME]["message"]["engine"];
        let ratio = |part: &Value, whole: &Value| {
            part.as_f64().unwrap_or_default() / whole.as_f64().unwrap_or(1.0).max(1.0)
        };
        let (phase, part) = if let Some(phase) = engine["stateSync"]["phase"].as_str() {
            let percent = engine["vm"]["stateSync"]["filledPercent"].as_f64();
            (format!("state sync, {phase}"), percent.unwrap_or_default() / 100.0)
        } else if let Some(phase) = engine["bootstrap"]["phase"].as_str() {
            let progress = &engine["bootstrap"];
            let done = if phase == "fetching" { "fetched" } else { "executed" };
            (format!("bootstrapping, {phase}"), ratio(&progress[done], &progress["total"]))
        } else {
            ("voting".to_owned(), 0.0)
        };
        Some(View { phase, part, is_voting })
    }

    /// What it has counted, if it answers.
    pub(crate) fn counters(&self) -> Option<Counters> {
        let page = self.page("/ext/metrics")?;
        let number = |series: &str| {
            let name = format!("avalanche_snowman_{series}{{chain=\"{CHAIN_NAME}\"}} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&name))?;
            line.parse::<u64>().ok()
        };
        let is_voting = number("bootstrap_finished")? == 1;
        Some(Counters {
            height: if is_voting { Some(number("last_accepted_height")?) } else { None },
            accepted: number("bs_accepted")? + number("blks_accepted_count")?,
        })
    }
}

/// What a node has told during one life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Last accepted blocks.
    pub(crate) blocks: BTreeMap<u64, Id>,
    /// How it was the last time.
    pub(crate) view: View,
}

impl Told {
    /// The highest block that it said it has accepted.
    pub(crate) fn height(&self) -> Option<u64> {
        self.blocks.last_key_value().map(|(height, _)| *height)
    }

    fn add(&mut self, (height, id): (u64, Id)) {
        assert!(self.height().is_none_or(|before| before <= height), "{height} after {self:?}");
        assert_eq!(*self.blocks.entry(height).or_insert(id), id, "height {height}");
    }
}

/// Asks a node, over and over, from threads of its own: one for its last accepted block, one for all
/// the rest, which takes longer.
pub(crate) struct Listener {
    told: Arc<Mutex<Told>>,
    is_over: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 2],
}

impl Listener {
    /// Listens to a node that started with what was on its disk up to a height.
    pub(crate) fn start(eyes: &Eyes, from: u64) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = |ask: fn(&Eyes, &Mutex<Told>, u64) -> Option<()>| {
            let (eyes, told, over) = (eyes.clone(), told.clone(), is_over.clone());
            spawn(move || {
                while !over.load(Ordering::Acquire) {
                    ask(&eyes, &told, from);
                    sleep(PERIOD);
                }
            })
        };
        let threads = [thread(ask_last), thread(ask_all)];
        Self { told, is_over, threads }
    }

    /// What it has told so far.
    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has told.
    pub(crate) fn end(self) -> Told {
        self.is_over.store(true, Ordering::Release);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.told.lock().unwrap().clone()
    }
}

fn ask_last(eyes: &Eyes, told: &Mutex<Told>, _from: u64) -> Option<()> {
    let last = eyes.last()?;
    told.lock().unwrap().add(last);
    Some(())
}

fn ask_all(eyes: &Eyes, told: &Mutex<Told>, from: u64) -> Option<()> {
    let view = eyes.view()?;
    told.lock().unwrap().view = view;
    let counted = eyes.counters()?;
    let (height, _) = eyes.last()?;
    // A block that was executed twice is counted twice.
    assert!(from + counted.accepted <= height, "from {from} to {height}: {counted:?}");
    Some(())
}

/// The folder of a node in a network, as its arguments name it.
pub(crate) fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
