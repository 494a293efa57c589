//! `assets.toml`: every parameter, typed and validated. An unknown key is an error that suggests the nearest.

use crate::definitions::{Asset, Feature, InOrder};
use crate::files;
use assets_core::{Reason, suggest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is there besides what this file defines.
    pub pipeline: Shipped,
    /// Patterns of source files, relative to the file.
    pub sources: Vec<String>,
    /// The store's folder, relative to the file.
    pub store: String,
    /// The size that `gc` keeps the store below, such as `200GiB`.
    pub store_max: Option<String>,
    /// Memory that sources and steps may take, such as `2GiB`; three quarters of the machine's where not set.
    pub memory: Option<String>,
    /// Steps at once; three more than there are cores where not set.
    pub workers: Option<usize>,
    /// IANA name for times without a zone.
    pub timezone: Option<String>,
    /// Further columns, kept per run in `stats` and compared in `fleet`.
    pub run_attributes: Vec<String>,
    /// What is left out.
    pub clean: Clean,
    /// What splits a run.
    pub sessions: Sessions,
    /// How channels share a time axis.
    pub wide: Wide,
    /// How velocities and accelerations are made.
    pub derivative: Derivative,
    /// Offsets of forces.
    pub tare: Tare,
    /// Statistics.
    pub stats: Stats,
    /// Allowed range per column of `wide`: values outside are rejected as `out_of_range`.
    pub limits: BTreeMap<String, [f64; 2]>,
    /// Spellings of run ids that mean another.
    pub run_alias: BTreeMap<String, String>,
    /// Further columns of `features`, in the order of the file.
    pub features: InOrder<Feature>,
    /// Further assets.
    pub assets: InOrder<Asset>,
}

/// With less, steps of a usual run would not fit.
const MEMORY_LEAST: u64 = 256 << 20;

impl Settings {
    /// Bytes of memory that sources and steps may take.
    pub fn memory_bytes(&self) -> u64 {
        let asked = self.memory.as_deref().and_then(|size| assets_cli::size::parse(size).ok());
        asked.unwrap_or_else(|| assets_frames::foreign::memory_bytes() / 4 * 3)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pipeline: Shipped::Telemetry,
            sources: vec!["data/*.parquet".into(), "data/*.csv".into()],
            store: "warehouse".into(),
            store_max: None,
            memory: None,
            workers: None,
            timezone: None,
            run_attributes: vec!["cell_id".into()],
            clean: Clean::default(),
            sessions: Sessions::default(),
            wide: Wide::default(),
            derivative: Derivative::default(),
            tare: Tare::default(),
            stats: Stats::default(),
            limits: BTreeMap::new(),
            run_alias: BTreeMap::new(),
            features: InOrder::default(),
            assets: InOrder::default(),
        }
    }
}

/// The pipeline that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shipped {
    /// It is there, and what the file defines beside it.
    Telemetry,
    /// Only what the file defines.
    None,
}

/// `[clean]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clean {
    /// `off` or `hampel`.
    pub outliers: Outliers,
    /// Window of the Hampel filter, ms.
    pub hampel_window_ms: f64,
    /// Its threshold in robust standard deviations.
    pub hampel_k: f64,
    /// Floor of its scale for positions, mm: the encoder's resolution.
    pub resolution_mm: f64,
    /// Floor of its scale for forces, N.
    pub resolution_n: f64,
    /// What is otherwise for one channel, by its column of `wide`.
    pub channels: BTreeMap<String, CleanChannel>,
}

/// `[clean.channels.fx_1]`: what is not set is as in `[clean]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanChannel {
    /// `off` or `hampel`.
    pub outliers: Option<Outliers>,
    /// Window of the Hampel filter, ms.
    pub hampel_window_ms: Option<f64>,
    /// Its threshold in robust standard deviations.
    pub hampel_k: Option<f64>,
}

impl Clean {
    /// The Hampel filter of a channel: window in ms and threshold; `None` where it is off.
    pub fn hampel(&self, column: &str) -> Option<(f64, f64)> {
        let own = self.channels.get(column).cloned().unwrap_or_default();
        let is_on = own.outliers.unwrap_or(self.outliers) == Outliers::Hampel;
        let window_ms = own.hampel_window_ms.unwrap_or(self.hampel_window_ms);
        is_on.then(|| (window_ms, own.hampel_k.unwrap_or(self.hampel_k)))
    }
}

impl Default for Clean {
    fn default() -> Self {
        let outliers = Outliers::Off;
        let (hampel_window_ms, hampel_k, channels) = (250.0, 3.0, BTreeMap::new());
        Self { outliers, hampel_window_ms, hampel_k, resolution_mm: 0.001, resolution_n: 0.1, channels }
    }
}

/// Whether outliers are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outliers {
    /// Contact spikes are real.
    Off,
    /// By a Hampel filter.
    Hampel,
}

impl Outliers {
    /// As the settings say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hampel => "hampel",
        }
    }
}

/// `[sessions]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// A silence of all channels longer than this splits a run, s.
    pub session_gap_s: f64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { session_gap_s: 10.0 }
    }
}

/// How channels are brought to one time axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Linear in time; looks ahead.
    Linear,
    /// The last known value; causal.
    Previous,
    /// Median per bin.
    Grid,
    /// Nearby rows collapse into one.
    Merge,
}

/// What stands in gaps longer than `max_gap_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGap {
    /// Filled like others, and listed.
    Fill,
    /// Null, and listed.
    Null,
}

/// `[wide]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wide {
    /// How channels share a time axis.
    pub method: Method,
    /// Width of a bin, ms (`grid`).
    pub grid_ms: f64,
    /// Rows this close collapse, ms (`merge`).
    pub merge_ms: f64,
    /// Gaps longer than this are listed, ms; 5 median periods of the channel where not set.
    pub max_gap_ms: Option<f64>,
    /// What stands in them.
    pub on_gap: OnGap,
}

impl Default for Wide {
    fn default() -> Self {
        Self { method: Method::Linear, grid_ms: 20.0, merge_ms: 5.0, max_gap_ms: None, on_gap: OnGap::Fill }
    }
}

/// How derivatives are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DerivativeMethod {
    /// Local least squares over a window.
    Savgol,
    /// Differences to both sides.
    Central,
    /// Differences to the past; causal.
    Backward,
}

/// `[derivative]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Derivative {
    /// How.
    pub method: DerivativeMethod,
    /// Window of `savgol`, ms.
    pub window_ms: f64,
    /// Order of its polynomial, 2 to 4.
    pub order: usize,
}

impl Default for Derivative {
    fn default() -> Self {
        Self { method: DerivativeMethod::Savgol, window_ms: 250.0, order: 3 }
    }
}

/// `[tare]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tare {
    /// Subtract the mean of the run's first seconds from every force; off where not set.
    pub first_s: Option<f64>,
    /// Offset to subtract per force column, N, such as `fx_1 = 1.5`; wins over `first_s`.
    pub offsets_n: BTreeMap<String, f64>,
}

/// `[stats]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stats {
    /// Dead band of the corrected path length, mm: about three standard deviations of the encoder's noise.
    pub dead_band_mm: f64,
}

impl Default for Stats {
    fn default() -> Self {
        Self { dead_band_mm: 0.01 }
    }
}

impl Settings {
    /// Reads and checks a settings file's text. The reason says where it is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Reason> {
        let settings: Self = toml::from_str(text).map_err(|error| parse_reason(&error, text, path))?;
        let checked = settings.validate().and_then(|()| settings.only_what_counts(text));
        checked.map_err(|reason| {
            let message = format!("{}: {}", path.display(), reason.message);
            Reason { message, ..reason }
        })?;
        Ok(settings)
    }

    fn validate(&self) -> Result<(), Reason> {
        let bad = |key: &str, message: String| Err(Reason::new("bad_setting", message).with("setting", key));
        files::check(self)?;
        let positive = [
            ("sessions.session_gap_s", self.sessions.session_gap_s),
            ("wide.grid_ms", self.wide.grid_ms),
            ("wide.merge_ms", self.wide.merge_ms),
            ("derivative.window_ms", self.derivative.window_ms),
            ("clean.hampel_window_ms", self.clean.hampel_window_ms),
            ("clean.hampel_k", self.clean.hampel_k),
            ("wide.max_gap_ms", self.wide.max_gap_ms.unwrap_or(1.0)),
            ("tare.first_s", self.tare.first_s.unwrap_or(1.0)),
        ];
        // At least a microsecond, the unit of time; at most what an i64 of microseconds takes without overflow.
        if let Some((key, value)) = positive.iter().find(|(_, v)| !(*v >= 0.001 && *v <= 1e12)) {
            return bad(key, format!("{key} = {value} is not a positive number that makes sense (0.001 to 1e12)"));
        }
        let not_negative = [
            ("clean.resolution_mm", self.clean.resolution_mm),
            ("clean.resolution_n", self.clean.resolution_n),
            ("stats.dead_band_mm", self.stats.dead_band_mm),
        ];
        if let Some((key, value)) = not_negative.iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            return bad(key, format!("{key} = {value} must be a number of at least 0"));
        }
        if !(2..=4).contains(&self.derivative.order) {
            return bad("derivative.order", format!("derivative.order = {} must be 2, 3 or 4", self.derivative.order));
        }
        if let Some(Err(message)) = self.store_max.as_deref().map(assets_cli::size::parse) {
            return bad("store_max", message);
        }
        match self.memory.as_deref().map(assets_cli::size::parse) {
            Some(Err(message)) => return bad("memory", message),
            Some(Ok(bytes)) if bytes < MEMORY_LEAST => {
                return bad("memory", "less than 256MiB would not hold the tables of one run".into());
            }
            _ => {}
        }
        if self.workers == Some(0) {
            return bad(
                "workers",
                "workers = 0 would make nothing; leave it out for three more than there are cores".into(),
            );
        }
        self.validate_names()
    }

    fn validate_names(&self) -> Result<(), Reason> {
        let bad = |key: String, message: String| Err(Reason::new("bad_setting", message).with("setting", key));
        let fields = crate::columns::wide_fields();
        for (name, channel) in &self.clean.channels {
            let key = format!("clean.channels.{name}");
            if !fields.contains(name) {
                let hint = suggest::hint(name, fields.iter().map(String::as_str));
                return bad(key.clone(), format!("{key}: no such channel{hint}"));
            }
            let numbers = [("hampel_window_ms", channel.hampel_window_ms), ("hampel_k", channel.hampel_k)];
            if let Some((what, value)) = numbers.iter().find(|(_, v)| v.is_some_and(|v| !(0.001..=1e12).contains(&v))) {
                let value = value.unwrap_or_default();
                let message =
                    format!("{key}.{what} = {value} is not a positive number that makes sense (0.001 to 1e12)");
                return bad(format!("{key}.{what}"), message);
            }
        }
        for (name, [low, high]) in &self.limits {
            if !fields.contains(name) {
                let hint = suggest::hint(name, fields.iter().map(String::as_str));
                return bad(format!("limits.{name}"), format!("limits.{name}: no such column{hint}"));
            }
            if low.partial_cmp(high) != Some(std::cmp::Ordering::Less) {
                return bad(format!("limits.{name}"), format!("limits.{name}: {low} is not below {high}"));
            }
        }
        for (name, offset) in &self.tare.offsets_n {
            if !(fields.contains(name) && name.starts_with('f') && offset.is_finite()) {
                let forces = fields.iter().map(String::as_str).filter(|field| field.starts_with('f'));
                let hint = suggest::hint(name, forces);
                return bad(format!("tare.offsets_n.{name}"), format!("tare.offsets_n.{name}: no such force{hint}"));
            }
        }
        for (from, to) in &self.run_alias {
            if let Err(problem) = assets_core::key::usable_key(to) {
                return bad(format!("run_alias.{from}"), format!("run_alias.{from}: `{to}` can't be a run: {problem}"));
            }
        }
        if let Some(zone) = &self.timezone
            && zone.parse::<chrono_tz::Tz>().is_err()
        {
            return bad("timezone".into(), format!("timezone = \"{zone}\" is not an IANA name such as Europe/Berlin"));
        }
        let taken = [crate::columns::stats(&[]), crate::columns::unusual(&[])].concat();
        let raw = crate::columns::raw(&[]);
        for (at, name) in self.run_attributes.iter().enumerate() {
            if self.run_attributes[..at].contains(name) {
                return bad("run_attributes".into(), format!("run_attributes: `{name}` is there twice"));
            }
            if name == crate::fleet::ALL {
                return bad("run_attributes".into(), "run_attributes: `all` stands for all runs in `fleet`".into());
            }
            let is_taken = taken.iter().chain(&raw).any(|column| column.name == *name);
            if is_taken || name.is_empty() {
                return bad("run_attributes".into(), format!("run_attributes: `{name}` is a column already"));
            }
        }
        Ok(())
    }
}

fn parse_reason(error: &toml::de::Error, text: &str, path: &Path) -> Reason {
    let line = error
        .span()
        .map(|span| text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1);
    let place = line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()));
    let message = error.message().replace("expected a sequence", "expected a list, in brackets");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let reason = match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => {
            let known: Vec<&str> = quoted.collect();
            let hint = suggest::hint(unknown, known.iter().copied());
            let hint = if hint.is_empty() { format!("; there are {}", known.join(", ")) } else { hint };
            Reason::new("unknown_setting", format!("{place}: there is no setting `{unknown}`{hint}"))
                .with("setting", unknown)
        }
        _ => Reason::new("bad_setting", format!("{place}: {}", message.replace('\n', "; "))),
    };
    let reason = reason.with("path", path.display().to_string());
    line.map_or(reason.clone(), |line| reason.with("line", line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Reason {
        Settings::parse(text, Path::new("assets.toml")).expect_err("wrong settings")
    }

    #[test]
    fn wrong_settings_say_where_and_what_was_meant() {
        let unknown = error("[wide]\nmetod = \"linear\"\n");
        assert_eq!(unknown.code, "unknown_setting");
        assert!(unknown.message.contains("did you mean `method`?") && unknown.message.contains("assets.toml:2"));
        assert!(error("[limits]\nfx_9 = [0, 1]").message.contains("did you mean"));
        assert_eq!(error("[derivative]\norder = 7").code, "bad_setting");
        assert_eq!(error("[wide]\ngrid_ms = 0").code, "bad_setting");
        assert_eq!(error("[wide]\nmethod = \"cubic\"").code, "bad_setting");
        assert_eq!(error("timezone = \"Mars\"").code, "bad_setting");
        assert_eq!(error("[assets.x]\ndescription = \"nothing\"").code, "bad_setting");
        assert_eq!(error("[features.x]\nexp = \"1\"").code, "unknown_setting");
    }

    /// The settings file with its lines uncommented: those that say defaults, and those that are examples where asked.
    fn uncommented(examples: bool) -> String {
        let text = crate::project::settings_file(&["data/*.parquet".into(), "data/*.csv".into()]);
        let lines = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with('[') || setting.contains(" = ") => setting,
            _ => line,
        });
        lines.filter(|line| examples || !line.contains("# an example")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_commented_file_says_the_defaults_and_its_examples_are_right() {
        let parse = |text: &str| Settings::parse(text, Path::new("assets.toml")).expect("valid settings");
        assert_eq!(parse(&uncommented(false)), Settings::default());
        let examples = parse(&uncommented(true));
        assert_eq!((examples.workers, examples.features.0.len(), examples.assets.0.len()), (Some(2), 1, 4));
    }
}
