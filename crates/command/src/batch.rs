//! One process for many steps: it is handed a manifest a line on its standard input and reports a line a step on its
//! standard output, in whatever order it likes. What it prints on standard error is the log of the step that it is at: the
//! earliest that it has not reported, or the one that it says. Two pipes have no common order, so a careful program says it,
//! by a record separator (U+001E) and the step before a line break.
//!
//! A process that ends or breaks the protocol costs the step that it is at. The others that it was handed are handed to
//! a new one. One that reports nothing for a while may be waiting for the end of its input, which would never come, as
//! steps are handed over a few at a time: it gets its end, makes what it has, and a new process takes the rest.

use crate::Places;
use crate::asset::{CommandAsset, scratch};
use crate::capped::Capped;
use crate::manifest::{self, Files};
use crate::process::{Ended, Group, Program, end_group};
use crate::report::Report;
use assets_core::logs::Logs;
use assets_core::{Reason, Step};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Processes in a row that may end without having reported anything, before no further one is started.
const BARREN_MAX: u32 = 2;

/// After so long without a report a process is handed no further steps; after half of what a step may take, where that is
/// less. Some load a model first: that is not it.
const QUIET: Duration = Duration::from_mins(10);

/// How often those who wait look at the time.
const LOOK: Duration = Duration::from_millis(200);

/// What a process may still do once it was told that there are no more steps.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Before the name of the step whose log follows.
const SEPARATOR: u8 = 0x1e;

/// Steps that may be reported before what was printed for them is read.
const LATE_MAX: usize = 16;

/// A report longer than this is none: it would not fit into memory for long.
const LINE_BYTES_MAX: u64 = 64 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step that waits is told.
enum Answer {
    Report(Box<Report>),
    Failed(Reason),
    /// The process ended, for no fault of this step.
    Again,
}

/// A step's log, a file once something is printed.
struct Log {
    step: Step,
    file: Option<Capped>,
}

impl Log {
    fn write(&mut self, logs: &dyn Logs, text: &[u8]) {
        if self.file.is_none() {
            self.file = logs.create(&self.step).ok().map(Capped::new);
        }
        // A full disk shows where it matters, at the tables.
        let _ = self.file.as_mut().map(|file| file.write_all(text));
    }
}

struct Waiting {
    step: String,
    log: Log,
    answer: Sender<Answer>,
    /// Since when the process can have been at it.
    since: Instant,
}

/// What is known of a process.
#[derive(Default)]
struct Progress {
    /// In the order in which they were handed over.
    waiting: VecDeque<Waiting>,
    reported: BTreeSet<String>,
    /// Logs of steps that were reported last, for what arrives late.
    late: VecDeque<(String, Log)>,
    /// Why it was ended by us.
    sentence: Option<Reason>,
    /// Its input has ended.
    full: bool,
    ended: bool,
}

impl Progress {
    /// The step that the process is at, as far as it doesn't say.
    fn at(&self) -> Option<String> {
        self.waiting.front().map(|at| &at.step).or(self.late.back().map(|(step, _)| step)).cloned()
    }

    fn log(&mut self, step: &str) -> Option<&mut Log> {
        let Self { waiting, late, .. } = self;
        let waiting = waiting.iter_mut().find(|waiting| waiting.step == step).map(|waiting| &mut waiting.log);
        waiting.or_else(|| late.iter_mut().rev().find(|(known, _)| known == step).map(|(_, log)| log))
    }

    fn condemn(&mut self, reason: Reason) {
        self.sentence.get_or_insert(reason);
    }
}

struct Process {
    group: Group,
    command: String,
    input: Mutex<Option<ChildStdin>>,
    progress: Mutex<Progress>,
    /// How long it may be quiet before its input ends.
    quiet: Duration,
    /// Hears when it is over.
    over: Mutex<Receiver<()>>,
    logs: Arc<dyn Logs>,
}

#[derive(Default)]
struct State {
    process: Option<Arc<Process>>,
    /// Those that are handed no further steps, and make what they have.
    full: Vec<Arc<Process>>,
    barren: u32,
    last_reason: Option<Reason>,
}

/// The processes of one asset in one build; one at a time takes steps.
pub(crate) struct Batch {
    program: Program,
    places: Places,
    timeout: Option<Duration>,
    quiet: Duration,
    state: Mutex<State>,
    folder: OnceLock<tempfile::TempDir>,
    steps: AtomicU64,
}

impl Batch {
    pub(crate) fn new(program: Program, places: Places, timeout: Option<Duration>) -> Self {
        let (state, folder, steps) = (Mutex::default(), OnceLock::new(), AtomicU64::new(0));
        let quiet = timeout.map_or(QUIET, |limit| QUIET.min(limit / 2));
        Self { program, places, timeout, quiet, state, folder, steps }
    }

    /// The folder of all its files.
    fn folder(&self) -> Result<&Path, Reason> {
        if self.folder.get().is_none() {
            // Where two threads make one, the second goes at once.
            let _ = self.folder.set(scratch(&self.places)?);
        }
        let folder = self.folder.get().map(tempfile::TempDir::path);
        folder.ok_or_else(|| Reason::new("io_error", "the folder for a command's files is gone"))
    }

    /// The files of one more step.
    pub(crate) fn files(&self) -> Result<Files<'_>, Reason> {
        let number = self.steps.fetch_add(1, Ordering::Relaxed);
        Ok(Files { folder: self.folder()?, prefix: format!("{number}-") })
    }

    /// Hands a step over and waits for its report.
    pub(crate) fn ask(&self, asset: &CommandAsset, step: &Step, manifest: &Value) -> Result<Report, Reason> {
        let id = step.partition.file_stem();
        self.places.logs.clear(step)?;
        let line = format!("{manifest}\n");
        loop {
            let process = self.process(asset)?;
            let log = Log { step: step.clone(), file: None };
            let Some(answer) = process.hand(&id, &line, log) else { continue };
            match self.await_answer(&process, &id, &answer) {
                Answer::Report(report) => return Ok(*report),
                Answer::Failed(reason) => {
                    lock(&self.state).last_reason = Some(reason.clone());
                    return Err(reason);
                }
                Answer::Again => {}
            }
        }
    }

    fn await_answer(&self, process: &Process, id: &str, answer: &Receiver<Answer>) -> Answer {
        loop {
            match answer.recv_timeout(self.timeout.map_or(LOOK, |limit| limit.min(LOOK))) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    return Answer::Failed(Reason::new("command_failed", "the process is gone"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    process.end_input_if_quiet();
                    if let Some(limit) = self.timeout {
                        process.end_if_late(id, limit);
                    }
                }
            }
        }
    }

    /// The process that takes steps, or a new one.
    fn process(&self, asset: &CommandAsset) -> Result<Arc<Process>, Reason> {
        let mut state = lock(&self.state);
        if let Some(process) = &state.process {
            let progress = lock(&process.progress);
            if !progress.ended && !progress.full {
                return Ok(Arc::clone(process));
            }
            let (barren, is_full) = (progress.reported.is_empty(), !progress.ended);
            drop(progress);
            if let Some(full) = state.process.take().filter(|_| is_full) {
                state.full.retain(|process| !lock(&process.progress).ended);
                state.full.push(full);
            } else {
                state.barren = if barren { state.barren + 1 } else { 0 };
            }
        }
        if state.barren >= BARREN_MAX {
            let why = state.last_reason.as_ref().map_or_else(String::new, |reason| format!(": {}", reason.message));
            let message =
                format!("{BARREN_MAX} processes in a row reported nothing, so no further one was started{why}");
            return Err(Reason::new("command_gave_up", message));
        }
        let started = self.start(asset)?;
        state.process = Some(Arc::clone(&started));
        Ok(started)
    }

    fn start(&self, asset: &CommandAsset) -> Result<Arc<Process>, Reason> {
        let path = self.folder()?.join("manifest.json");
        std::fs::write(&path, manifest::of_batch(asset).to_string())
            .map_err(|error| Reason::new("io_error", format!("{} can't be written: {error}", path.display())))?;
        let mut command = self.program.command(&self.places, &path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, group) = self.program.spawn(&mut command)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(Reason::new("no_process", "the process has no standard streams"));
        };
        let (told, over) = channel();
        let process = Arc::new(Process {
            group,
            command: self.program.shown(),
            input: Mutex::new(Some(input)),
            progress: Mutex::default(),
            quiet: self.quiet,
            over: Mutex::new(over),
            logs: Arc::clone(&self.places.logs),
        });
        let threads = (Arc::clone(&process), Arc::clone(&process));
        let no_threads = |error| Reason::new("no_threads", format!("a thread can't be started: {error}"));
        let (printed, all_printed) = channel();
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        named("command-log").spawn(move || threads.0.keep_logs(errors, &printed)).map_err(no_threads)?;
        named("command").spawn(move || threads.1.listen(child, output, &all_printed, &told)).map_err(no_threads)?;
        Ok(process)
    }
}

impl Process {
    /// Writes a step's manifest to the process; `None` where it ended meanwhile.
    fn hand(&self, step: &str, line: &str, log: Log) -> Option<Receiver<Answer>> {
        let mut input = lock(&self.input);
        let (answer, answers) = channel();
        {
            let mut progress = lock(&self.progress);
            if progress.ended || progress.full {
                return None;
            }
            progress.waiting.push_back(Waiting { step: step.to_owned(), log, answer, since: Instant::now() });
        }
        // Where it can't be written, the process is ending, and whoever listens to it will tell.
        if let Some(input) = input.as_mut() {
            let _ = input.write_all(line.as_bytes()).and_then(|()| input.flush());
        }
        Some(answers)
    }

    /// Ends the input of a process that has not reported anything for a while.
    fn end_input_if_quiet(&self) {
        let mut progress = lock(&self.progress);
        if !progress.full && progress.waiting.front().is_some_and(|at| at.since.elapsed() > self.quiet) {
            progress.full = true;
            drop(progress);
            lock(&self.input).take();
        }
    }

    /// Ends the process where it has been at that step for too long.
    fn end_if_late(&self, step: &str, limit: Duration) {
        {
            let mut progress = lock(&self.progress);
            let is_late = progress.waiting.front().is_some_and(|at| at.step == step && at.since.elapsed() > limit);
            if !is_late || progress.sentence.is_some() {
                return;
            }
            let reason = Ended::TimedOut(limit).reason(&self.command);
            reason.into_iter().for_each(|reason| progress.condemn(reason));
        }
        end_group(self.group.0, || self.is_over(Duration::from_secs(2)));
    }

    fn is_over(&self, wait: Duration) -> bool {
        !matches!(lock(&self.over).recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    /// Takes reports until the process ends; then tells whoever waits.
    fn listen(&self, mut child: Child, output: ChildStdout, all_printed: &Receiver<()>, over: &Sender<()>) {
        let mut lines = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            match (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => {
                    if let Err(reason) = self.take(&line) {
                        lock(&self.progress).condemn(reason);
                        end_group(self.group.0, || false);
                        break;
                    }
                }
            }
        }
        let status = self.wait(&mut child);
        lock(&self.input).take();
        let _ = all_printed.recv_timeout(Duration::from_secs(1));
        let mut progress = lock(&self.progress);
        progress.ended = true;
        let ended = status.ok().and_then(|status| Ended::of(status).reason(&self.command));
        let early = || {
            let message = format!("`{}` ended before it reported this step", self.command);
            Reason::new("command_ended", message)
        };
        let reason = progress.sentence.take().or(ended).unwrap_or_else(early);
        let mut waiting = std::mem::take(&mut progress.waiting).into_iter();
        drop(progress);
        // Whoever waited may have been interrupted; nobody misses the answer then.
        if let Some(Waiting { log, answer, .. }) = waiting.next() {
            // All of it is there for whoever tells of the failure.
            drop(log);
            let _ = answer.send(Answer::Failed(reason));
        }
        waiting.for_each(|other| drop(other.answer.send(Answer::Again)));
        let _ = over.send(());
    }

    /// Waits for a process that closed its output. It may go on: but nobody listens any more.
    fn wait(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < LAST_WORDS {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        end_group(self.group.0, || false);
        child.wait()
    }

    /// Takes a line for what it should be: the report of a step that was handed over and not reported yet.
    fn take(&self, line: &[u8]) -> Result<(), Reason> {
        let report = Report::parse(&String::from_utf8_lossy(line))?;
        let mut progress = lock(&self.progress);
        let Some(at) = progress.waiting.iter().position(|waiting| waiting.step == report.step) else {
            let what =
                if progress.reported.contains(&report.step) { "a second time" } else { "for which nobody asked" };
            let message = format!("it reports the step `{}` {what}", report.step);
            return Err(Reason::new("bad_report", message).with("step", report.step));
        };
        let Some(waiting) = progress.waiting.remove(at) else { return Ok(()) };
        progress.reported.insert(waiting.step.clone());
        progress.late.push_back((waiting.step, waiting.log));
        if progress.late.len() > LATE_MAX {
            progress.late.pop_front();
        }
        let now = Instant::now();
        progress.waiting.iter_mut().for_each(|other| other.since = now);
        let _ = waiting.answer.send(Answer::Report(Box::new(report)));
        Ok(())
    }

    fn keep_logs(&self, errors: ChildStderr, printed: &Sender<()>) {
        let mut errors = BufReader::new(errors);
        let mut named: Option<String> = None;
        // Whose line it is that was begun: a line is written in pieces, and meanwhile that step may be reported.
        let mut begun: Option<String> = None;
        while let Ok(text @ [_, ..]) = errors.fill_buf() {
            let end = text.iter().position(|byte| *byte == SEPARATOR).unwrap_or(text.len());
            if end == 0 {
                let mut line = Vec::new();
                // Whose log follows.
                if (&mut errors).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).is_err() {
                    break;
                }
                named = Some(String::from_utf8_lossy(&line[1..]).trim_end().to_owned());
                begun = None;
                continue;
            }
            let mut progress = lock(&self.progress);
            let whose = begun.take().or_else(|| named.clone()).or_else(|| progress.at());
            if let Some(log) = whose.as_deref().and_then(|step| progress.log(step)) {
                log.write(self.logs.as_ref(), &text[..end]);
            }
            begun = if text[..end].ends_with(b"\n") { None } else { whose };
            drop(progress);
            errors.consume(end);
        }
        let _ = printed.send(());
    }
}

impl Drop for Batch {
    /// The build is over: there are no more steps.
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let last = state.process.take();
        for process in state.full.drain(..).chain(last) {
            lock(&process.input).take();
            if !process.is_over(LAST_WORDS) {
                end_group(process.group.0, || process.is_over(Duration::from_secs(2)));
            }
        }
    }
}
