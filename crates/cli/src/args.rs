//! The arguments as a person types them, with the help texts. What they mean is decided by the verbs.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Parses the arguments, or says what is wrong with them.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(args)
}

const SELECT_HELP: &str = "A SELECT says which assets and steps are meant: several mean any of them, none means
every one. Quote it in the shell.
  wide, gaps           an asset, or the one that writes an output of that name
  +wide, wide+         with all it is made from; with all that is made from it
  1+wide+2             the same, within a distance
  key:\"f*\", *          assets and outputs with names that fit; every asset
  tag:summary          assets with a tag (also: tag:stage=result)
  column:features.v*   assets that write such a column
  stale:, failed:      steps that are stale or maybe; that failed or are blocked
  stale:maybe          steps in one state (also: stale:reusable, failed:blocked)
  sinks(x), roots(x)   those of x from which, or of which, no other of x is made
  and, or, not, (x)    `not` binds most tightly, `or` least";

/// Keeps derived datasets true: makes again what is stale, and only that, and says why.
#[derive(Debug, Parser)]
#[command(name = "assets", version, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "The first minute:  assets demo\n\
In your folder:    assets init, then name your files in assets.toml, then assets materialize\n\n\
Exit codes: 0 all asked for is fresh now; 1 some step failed or is blocked, or a source can't be read; 2 wrong usage;\n\
3 the store is unusable; 4 only transient failures, trying again may help; 130 interrupted.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flags of every verb")]
pub(crate) struct Global {
    /// The settings file; default: `assets.toml` here or in a parent folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the store; default: what the settings say
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Input files, as a pattern; replaces the sources of the settings; repeatable
    #[arg(long, global = true, value_name = "GLOB")]
    pub(crate) source: Vec<String>,
    /// Read every source again instead of trusting size and time of the file
    #[arg(long, global = true)]
    pub(crate) rehash: bool,
    /// Answer in JSON on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress and no hints
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colors; `auto` heeds NO_COLOR and whether a terminal listens
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// What the program says to itself where it begins again
    #[arg(long, hide = true)]
    pub(crate) begun_before: Option<String>,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Simulate data into a new folder, make everything, show the result: the first minute
    Demo(DemoArgs),
    /// Write realistic data with known truth
    Simulate(SimulateArgs),
    /// Write a commented assets.toml
    Init(InitArgs),
    /// Make what is stale
    Materialize(MaterializeArgs),
    /// Show what materialize would do, and why
    Plan(PlanArgs),
    /// Show the state of every asset for every run
    Status(ScopeArgs),
    /// Show the whole chain of reasons behind one step
    Why(StepArgs),
    /// Show everything that happened to one step, newest first
    History(HistoryArgs),
    /// Show what differs between two versions of one table
    Diff(DiffArgs),
    /// Show what an asset or one of its columns came from, down to source files, and what depends on it
    Lineage(LineageArgs),
    /// Show the assets and who reads whom
    Graph(GraphArgs),
    /// List the runs: rows, states, last made, from which files
    Runs(RunsArgs),
    /// List what is wrong, why, and what it costs
    Errors(ScopeArgs),
    /// Show what a command printed for one step
    Logs(LogsArgs),
    /// Show rows of a table
    Show(ShowArgs),
    /// Ask in SQL; every asset and output is a table
    Sql(SqlArgs),
    /// List where published tables and sources are
    Files(ScopeArgs),
    /// Let go of files that are not there any more, and of what only they brought
    Forget(ForgetArgs),
    /// Show the recorded checks
    Check(ScopeArgs),
    /// Look whether every file of the store still is what was written
    Verify(VerifyArgs),
    /// Put right what verify finds
    Repair(RepairArgs),
    /// Show what the store can do without, and remove it with --yes
    Gc(GcArgs),
    /// Keep the tables of now by a name, whatever gc removes later; list what is kept
    Pin(PinArgs),
    /// Look at the surroundings: file system, locks, rights, room, clock, sources
    Doctor,
    /// List what an expression of a feature can call
    Functions(FunctionsArgs),
}

/// A selection of steps.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = SELECT_HELP.to_owned() + "\n\nExamples:\n  assets status wide features --run 7582\n  \
assets errors +stats --run '75*'\n  assets files stats --json\n  assets check 'stale: and not tag:summary'\n  \
assets status '+column:features.v* and failed:'")]
pub(crate) struct ScopeArgs {
    /// Which assets and steps, see below; default: all
    #[arg(value_name = "SELECT")]
    pub(crate) select: Vec<String>,
    /// Runs: an exact id, a unique beginning of one, or a pattern; repeatable; default: all
    #[arg(long = "run", alias = "partition", value_name = "RUN", allow_hyphen_values = true)]
    pub(crate) runs: Vec<String>,
}

/// `plan`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = SELECT_HELP.to_owned() + "\n\nExamples:\n  assets plan\n  assets plan stats --run 7582\n  \
assets plan 'stale: and not tag:summary'\n  assets plan --markdown > plan.md\n  \
assets plan features --output p.json && assets materialize --plan p.json")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// As `materialize --only`: take the published inputs as they are
    #[arg(long)]
    pub(crate) only: bool,
    /// As `materialize --force`: make the selected assets again even where they are fresh
    #[arg(long)]
    pub(crate) force: bool,
    /// Answer in Markdown, for a pull request
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Save the plan too, for `materialize --plan`
    #[arg(long, short, value_name = "F")]
    pub(crate) output: Option<PathBuf>,
}

/// `materialize`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = SELECT_HELP.to_owned() + "\n\nExamples:\n  assets materialize\n  \
assets materialize stats --run 7582\n  assets materialize wide+ --force --jobs 4\n  assets materialize --dry-run\n  assets materialize 'failed:'\n  \
assets materialize 'key:\"f*\" or stats' --only\n  assets materialize --plan p.json")]
pub(crate) struct MaterializeArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Take the published inputs as they are instead of making stale ancestors too
    #[arg(long)]
    pub(crate) only: bool,
    /// Make the selected assets again even where they are fresh
    #[arg(long)]
    pub(crate) force: bool,
    /// Only show the plan
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make exactly what `plan --output F` saved; refused where anything has moved since
    #[arg(long, value_name = "F", conflicts_with_all = ["select", "runs", "only", "force", "dry_run"])]
    pub(crate) plan: Option<PathBuf>,
    /// Steps made at the same time, and cores taken at most; default: the settings', else cores + 3
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Fail instead of waiting for steps that another process makes
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `demo`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets demo\n  assets demo /tmp/try --seconds 60")]
pub(crate) struct DemoArgs {
    /// A new or empty folder, or an earlier demo
    #[arg(value_name = "DIR", default_value = "assets-demo")]
    pub(crate) dir: PathBuf,
    /// Length of each simulated run
    #[arg(long, value_name = "S", default_value_t = 600.0, value_parser = positive)]
    pub(crate) seconds: f64,
}

/// `simulate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets simulate data\n  assets simulate data/day.csv --runs 10 --seconds 300 \
--defects\n  assets simulate data --seed 7 --noise 0.002")]
pub(crate) struct SimulateArgs {
    /// A folder, or a `.csv` or `.parquet` file
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Number of runs
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Length of each run
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// Add rows with every known trap
    #[arg(long)]
    pub(crate) defects: bool,
    /// Standard deviation of the noise of positions, in mm; default: 0.002
    #[arg(long, value_name = "MM", value_parser = not_negative)]
    pub(crate) noise: Option<f64>,
    /// Seed of the random generator: equal seeds give equal files
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `init`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  assets init\n  assets init project --source 'data/*.parquet'\n\nFor data of another field, \
write `pipeline = \"none\"` there and declare tables of your files under [assets.NAME]."
)]
pub(crate) struct InitArgs {
    /// Where to; made if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "It reads everything: the journal, each object, each published table. It changes nothing, and exits with 1 where\n\
something is wrong. A problem comes with what mends it; a note is harmless.\n\n\
Examples:\n  assets verify\n  assets verify --recompute 10\n  assets verify --json"
)]
pub(crate) struct VerifyArgs {
    /// Also make N fresh steps again, other ones each time, and compare what comes out; nothing of it is kept
    #[arg(long, value_name = "N")]
    pub(crate) recompute: Option<usize>,
}

/// `repair`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "It cuts off what can't be read of the journal, folds the index from it again, moves damaged objects to damaged/ in the\n\
store, and publishes what is recorded. What is lost is made again by the next build.\n\n\
Examples:\n  assets repair --dry-run\n  assets repair && assets materialize"
)]
pub(crate) struct RepairArgs {
    /// Only say what it would do
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Fail instead of waiting while another process builds
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `functions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "A feature is a column of `features` that assets.toml defines:\n\n  [features.power_1]\n  \
expr = \"fx_1 * vx_1 + fy_1 * vy_1 + fz_1 * vz_1\"\n  unit = \"mW\"\n\nAn expression is SQL over the other columns: + - * / \
%, comparisons, and, or, not, between, in, is null,\ncase when … then … else … end, cast(x as …), window functions \
with over (…), and these functions.\n\nExamples:\n  assets functions\n  assets functions rolling")]
pub(crate) struct FunctionsArgs {
    /// Only those whose names have this in them
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `why`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets why stats --run 7582\n  assets why wide --run 7582 --json")]
pub(crate) struct StepArgs {
    /// An asset or output
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,
    /// The run: an exact id or a unique beginning of one
    #[arg(long = "run", alias = "partition", value_name = "RUN", allow_hyphen_values = true)]
    pub(crate) run: Option<String>,
}

/// `logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets logs model --run 7582\n  assets logs model --run 7582 --json")]
pub(crate) struct LogsArgs {
    /// An asset or output that a command makes
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,
    /// The run: an exact id or a unique beginning of one
    #[arg(long = "run", alias = "partition", value_name = "RUN", allow_hyphen_values = true)]
    pub(crate) run: Option<String>,
}

/// `history`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets history wide --run 7582\n  assets history gaps --run 7582 --json")]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) step: StepArgs,
}

/// `diff`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "A version is a generation as `assets history` shows it (`3`), the beginning of a record's id \
(`4c1f`), or\n`previous`: the one before the other.\n\nExamples:\n  assets diff wide --run 7582\n  \
assets diff features --run 7582 --from 1\n  assets diff clean --run 7582 --from previous --to 3 --json")]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) step: StepArgs,
    /// The earlier version; default: the latest one before the other whose content differs
    #[arg(long, value_name = "VERSION")]
    pub(crate) from: Option<String>,
    /// The later version; default: the newest
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
}

/// How to draw a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Tree,
    Dot,
    Mermaid,
    Json,
}

/// `lineage`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets lineage stats --run 7582\n  \
assets lineage features.v1 --run 7582\n  \
assets lineage wide --run 7582 --format dot | dot -Tsvg > wide.svg")]
pub(crate) struct LineageArgs {
    #[command(flatten)]
    pub(crate) step: StepArgs,
    /// How to draw it
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    pub(crate) format: GraphFormat,
}

/// `graph`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets graph\n  assets graph --format mermaid")]
pub(crate) struct GraphArgs {
    /// How to draw it
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    pub(crate) format: GraphFormat,
}

/// `runs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets runs\n  assets runs --run '75*' --json")]
pub(crate) struct RunsArgs {
    /// Runs: an exact id, a unique beginning of one, or a pattern; repeatable; default: all
    #[arg(long = "run", alias = "partition", value_name = "RUN", allow_hyphen_values = true)]
    pub(crate) runs: Vec<String>,
}

/// `show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets show stats\n  \
assets show wide --run 7582 --head 5 --columns time,x_1,y_1\n  assets show rejects --run 7582 --json")]
pub(crate) struct ShowArgs {
    /// An asset or output
    #[arg(value_name = "ASSET")]
    pub(crate) asset: String,
    /// Runs: an exact id, a unique beginning of one, or a pattern; repeatable; default: all
    #[arg(long = "run", alias = "partition", value_name = "RUN", allow_hyphen_values = true)]
    pub(crate) runs: Vec<String>,
    /// Rows to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) head: usize,
    /// Columns to show, separated by commas
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
}

/// How to write a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    Table,
    Csv,
    Json,
    Parquet,
}

/// `sql`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  assets sql 'select * from stats'\n  \
assets sql 'select run_uuid, count(*) as n from wide group by run_uuid' --format csv\n  \
assets sql 'select * from features' --format parquet --output features.parquet")]
pub(crate) struct SqlArgs {
    /// One `select` or `with`
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// How to write the answer; default: what the name of the file ends in, else table
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<TableFormat>,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "F")]
    pub(crate) output: Option<PathBuf>,
}

/// `forget`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "What a vanished file brought stays, with a warning, until it comes back or is forgotten. A run that no other file\n\
delivers is gone then: the next build takes its tables down. Its versions stay, as any old versions do.\n\n\
Examples:\n  assets forget data/old.csv\n  assets forget data/old.csv --yes && assets materialize\n  \
assets forget 'data/2023-*' --yes"
)]
pub(crate) struct ForgetArgs {
    /// Files that are not there any more, as warnings name them, or patterns
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<String>,
    /// Do it; otherwise it is only shown
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `gc`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Never removed: what is published, and the newest version of every table. What is removed is made again \
when it is needed.\nWaits for builds and for whoever reads.\n\nExamples:\n  assets gc\n  assets gc --yes\n  \
assets gc --keep 1 --older-than 0s --yes\n  assets gc --max 50GB"
)]
pub(crate) struct GcArgs {
    /// Remove it; otherwise it is only shown
    #[arg(long)]
    pub(crate) yes: bool,
    /// Versions of each table that stay, the newest among them: going back to the settings of one costs nothing
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) keep: u16,
    /// What is younger stays: 90s, 30m, 12h, 7d
    #[arg(long, value_name = "AGE", default_value = "1d", value_parser = age)]
    pub(crate) older_than: Duration,
    /// The size that the store is not to exceed, such as 50GB or 200GiB; default: `store_max` of the settings
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) max: Option<u64>,
    /// Also tables that nothing declares any more
    #[arg(long)]
    pub(crate) undeclared: bool,
    /// Fail instead of waiting for builds and readers
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `pin`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "A pin keeps the tables that the steps have now, and those they are made from. Going back to their settings then\n\
computes nothing, however much was made since and whatever `gc` removed.\n\nExamples:\n  assets pin\n  assets pin paper-2026\n  \
assets pin release-3 features stats --run '75*'\n  assets pin release-3 --remove"
)]
pub(crate) struct PinArgs {
    /// What to call it; an earlier pin of that name is replaced. Without: lists pins
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Let it go
    #[arg(long)]
    pub(crate) remove: bool,
}

/// An age: a number with `s`, `m`, `h` or `d`.
fn age(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("write a number with s, m, h or d, such as 12h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write a number with s, m, h or d, such as 12h".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    not_negative(text).and_then(|n| if n > 0.0 { Ok(n) } else { Err("it has to be more than 0".to_owned()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("it has to be a number, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_declared_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
