//! Processes: how they are started, how they end, how they are ended with all that they started.

use crate::capped::Capped;
use crate::{MANIFEST, Places, guard};
use assets_core::Reason;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a process that is asked to end may still do before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How long what was printed at the end may be on its way.
const LAST_PRINTED: Duration = Duration::from_secs(1);

/// How much of the end of a log goes into a reason.
pub(crate) const TAIL_BYTES: u64 = 2000;

/// The groups that run. A program that is ended at once ends them: they would go on without it.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group of processes, for as long as its first one runs.
pub(crate) struct Group(pub(crate) u32);

impl Group {
    fn of(child: &Child) -> Self {
        running().insert(child.id());
        guard::started(child.id());
        Self(child.id())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        running().remove(&self.0);
        guard::ended(self.0);
    }
}

/// Kills every command that runs, with all that it started.
pub fn end_all() {
    for group in running().iter().filter_map(|group| i32::try_from(*group).ok()) {
        // That nobody is there any more is as good.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// A command line as it is run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) argv: Vec<String>,
}

impl Program {
    /// What people call it.
    pub(crate) fn shown(&self) -> String {
        self.argv.join(" ")
    }

    /// The process in a group of its own: a Ctrl-C for this program is not one for it, and it can be ended as a whole.
    pub(crate) fn command(&self, places: &Places, manifest: &Path) -> Command {
        let [program, arguments @ ..] = self.argv.as_slice() else { return Command::new("") };
        let base = std::path::absolute(&places.base).unwrap_or_else(|_| places.base.clone());
        // A name with a slash is a file from the settings' folder; another is looked up as a shell would.
        let program = if program.contains('/') { base.join(program) } else { program.into() };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(base).env(MANIFEST, manifest).process_group(0);
        command
    }

    pub(crate) fn spawn(&self, command: &mut Command) -> Result<(Child, Group), Reason> {
        let child = command.spawn().map_err(|error| {
            let name = self.argv.first().map_or("", String::as_str);
            let (code, message) = match error.kind() {
                ErrorKind::NotFound => {
                    ("command_not_found", format!("`{name}` is not there: is it installed, and on the PATH?"))
                }
                ErrorKind::PermissionDenied => {
                    ("command_not_found", format!("`{name}` may not be run: is it executable?"))
                }
                _ => ("no_process", format!("`{name}` can't be started: {error}")),
            };
            Reason::new(code, message).with("command", self.shown())
        })?;
        let group = Group::of(&child);
        Ok((child, group))
    }

    /// Runs it to its end, printing into a log. The error is how it ended, if not well.
    pub(crate) fn run(
        &self,
        places: &Places,
        manifest: &Path,
        log: File,
        timeout: Option<Duration>,
    ) -> Result<(), Reason> {
        let failed = |error| Reason::new("io_error", format!("the log can't be written: {error}"));
        let (printed, output) = std::io::pipe().map_err(failed)?;
        let mut command = self.command(places, manifest);
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
        let (child, group) = self.spawn(&mut command)?;
        // Its ends of the pipe: while they are open here, there is no end.
        drop(command);
        let kept = keep(printed, Capped::new(log))?;
        let ended = wait(child, &group, timeout)?;
        kept.finish();
        ended.reason(&self.shown()).map_or(Ok(()), Err)
    }
}

/// What a process prints, on its way into a log.
struct Kept {
    log: Arc<Mutex<Option<Capped>>>,
    all: Receiver<()>,
}

/// Keeps what comes out of a pipe until it ends.
fn keep(mut printed: PipeReader, log: Capped) -> Result<Kept, Reason> {
    let log = Arc::new(Mutex::new(Some(log)));
    let (shared, (told, all)) = (Arc::clone(&log), channel());
    let thread = std::thread::Builder::new().name("command-log".to_owned()).spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match printed.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    let mut log = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    // A full disk shows where it matters, at the tables.
                    let _ = log.as_mut().map(|log| log.write_all(&buffer[..read]));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Nobody waits where the step was over before.
        let _ = told.send(());
    });
    thread.map_err(|error| Reason::new("no_threads", format!("a thread can't be started: {error}")))?;
    Ok(Kept { log, all })
}

impl Kept {
    /// The process has ended. What it has started may hold the pipe for longer than anybody waits.
    fn finish(self) {
        let _ = self.all.recv_timeout(LAST_PRINTED);
        drop(self.log.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ended {
    Well,
    Exit(i32),
    Signal(i32),
    TimedOut(Duration),
}

impl Ended {
    pub(crate) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Well,
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }

    /// Why there is no table; `None` where it ended well.
    pub(crate) fn reason(self, command: &str) -> Option<Reason> {
        let reason = match self {
            Self::Well => return None,
            Self::Exit(code) => Reason::new("command_failed", format!("`{command}` ended with exit code {code}"))
                .with("exit_code", i64::from(code)),
            Self::Signal(signal) => {
                let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
                let hint = if signal == 9 { " (the system does that where memory runs out)" } else { "" };
                let message = format!("`{command}` was killed by {name}{hint}");
                Reason::new("command_killed", message).with("signal", i64::from(signal))
            }
            Self::TimedOut(limit) => {
                let seconds = limit.as_secs_f64();
                let message = format!("`{command}` was not done after {seconds} s and was ended (`timeout_s`)");
                Reason::new("command_timed_out", message).with("timeout_s", seconds)
            }
        };
        Some(reason.with("command", command))
    }
}

/// Waits for a process; ends its whole group where it takes too long.
fn wait(mut child: Child, group: &Group, timeout: Option<Duration>) -> Result<Ended, Reason> {
    let (sender, ended) = channel();
    let waiter = std::thread::Builder::new().name("command".to_owned()).spawn(move || {
        // The receiver waits for as long as it takes.
        let _ = sender.send(child.wait());
    });
    waiter.map_err(|error| Reason::new("no_threads", format!("a thread can't be started: {error}")))?;
    let lost =
        |error: &dyn std::fmt::Display| Reason::new("io_error", format!("a process can't be waited for: {error}"));
    let status = match timeout {
        None => ended.recv().map_err(|error| lost(&error))?,
        Some(limit) => match ended.recv_timeout(limit) {
            Ok(status) => status,
            Err(RecvTimeoutError::Disconnected) => return Err(lost(&"its thread is gone")),
            Err(RecvTimeoutError::Timeout) => {
                end_group(group.0, || ended.recv_timeout(GRACE).is_ok());
                return Ok(Ended::TimedOut(limit));
            }
        },
    };
    status.map(Ended::of).map_err(|error| lost(&error))
}

/// Ends a process with all that it started: asked first, then killed. `is_over` waits a moment for it.
pub(crate) fn end_group(group: u32, is_over: impl FnOnce() -> bool) {
    let Ok(group) = i32::try_from(group) else { return };
    // That nobody is there any more is as good.
    let _ = killpg(Pid::from_raw(group), Signal::SIGTERM);
    let _ = is_over();
    // Its children may outlive it, or not listen.
    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
}

/// A reason with the end of what the process printed.
pub(crate) fn with_log(reason: Reason, log: Option<Vec<u8>>) -> Reason {
    let text = log.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let Some(last) = text.lines().map(str::trim).rfind(|line| !line.is_empty()) else { return reason };
    let last: String = last.chars().take(200).collect();
    let message = format!("{}; its last words: {last}", reason.message);
    Reason { message, ..reason }.with("log", text.trim_end())
}
