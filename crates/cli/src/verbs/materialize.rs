//! `assets materialize`: makes what is stale, and says what became of it.

use crate::app::{App, Failure, Project, WriteStore};
use crate::args::{Global, MaterializeArgs};
use crate::edge;
use crate::interrupt::{self, Requests};
use crate::memory::{self, Anew};
use crate::out::Out;
use crate::progress::{self, tally::Tally};
use crate::render::{number, time, words};
use crate::session;
use crate::standing::{self, AllFresh, Ended, Standing};
use crate::verbs::plan::saved::{self, Saved};
use assets_core::catalog::Holder;
use assets_core::cores;
use assets_core::record::Counts;
use assets_core::source::Identified;
use assets_engine::build::Backends;
use assets_engine::pool::{Pool, now_us};
use assets_engine::{After, BuildOptions, BuildSummary, Event, Scope, World, materialize};
use std::ffi::OsString;
use std::time::Instant;

/// Failures that are listed one by one.
const LISTED: usize = 20;

pub(crate) fn run(
    app: &dyn App,
    out: &Out,
    global: &Global,
    args: &MaterializeArgs,
    argv: &[OsString],
) -> Result<u8, Failure> {
    if args.dry_run {
        return super::plan::dry_run(app, out, global, args);
    }
    let (saved, args) = match &args.plan {
        Some(path) => saved::read(path, args).map(|(saved, asked)| (Some(saved), asked))?,
        None => (None, args.clone()),
    };
    args.jobs.map(usize::from).into_iter().for_each(cores::hold_to);
    let project = app.open(&session::open_options(global))?;
    project.workers().into_iter().for_each(cores::hold_to);
    let before = global.begun_before.as_deref().map(memory::parse).transpose()?;
    let anew =
        Anew { argv: argv.to_vec(), before, build: build_id(), is_fixed: true, ender: project.ender(), out: *out };
    let request = Request { args: &args, saved: saved.as_ref(), trigger: &trigger(argv), anew: Some(anew) };
    let summary = make(out, project.as_ref(), global.rehash, &request)?;
    Ok(exit_code(&summary))
}

/// The command line, as a build's record keeps it.
pub(crate) fn trigger(argv: &[OsString]) -> String {
    let words = memory::as_typed(argv).skip(1).map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once("assets".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// What a build is asked for.
pub(crate) struct Request<'a> {
    pub(crate) args: &'a MaterializeArgs,
    /// The plan that has to hold still.
    pub(crate) saved: Option<&'a Saved>,
    /// The command line.
    pub(crate) trigger: &'a str,
    /// How it begins again where it takes too much memory.
    pub(crate) anew: Option<Anew>,
}

/// One build, from the lock to the last published view, with its answer.
pub(crate) fn make(
    out: &Out,
    project: &dyn Project,
    rehash: bool,
    request: &Request<'_>,
) -> Result<BuildSummary, Failure> {
    let args = request.args;
    // What is named wrongly should not wait for another build.
    let mut scope = Scope::new(project.graph(), &args.scope.select, args.only)?;
    let since = Instant::now();
    let _limit = memory::limit_in_all(*out, project);
    let begun = request.anew.as_ref().and_then(|anew| anew.before.as_ref());
    // Of what is remade in any case, or held against something else, nothing is taken as it was found before.
    let is_plain = !args.force && !rehash && request.saved.is_none() && begun.is_none() && args.scope.runs.is_empty();
    let of_everything = args.scope.select.is_empty() && args.scope.runs.is_empty() && !args.only;
    let look = Standing::of(project);
    let believed = look.as_ref().filter(|_| is_plain);
    let is_all_fresh = |fresh: AllFresh| {
        let (summary, tally) = as_sealed(out, fresh, since);
        answer(out, &summary, &tally);
        Ok(summary)
    };
    if let Some(fresh) = believed.filter(|_| of_everything).and_then(Standing::everything) {
        return is_all_fresh(fresh);
    }
    let reading = progress::reading(out);
    let come = believed.and_then(|look| Some((look, look.come(project, &scope)?)));
    if let Some((look, come)) = come.as_ref().filter(|_| of_everything)
        && let Some(fresh) = look.nothing_came(project, come)
    {
        return is_all_fresh(fresh);
    }
    let mut waiting = |holder: &Holder| out.error(&format!("waiting for {holder}"));
    let mut part = None;
    if let Some((look, come)) = come {
        let store = project.writer_for(Some(&come.excerpt()), !args.no_wait, &mut waiting)?;
        part = come.part(project, look, store.as_ref()).map(|part| (store, part));
    }
    let (store, part) = match part {
        Some((store, part)) => (store, Some(part)),
        None => (project.writer(!args.no_wait, &mut waiting)?, None),
    };
    let ledger = store.catalog().ledger()?;
    let identified;
    let sources = match &part {
        Some(part) => &part.sources,
        None => {
            identified = project.source().identify(&ledger, rehash).map_err(edge::unlisted)?;
            &identified
        }
    };
    drop(reading);
    let tables = store.tables();
    scope.force = args.force;
    scope.done_by = begun.map(|begun| begun.builds.clone()).unwrap_or_default();
    let is_fixed = !scope.needs_states();
    let catalog = store.catalog();
    let world = World { graph: project.graph(), ledger: &ledger, sources, records: catalog, tables: &*tables };
    if !args.scope.runs.is_empty() {
        let known = assets_engine::plan::all_partitions(&world);
        scope.restrict(&known, &args.scope.runs).map_err(|error| session::no_run(&world, error))?;
    }
    part.iter().for_each(|part| part.cut(&world, &mut scope));
    scope.settle(&world);
    // A build that began again has done part of it, as it was checked at first.
    if let Some(saved) = request.saved.filter(|_| begun.is_none()) {
        saved.check(&world, &assets_engine::plan::plan(&world, &scope))?;
    }
    let anew = request.anew.clone().map(|anew| Anew { is_fixed, ..anew });
    let options = BuildOptions {
        id: anew.as_ref().map_or_else(build_id, |anew| anew.build.clone()),
        trigger: request.trigger.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Of a part that was looked at when it was opened.
        all_published: part.is_some() || store.all_published(),
        wait: !args.no_wait,
        since,
        beside: part.as_ref().map(|part| part.beside.clone()),
    };
    let (summary, tally) = build(out, project, store.as_ref(), sources, &scope, (args, anew.as_ref()), &options)?;
    answer(out, &summary, &tally);
    if let Some(look) = &look {
        interrupt::all_is_done(exit_code(&summary));
        let of_everything = of_everything && request.saved.is_none();
        let (tally, of_sources, part) = (&tally, sources.warnings.len(), part.as_ref());
        let ended = Ended { summary: &summary, tally, of_sources, of_everything, part };
        let _ = standing::leave(project, store.as_ref(), look, &ended);
    }
    // The process is about to end: taking the ledger apart, piece by piece, was 9 % of a build that finds 100,000 steps fresh.
    std::mem::forget(ledger);
    Ok(summary)
}

/// What a build tells that finds the world as it was when everything was fresh.
fn as_sealed(out: &Out, fresh: AllFresh, since: Instant) -> (BuildSummary, Tally) {
    let counts = Counts { fresh: fresh.steps, ..Counts::default() };
    let seconds = since.elapsed().as_secs_f64();
    progress::choose(out).event(&Event::Finished { counts, gone: 0, seconds, interrupted: false });
    let summary = BuildSummary {
        counts,
        seconds,
        interrupted: false,
        source_problems: 0,
        only_transient: true,
        unpublished: 0,
        gone: 0,
        after: After { runs: fresh.runs, ..After::default() },
    };
    (summary, Tally { files: 1, ..Tally::default() })
}

/// A name that no other build has.
pub(crate) fn build_id() -> String {
    format!("{}-{}", time::iso(now_us(), 6), std::process::id())
}

fn build(
    out: &Out,
    project: &dyn Project,
    store: &dyn WriteStore,
    sources: &Identified,
    scope: &Scope,
    (args, anew): (&MaterializeArgs, Option<&Anew>),
    options: &BuildOptions,
) -> Result<(BuildSummary, Tally), Failure> {
    let tables = store.tables();
    // More than cores: files are read, written and mapped while others compute. Measured on two cores, a feature added to
    // 200 runs: 0.74 s with three at once, 0.63 s with five, 0.68 s with six.
    let default = || std::thread::available_parallelism().map_or(1, usize::from) + 3;
    let width = args.jobs.map(usize::from).or_else(|| project.workers()).unwrap_or_else(default);
    let pool = Pool::new(width, project.worker(store.tables()));
    let pool = pool.map_err(|reason| Failure { reason, help: None, exit: edge::TRANSIENT })?;
    let pool = memory::keep_within(pool, project.memory(), *out, anew);
    let packer = project.packer(store.tables());
    let backends = Backends {
        graph: project.graph(),
        catalog: store.catalog(),
        tables: tables.as_ref(),
        executor: &pool,
        packer: packer.as_ref(),
        source: Some(project.source()),
        mark_published: &|| store.mark_published(),
    };
    let mut tally = Tally::default();
    let mut watcher = progress::choose(out);
    let requests = Requests::listen(project.ender());
    let summary = materialize(backends, sources, scope, options, requests.cancel(), &mut |event| {
        if let Event::Waiting { holder, work } = &event {
            interrupt::tell(&format!("waiting for {holder}, which {work}"));
        }
        tally.event(&event);
        watcher.event(&event);
    })?;
    Ok((summary, tally))
}

/// 0 where all that was asked for is fresh now.
pub(crate) fn exit_code(summary: &BuildSummary) -> u8 {
    let counts = &summary.counts;
    if summary.interrupted {
        interrupt::EXIT
    } else if counts.failed + counts.blocked == 0 && summary.source_problems == 0 {
        if summary.unpublished == 0 { 0 } else { edge::TRANSIENT }
    } else if summary.only_transient && (counts.failed > 0 || summary.source_problems > 0) {
        edge::TRANSIENT
    } else {
        edge::DATA
    }
}

/// The answer for a person.
fn answer(out: &Out, summary: &BuildSummary, tally: &Tally) {
    if out.json {
        return;
    }
    out.line(&summary_line(summary));
    if tally.files == 0 {
        out.hint("no file matches the sources: see `sources` and `files` in assets.toml");
    }
    for (path, reason) in tally.sources.iter().take(LISTED) {
        out.line(&format!("source {path}: {} ({})", words::safe(&reason.message), reason.code));
    }
    failures(out, tally);
    if let Some(line) = tally.unavailable_line() {
        out.hint(&line);
    }
    if !tally.unavailable.is_empty() || !tally.failed.is_empty() || !tally.sources.is_empty() {
        out.hint("`assets errors` tells all of it");
    }
}

fn failures(out: &Out, tally: &Tally) {
    for (step, reason) in tally.failed.iter().take(LISTED) {
        let blocks: Vec<String> = tally.blocked_by(step).iter().map(ToString::to_string).collect();
        let blocks = if blocks.is_empty() { String::new() } else { format!("; blocks {}", blocks.join(", ")) };
        let word = words::state(assets_core::freshness::State::Failed);
        out.line(&format!("{word} {step}: {} ({}){blocks}", words::safe(&reason.message), reason.code));
    }
    if tally.failed.len() > LISTED {
        out.line(&format!("… and {} further failures", tally.failed.len() - LISTED));
    }
    // Blocked by something outside this build: nothing above explains it.
    let outside = ["input_not_made", "input_other_columns"];
    let unexplained = tally.blocked.iter().filter(|(_, reason)| outside.contains(&reason.code.as_str()));
    for (step, reason) in unexplained.take(LISTED) {
        let word = words::state(assets_core::freshness::State::Blocked);
        out.line(&format!("{word} {step}: {} ({})", words::safe(&reason.message), reason.code));
    }
}

fn summary_line(summary: &BuildSummary) -> String {
    let counts = &summary.counts;
    let time = number::seconds(summary.seconds);
    if counts.total() + summary.gone == 0 && !summary.interrupted {
        return format!("nothing to make: no steps ({time})");
    }
    if counts.fresh == counts.total() && summary.gone == 0 && !summary.interrupted {
        let steps = number::plural(usize::try_from(counts.fresh).unwrap_or(usize::MAX), "step");
        return format!("everything is fresh: {steps}, nothing to do ({time})");
    }
    let mut line = format!("made {}, reused {}, fresh {}", counts.made, counts.reused, counts.fresh);
    let others = [
        ("failed", counts.failed),
        ("blocked", counts.blocked),
        ("cancelled", counts.cancelled),
        ("taken down", summary.gone),
    ];
    for (name, count) in others {
        if count > 0 {
            line += &format!(", {name} {count}");
        }
    }
    let interrupted = if summary.interrupted { ", interrupted" } else { "" };
    format!("{line} in {time}{interrupted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use assets_core::record::Counts;

    fn summary(counts: Counts, only_transient: bool, source_problems: usize) -> BuildSummary {
        let (interrupted, unpublished, gone, after) = (false, 0, 0, After::default());
        BuildSummary { counts, seconds: 2.1, interrupted, source_problems, only_transient, unpublished, gone, after }
    }

    #[test]
    fn lines_and_exit_codes() {
        let fresh = summary(Counts { fresh: 20, ..Counts::default() }, true, 0);
        assert_eq!(summary_line(&fresh), "everything is fresh: 20 steps, nothing to do (2.1 s)");
        assert_eq!(exit_code(&fresh), 0);
        let failed = Counts { made: 3, failed: 1, blocked: 2, ..Counts::default() };
        assert_eq!(summary_line(&summary(failed, false, 0)), "made 3, reused 0, fresh 0, failed 1, blocked 2 in 2.1 s");
        assert_eq!(exit_code(&summary(failed, false, 0)), 1);
        assert_eq!(exit_code(&summary(failed, true, 0)), 4);
        assert_eq!(exit_code(&summary(failed, true, 1)), 4);
        assert_eq!(exit_code(&summary(Counts::default(), false, 1)), 1);
        assert_eq!(exit_code(&summary(Counts::default(), true, 1)), 4, "a source that changes all the time");
    }
}
