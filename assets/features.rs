//! `features`: `wide`, and per robot velocities, accelerations and the norm of the force.
//!
//! Each encoder is differentiated on its own samples, then aligned like a channel: differences on the union of all
//! sensors' timestamps would be steps and spikes.

use crate::align::Alignment;
use crate::channels::{self, Samples};
use crate::columns::{self as names, RUN};
use crate::kernels::derivative::{Method, differentiate_many};
use crate::sessions::{self, Session};
use crate::settings::{Derivative, DerivativeMethod, Sessions, Wide};
use assets_core::Reason;
use assets_core::record::Unavailable;
use assets_frames::{FrameAsset, Inputs, Outputs, columns};
use std::collections::BTreeMap;

/// Version of what follows; part of the fingerprint, with those of the kernels it uses.
pub const VERSION: &str = "features-1";

/// Derives features of a run.
pub struct Features {
    /// What splits a run.
    pub sessions: Sessions,
    /// How channels share a time axis.
    pub wide: Wide,
    /// How derivatives are made.
    pub derivative: Derivative,
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

/// Derivatives of the three channels of an encoder on their own samples, session by session.
pub fn native(samples: &[Samples], sessions: &[Session], robot: usize, method: &Method) -> [Native; 3] {
    let channels = channels::encoder(robot);
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

impl FrameAsset for Features {
    fn make(&self, inputs: &Inputs<'_>, outputs: &mut Outputs<'_>) -> Result<(), Reason> {
        let fields = names::wide_fields();
        let wanted: Vec<&str> = std::iter::once("time").chain(fields.iter().map(String::as_str)).collect();
        let wide = inputs.read("wide", &wanted)?;
        let derived = self.derived(inputs, &wide)?;
        let rows = wide.height();
        let wrong = derived.values().find(|values| values.len() != rows).map(|values| {
            let message = format!("a derived column has {} rows, wide has {rows}", values.len());
            Reason::new("row_count_differs", message).with("rows", values.len()).with("expected", rows)
        });
        outputs.check("features", "as_many_rows_as_wide", wrong)?;
        let unavailable = unavailable(inputs.unavailable("wide")?, &derived);
        let mut all = vec![columns::constant_text(RUN, inputs.key(RUN), rows)];
        all.extend(wide.columns().iter().cloned());
        for (name, ..) in names::feature_fields() {
            let values = derived.get(&name).cloned().unwrap_or_default();
            all.push(columns::floats_nan_null(&name, values));
        }
        outputs.write("features", columns::frame(all).map_err(|reason| reason.with("output", "features"))?)?;
        for column in unavailable {
            outputs.unavailable("features", &column.column, column.reason)?;
        }
        Ok(())
    }
}

impl Features {
    fn derived(
        &self,
        inputs: &Inputs<'_>,
        wide: &assets_frames::DataFrame,
    ) -> Result<BTreeMap<String, Vec<f64>>, Reason> {
        let samples = channels::read(inputs)?;
        let sessions = sessions::split(&samples, &self.sessions);
        let alignment = Alignment::new(&samples, &sessions, &self.wide)?;
        let method = self.derivative.kernel();
        let mut derived = BTreeMap::new();
        for robot in [1, 2] {
            let native = native(&samples, &sessions, robot, &method);
            for (letter, get) in
                [("v", (|n: &Native| &n.velocity) as fn(&Native) -> &Vec<f64>), ("a", |n| &n.acceleration)]
            {
                let channels = channels::encoder(robot);
                let aligned: [Vec<f64>; 3] =
                    [0, 1, 2].map(|axis| alignment.align(channels[axis], get(&native[axis]), true));
                let [x, y, z] = &aligned;
                derived.insert(format!("{letter}{robot}"), norm([x, y, z]));
                for (axis, values) in ["x", "y", "z"].into_iter().zip(aligned) {
                    derived.insert(format!("{letter}{axis}_{robot}"), values);
                }
            }
            let force = ["fx", "fy", "fz"].map(|field| columns::to_floats(wide, &format!("{field}_{robot}")));
            let [x, y, z] = force;
            derived.insert(format!("f{robot}"), norm([&x?, &y?, &z?]));
        }
        Ok(derived)
    }
}

/// The columns of `wide` that a feature rests on.
pub fn rests_on(feature: &str) -> Vec<String> {
    let robot = &feature[feature.len() - 1..];
    let fields: Vec<String> = match feature.as_bytes() {
        [b'f', _] => ["fx", "fy", "fz"].map(str::to_owned).to_vec(),
        [b'v' | b'a', axis @ (b'x' | b'y' | b'z'), ..] => vec![char::from(*axis).to_string()],
        _ => ["x", "y", "z"].map(str::to_owned).to_vec(),
    };
    fields.into_iter().map(|field| format!("{field}_{robot}")).collect()
}

/// Unavailability follows what a column rests on; a column that is null for no such reason has too few samples.
fn unavailable(wide: &[Unavailable], derived: &BTreeMap<String, Vec<f64>>) -> Vec<Unavailable> {
    let mut all: Vec<Unavailable> = wide.to_vec();
    for (name, ..) in names::feature_fields() {
        let inherited =
            rests_on(&name).iter().find_map(|column| wide.iter().find(|unavailable| unavailable.column == *column));
        let nothing = derived.get(&name).is_none_or(|values| values.iter().all(|v| v.is_nan()));
        let reason = match inherited {
            Some(inherited) => inherited.reason.clone(),
            None if nothing => Reason::new("too_few_samples", "there are too few samples in any session to derive it"),
            None => continue,
        };
        all.push(Unavailable { column: name, reason });
    }
    all
}
