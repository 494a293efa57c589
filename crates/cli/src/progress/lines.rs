//! Events as plain lines on stderr: a line a step for few steps, a line every now and then for many.

use super::Progress;
use crate::out::{Out, style_stderr};
use crate::render::words::{self, outcome_style};
use crate::render::{number, reasons};
use assets_core::record::Outcome;
use assets_core::{Reason, Step};
use assets_engine::Event;
use assets_engine::event::StepEvent;
use std::time::{Duration, Instant};

/// At most so many steps get a line each.
const FEW: u64 = 40;
const EVERY: Duration = Duration::from_secs(2);

/// Prints lines.
pub(crate) struct Lines<'a> {
    out: &'a Out,
    to_make: u64,
    done: u64,
    gone: u64,
    begun: Instant,
    last: Instant,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(out: &'a Out) -> Self {
        Self { out, to_make: 0, done: 0, gone: 0, begun: Instant::now(), last: Instant::now() }
    }

    fn gone(&mut self, step: &Step, reason: &Reason) {
        self.gone += 1;
        if self.gone <= FEW {
            let word = style_stderr().dim().apply_to(format!("{:<9}", "gone"));
            self.out.note(&format!("{word} {}  {}", words::safe(&step.to_string()), words::safe(&reason.message)));
        }
    }

    fn step(&mut self, step: &StepEvent) {
        self.done += 1;
        let bad = matches!(step.outcome, Outcome::Failed);
        if self.to_make <= FEW || bad {
            self.out.note(&step_line(step));
        } else if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            let rate = self.done as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
            let (done, all) = (number::count(self.done), number::count(self.to_make));
            self.out.note(&format!("{done} of {all} steps, {rate:.0} a second"));
        }
    }
}

impl Progress for Lines<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Warning(reason) | Event::Source { reason, .. } => self.out.warn(&reason.message),
            Event::Gone { step, reason } => self.gone(step, reason),
            Event::Planned(assets) => {
                self.to_make = assets.iter().map(|(_, _, make)| make).sum();
                self.begun = Instant::now();
            }
            Event::Step(step) if step.outcome != Outcome::Fresh => self.step(step),
            Event::Publishing { files } if *files > 100 => {
                self.out.note(&format!("publishing {}", number::plural(*files, "file")));
            }
            _ => {}
        }
    }
}

/// `made     wide of 7582   12 345 rows  0.2 s`, for stderr.
pub(crate) fn step_line(step: &StepEvent) -> String {
    let word = outcome_style(step.outcome).for_stderr().apply_to(format!("{:<9}", step.outcome.name()));
    let mut line = format!("{word} {:<36}", step.step.to_string());
    if let Some(rows) = step.rows {
        line += &format!(" {:>12} {}", number::count(rows), if rows == 1 { "row " } else { "rows" });
    }
    match (step.outcome, step.seconds, &step.reason) {
        (Outcome::Failed | Outcome::Blocked, _, Some(reason)) => line += &format!(" {}", words::safe(&reason.message)),
        (Outcome::Made, Some(seconds), _) => {
            line += &format!(" {:>8}", number::seconds(seconds));
            if step.because.iter().all(|reason| reason.code != "never_made") && !step.because.is_empty() {
                line += &style_stderr().dim().apply_to(format!("  {}", reasons::line(&step.because))).to_string();
            }
        }
        _ => {}
    }
    line.trim_end().to_owned()
}
