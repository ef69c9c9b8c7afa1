//! Activations on vectors. The exponential reduces its argument to `n ln 2 + r` and uses the polynomial for `r` of
//! Cephes' `expf`; `tanhf` near 0 is from the same library. Relative errors stay below 1e-6.

use std::sync::Arc;

use super::simd::{Inner, Simd};
use super::{Activation, Grid};

/// Adding and subtracting 1.5 * 2^23 rounds numbers within ±2^22 to the nearest integer, of two to the even one.
const ROUND: f32 = 12_582_912.0;

/// `exp(x)` of `x` held between `low` and `high`, which lie within -104 and 89.5.
#[inline(always)]
fn exp<const B: usize, S: Simd<B>>(s: S, x: S::V, low: f32, high: f32) -> S::V {
    let x = s.min(s.splat(high), s.max(s.splat(low), x));
    let n = s.sub(s.mul_add(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND)), s.splat(ROUND));
    let r = s.mul_add(n, s.splat(-0.693_359_4), x);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = s.mul_add(p, r, s.splat(c));
    }
    let p = s.add(s.mul_add(p, s.mul(r, r), r), s.splat(1.0));
    s.scale(p, n)
}

#[inline(always)]
fn sigmoid<const B: usize, S: Simd<B>>(s: S, x: S::V) -> S::V {
    let e = exp(s, s.sub(s.splat(0.0), x), -100.0, 80.0);
    s.reciprocal(s.add(e, s.splat(1.0)))
}

#[inline(always)]
fn tanh<const B: usize, S: Simd<B>>(s: S, x: S::V) -> S::V {
    let z = s.mul(x, x);
    let mut p = s.splat(-5.704_988_7e-3);
    for c in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = s.mul_add(p, z, s.splat(c));
    }
    let near = s.mul_add(p, s.mul(x, z), x);
    let e = exp(s, s.add(x, x), -100.0, 80.0);
    let far = s.sub(s.splat(1.0), s.mul(s.splat(2.0), s.reciprocal(s.add(e, s.splat(1.0)))));
    s.select_less(z, s.splat(0.390_625), near, far)
}

/// `x tanh(ln(1 + e^x)) = x (e^2 + 2e) / (e^2 + 2e + 2)` with `e = exp(x)`; above 20 the quotient is 1.
#[inline(always)]
fn mish<const B: usize, S: Simd<B>>(s: S, x: S::V) -> S::V {
    let e = exp(s, x, -100.0, 20.0);
    let q = s.mul(e, s.add(e, s.splat(2.0)));
    s.mul(x, s.mul(q, s.reciprocal(s.add(q, s.splat(2.0)))))
}

/// Holds `x` between two bounds; what is not a number stays so.
#[inline(always)]
pub fn clamp<const B: usize, S: Simd<B>>(s: S, x: S::V, low: S::V, high: S::V) -> S::V {
    s.min(high, s.max(low, x))
}

/// The whole number of steps to the nearest value of a grid. What lies beyond the grid is brought to its ends first, so
/// that all that is divided is a number of ordinary size.
#[inline(always)]
fn steps<const B: usize, S: Simd<B>>(s: S, x: S::V, grid: Grid) -> S::V {
    let x = clamp(s, x, s.splat(grid.low * grid.scale), s.splat(grid.high * grid.scale));
    let steps = s.quotient(x, s.splat(grid.scale), s.splat(1.0 / grid.scale));
    s.sub(s.add(steps, s.splat(ROUND)), s.splat(ROUND))
}

#[inline(always)]
fn quantise<const B: usize, S: Simd<B>>(s: S, x: S::V, grid: Grid) -> S::V {
    s.mul(steps(s, x, grid), s.splat(grid.scale))
}

/// The activation of one vector.
#[inline(always)]
fn apply<const B: usize, S: Simd<B>>(s: S, activation: Activation, x: S::V) -> S::V {
    match activation {
        Activation::None => x,
        Activation::Relu => s.max(s.splat(0.0), x),
        Activation::Clip { min, max } => clamp(s, x, s.splat(min), s.splat(max)),
        Activation::LeakyRelu { slope } => s.select_less(x, s.splat(0.0), s.mul(x, s.splat(slope)), x),
        Activation::HardSigmoid { alpha, beta } => {
            clamp(s, s.mul_add(x, s.splat(alpha), s.splat(beta)), s.splat(0.0), s.splat(1.0))
        }
        Activation::HardSwish => {
            let gate = s.mul_add(x, s.splat(1.0 / 6.0), s.splat(0.5));
            s.mul(x, clamp(s, gate, s.splat(0.0), s.splat(1.0)))
        }
        Activation::Sigmoid => sigmoid(s, x),
        Activation::Silu => s.mul(x, sigmoid(s, x)),
        Activation::Exp => exp(s, x, -104.0, 89.5),
        Activation::Tanh => tanh(s, x),
        Activation::Mish => mish(s, x),
        Activation::GeluTanh => {
            // tanh(u) = 2 sigmoid(2u) - 1
            let twice = s.mul(s.mul_add(s.mul(x, x), s.splat(0.071_354_82), s.splat(1.595_769)), x);
            s.mul(x, sigmoid(s, twice))
        }
        Activation::Quantise(grid) => quantise(s, x, grid),
        Activation::QuantisedSilu { x: grid, gate, product } => {
            let x = quantise(s, x, grid);
            quantise(s, s.mul(x, quantise(s, sigmoid(s, x), gate)), product)
        }
    }
}

/// Applies an activation to vectors in place.
#[inline(always)]
pub fn activate<const B: usize, S: Simd<B>>(s: S, activation: Activation, vectors: &mut [[f32; B]]) {
    if activation != Activation::None {
        s.vectorize(Activate { activation, vectors });
    }
}

/// One loop for each function, compiled once for all kernels that end with them.
struct Activate<'a, const B: usize> {
    activation: Activation,
    vectors: &'a mut [[f32; B]],
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Activate<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { activation, vectors } = self;
        macro_rules! loops {
            ($($pattern:pat),*) => {
                match activation {
                    Activation::None => {}
                    $($pattern => for x in vectors { s.store(x, apply(s, activation, s.load(x))); },)*
                }
            };
        }
        loops!(
            Activation::Relu,
            Activation::Clip { .. },
            Activation::LeakyRelu { .. },
            Activation::HardSigmoid { .. },
            Activation::HardSwish,
            Activation::Sigmoid,
            Activation::Silu,
            Activation::Exp,
            Activation::Tanh,
            Activation::Mish,
            Activation::GeluTanh,
            Activation::Quantise(_),
            Activation::QuantisedSilu { .. }
        );
    }
}

/// A function of the values of a grid, computed once for each.
#[derive(Debug)]
struct Table {
    grid: Grid,
    values: [f32; 256],
}

impl Table {
    /// For functions that cost more than to find a value here; on grids of more than 256 values there are none.
    fn new(activation: Activation) -> Option<Self> {
        let Activation::QuantisedSilu { x: grid, .. } = activation else { return None };
        let values = std::array::from_fn(|i| activation.apply((grid.low + i as f32).min(grid.high) * grid.scale));
        (grid.high - grid.low <= 255.0).then_some(Self { grid, values })
    }
}

/// Applies a table to vectors in place.
struct LookUp<'a, const B: usize> {
    table: &'a Table,
    vectors: &'a mut [[f32; B]],
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for LookUp<'_, B> {
    #[inline(always)]
    fn run(self, s: S) {
        let Table { grid, values } = self.table;
        for x in self.vectors {
            let place = s.sub(steps(s, s.load(x), *grid), s.splat(grid.low));
            s.store(x, s.pick(values, place));
        }
    }
}

/// What follows the sums of a convolution.
#[derive(Debug, Clone)]
pub struct Epilogue {
    /// Bounds that the kernel applies in registers.
    pub bounds: (f32, f32),
    /// What is left to apply once the values are written.
    rest: Activation,
    /// The same as a table, where that is faster.
    table: Option<Arc<Table>>,
}

impl Epilogue {
    /// Splits an activation.
    pub fn new(activation: Activation) -> Self {
        let all = (f32::NEG_INFINITY, f32::INFINITY);
        let (bounds, rest) = match activation {
            Activation::Relu => ((0.0, f32::INFINITY), Activation::None),
            Activation::Clip { min, max } => ((min, max), Activation::None),
            other => (all, other),
        };
        Self { bounds, rest, table: Table::new(rest).map(Arc::new) }
    }

    /// Applies the rest to values just written, and adds the residual's values for them.
    #[inline(always)]
    pub fn finish<const B: usize, S: Simd<B>>(
        &self,
        s: S,
        values: &mut [[f32; B]],
        residual: Option<(&[[f32; B]], Activation)>,
    ) {
        match &self.table {
            Some(table) => s.vectorize(LookUp { table, vectors: values }),
            None => activate(s, self.rest, values),
        }
        if let Some((residual, after)) = residual {
            for (x, r) in values.iter_mut().zip(residual) {
                s.store(x, s.add(s.load(x), s.load(r)));
            }
            activate(s, after, values);
        }
    }
}
