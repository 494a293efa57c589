//! Where the tools truly are, how they move and which forces act on them, as closed formulas. Clocks, noise and rounding come
//! later, in `samples`.

use std::f64::consts::{FRAC_PI_2, TAU};

use super::clock;
use super::plan::RunPlan;

/// By how much the tools have been moved when a pause ends, in mm.
pub const PAUSE_OFFSET_MM: [f64; 3] = [30.0, -20.0, 5.0];

/// What holds at one moment, without noise or rounding. Axes are x, y, z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// In mm.
    pub position: [f64; 3],
    /// In mm/s.
    pub velocity: [f64; 3],
    /// In mm/s².
    pub acceleration: [f64; 3],
    /// In N.
    pub force: [f64; 3],
}

/// `amplitude · sin(omega · t + phase)`.
#[derive(Debug, Clone)]
struct Wave {
    amplitude: f64,
    omega: f64,
    phase: f64,
}

/// A straight line with waves on it: easy to differentiate by hand, hence true.
#[derive(Debug, Clone)]
struct Curve {
    offset: f64,
    slope: f64,
    waves: Vec<Wave>,
}

impl Curve {
    fn value(&self, t: f64) -> f64 {
        let waves = self.waves.iter().map(|w| w.amplitude * (w.omega * t + w.phase).sin());
        self.offset + self.slope * t + waves.sum::<f64>()
    }

    fn slope(&self, t: f64) -> f64 {
        let waves = self.waves.iter().map(|w| w.amplitude * w.omega * (w.omega * t + w.phase).cos());
        self.slope + waves.sum::<f64>()
    }

    fn bend(&self, t: f64) -> f64 {
        let waves = self.waves.iter();
        waves.map(|w| -w.amplitude * w.omega * w.omega * (w.omega * t + w.phase).sin()).sum()
    }
}

/// The path of one robot's tool and the forces on it.
#[derive(Debug, Clone)]
pub struct Trajectory {
    start_us: i64,
    /// From when on, in µs since the start, the path is offset.
    moved_from_us: i64,
    axes: [Curve; 3],
    forces: [Curve; 3],
    /// Friction in N per mm/s, against the motion in the sheet's plane.
    drag: f64,
}

/// What distinguishes the two robots.
struct Robot {
    /// From the middle of robot 1's path to that of this one, in mm: the sheet lies between them.
    offset_mm: [f64; 3],
    radius: f64,
    lag_rad: f64,
    /// Of the load cell at rest, in N.
    force_n: [f64; 3],
    drag: f64,
}

const FORMING: Robot =
    Robot { offset_mm: [0.0; 3], radius: 1.0, lag_rad: 0.0, force_n: [176.1, 174.3, -258.2], drag: 0.35 };

const SUPPORTING: Robot =
    Robot { offset_mm: [-2.378, 2.458, -4.0], radius: 0.985, lag_rad: 0.02, force_n: [50.4, 61.7, -243.5], drag: 0.12 };

impl Trajectory {
    /// The trajectory of robot 2, or of robot 1 for any other number.
    pub fn new(plan: &RunPlan, robot: i64) -> Self {
        let which = if robot == 2 { &SUPPORTING } else { &FORMING };
        let motion = plan.shape.motion;
        let centre = |axis: usize| plan.shape.centre_mm[axis] + which.offset_mm[axis];
        let wave = |amplitude: f64, omega, phase| Wave { amplitude: amplitude * motion, omega, phase };
        let (x, y) = spiral(plan, which);
        let depth = -plan.shape.depth_mm_s * motion;
        // Deeper means stiffer: the press grows slowly; the ripple is the sheet springing.
        let press = |axis: usize, slope: f64, ripple: f64| Curve {
            offset: which.force_n[axis],
            slope: slope * motion,
            waves: vec![wave(ripple, 2.1, 0.7 + axis as f64)],
        };
        Self {
            start_us: plan.start_us,
            moved_from_us: clock::pause_us(plan).map_or(i64::MAX, |(_, to)| to),
            axes: [
                Curve { offset: centre(0), slope: 0.0, waves: x },
                Curve { offset: centre(1), slope: 0.0, waves: y },
                Curve { offset: centre(2), slope: depth, waves: vec![wave(0.8, 0.9, plan.shape.start_rad)] },
            ],
            forces: [press(0, 0.01, 2.0), press(1, 0.008, 2.0), press(2, -0.03, 4.0)],
            drag: which.drag,
        }
    }

    /// Everything true at a time in µs since 1970.
    pub fn at(&self, time_us: i64) -> Truth {
        let t = self.seconds(time_us);
        Truth {
            position: self.position(time_us),
            velocity: self.velocity(time_us),
            acceleration: self.axes.each_ref().map(|axis| axis.bend(t)),
            force: self.force(time_us),
        }
    }

    /// Position in mm at a time in µs since 1970.
    pub fn position(&self, time_us: i64) -> [f64; 3] {
        let t = self.seconds(time_us);
        let moved = f64::from(u8::from(time_us - self.start_us >= self.moved_from_us));
        std::array::from_fn(|axis| self.axes[axis].value(t) + moved * PAUSE_OFFSET_MM[axis])
    }

    /// Velocity in mm/s at a time in µs since 1970.
    pub fn velocity(&self, time_us: i64) -> [f64; 3] {
        let t = self.seconds(time_us);
        self.axes.each_ref().map(|axis| axis.slope(t))
    }

    /// Force in N at a time in µs since 1970: the press of the sheet and, within its plane, friction against the motion.
    pub fn force(&self, time_us: i64) -> [f64; 3] {
        let t = self.seconds(time_us);
        let [x, y, z] = &self.forces;
        [x.value(t) - self.drag * self.axes[0].slope(t), y.value(t) - self.drag * self.axes[1].slope(t), z.value(t)]
    }

    fn seconds(&self, time_us: i64) -> f64 {
        (time_us - self.start_us) as f64 / 1e6
    }
}

/// The waves of x and y: a circle whose radius breathes in and out (a spiral there and back), and a small wobble.
fn spiral(plan: &RunPlan, which: &Robot) -> (Vec<Wave>, Vec<Wave>) {
    let radius = plan.shape.radius_mm * which.radius * plan.shape.motion;
    let omega = plan.shape.speed_mm_s / plan.shape.radius_mm;
    let phase = plan.shape.start_rad - which.lag_rad;
    // The radius is r(1 + 2b·sin(st)); by the product formulas its breathing is a pair of waves of amplitude rb beside the circle's.
    let breath = 0.025 * radius;
    let slow = TAU / 300.0;
    let wave = |amplitude, omega, phase| Wave { amplitude, omega, phase };
    let wobble = |phase| wave(1.5 * plan.shape.motion, 1.7, phase);
    let x = vec![
        wave(radius, omega, phase + FRAC_PI_2),
        wave(breath, omega + slow, phase),
        wave(-breath, omega - slow, phase),
        wobble(phase),
    ];
    let y = vec![
        wave(radius, omega, phase),
        wave(breath, omega - slow, phase + FRAC_PI_2),
        wave(-breath, omega + slow, phase + FRAC_PI_2),
        wobble(phase + 1.0),
    ];
    (x, y)
}

/// What is true of a robot of a run at a time in µs since 1970. For many times of one robot make a [`Trajectory`] once.
pub fn truth(plan: &RunPlan, robot: i64, time_us: i64) -> Truth {
    Trajectory::new(plan, robot).at(time_us)
}

/// Length in mm of the true path of a robot from its encoder's first tick to its last, without what happens in a pause. It does
/// not ask whether the encoder's channels are delivered.
///
/// The speed is integrated by Simpson's rule in steps of 6 ms or less: the path's fastest wave takes seconds, so that the
/// error is far below a nanometre per metre.
pub fn true_path_length(plan: &RunPlan, robot: i64) -> f64 {
    let path = Trajectory::new(plan, robot);
    let encoder = if robot == 2 { 2 } else { 0 };
    clock::stretches(plan, encoder)
        .into_iter()
        .map(|(from, to)| path.length(plan.start_us + from, plan.start_us + to))
        .sum()
}

impl Trajectory {
    /// Length in mm between two ticks of an encoder, given in µs since 1970.
    fn length(&self, from_us: i64, to_us: i64) -> f64 {
        let speed = |time_us| self.velocity(time_us).iter().map(|v| v * v).sum::<f64>().sqrt();
        let half = clock::ENCODER_PERIOD_US / 2;
        let panels = (to_us - from_us) / clock::ENCODER_PERIOD_US;
        let mut sum = 0.0;
        let mut left = speed(from_us);
        for panel in 0..panels {
            let middle = from_us + panel * clock::ENCODER_PERIOD_US + half;
            let right = speed(middle + half);
            sum += left + 4.0 * speed(middle) + right;
            left = right;
        }
        sum * half as f64 / 1e6 / 3.0
    }
}
