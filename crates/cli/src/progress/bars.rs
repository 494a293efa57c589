//! Events as bars on a terminal: one over all, one an asset while there are few. indicatif lives here alone.

use super::{Progress, lines};
use crate::interrupt;
use crate::out::style_stderr;
use crate::render::words;
use assets_core::AssetName;
use assets_core::record::Outcome;
use assets_engine::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// More assets than this get no bar each.
const BARS: usize = 12;

/// Draws bars on stderr, and takes them away at the end.
pub(crate) struct Bars {
    all: MultiProgress,
    total: Option<ProgressBar>,
    assets: BTreeMap<AssetName, ProgressBar>,
    /// Whether the cursor stands behind a bar.
    drawn: Arc<AtomicBool>,
}

/// Says that the sources are being read, until it is dropped: with new data that comes before the first step.
pub(crate) struct Reading(ProgressBar);

impl Reading {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} reading new or changed sources, {elapsed}"));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self(bar)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Bars {
    pub(crate) fn new() -> Self {
        let (all, drawn) = (MultiProgress::new(), Arc::new(AtomicBool::new(false)));
        let (above, is_drawn) = (all.clone(), Arc::clone(&drawn));
        interrupt::tell_through(Some(Box::new(move |line| {
            if is_drawn.load(Ordering::SeqCst) && std::io::stdin().is_terminal() {
                unsay_key();
            }
            drop(above.println(line));
        })));
        Self { all, total: None, assets: BTreeMap::new(), drawn }
    }

    fn planned(&mut self, assets: &[(AssetName, u64, u64)]) {
        let to_make: Vec<_> = assets.iter().filter(|(_, _, make)| *make > 0).collect();
        let sum: u64 = to_make.iter().map(|(_, _, make)| make).sum();
        if sum == 0 {
            return;
        }
        let width = to_make.iter().map(|(name, ..)| name.as_str().len()).max().unwrap_or(0).max(5);
        if to_make.len() <= BARS {
            for (name, _, make) in to_make {
                let bar = self.all.add(ProgressBar::new(*make));
                bar.set_style(style("  {prefix} {bar:24.cyan/black.bright} {pos}/{len}"));
                bar.set_prefix(format!("{:<width$}", name.as_str()));
                bar.tick();
                self.assets.insert(name.clone(), bar);
            }
        }
        let total = self.all.add(ProgressBar::new(sum));
        total.set_style(style("  {prefix} {bar:24.green/black.bright} {pos}/{len} steps, {rate}, {eta} to go"));
        total.set_prefix(format!("{:<width$}", "total"));
        total.enable_steady_tick(std::time::Duration::from_millis(200));
        self.total = Some(total);
        self.drawn.store(true, Ordering::SeqCst);
    }

    fn say(&self, line: &str) {
        // Nobody to tell: the terminal is gone.
        let _ = self.all.println(line);
    }

    fn clear(&mut self) {
        self.assets.values().chain(&self.total).for_each(ProgressBar::finish_and_clear);
        self.assets.clear();
        self.total = None;
        self.drawn.store(false, Ordering::SeqCst);
    }
}

impl Progress for Bars {
    fn event(&mut self, event: &Event) {
        let warning = style_stderr().yellow().apply_to("warning:");
        match event {
            Event::Warning(reason) | Event::Source { reason, .. } => {
                self.say(&format!("{warning} {}", words::echoed(&reason.message)));
            }
            Event::Planned(assets) => self.planned(assets),
            Event::Step(step) => {
                self.assets.get(&step.step.asset).into_iter().chain(&self.total).for_each(|bar| bar.inc(1));
                if step.outcome == Outcome::Failed {
                    self.say(&lines::step_line(step));
                }
            }
            Event::Publishing { .. } => {
                if let Some(total) = &self.total {
                    total.set_prefix("publishing");
                }
            }
            Event::Finished { .. } => self.clear(),
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        interrupt::tell_through(None);
        self.clear();
    }
}

/// The terminal shows a pressed Ctrl-C as `^C` behind the last bar, which fills its line: the cursor is a line below where
/// it was left, and what is drawn next would leave the first bar standing.
fn unsay_key() {
    let term = console::Term::stderr();
    // Nobody to tell: the terminal is gone.
    let _ = term.clear_line().and_then(|()| term.move_cursor_up(1));
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.1}/s", state.per_sec());
    };
    style.progress_chars("━━─").with_key("rate", rate)
}
