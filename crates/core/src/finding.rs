//! What a look at a store's files finds: what is wrong, how bad that is, and what mends it.

use crate::key::Step;
use crate::reason::Reason;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Something that was written is not there any more as it was written.
    Problem,
    /// Worth knowing, and harmless: what killed processes leave, what the next build does by itself.
    Note,
}

impl Harm {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub harm: Harm,
    /// What it is, with the file as the fact `path` where there is one.
    pub reason: Reason,
    /// The step whose table it is about.
    pub step: Option<Step>,
    /// What `repair` does about it; `None` where it can do nothing.
    pub repair: Option<String>,
    /// Whether a build makes something again for it.
    pub build: bool,
}

impl Finding {
    /// A problem that nothing mends yet.
    pub fn problem(reason: Reason) -> Self {
        Self { harm: Harm::Problem, reason, step: None, repair: None, build: false }
    }

    /// Something worth knowing.
    pub fn note(reason: Reason) -> Self {
        Self { harm: Harm::Note, ..Self::problem(reason) }
    }

    /// About a step's table.
    #[must_use]
    pub fn of(mut self, step: &Step) -> Self {
        self.step = Some(step.clone());
        self
    }

    /// What `repair` does about it.
    #[must_use]
    pub fn repaired(mut self, how: impl Into<String>) -> Self {
        self.repair = Some(how.into());
        self
    }

    /// A build makes again what is lost.
    #[must_use]
    pub fn rebuilt(mut self) -> Self {
        self.build = true;
        self
    }

    /// What mends it, as commands.
    pub fn mend(&self) -> &'static str {
        match (self.repair.is_some(), self.build) {
            (true, true) => "assets repair, then assets materialize",
            (true, false) => "assets repair",
            (false, true) => "assets materialize",
            (false, false) => "nothing to do",
        }
    }
}
