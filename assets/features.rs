//! `features`: `wide`, and per robot velocities, accelerations and the norm of the force. A further feature is a line in
//! the function `features`.
//!
//! Each encoder is differentiated on its own samples, then aligned like a channel: differences on the union of all
//! sensors' timestamps would be steps and spikes.

use crate::align::Alignment;
use crate::channels::{CHANNELS, Samples};
use crate::columns::{self as names, RUN};
use crate::functions::{Around, functions};
use crate::kernels::derivative::{Method, differentiate_many};
use crate::sessions::{self, Session};
use crate::settings::{Derivative, DerivativeMethod, Wide};
use crate::versions;
use crate::wide::{self, ALIGNING, samples_of};
use assets_core::executor::StepRequest;
use assets_core::{AssetDecl, AssetName, ColumnDecl, Kind, PartRead, Reason};
use assets_frames::aligned::{AlignedAsset, AlignedTable, Defined, Kernel, Row};
use assets_frames::expression::{Definition, define};
use assets_frames::polars::prelude::col;
use assets_frames::{FrameAsset, Inputs, Outputs, columns};
use std::sync::Arc;

/// Version of what kernels of this file compute, raised whenever a result changes; expressions need none.
pub const VERSION: u32 = 1;
/// Parameters of derivatives.
pub const DERIVING: [&str; 3] = ["derivative.method", "derivative.window_ms", "derivative.order"];

/// Derives features of a run.
pub struct Features {
    asset: AlignedAsset,
}

impl Features {
    /// The code of `features` over its table.
    pub fn new(table: Arc<AlignedTable>) -> Self {
        Self { asset: AlignedAsset::new(vec![table]) }
    }
}

impl FrameAsset for Features {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        self.asset.make(inputs, outputs)?;
        // Columns of another length don't make a table.
        outputs.check("features", "as_many_rows_as_wide", None)
    }

    fn memory(&self, asset: &AssetDecl, request: &StepRequest, held_rows: u64) -> Option<u64> {
        self.asset.memory(asset, request, held_rows)
    }
}

/// The derived columns, in order. What can be said as an expression over other columns is one line here.
fn features(derived: impl Fn(&str) -> Kernel) -> Vec<Defined> {
    let float = |name: &str, unit: &str, about: &str| ColumnDecl::new(name, Kind::Float, unit, about);
    let norm = |letter: &str, robot: usize| {
        let square = |axis: &str| col(format!("{letter}{axis}_{robot}")) * col(format!("{letter}{axis}_{robot}"));
        (square("x") + square("y") + square("z")).sqrt()
    };
    let mut features = Vec::new();
    for (letter, unit, what) in [("v", "mm/s", "velocity"), ("a", "mm/s²", "acceleration")] {
        for (robot, axis) in [1, 2].into_iter().flat_map(|robot| ["x", "y", "z"].map(|axis| (robot, axis))) {
            let name = format!("{letter}{axis}_{robot}");
            let about = format!("{what} of robot {robot} along {axis}, from its own samples");
            features.push(Defined::kernel(float(&name, unit, &about), derived(&name)));
        }
        for robot in [1, 2] {
            let about = format!("norm of the {what} vector of robot {robot}");
            features.push(Defined::expr(float(&format!("{letter}{robot}"), unit, &about), norm(letter, robot)));
        }
    }
    features.push(Defined::expr(float("f1", "N", "norm of the force on robot 1"), norm("f", 1)));
    features.push(Defined::expr(float("f2", "N", "norm of the force on robot 2"), norm("f", 2)));
    features
}

/// The table `features`, with `further` columns at its end, and those that are defined by text.
pub fn table(
    name: AssetName,
    from: &AssetName,
    around: &Around,
    further: Vec<Defined>,
    definitions: &[Definition],
) -> Result<AlignedTable, Reason> {
    let too_few = Reason::new("too_few_samples", "there are too few samples in any session to derive it");
    let copied = names::wide().into_iter().filter(|decl| decl.name != RUN).map(|decl| Defined::copy(decl, from));
    let derived = |name: &str| {
        let position = CHANNELS.iter().position(|channel| channel.column() == name[1..]).unwrap_or(0);
        let order = if name.starts_with('v') { Order::First } else { Order::Second };
        let inputs = [&around.clean, &around.sessions];
        derived(position, order, inputs, around.wide.clone(), around.derivative.kernel())
    };
    let derived = features(derived).into_iter().map(|feature| feature.when_null(too_few.clone()));
    let mut columns: Vec<Defined> = copied.chain(derived).chain(further).collect();
    let known: Vec<ColumnDecl> = columns.iter().map(|column| column.decl().clone()).collect();
    columns.extend(define(definitions, &known, &[RUN], &functions(around))?);
    AlignedTable::new(name, columns, Some("time"))
}

/// Which derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Per second: a velocity of a position.
    First,
    /// Per second squared: an acceleration of a position.
    Second,
}

/// `vx_1` and its like: the derivative of a channel on its own samples, aligned; known where the channel is.
pub fn derived(
    channel: usize,
    order: Order,
    [clean, sessions]: [&AssetName; 2],
    settings: Wide,
    method: Method,
) -> Kernel {
    let own = CHANNELS[channel].column();
    let what = if order == Order::First { "velocity" } else { "acceleration" };
    let versions = format!("{} {}", deriving(), wide::aligning());
    let bounds = ["start_time", "stop_time"].map(|column| PartRead::column(sessions, column));
    let uses = own.clone();
    let run = move |row: &Row<'_>| {
        let alignment = Alignment::of(row.inputs, &settings)?;
        let native = native_of(row.inputs, channel / 3, &method)?;
        let native = &native[channel % 3];
        let values = if order == Order::First { &native.velocity } else { &native.acceleration };
        let mut values = alignment.align(channel, values, true);
        let known = row.column(&own)?;
        if known.null_count() > 0 {
            let known = known.is_not_null();
            values
                .iter_mut()
                .zip(known.iter())
                .filter(|(_, known)| *known != Some(true))
                .for_each(|(v, _)| *v = f64::NAN);
        }
        Ok(columns::floats_nan_null(what, values))
    };
    Kernel::new(what, &versions, run)
        .params(ALIGNING)
        .params(DERIVING)
        .reads(samples_of(clean, &CHANNELS[channel]))
        .aligned_by(bounds)
        .uses([uses.as_str()])
        .along(["time"])
}

/// Versions of what differentiates a channel.
pub fn deriving() -> String {
    format!("{} {}", versions::own("features"), versions::all(&["derivative", "sessions"]))
}

/// Derivatives of one channel at each of its samples, NaN where unknown.
#[derive(Debug, Clone, Default)]
pub struct Native {
    /// mm/s.
    pub velocity: Vec<f64>,
    /// mm/s².
    pub acceleration: Vec<f64>,
    /// Samples where `central` stood in for `savgol`.
    pub fallback: usize,
}

impl Derivative {
    /// The kernel's way of saying it.
    pub fn kernel(&self) -> Method {
        match self.method {
            DerivativeMethod::Savgol => {
                Method::Savgol { window_us: (self.window_ms * 1000.0).round() as i64, order: self.order }
            }
            DerivativeMethod::Central => Method::Central,
            DerivativeMethod::Backward => Method::Backward,
        }
    }
}

/// Derivatives of a sensor's three channels (channel `c` belongs to sensor `c / 3`), made once a step.
pub fn native_of(inputs: &Inputs<'_>, sensor: usize, method: &Method) -> Result<Arc<[Native; 3]>, Reason> {
    inputs.shared(&format!("derivatives of {sensor}"), || {
        let recorded = sessions::read(inputs)?;
        Ok(native(&recorded.samples, &recorded.sessions, sensor, method))
    })
}

/// Derivatives of the three channels of a sensor on their own samples, session by session.
fn native(samples: &[Samples], sessions: &[Session], sensor: usize, method: &Method) -> [Native; 3] {
    let channels = [0, 1, 2].map(|axis| sensor * 3 + axis);
    let mut out = channels.map(|channel| Native {
        velocity: vec![f64::NAN; samples[channel].ts.len()],
        acceleration: vec![f64::NAN; samples[channel].ts.len()],
        fallback: 0,
    });
    for session in sessions {
        let mut done = [false; 3];
        for axis in 0..3 {
            let ts = session.ts(samples, channels[axis]);
            if done[axis] || ts.is_empty() {
                continue;
            }
            // Fields that share their times share the fit's weights.
            let alike: Vec<usize> =
                (axis..3).filter(|other| !done[*other] && session.ts(samples, channels[*other]) == ts).collect();
            let values: Vec<&[f64]> = alike.iter().map(|other| session.vs(samples, channels[*other])).collect();
            for (other, derivatives) in alike.iter().zip(differentiate_many(ts, &values, method)) {
                let range = session.samples[channels[*other]].clone();
                out[*other].velocity[range.clone()].copy_from_slice(&derivatives.velocity);
                out[*other].acceleration[range].copy_from_slice(&derivatives.acceleration);
                out[*other].fallback += derivatives.fallback;
                done[*other] = true;
            }
        }
    }
    out
}

/// The Euclidean norm of three components; NaN where one is unknown.
pub fn norm(components: [&[f64]; 3]) -> Vec<f64> {
    let [x, y, z] = components;
    x.iter().zip(y).zip(z).map(|((x, y), z)| (x * x + y * y + z * z).sqrt()).collect()
}
