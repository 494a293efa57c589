//! Whoever watches a build: one consumer of its events, chosen once; and a tally for the answer at the end.

mod bars;
mod jsonl;
mod lines;
pub(crate) mod tally;

use crate::out::Out;
use assets_engine::Event;
use std::io::IsTerminal;

/// Takes the events of a build, in order.
pub(crate) trait Progress {
    /// Something happened.
    fn event(&mut self, event: &Event);
}

struct Silent;

impl Progress for Silent {
    fn event(&mut self, _: &Event) {}
}

/// JSON lines with `--json`; nothing with `--quiet`; bars on a terminal; otherwise plain lines.
pub(crate) fn choose(out: &Out) -> Box<dyn Progress + '_> {
    if out.json {
        Box::new(jsonl::JsonLines::new(out))
    } else if out.quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(bars::Bars::new())
    } else {
        Box::new(lines::Lines::new(out))
    }
}

/// Something to watch on a terminal while sources are read; gone when it is dropped.
pub(crate) fn reading(out: &Out) -> Option<impl Drop + use<>> {
    (!out.json && !out.quiet && std::io::stderr().is_terminal()).then(bars::Reading::new)
}
