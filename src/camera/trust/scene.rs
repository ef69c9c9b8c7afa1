//! What stands still in a camera's view, and whether it is still where it was.
//!
//! The edges of each look are averaged. Those that vary little belong to what stands still; the looks that come are
//! compared with them, in place and moved by up to five cells, by the normalised cross-correlation (Lewis, "Fast
//! Normalized Cross-Correlation", 1995). People and parts that move through the picture hardly count.

use super::look::Look;

/// How far, in cells, a view is looked for elsewhere.
const REACH: usize = 5;
/// An edge weaker than this is none, in levels across two cells, down and across together.
const EDGE: f32 = 8.0;
/// An edge that varies by more than this share of its strength belongs to something that moves.
const STEADY: f32 = 0.5;
/// A view with fewer steady edges can't be told from another.
const ENOUGH: usize = 20;
/// A view that correlates so well is in its place, and need not be looked for elsewhere.
const IN_PLACE: f32 = 0.9;
/// How much better a view must fit elsewhere to count as moved.
const BETTER: f32 = 0.2;
/// A view that fits nowhere is another one.
const STRANGE: f32 = 0.3;
/// A view whose looks fit the reference less than this on average has nothing that stands still, only what looks random.
const FAMILIAR: f32 = 0.5;
/// How slowly the reference follows, in seconds.
const FOLLOWS: f32 = 60.0;

/// The edges that are compared with.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    width: usize,
    height: usize,
    mean: Vec<f32>,
    variance: Vec<f32>,
    looks: u16,
    /// How well looks fit on average; `None` before the second.
    usual: Option<f32>,
    /// Made from a picture that was given, and never changed.
    fixed: bool,
}

impl Scene {
    /// What a first look shows.
    pub fn of(look: &Look, fixed: bool) -> Self {
        let mean = edges(look);
        Self {
            width: look.width,
            height: look.height,
            variance: vec![0.0; mean.len()],
            mean,
            looks: 1,
            usual: None,
            fixed,
        }
    }

    /// How far the view has moved, as a share of its longer side; 1 where it is another view altogether. `None` where
    /// there is too little in it to tell, or its shape is another.
    pub fn moved(&self, look: &Look) -> Option<f32> {
        if (look.width, look.height) != (self.width, self.height) {
            return None;
        }
        let edges = edges(look);
        let steady = self.steady();
        if steady.len() < ENOUGH || (!self.fixed && self.usual.is_none_or(|usual| usual < FAMILIAR)) {
            return None;
        }
        let here = self.fits(&edges, &steady, 0, 0);
        if here >= IN_PLACE {
            return Some(0.0);
        }
        let reach = REACH as isize;
        let shifts = (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy)));
        let best =
            shifts.map(|(dx, dy)| (self.fits(&edges, &steady, dx, dy), dx, dy)).max_by(|a, b| a.0.total_cmp(&b.0));
        let longer = self.width.max(self.height) as f32;
        Some(match best {
            Some((fit, dx, dy)) if fit >= here + BETTER && fit > STRANGE => (dx as f32).hypot(dy as f32) / longer,
            _ if here < STRANGE => 1.0,
            _ => 0.0,
        })
    }

    /// Takes a look into the reference, `passed` seconds after the last.
    pub fn learn(&mut self, look: &Look, passed: f32) {
        if self.fixed || (look.width, look.height) != (self.width, self.height) {
            return;
        }
        let edges = edges(look);
        let fit = self.fits(&edges, &self.steady(), 0, 0);
        self.looks = self.looks.saturating_add(1);
        let share = (1.0 / f32::from(self.looks)).max(passed / FOLLOWS).min(1.0);
        let usual = self.usual.unwrap_or(fit);
        self.usual = Some(usual + share * (fit - usual));
        for ((mean, variance), edge) in self.mean.iter_mut().zip(&mut self.variance).zip(edges) {
            let off = edge - *mean;
            *mean += share * off;
            *variance = (1.0 - share) * (*variance + share * off * off);
        }
    }

    /// The cells with steady edges, away from the border by as much as a view is looked for.
    fn steady(&self) -> Vec<usize> {
        let inner = |at: usize, side: usize| at >= REACH && at + REACH < side;
        let is_steady = |at: &usize| {
            let (x, y) = (at % self.width, at / self.width);
            let (mean, variance) =
                (self.mean.get(*at).copied().unwrap_or(0.0), self.variance.get(*at).copied().unwrap_or(0.0));
            inner(x, self.width) && inner(y, self.height) && mean > EDGE && variance.sqrt() < STEADY * mean
        };
        (0..self.mean.len()).filter(is_steady).collect()
    }

    /// How well the steady edges fit to the look's edges so far away, -1..=1.
    fn fits(&self, edges: &[f32], steady: &[usize], dx: isize, dy: isize) -> f32 {
        let away = dy * self.width as isize + dx;
        let pairs = || {
            steady.iter().map(|at| {
                let there = edges.get(at.wrapping_add_signed(away)).copied().unwrap_or(0.0);
                (self.mean.get(*at).copied().unwrap_or(0.0), there)
            })
        };
        let n = steady.len().max(1) as f32;
        let (sum_a, sum_b) = pairs().fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
        let (mean_a, mean_b) = (sum_a / n, sum_b / n);
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (a, b) in pairs() {
            let (a, b) = (a - mean_a, b - mean_b);
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        ab / (aa * bb + 1e-6).sqrt()
    }
}

/// How strongly brightness changes at each cell; none at the border.
fn edges(look: &Look) -> Vec<f32> {
    let (width, height) = (look.width, look.height);
    let cell = |x: usize, y: usize| look.grey.get(y * width + x).copied().unwrap_or(0.0);
    let edge = |at: usize| {
        let (x, y) = (at % width, at / width);
        if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
            return 0.0;
        }
        (cell(x + 1, y) - cell(x - 1, y)).abs() + (cell(x, y + 1) - cell(x, y - 1)).abs()
    };
    (0..width * height).map(edge).collect()
}
