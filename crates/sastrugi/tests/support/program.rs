//! The program under test as a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Against hanging only; nothing here takes so long.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);
/// Between two looks.
const PERIOD: Duration = Duration::from_millis(5);

/// `sastrugi` at work; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

/// `sastrugi` after its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts the program with a home folder of its own and no environment. What it writes to its
    /// outputs is kept in that folder.
    pub(crate) fn start<A: AsRef<str>>(home: &Path, arguments: &[A]) -> Self {
        fs::create_dir_all(home).unwrap();
        let number = fs::read_dir(home).unwrap().count();
        let output = home.join(format!("stdout{number}"));
        let errors = home.join(format!("stderr{number}"));
        let child = Command::new(env!("CARGO_BIN_EXE_sastrugi"))
            .args(arguments.iter().map(AsRef::as_ref))
            .env_clear()
            .env("HOME", home)
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        Self::new(child, output, errors)
    }

    /// Takes care of a process that writes to these files.
    pub(crate) const fn new(child: Child, output: PathBuf, errors: PathBuf) -> Self {
        Self { child, output, errors }
    }

    /// What it has written so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(self, signal: Signal) -> Ended {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.end()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let status = until("the program ends", || self.child.try_wait().unwrap());
        let stderr = fs::read_to_string(&self.errors).unwrap();
        Ended { status, stdout: self.stdout(), stderr }
    }

    /// Fails the test if the program has ended.
    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let errors = fs::read_to_string(&self.errors).unwrap();
            panic!("ended with {status}: {errors}\n{}", self.stdout());
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Ended {
    /// The program did what it was asked and had nothing to complain about.
    pub(crate) fn assert_success(&self) -> &Self {
        assert!(self.status.success(), "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
        self
    }
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        sleep(PERIOD);
    }
}
