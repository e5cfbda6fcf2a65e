//! Child processes.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything is waited for; only a failing test takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A child process that ends with its owner.
pub struct Running(Child);

impl Running {
    /// Starts a program; its input is empty unless it was redirected.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_owned();
        Self(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", name.display())))
    }

    /// Its standard output, if it was piped.
    pub fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().unwrap()
    }

    /// Its standard error, if it was piped.
    pub fn stderr(&mut self) -> ChildStderr {
        self.0.stderr.take().unwrap()
    }

    /// Its standard input, if it was piped.
    pub fn stdin(&mut self) -> ChildStdin {
        self.0.stdin.take().unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// `kill -TERM`; whether and when it ends is its own affair.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
    }

    /// `kill -HUP`: servers read their files again.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.0), Signal::HUP).unwrap();
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for its end as long as it takes: the test command stops a test that hangs.
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn end(&mut self) -> ExitStatus {
        eventually("the process ends", || !self.runs());
        self.0.wait().unwrap()
    }

    /// Resident memory now, and the most it was since [`Running::forget_peak`], in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
        };
        (value("VmRSS:"), value("VmHWM:"))
    }

    /// Lets the peak of resident memory begin anew (proc(5), `clear_refs`).
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that is nobody's child any more, and ends with its owner.
pub struct Orphan(Pid);

impl Orphan {
    /// By its id.
    pub fn new(id: u64) -> Self {
        Self(Pid::from_raw(i32::try_from(id).unwrap()).unwrap())
    }

    /// Its id.
    pub fn id(&self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// `kill -TERM`.
    pub fn terminate(&self) {
        kill_process(self.0, Signal::TERM).unwrap();
    }

    /// Whether it runs still.
    pub fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.as_raw_nonzero())).unwrap_or_default();
        // Who is dead and not yet waited for runs no more.
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// A path that the test command gives.
pub fn told(variable: &str) -> PathBuf {
    env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"))
}

/// A command of a program that the test command built or was told of.
pub fn program(variable: &str) -> Command {
    let mut command = Command::new(told(variable));
    command.stdin(Stdio::null());
    command
}

/// Asks until the answer is yes.
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ask() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
