//! Functions of one value, applied by the kernels that produce it or on their own.

/// Evenly spaced values, `scale` times the whole numbers from `low` to `high`: those that quantised integers stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Distance between neighbours, from 1e-30 to 1e30.
    pub scale: f32,
    /// The least, a whole number within ±2^22, in steps from 0.
    pub low: f32,
    /// The greatest, likewise.
    pub high: f32,
}

impl Grid {
    /// The nearest value, of two the even one.
    #[must_use]
    pub fn nearest(self, x: f32) -> f32 {
        (x / self.scale).max(self.low).min(self.high).round_ties_even() * self.scale
    }
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x`.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, min), max)`.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// `x` where positive, else `slope * x`.
    LeakyRelu {
        /// Factor of negative values.
        slope: f32,
    },
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `x * max(0, min(1, x / 6 + 1 / 2))`.
    HardSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `exp(x)`.
    Exp,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * tanh(ln(1 + exp(x)))`.
    Mish,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
    GeluTanh,
    /// The nearest value of a grid, of two the even one.
    Quantise(Grid),
    /// `x / (1 + exp(-x))` as quantised models compute it: `x`, its sigmoid and their product each on a grid.
    QuantisedSilu {
        /// That of the argument.
        x: Grid,
        /// That of its sigmoid.
        gate: Grid,
        /// That of the product.
        product: Grid,
    },
}

impl Activation {
    /// The function of one value.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::Clip { min, max } => x.max(min).min(max),
            Self::LeakyRelu { slope } => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Exp => x.exp(),
            Self::Tanh => x.tanh(),
            Self::Mish => x * x.exp().ln_1p().tanh(),
            Self::GeluTanh => {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Quantise(grid) => grid.nearest(x),
            Self::QuantisedSilu { x: grid, gate, product } => {
                let x = grid.nearest(x);
                product.nearest(x * gate.nearest(Self::Sigmoid.apply(x)))
            }
        }
    }
}
