//! What becomes of a program that takes more memory than it may. A build begins anew in its own place, as after a kill:
//! one step at a time, and without a step that is too large even alone. Anything else ends, and says why.

use crate::app::{Failure, Project};
use crate::edge;
use crate::interrupt;
use crate::out::Out;
use assets_core::{Reason, Step};
use assets_engine::memory::{Excess, Watch};
use assets_engine::pool::{Care, Pool};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Steps too large by themselves after which a build ends: each costs a beginning.
const TOO_LARGE_MOST: usize = 16;

/// How long a line that is being written may take.
const LINE_PATIENCE: Duration = Duration::from_millis(200);

/// The argument by which a build is told of those before it in its process.
const ARGUMENT: &str = "--begun-before=";

/// A command line without what only this program itself says to itself.
pub(crate) fn as_typed(argv: &[OsString]) -> impl Iterator<Item = &OsString> {
    argv.iter().filter(|arg| !arg.to_string_lossy().starts_with(ARGUMENT))
}

/// What is known of a build's beginnings before this one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Before {
    /// Their ids as builds: what they made is done.
    pub(crate) builds: Vec<String>,
    /// Steps that were too large by themselves.
    pub(crate) too_large: Vec<Step>,
}

/// The beginnings before this one, as they came back in the argument.
pub(crate) fn parse(argument: &str) -> Result<Before, Failure> {
    let parsed: Result<(Vec<String>, Vec<Step>), _> = serde_json::from_str(argument);
    parsed.map(|(builds, too_large)| Before { builds, too_large }).map_err(|error| {
        Failure::usage(Reason::new("wrong_usage", format!("{ARGUMENT} is what this program says to itself: {error}")))
    })
}

/// A pool that ends the process where its steps take too much.
pub(crate) fn keep_within(pool: Pool, allowed: u64, out: Out, anew: Option<&Anew>) -> Pool {
    let pool = pool.within(allowed);
    let Some(anew) = anew.cloned() else {
        let end = move |excess: &Excess| {
            if !excess.steps.is_empty() {
                fail(out, excess);
            }
        };
        return pool.ended_by(taken_bytes, Arc::new(end), Care::default());
    };
    let too_large = anew.before.iter().flat_map(|before| before.too_large.clone()).collect();
    let care = Care { alone: anew.before.is_some(), too_large };
    pool.ended_by(taken_bytes, Arc::new(move |excess: &Excess| anew.begin(excess)), care)
}

/// Memory of this process alone: mapped files are not in it.
fn taken_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    own.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Ends a verb that answers a question.
pub(crate) fn limit(out: Out, allowed: u64) -> Watch {
    Watch::begin(allowed, taken_bytes, Arc::new(move |excess: &Excess| fail(out, excess)))
}

/// Ends whatever takes more than the program may take in all: records of very many runs are no step's, and no setting of steps
/// limits them. What steps have started outside of this program ends with it.
pub(crate) fn limit_in_all(out: Out, project: &dyn Project) -> Watch {
    let (allowed, ender) = (project.memory_in_all(), project.ender());
    let end = move |excess: &Excess| {
        ender();
        let mib = |bytes: u64| bytes >> 20;
        let message = format!(
            "this took {} MiB of memory, and {} MiB are allowed in all, with what is known of all runs (twice `memory`, and \
             no more than the machine has)",
            mib(excess.taken_bytes),
            mib(allowed)
        );
        let reason = Reason::new("memory_needed", message).with("needed_bytes", excess.taken_bytes);
        let help = "raise `memory` in the settings, or see whether a key is meant that cuts the rows into so many runs (`assets runs`)";
        let failure =
            Failure { reason: reason.with("allowed_bytes", allowed), help: Some(help.to_owned()), exit: edge::DATA };
        edge::report(&out, &failure);
        std::process::exit(i32::from(edge::DATA));
    };
    // A watch ends what takes a quarter more than it allows.
    Watch::begin(allowed / 5 * 4, taken_bytes, Arc::new(end))
}

fn fail(out: Out, excess: &Excess) {
    edge::report(&out, &Failure { reason: excess.reason(), help: None, exit: edge::DATA });
    std::process::exit(i32::from(edge::DATA));
}

/// How a build begins anew.
#[derive(Clone)]
pub(crate) struct Anew {
    /// The command line, as it came.
    pub(crate) argv: Vec<OsString>,
    /// `None` where this is its first beginning.
    pub(crate) before: Option<Before>,
    /// The id of this one as a build.
    pub(crate) build: String,
    /// Whether the same steps would be meant when it begins again: not where they are selected by states, which change.
    pub(crate) is_fixed: bool,
    /// Ends what steps have started outside of this program.
    pub(crate) ender: Arc<interrupt::End>,
    /// Where it is told.
    pub(crate) out: Out,
}

impl Anew {
    /// Comes back only where nothing is being made: what publishing takes would be taken again.
    pub(crate) fn begin(&self, excess: &Excess) {
        if excess.steps.is_empty() {
            return;
        }
        // No line of an answer is cut in two, unless whoever reads it has stopped reading.
        let (told, is_whole) = mpsc::channel();
        let (let_go, is_over) = mpsc::channel::<()>();
        let _ = std::thread::Builder::new().spawn(move || {
            let _stdout = std::io::stdout().lock();
            let _ = told.send(());
            let _ = is_over.recv();
        });
        let _ = is_whole.recv_timeout(LINE_PATIENCE);
        (self.ender)();
        interrupt::end_if_asked();
        let mib = excess.allowed_bytes >> 20;
        let mut before = self.before.clone().unwrap_or_default();
        before.builds.push(self.build.clone());
        // Until they are made one at a time, what one leaves behind can be taken for another's.
        let alone = if self.before.is_some() { excess.steps.as_slice() } else { &[] };
        let told = match alone {
            [step] if self.is_fixed && before.too_large.len() < TOO_LARGE_MOST => {
                before.too_large.push(step.clone());
                format!("{step} takes more than the {mib} MiB that `memory` allows: beginning again without it")
            }
            [step] if self.is_fixed => {
                drop(let_go);
                return self.give_up(step, mib);
            }
            _ if self.is_fixed => {
                format!("steps take more than the {mib} MiB that `memory` allows: beginning again, one at a time")
            }
            _ => {
                drop(let_go);
                let help = "raise `memory` in the settings, or name assets and runs instead of their states: what was made is kept";
                let failure = Failure { reason: excess.reason(), help: Some(help.to_owned()), exit: edge::DATA };
                edge::report(&self.out, &failure);
                std::process::exit(i32::from(edge::DATA));
            }
        };
        if !self.out.quiet {
            interrupt::tell(&format!("warning: {told}"));
        }
        let error = self.command(&before).exec();
        drop(let_go);
        let reason = Reason::new("no_process", format!("the program can't begin again: {error}"));
        edge::report(&self.out, &Failure { reason, help: None, exit: edge::TRANSIENT });
        std::process::exit(i32::from(edge::TRANSIENT));
    }

    fn give_up(&self, step: &Step, mib: u64) {
        let message = format!(
            "{step} is one more than {TOO_LARGE_MOST} steps that each take more than the {mib} MiB that `memory` allows"
        );
        let reason = Reason::new("memory_needed", message).with("step", step.to_string());
        let help = "raise `memory` in the settings, or name the other assets and runs: what was made is kept";
        edge::report(&self.out, &Failure { reason, help: Some(help.to_owned()), exit: edge::DATA });
        std::process::exit(i32::from(edge::DATA));
    }

    fn command(&self, before: &Before) -> Command {
        let mut argument = OsString::from(ARGUMENT);
        argument.push(serde_json::to_string(&(&before.builds, &before.too_large)).unwrap_or_default());
        let mut command = Command::new(program());
        command.arg0(self.argv.first().map_or(OsStr::new("assets"), OsString::as_os_str));
        command.arg(argument).args(as_typed(&self.argv).skip(1));
        command
    }
}

/// This program: by its name, under which it is known to who looks at processes, where that is still the same file.
fn program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    let file = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let named = std::fs::read_link(&running).ok();
    let is_same = |named: &PathBuf| matches!((file(named), file(&running)), (Ok(named), Ok(own)) if named == own);
    named.filter(is_same).unwrap_or(running)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::{AssetName, Partition};

    #[test]
    fn the_system_says_what_is_taken() {
        assert!(taken_bytes().is_none_or(|bytes| bytes > 0 && bytes < 1 << 40));
    }

    #[test]
    fn what_it_says_to_itself_is_no_part_of_what_was_typed() {
        let argv: Vec<OsString> = ["assets", "--json", "materialize", "--", "stats"].map(OsString::from).to_vec();
        let step = Step::new(&AssetName::new("large").expect("a name"), &Partition::many([("run", "a \"b\"")]));
        let out = Out { json: true, quiet: false };
        let (build, ender) = ("b1".to_owned(), Arc::new(|| ()));
        let anew = Anew { argv: argv.clone(), before: None, build, is_fixed: true, ender, out };
        let before = Before { builds: vec!["b0".to_owned(), "b1".to_owned()], too_large: vec![step] };
        let command = anew.command(&before);
        let again: Vec<OsString> =
            std::iter::once(argv[0].clone()).chain(command.get_args().map(OsStr::to_owned)).collect();
        let argument = again[1].to_string_lossy().into_owned();
        assert_eq!(parse(argument.strip_prefix(ARGUMENT).expect("first")), Ok(before));
        assert_eq!(as_typed(&again).cloned().collect::<Vec<_>>(), argv);
    }
}
