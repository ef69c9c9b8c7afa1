//! Where a thing will be: a Kalman filter over its box, and what is known of how things move in this picture.
//!
//! Positions and sizes are in heights of the frame, across too, so that a length means the same in every direction;
//! times are in seconds. Position and size have a velocity each, disturbed by white noise; the four are independent, so
//! that the filter is four small ones. Standard deviations follow the size of the box, as in SORT (Bewley et al. 2016)
//! and DeepSORT (Wojke et al. 2017), whose constants for 30 frames a second are turned into rates here, since frames may
//! come unevenly.

/// A box in heights of the frame: centre and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

impl Place {
    /// What lengths are measured by: the mean of the sides.
    pub(super) fn size(&self) -> f64 {
        f64::midpoint(self.w, self.h)
    }

    /// Intersection over union, 0..=1.
    pub(super) fn iou(&self, other: &Self) -> f64 {
        let shared = |at: f64, side: f64, other_at: f64, other_side: f64| {
            let high = (at + side / 2.0).min(other_at + other_side / 2.0);
            (high - (at - side / 2.0).max(other_at - other_side / 2.0)).max(0.0)
        };
        let inter = shared(self.x, self.w, other.x, other.w) * shared(self.y, self.h, other.y, other.h);
        let union = self.w * self.h + other.w * other.h - inter;
        if union > 0.0 { inter / union } else { 0.0 }
    }
}

/// Deviation of a detection's position and size, in sizes of the box.
const SEEN: f64 = 0.05;
/// How far a thing may change its velocity, in sizes a second, within a second.
const WANDER: f64 = 1.0;
/// The same for the size of its box.
const GROWTH: f64 = 0.4;
/// Deviation of the velocity of a thing that nothing is known of, in sizes a second.
const UNKNOWN: f64 = 2.0;
/// No thing is predicted further ahead, in seconds: the deviations would say nothing any more.
const FURTHEST: f64 = 10.0;

/// A number that changes steadily, as it is believed to be.
#[derive(Debug, Clone, Copy)]
struct Axis {
    at: f64,
    speed: f64,
    /// Variance of `at`, covariance, variance of `speed`.
    var: [f64; 3],
}

impl Axis {
    fn new(at: f64, speed: f64, deviations: [f64; 2]) -> Self {
        Self { at, speed, var: [deviations[0].powi(2), 0.0, deviations[1].powi(2)] }
    }

    /// Lets `dt` seconds pass; `noise` is the spectral density of the acceleration.
    fn predict(&mut self, dt: f64, noise: f64) {
        let [p, c, v] = self.var;
        self.at += self.speed * dt;
        self.var = [
            p + 2.0 * dt * c + dt * dt * v + noise * dt.powi(3) / 3.0,
            c + dt * v + noise * dt * dt / 2.0,
            v + noise * dt,
        ];
    }

    /// Takes a measurement of this deviation.
    fn correct(&mut self, seen: f64, deviation: f64) {
        let [p, c, v] = self.var;
        let certainty = 1.0 / (p + deviation * deviation);
        let (gain, gain_speed) = (p * certainty, c * certainty);
        let surprise = seen - self.at;
        self.at += gain * surprise;
        self.speed += gain_speed * surprise;
        self.var = [(1.0 - gain) * p, (1.0 - gain) * c, v - gain_speed * c];
    }
}

/// Where one thing is believed to be.
#[derive(Debug, Clone)]
pub(super) struct Motion {
    x: Axis,
    y: Axis,
    w: Axis,
    h: Axis,
}

impl Motion {
    /// A thing that is seen for the first time.
    pub(super) fn new(seen: &Place, flow: &Flow) -> Self {
        let size = seen.size();
        let Common { velocity: [vx, vy], deviation } =
            flow.common().unwrap_or(Common { velocity: [0.0; 2], deviation: UNKNOWN * size });
        let still = |at| Axis::new(at, 0.0, [SEEN * size, GROWTH * size]);
        Self {
            x: Axis::new(seen.x, vx, [SEEN * size, deviation]),
            y: Axis::new(seen.y, vy, [SEEN * size, deviation]),
            w: still(seen.w),
            h: still(seen.h),
        }
    }

    /// Where it should be now.
    pub(super) fn place(&self) -> Place {
        // A shrinking box must not turn inside out.
        Place { x: self.x.at, y: self.y.at, w: self.w.at.max(1e-4), h: self.h.at.max(1e-4) }
    }

    /// Its velocity, in heights of the frame a second.
    pub(super) fn velocity(&self) -> [f64; 2] {
        [self.x.speed, self.y.speed]
    }

    /// Lets `dt` seconds pass.
    pub(super) fn predict(&mut self, dt: f64) {
        let dt = dt.clamp(0.0, FURTHEST);
        let size = self.place().size();
        for axis in [&mut self.x, &mut self.y] {
            axis.predict(dt, (WANDER * size).powi(2));
        }
        for axis in [&mut self.w, &mut self.h] {
            axis.predict(dt, (GROWTH * size).powi(2));
        }
    }

    /// Takes what was seen.
    pub(super) fn correct(&mut self, seen: &Place) {
        let deviation = SEEN * seen.size();
        self.x.correct(seen.x, deviation);
        self.y.correct(seen.y, deviation);
        self.w.correct(seen.w, deviation);
        self.h.correct(seen.h, deviation);
    }

    /// How far off its expected position a sighting is, squared, in deviations (Mahalanobis).
    pub(super) fn surprise(&self, seen: &Place) -> f64 {
        let noise = (SEEN * seen.size()).powi(2);
        let off = |axis: &Axis, seen: f64| (seen - axis.at).powi(2) / (axis.var[0] + noise);
        off(&self.x, seen.x) + off(&self.y, seen.y)
    }
}

/// How things move that all move alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Common {
    /// In heights of the frame a second.
    pub(super) velocity: [f64; 2],
    /// Deviation of a single thing from it.
    pub(super) deviation: f64,
}

/// Learns whether things move alike, as on a belt: then what enters the picture is expected to do so too.
#[derive(Debug, Clone, Default)]
pub(super) struct Flow {
    seen: u32,
    mean: [f64; 2],
    variance: f64,
}

/// How much the newest of many velocities counts.
const LEARNING: f64 = 0.02;
/// Velocities after which the flow is believed.
const ENOUGH: u32 = 30;
/// A flow is one where the deviations are this much smaller than the velocity.
const ALIKE: f64 = 3.0;

impl Flow {
    /// Learns from the velocity of a thing.
    pub(super) fn learn(&mut self, velocity: [f64; 2]) {
        self.seen = self.seen.saturating_add(1);
        let rate = LEARNING.max(1.0 / f64::from(self.seen));
        let off = [velocity[0] - self.mean[0], velocity[1] - self.mean[1]];
        self.mean = [self.mean[0] + rate * off[0], self.mean[1] + rate * off[1]];
        let squared = (off[0] * off[0] + off[1] * off[1]) / 2.0;
        self.variance += rate * ((1.0 - rate) * squared - self.variance);
    }

    /// How things move, where they move alike.
    pub(super) fn common(&self) -> Option<Common> {
        let speed = self.mean[0].hypot(self.mean[1]);
        let deviation = self.variance.max(0.0).sqrt();
        // Never quite certain: a thing may be the first that moves otherwise.
        let common = Common { velocity: self.mean, deviation: deviation.max(speed / 8.0) };
        (self.seen >= ENOUGH && speed > 0.0 && deviation * ALIKE < speed).then_some(common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn at(x: f64, y: f64) -> Place {
        Place { x, y, w: 0.2, h: 0.1 }
    }

    #[test]
    fn a_steady_thing_is_where_it_is_expected_also_when_frames_come_unevenly() {
        let mut motion = Motion::new(&at(0.0, 0.5), &Flow::default());
        let (mut random, mut time) = (Random(7), 0.0);
        for _ in 0..60 {
            let dt = 0.02 + 0.2 * random.unit();
            time += dt;
            motion.predict(dt);
            motion.correct(&at(0.3 * time, 0.5));
        }
        assert!((motion.velocity()[0] - 0.3).abs() < 0.005, "{motion:?}");
        motion.predict(1.0);
        assert!((motion.place().x - 0.3 * (time + 1.0)).abs() < 0.01, "{motion:?}");
        assert!((motion.place().w - 0.2).abs() < 0.005 && motion.velocity()[1].abs() < 0.005, "{motion:?}");
    }

    /// The mean squared surprise of measurements with the noise that the filter expects is about their dimension.
    #[test]
    fn deviations_are_what_they_claim() {
        let mut random = Random(3);
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..200 {
            let mut motion = Motion::new(&at(0.0, 0.5), &Flow::default());
            for i in 1..30 {
                motion.predict(0.1);
                let size = at(0.0, 0.0).size();
                let x = 0.03 * f64::from(i) + SEEN * size * random.normal();
                let seen = at(x, 0.5 + SEEN * size * random.normal());
                if i > 5 {
                    sum += motion.surprise(&seen);
                    count += 1.0;
                }
                motion.correct(&seen);
            }
        }
        let mean = sum / count;
        // Things that move steadily surprise less than the filter, which expects them not to, allows for.
        assert!((1.0..2.2).contains(&mean), "{mean}");
    }

    #[test]
    fn a_flow_is_known_where_things_move_alike() {
        let (mut belt, mut crowd, mut parked) = (Flow::default(), Flow::default(), Flow::default());
        let mut random = Random(5);
        for _ in 0..200 {
            belt.learn([0.2 + 0.01 * random.normal(), 0.005 * random.normal()]);
            crowd.learn([0.2 * random.normal(), 0.2 * random.normal()]);
            parked.learn([0.0, 0.0]);
        }
        let common = belt.common().expect("it is a belt");
        assert!((common.velocity[0] - 0.2).abs() < 0.01 && common.deviation < 0.05, "{common:?}");
        assert_eq!((crowd.common(), parked.common()), (None, None));
        let next = Motion::new(&at(0.0, 0.0), &belt);
        assert!((next.velocity()[0] - 0.2).abs() < 0.01);
    }

    #[test]
    fn overlap_is_that_of_the_boxes() {
        assert!((at(0.0, 0.0).iou(&at(0.1, 0.0)) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(at(0.0, 0.0).iou(&at(0.5, 0.0)), 0.0);
        assert_eq!(Place { w: 0.0, h: 0.0, ..at(0.0, 0.0) }.iou(&at(0.0, 0.0)), 0.0);
    }
}
