//! Random numbers, noise and trigonometry that give the same bits on every platform.
//!
//! `f32::sin` and its kin come from the platform's C library and differ in the last digit from one to the next;
//! a simulated frame must not. Only `+ - * /`, `sqrt` and rounding are used here, which IEEE 754 fixes.

use std::f64::consts::{FRAC_PI_2, TAU};

/// A point or direction, x to the right and y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vec2 {
    pub x: f32,
    pub y: f32,
}

impl Vec2 {
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    pub fn length(self) -> f32 {
        (self.x * self.x + self.y * self.y).sqrt()
    }

    pub fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// Itself turned by the angle whose sine and cosine are given.
    pub fn turned(self, (sin, cos): (f32, f32)) -> Self {
        Self::new(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }
}

impl std::ops::Add for Vec2 {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self::new(self.x + o.x, self.y + o.y)
    }
}

impl std::ops::Sub for Vec2 {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self::new(self.x - o.x, self.y - o.y)
    }
}

impl std::ops::Mul<f32> for Vec2 {
    type Output = Self;
    fn mul(self, k: f32) -> Self {
        Self::new(self.x * k, self.y * k)
    }
}

/// Mixes 64 bits so that every input bit moves every output bit (the finaliser of `SplitMix64`).
pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `SplitMix64`, started at a place that (seed, stream, index) names: any item can be drawn without those before it.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64, stream: u64, index: u64) -> Self {
        let named = mix(seed ^ 0x6F63_656C_6C75_7321);
        Self(mix(mix(named ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)) ^ mix(index)))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in 0..1.
    #[allow(clippy::cast_precision_loss)] // 24 bits fit
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / 16_777_216.0
    }

    /// Uniform in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next_u64() % (n.max(1) as u64)).unwrap_or(0)
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// One of a choice that is not empty.
    pub fn pick<T: Copy, const N: usize>(&mut self, choice: [T; N]) -> T {
        choice[self.below(N)]
    }

    /// Roughly normal, mean 0 and deviation 1: the sum of four uniform numbers.
    pub fn normal(&mut self) -> f32 {
        (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 1.732
    }
}

/// Sine and cosine, exact to about 1e-9.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn sin_cos(angle: f64) -> (f32, f32) {
    let quarters = (angle / FRAC_PI_2).round();
    let r = angle - quarters * FRAC_PI_2;
    let r2 = r * r;
    let s = r * (1.0 - r2 / 6.0 * (1.0 - r2 / 20.0 * (1.0 - r2 / 42.0 * (1.0 - r2 / 72.0))));
    let c = 1.0 - r2 / 2.0 * (1.0 - r2 / 12.0 * (1.0 - r2 / 30.0 * (1.0 - r2 / 56.0 * (1.0 - r2 / 90.0))));
    let (sin, cos) = match quarters.rem_euclid(4.0) as u8 {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    };
    (sin as f32, cos as f32)
}

/// A sine wave by its phase in turns.
pub(super) fn wave(turns: f64) -> f32 {
    sin_cos((turns - turns.floor()) * TAU).0
}

/// The angle of a direction in turns, -0.5..=0.5, exact to about 2e-5.
pub(super) fn turns_of(v: Vec2) -> f32 {
    let (ax, ay) = (v.x.abs(), v.y.abs());
    let big = ax.max(ay);
    if big <= 0.0 {
        return 0.0;
    }
    let t = ax.min(ay) / big;
    let t2 = t * t;
    let a = t * (0.159_154_9 - t2 * (0.052_83 - t2 * (0.029_98 - t2 * (0.015_2 - t2 * 0.003_9))));
    let a = if ay > ax { 0.25 - a } else { a };
    let a = if v.x < 0.0 { 0.5 - a } else { a };
    if v.y < 0.0 { -a } else { a }
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn smooth_step(low: f32, high: f32, v: f32) -> f32 {
    let t = ((v - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// `a` at 0, `b` at 1.
pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Smooth noise in 0..1 over a lattice of unit cells; with `period` cells it repeats in x.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn value_noise(seed: u64, p: Vec2, period: Option<i64>) -> f32 {
    let (fx, fy) = (p.x.floor(), p.y.floor());
    let (ix, iy) = (fx as i64, fy as i64);
    let corner = |dx: i64, dy: i64| {
        let x = period.map_or(ix + dx, |n| (ix + dx).rem_euclid(n.max(1)));
        let at =
            (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((iy + dy) as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        (mix(at ^ seed) >> 40) as f32 / 16_777_216.0
    };
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (ease(p.x - fx), ease(p.y - fy));
    let top = lerp(corner(0, 0), corner(1, 0), tx);
    let bottom = lerp(corner(0, 1), corner(1, 1), tx);
    lerp(top, bottom, ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_agree_with_the_standard_library() {
        for i in -4000..4000 {
            let a = f64::from(i) * 0.0137;
            let (s, c) = sin_cos(a);
            assert!((f64::from(s) - a.sin()).abs() < 1e-6, "sin {a}");
            assert!((f64::from(c) - a.cos()).abs() < 1e-6, "cos {a}");
        }
    }

    #[test]
    fn angles_agree_with_the_standard_library() {
        for i in 1..1000 {
            let a = (f64::from(i) - 500.0) / 1000.0 * TAU;
            let (s, c) = sin_cos(a);
            let turns = f64::from(turns_of(Vec2::new(c, s)));
            assert!((turns - a / TAU).abs() < 1e-4, "{turns} is not {}", a / TAU);
        }
        assert_eq!(turns_of(Vec2::new(0.0, 0.0)).to_bits(), 0.0_f32.to_bits());
    }

    #[test]
    fn random_numbers_are_fixed_and_spread() {
        let mut rng = Rng::new(1, 2, 3);
        assert_eq!(rng.next_u64(), Rng::new(1, 2, 3).next_u64());
        assert_ne!(Rng::new(1, 2, 3).next_u64(), Rng::new(1, 2, 4).next_u64());
        assert_ne!(Rng::new(1, 2, 3).next_u64(), Rng::new(1, 3, 3).next_u64());
        let mean = (0..10_000).map(|_| rng.unit()).sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let spread = (0..10_000).map(|_| rng.normal().powi(2)).sum::<f32>() / 10_000.0;
        assert!((spread - 1.0).abs() < 0.06, "{spread}");
    }

    #[test]
    fn noise_repeats_with_its_period() {
        let a = value_noise(7, Vec2::new(0.3, 2.7), Some(16));
        let b = value_noise(7, Vec2::new(16.3, 2.7), Some(16));
        assert!((a - b).abs() < 1e-4);
        assert!((0.0..=1.0).contains(&a));
    }
}
