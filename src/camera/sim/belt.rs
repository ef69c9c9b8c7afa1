//! What lies behind the parts: the belt, which moves, and the rails beside it, which do not.

use super::maths::{Rng, Vec2, lerp, smooth_step, value_noise};

/// Width of a rail, in units.
pub(super) const RAIL: f32 = 26.0;
/// Pixels that a texture reaches beyond the frame on each side, for the camera's shake.
pub(super) const PAD: usize = 4;
const STREAM_BELT: u64 = 10;

/// A grey picture that is sampled between its pixels.
#[derive(Debug)]
struct Layer {
    stride: usize,
    rows: usize,
    grey: Vec<f32>,
}

impl Layer {
    fn new(stride: usize, rows: usize, mut paint: impl FnMut(usize, usize) -> f32) -> Self {
        let grey = (0..rows).flat_map(|y| (0..stride).map(move |x| (x, y))).map(|(x, y)| paint(x, y)).collect();
        Self { stride, rows, grey }
    }

    /// Fills `out` with the row at (`x`, `y`), bilinear. What reaches beyond takes the last pixel.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn sample(&self, x: f64, y: f32, out: &mut [f32]) {
        let y = y.clamp(0.0, (self.rows.max(2) - 2) as f32);
        let x = x.clamp(0.0, (self.stride.saturating_sub(out.len() + 1)) as f64);
        let (x0, y0) = (x.floor() as usize, y.floor() as usize);
        let (fx, fy) = ((x - x.floor()) as f32, y - y.floor());
        let row = |r: usize| self.grey.get(r * self.stride + x0..r * self.stride + x0 + out.len() + 1);
        let (Some(top), Some(bottom)) = (row(y0), row(y0 + 1)) else { return };
        let (a, b) = ((1.0 - fx) * (1.0 - fy), fx * (1.0 - fy));
        let (c, d) = ((1.0 - fx) * fy, fx * fy);
        for (o, (t, u)) in out.iter_mut().zip(top.windows(2).zip(bottom.windows(2))) {
            *o = a * t[0] + b * t[1] + c * u[0] + d * u[1];
        }
    }
}

/// Belt and rails of one seed and size.
#[derive(Debug)]
pub(super) struct Background {
    belt: Layer,
    rails: Layer,
    /// After so many pixels the belt's texture begins anew.
    period: usize,
    /// Rows of the frame that show rail, at the top and at the bottom each.
    pub rail_rows: usize,
    height: usize,
    tint: [f32; 3],
    row: Vec<f32>,
}

impl Background {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn new(seed: u64, width: usize, height: usize, pixels: f32) -> Self {
        let mut rng = Rng::new(seed, STREAM_BELT, 0);
        let period = 2 * width;
        let rail_rows = (RAIL * pixels).round() as usize;
        let painter = BeltPainter::new(&mut rng, period as f32 / pixels, height as f32 / pixels);
        let rows = height + 2 * PAD;
        let unit = |x: usize, y: usize| Vec2::new((x as f32 + 0.5) / pixels, (y as f32 + 0.5 - PAD as f32) / pixels);
        let mut belt =
            Layer::new(period + width + 2, rows, |x, y| if x < period { painter.grey(unit(x, y)) } else { 0.0 });
        for row in belt.grey.chunks_exact_mut(period + width + 2) {
            row.copy_within(0..width + 2, period);
        }
        let frame_height = height as f32 / pixels;
        let grain = rng.next_u64();
        let rails = Layer::new(width + 2 * PAD + 2, rows, |x, y| {
            let p = unit(x, y);
            rail_grey(Vec2::new(p.x, p.y.min(frame_height - p.y)), grain)
        });
        let tint = rng.pick([[0.70, 1.05, 0.86], [0.90, 0.99, 1.10], [0.97, 1.0, 1.04], [0.70, 0.98, 1.02]]);
        Self { belt, rails, period, rail_rows, height, tint, row: vec![0.0; width] }
    }

    /// Paints the whole canvas (RGB, row by row), the belt advanced by `travel` pixels, all shifted by `shake`.
    #[allow(clippy::cast_precision_loss)]
    pub fn paint(&mut self, canvas: &mut [f32], travel: f64, shake: Vec2) {
        const RAIL_TINT: [f32; 3] = [0.97, 1.0, 1.035];
        let width = self.row.len();
        let advanced = (-travel - f64::from(shake.x)).rem_euclid(self.period as f64);
        for (y, out) in canvas.chunks_exact_mut(width * 3).enumerate() {
            let from = y as f32 + PAD as f32 - shake.y;
            let rail = y < self.rail_rows || y + self.rail_rows >= self.height;
            let tint = if rail {
                self.rails.sample(PAD as f64 - f64::from(shake.x), from, &mut self.row);
                RAIL_TINT
            } else {
                self.belt.sample(advanced, from, &mut self.row);
                self.tint
            };
            for (rgb, &g) in out.as_chunks_mut::<3>().0.iter_mut().zip(&self.row) {
                *rgb = tint.map(|t| g * t);
            }
        }
    }
}

struct BeltPainter {
    seed: u64,
    /// Length of the texture and height of the frame, in units.
    size: Vec2,
    base: f32,
    seam: f32,
    stains: Vec<(Vec2, f32, f32)>,
    scuffs: Vec<(Vec2, Vec2, f32)>,
}

impl BeltPainter {
    fn new(rng: &mut Rng, length: f32, height: f32) -> Self {
        let spot = |rng: &mut Rng| Vec2::new(rng.range(0.0, length), rng.range(RAIL, height - RAIL));
        let stains = (0..16).map(|_| (spot(rng), rng.range(6.0, 34.0), rng.range(0.06, 0.22))).collect();
        let scuffs = (0..34)
            .map(|_| {
                let at = spot(rng);
                let along = Vec2::new(rng.range(-46.0, 46.0), rng.range(-7.0, 7.0));
                (at, along, rng.range(-0.03, 0.06))
            })
            .collect();
        Self {
            seed: rng.next_u64(),
            size: Vec2::new(length, height),
            base: rng.range(0.17, 0.25),
            seam: rng.range(0.2, 0.8) * length,
            stains,
            scuffs,
        }
    }

    fn noise(&self, p: Vec2, cell: Vec2, stream: u64) -> f32 {
        // A whole number of cells, so that the texture closes.
        #[allow(clippy::cast_possible_truncation)]
        let cells = (self.size.x / cell.x).round().max(1.0) as i64;
        #[allow(clippy::cast_precision_loss)]
        let q = Vec2::new(p.x / self.size.x * cells as f32, p.y / cell.y);
        value_noise(self.seed.wrapping_add(stream), q, Some(cells)) - 0.5
    }

    /// The shortest way along the closed belt from `from` to `x`.
    fn along(&self, x: f32, from: f32) -> f32 {
        let d = x - from;
        d - self.size.x * (d / self.size.x).round()
    }

    fn grey(&self, p: Vec2) -> f32 {
        let weave = {
            // Twill: diagonal ribs, broken every other one.
            let u = (p.x + p.y) / 5.0;
            let v = (p.x - p.y) / 10.0;
            let rib = ((u - u.floor()) - 0.5).abs() * 2.0;
            let side = ((v - v.floor()) - 0.5).abs() * 2.0;
            (rib - 0.5) * 0.055 * (0.5 + side)
        };
        let worn = 0.30 * self.noise(p, Vec2::new(150.0, 80.0), 1)
            + 0.16 * self.noise(p, Vec2::new(220.0, 7.0), 2)
            + 0.10 * self.noise(p, Vec2::new(18.0, 15.0), 3)
            + 0.13 * self.noise(p, Vec2::new(1.3, 1.3), 4);
        let mut grey = self.base * (1.0 + worn + 1.3 * weave);
        for &(at, radius, depth) in &self.stains {
            let d = Vec2::new(self.along(p.x, at.x), p.y - at.y).length();
            if d < radius * 1.5 {
                let ragged = d + radius * 0.5 * self.noise(p, Vec2::new(9.0, 9.0), 5);
                grey *= 1.0 - depth * (1.0 - smooth_step(radius * 0.55, radius, ragged));
            }
        }
        for &(at, along, gain) in &self.scuffs {
            let v = Vec2::new(self.along(p.x, at.x), p.y - at.y);
            if v.x.abs() < 60.0 && v.y.abs() < 12.0 {
                let t = (v.dot(along) / along.dot(along).max(1.0)).clamp(0.0, 1.0);
                grey += gain * (1.0 - smooth_step(0.2, 1.4, (v - along * t).length())) * t;
            }
        }
        let splice = self.along(p.x, self.seam + (p.y - self.size.y / 2.0) * 0.25).abs();
        let seam =
            (1.0 - smooth_step(0.8, 2.0, splice)) * 0.45 - (1.0 - smooth_step(0.6, 1.6, (splice - 4.0).abs())) * 0.12;
        grey *= 1.0 - seam;
        let speck = self.noise(p, Vec2::new(2.4, 2.4), 6);
        grey += 0.5 * smooth_step(0.484, 0.499, speck);
        // The rails throw a shadow on the belt's edges.
        let edge = p.y.min(self.size.y - p.y) - RAIL;
        grey * lerp(0.30, 1.0, smooth_step(-1.0, 11.0, edge))
    }
}

/// An aluminium profile with a groove and screws; `p.y` is the distance from the frame's edge.
fn rail_grey(p: Vec2, grain: u64) -> f32 {
    const SCREWS: f32 = 160.0;
    let brushed = value_noise(grain, Vec2::new(p.x * 0.02, p.y * 1.6), None) - 0.5
        + 0.5 * (value_noise(grain ^ 1, Vec2::new(p.x * 0.3, p.y * 2.3), None) - 0.5);
    let mut grey = 0.50 + 0.05 * brushed + 0.08 * smooth_step(RAIL, 0.0, p.y);
    let groove = smooth_step(4.6, 5.4, p.y) * (1.0 - smooth_step(8.6, 9.4, p.y));
    grey = lerp(grey, 0.20, groove);
    grey += 0.16 * (1.0 - smooth_step(0.2, 1.0, (p.y - 10.0).abs()));
    let lip = smooth_step(RAIL - 4.6, RAIL - 3.8, p.y);
    grey += 0.17 * lip - 0.22 * (1.0 - smooth_step(0.2, 1.0, (p.y - RAIL + 4.6).abs()));
    let x = (p.x / SCREWS - (p.x / SCREWS).floor() - 0.5) * SCREWS;
    let r = Vec2::new(x, p.y - 15.6).length();
    let screw = 1.0 - smooth_step(3.6, 4.2, r);
    let ring = 1.0 - smooth_step(0.2, 0.9, (r - 4.4).abs());
    let socket = 1.0 - smooth_step(1.5, 2.1, r);
    grey = lerp(grey, 0.62 - 0.03 * x, screw);
    lerp(lerp(grey, 0.26, ring * 0.8), 0.14, socket)
}
