//! Light, lens and sensor: from the scene's brightness to the bytes of the picture.

use super::maths::{Rng, Vec2, wave};

const STREAM_LIGHT: u64 = 20;
const STREAM_FLICKER: u64 = 21;
const STREAM_NOISE: u64 = 22;
const STREAM_SHAKE: u64 = 23;
/// Samples of sensor noise; every row of every frame starts at another.
const NOISE: usize = 1 << 15;

/// How the picture is taken at one instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exposure {
    /// Brightness, 1 on average.
    gain: f32,
    /// Brighter to the right (positive) or left.
    slant: f32,
    /// White balance.
    balance: [f32; 3],
    /// Seconds that the shutter is open.
    pub shutter: f32,
    /// Displacement of the camera, in units.
    pub shake: Vec2,
}

/// Light and camera of one seed and size.
#[derive(Debug)]
pub(super) struct Optics {
    seed: u64,
    width: usize,
    /// Vignette and pools of light: brightness a pixel.
    pools: Vec<f32>,
    noise: Vec<f32>,
    phases: [f32; 8],
    noise_level: f32,
}

impl Optics {
    #[allow(clippy::cast_precision_loss)]
    pub fn new(seed: u64, width: usize, height: usize) -> Self {
        let mut rng = Rng::new(seed, STREAM_LIGHT, 0);
        let phases = [0.0; 8].map(|_: f32| rng.unit());
        let vignette = rng.range(0.16, 0.34);
        let lamp = Vec2::new(rng.range(-0.6, 0.6), rng.range(-0.35, 0.35));
        let pool = rng.range(0.10, 0.30);
        let (w, h) = (width as f32, height as f32);
        let pools = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| {
                let p = Vec2::new((x as f32 + 0.5 - w / 2.0) * 2.0 / w, (y as f32 + 0.5 - h / 2.0) * 2.0 / w);
                let q = p - lamp;
                (1.0 - vignette * p.dot(p)) * (0.94 + pool / (1.0 + 2.2 * q.dot(q)))
            })
            .collect();
        let mut grain = Rng::new(seed, STREAM_NOISE, 0);
        let noise = (0..NOISE.max(width * 6)).map(|_| grain.normal()).collect();
        let noise_level = rng.range(0.006, 0.014);
        Self { seed, width, pools, noise, phases, noise_level }
    }

    /// How frame `n`, taken `time` seconds after the start, comes out.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn exposure(&self, n: u64, time: f64) -> Exposure {
        let slow = |period: f64, i: usize| wave(time / period + f64::from(self.phases[i % 8]));
        let drift = 0.11 * slow(47.0, 0) + 0.06 * slow(19.0, 1);
        let warm = 0.035 * slow(61.0, 2);
        let jolt = {
            // Now and then something heavy drops onto the machine.
            let (window, within) = ((time / 5.0).floor(), time - (time / 5.0).floor() * 5.0);
            let hit = Rng::new(self.seed, STREAM_SHAKE, window as u64).chance(0.2);
            if hit { (1.0 - within as f32 / 0.7).max(0.0) } else { 0.0 }
        };
        let sway = 0.25 + 1.5 * jolt;
        Exposure {
            gain: (1.02 + drift) * self.flicker(n, time),
            slant: 0.09 * slow(37.0, 3),
            balance: [1.0 + warm, 1.0, 1.0 - warm],
            shutter: 0.012 + 0.009 * slow(71.0, 4),
            shake: Vec2::new(sway * 0.7 * slow(0.173, 5), sway * slow(0.217, 6)),
        }
    }

    /// A lamp near its end: now and then it flickers for half a second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn flicker(&self, n: u64, time: f64) -> f32 {
        let window = (time / 6.0).floor();
        let mut rng = Rng::new(self.seed, STREAM_FLICKER, window as u64);
        let start = f64::from(rng.range(0.0, 5.0));
        let within = time - window * 6.0 - start;
        if rng.chance(0.22) && (0.0..0.6).contains(&within) {
            Rng::new(self.seed, STREAM_FLICKER, n.wrapping_add(1 << 48)).range(0.72, 1.06)
        } else {
            1.0
        }
    }

    /// Lights one row of the scene, adds the sensor's noise and writes the bytes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn develop(&self, exposure: &Exposure, n: u64, y: usize, scene: &[f32], out: &mut [u8]) {
        let span = self.noise.len() - self.width * 3;
        let from = Rng::new(self.seed, STREAM_NOISE, n.wrapping_mul(1 << 14).wrapping_add(y as u64 + 1)).below(span);
        let Some(pools) = self.pools.get(y * self.width..(y + 1) * self.width) else { return };
        let (left, step) =
            (exposure.gain * (1.0 - exposure.slant), exposure.gain * exposure.slant * 2.0 / self.width as f32);
        let [r, g, b] = exposure.balance;
        let lit = scene.as_chunks::<3>().0.iter().zip(pools);
        let bytes = out.as_chunks_mut::<3>().0.iter_mut();
        let grain = self.noise.get(from..).unwrap_or_default().as_chunks::<3>().0;
        for (x, ((o, (s, pool)), grain)) in bytes.zip(lit).zip(grain).enumerate() {
            let light = pool * (left + step * x as f32);
            let v = [s[0] * light * r, s[1] * light * g, s[2] * light * b];
            *o = [0, 1, 2].map(|c| {
                // Shot noise grows with the light.
                let v = v[c] + grain[c] * (self.noise_level + 0.012 * v[c]);
                (v * 255.0 + 0.5) as u8
            });
        }
    }
}

/// Blurs a row of RGB along the belt's motion over `length` pixels; `spare` has the same length.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn motion_blur(row: &[f32], length: f32, spare: &mut [f32]) {
    spare.copy_from_slice(row);
    if length <= 1.0 {
        return;
    }
    // A box of `length` pixels: whole pixels in the middle, a part of one at either end.
    let side = (length - 1.0) / 2.0;
    let taps = side.ceil() as usize;
    let weight = |k: usize| (side - (k as f32 - 1.0)).clamp(0.0, 1.0) / length;
    let middle = taps * 3..row.len().saturating_sub(taps * 3);
    let Some(out) = spare.get_mut(middle) else { return };
    for (o, v) in out.iter_mut().zip(row.iter().skip(taps * 3)) {
        *o = v / length;
    }
    for k in 1..=taps {
        let w = weight(k);
        let (before, after) = (row.iter().skip((taps - k) * 3), row.iter().skip((taps + k) * 3));
        for (o, (a, b)) in out.iter_mut().zip(before.zip(after)) {
            *o += w * (a + b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_blur_keeps_the_light_and_spreads_it() {
        let mut row = vec![0.0; 3 * 21];
        row[30..33].fill(1.0);
        let mut out = vec![0.0; row.len()];
        motion_blur(&row, 3.5, &mut out);
        let sum: f32 = out.iter().step_by(3).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!((out[30] - 1.0 / 3.5).abs() < 1e-6);
        assert!((out[36] - 0.25 / 3.5).abs() < 1e-6);
        motion_blur(&row, 0.5, &mut out);
        assert_eq!(row, out);
    }
}
