//! Arithmetic, activations, comparisons, logic, casts.

use burn::backend::ops::{ActivationOps, BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch as B, DispatchTensor, Scalar};
use burn::tensor::FloatDType;

use super::execute::{Operands, Outcome};
use super::transfer::Types;
use crate::lower::step::{Binary, Compare, Kind, Logic, Unary};

/// Largest integer exponent that is worked out by multiplication, which is exact for negative numbers too;
/// shaders know powers of positive numbers only.
const MULTIPLIED_POWERS: u32 = 16;

pub(super) fn unary(unary: Unary, kind: Kind, x: DispatchTensor) -> DispatchTensor {
    match unary {
        Unary::Clamp { min, max } if kind == Kind::Int => B::int_clamp(x, integer(min.into()), integer(max.into())),
        Unary::Abs => B::float_abs(x),
        Unary::Ceil => B::float_ceil(x),
        Unary::Clamp { min, max } => clamp(x, min, max),
        Unary::Cos => B::float_cos(x),
        Unary::Erf => B::float_erf(x),
        Unary::Exp => B::float_exp(x),
        Unary::Floor => B::float_floor(x),
        Unary::Gelu => B::gelu(x),
        Unary::GeluTanh { exponent } => gelu_tanh(x, exponent),
        Unary::HardSwish => hard_swish(x),
        Unary::LeakyRelu { slope } => B::leaky_relu(x, float(slope)),
        Unary::Ln => B::float_log(x),
        Unary::Mish => mish(x),
        Unary::Neg => B::float_neg(x),
        Unary::Power { exponent } => power(x, exponent),
        Unary::Recip => B::float_recip(x),
        Unary::RoundToEven => B::float_round(x),
        Unary::Rsqrt => B::float_recip(B::float_sqrt(x)),
        Unary::Sigmoid => B::sigmoid(x),
        Unary::Sign => B::float_sign(x),
        Unary::Silu => B::float_mul(x.clone(), B::sigmoid(x)),
        Unary::Sin => B::float_sin(x),
        Unary::Softplus => softplus(x),
        Unary::Sqrt => B::float_sqrt(x),
        Unary::Square => B::float_mul(x.clone(), x),
        Unary::Tanh => B::float_tanh(x),
    }
}

pub(super) fn binary(binary: Binary, mut operands: Operands, types: Types) -> Outcome<DispatchTensor> {
    let kind = operands.kind();
    let (x, y) = (operands.take()?, operands.take()?);
    Ok(match (kind, binary) {
        (Kind::Float, Binary::Add) => B::float_add(x, y),
        (Kind::Float, Binary::Sub) => B::float_sub(x, y),
        (Kind::Float, Binary::SubFrom) => B::float_sub(y, x),
        (Kind::Float, Binary::Mul) => B::float_mul(x, y),
        (Kind::Float, Binary::Div) => B::float_div(x, y),
        (Kind::Float, Binary::Pow) => B::float_powf(x, y),
        (Kind::Float, Binary::Max) => {
            let smaller = B::float_lower(x.clone(), y.clone(), types.bool);
            B::float_mask_where(x, smaller, y)
        }
        (Kind::Float, Binary::Min) => {
            let larger = B::float_greater(x.clone(), y.clone(), types.bool);
            B::float_mask_where(x, larger, y)
        }
        (Kind::Int, Binary::Add) => B::int_add(x, y),
        (Kind::Int, Binary::Sub) => B::int_sub(x, y),
        (Kind::Int, Binary::SubFrom) => B::int_sub(y, x),
        (Kind::Int, Binary::Mul) => B::int_mul(x, y),
        (Kind::Int, Binary::Div) => B::int_div(x, y),
        (Kind::Int, Binary::Rem) => B::int_remainder(x, y),
        (Kind::Int, Binary::Max) => {
            let smaller = B::int_lower(x.clone(), y.clone(), types.bool);
            B::int_mask_where(x, smaller, y)
        }
        (Kind::Int, Binary::Min) => {
            let larger = B::int_greater(x.clone(), y.clone(), types.bool);
            B::int_mask_where(x, larger, y)
        }
        _ => return Err(unknown(binary, kind)),
    })
}

pub(super) fn binary_scalar(binary: Binary, kind: Kind, x: DispatchTensor, number: f64) -> Outcome<DispatchTensor> {
    let y = scalar(kind, number);
    Ok(match (kind, binary) {
        (Kind::Float, Binary::Add) => B::float_add_scalar(x, y),
        (Kind::Float, Binary::Sub) => B::float_sub_scalar(x, y),
        (Kind::Float, Binary::SubFrom) => B::float_add_scalar(B::float_neg(x), y),
        (Kind::Float, Binary::Mul) => B::float_mul_scalar(x, y),
        (Kind::Float, Binary::Div) => B::float_div_scalar(x, y),
        (Kind::Float, Binary::Max) => B::float_clamp_min(x, y),
        (Kind::Float, Binary::Min) => B::float_clamp_max(x, y),
        (Kind::Float, Binary::Pow) => power(x, number as f32),
        (Kind::Int, Binary::Add) => B::int_add_scalar(x, y),
        (Kind::Int, Binary::Sub) => B::int_sub_scalar(x, y),
        (Kind::Int, Binary::SubFrom) => B::int_add_scalar(B::int_neg(x), y),
        (Kind::Int, Binary::Mul) => B::int_mul_scalar(x, y),
        (Kind::Int, Binary::Div) => B::int_div_scalar(x, y),
        (Kind::Int, Binary::Rem) => B::int_remainder_scalar(x, y),
        (Kind::Int, Binary::Max) => B::int_clamp_min(x, y),
        (Kind::Int, Binary::Min) => B::int_clamp_max(x, y),
        _ => return Err(unknown(binary, kind)),
    })
}

pub(super) fn compare(compare: Compare, mut operands: Operands, types: Types) -> Outcome<DispatchTensor> {
    let int = operands.kind() == Kind::Int;
    let (x, y) = (operands.take()?, operands.take()?);
    let primitive = match (compare, int) {
        (Compare::Equal, false) => B::float_equal,
        (Compare::NotEqual, false) => B::float_not_equal,
        (Compare::Less, false) => B::float_lower,
        (Compare::LessEqual, false) => B::float_lower_equal,
        (Compare::Greater, false) => B::float_greater,
        (Compare::GreaterEqual, false) => B::float_greater_equal,
        (Compare::Equal, true) => B::int_equal,
        (Compare::NotEqual, true) => B::int_not_equal,
        (Compare::Less, true) => B::int_lower,
        (Compare::LessEqual, true) => B::int_lower_equal,
        (Compare::Greater, true) => B::int_greater,
        (Compare::GreaterEqual, true) => B::int_greater_equal,
    };
    Ok(primitive(x, y, types.bool))
}

pub(super) fn compare_scalar(
    compare: Compare,
    kind: Kind,
    x: DispatchTensor,
    number: f64,
    types: Types,
) -> DispatchTensor {
    let primitive = match (compare, kind == Kind::Int) {
        (Compare::Equal, false) => B::float_equal_elem,
        (Compare::NotEqual, false) => B::float_not_equal_elem,
        (Compare::Less, false) => B::float_lower_elem,
        (Compare::LessEqual, false) => B::float_lower_equal_elem,
        (Compare::Greater, false) => B::float_greater_elem,
        (Compare::GreaterEqual, false) => B::float_greater_equal_elem,
        (Compare::Equal, true) => B::int_equal_elem,
        (Compare::NotEqual, true) => B::int_not_equal_elem,
        (Compare::Less, true) => B::int_lower_elem,
        (Compare::LessEqual, true) => B::int_lower_equal_elem,
        (Compare::Greater, true) => B::int_greater_elem,
        (Compare::GreaterEqual, true) => B::int_greater_equal_elem,
    };
    primitive(x, scalar(kind, number), types.bool)
}

pub(super) fn logic(logic: Logic, mut operands: Operands) -> Outcome<DispatchTensor> {
    let x = operands.take()?;
    Ok(match logic {
        Logic::And => B::bool_and(x, operands.take()?),
        Logic::Or => B::bool_or(x, operands.take()?),
        Logic::Xor => B::bool_xor(x, operands.take()?),
        Logic::Not => B::bool_not(x),
    })
}

pub(super) fn select(mut operands: Operands) -> Outcome<DispatchTensor> {
    let condition = operands.take()?;
    let kind = operands.kind();
    let (on, off) = (operands.take()?, operands.take()?);
    Ok(match kind {
        Kind::Float | Kind::Host => B::float_mask_where(off, condition, on),
        Kind::Int => B::int_mask_where(off, condition, on),
        Kind::Bool => B::bool_mask_where(off, condition, on),
    })
}

pub(super) fn cast(from: Kind, to: Kind, x: DispatchTensor, types: Types) -> DispatchTensor {
    match (from, to) {
        (Kind::Float, Kind::Int) => B::float_into_int(x, types.int),
        (Kind::Float, Kind::Bool) => B::float_not_equal_elem(x, float(0.0), types.bool),
        (Kind::Int, Kind::Float) => B::int_into_float(x, FloatDType::F32),
        (Kind::Int, Kind::Bool) => B::int_not_equal_elem(x, Scalar::Int(0), types.bool),
        (Kind::Bool, Kind::Float) => B::bool_into_float(x, FloatDType::F32),
        (Kind::Bool, Kind::Int) => B::bool_into_int(x, types.int),
        _ => x,
    }
}

pub(super) fn width(half: bool, x: DispatchTensor) -> DispatchTensor {
    B::float_cast(x, if half { FloatDType::F16 } else { FloatDType::F32 })
}

/// Bounds that are infinite are left out: shaders have no literal for infinity.
fn clamp(x: DispatchTensor, min: f32, max: f32) -> DispatchTensor {
    match (min.is_finite(), max.is_finite()) {
        (true, true) => B::float_clamp(x, float(min), float(max)),
        (true, false) => B::float_clamp_min(x, float(min)),
        (false, true) => B::float_clamp_max(x, float(max)),
        (false, false) => x,
    }
}

/// `x / 2 (1 + tanh(√(2/π) (x + 0.044715 xⁿ)))`, Hendrycks and Gimpel 2016, with n = 3.
fn gelu_tanh(x: DispatchTensor, exponent: i32) -> DispatchTensor {
    let correction = B::float_mul_scalar(power(x.clone(), exponent as f32), Scalar::Float(0.044_715));
    let inner = B::float_mul_scalar(
        B::float_add(x.clone(), correction),
        Scalar::Float(std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2),
    );
    let gate = B::float_add_scalar(B::float_tanh(inner), float(1.0));
    B::float_mul(B::float_mul_scalar(x, float(0.5)), gate)
}

/// `x clamp(x / 6 + 1 / 2, 0, 1)`, as ONNX defines it.
fn hard_swish(x: DispatchTensor) -> DispatchTensor {
    let line = B::float_add_scalar(B::float_mul_scalar(x.clone(), Scalar::Float(1.0 / 6.0)), float(0.5));
    B::float_mul(x, B::float_clamp(line, float(0.0), float(1.0)))
}

/// `x tanh(ln(1 + e)) = x (e² + 2e) / (e² + 2e + 2)` with `e = exp(x)`; above 20 the quotient is 1.
fn mish(x: DispatchTensor) -> DispatchTensor {
    let e = B::float_exp(B::float_clamp_max(x.clone(), float(20.0)));
    let part = B::float_mul(e.clone(), B::float_add_scalar(e, float(2.0)));
    let gate = B::float_div(part.clone(), B::float_add_scalar(part, float(2.0)));
    B::float_mul(x, gate)
}

/// `max(x, 0) + ln(1 + e)` with `e = exp(-|x|)`. Shaders know logarithms of what is near 1 to 2^-21 only, so that this
/// one is `2 artanh(z)` with `z = e / (2 + e)`, at most 1/3, whose series is exact to 1e-8 after seven terms.
fn softplus(x: DispatchTensor) -> DispatchTensor {
    let e = B::float_exp(B::float_neg(B::float_abs(x.clone())));
    let z = B::float_div(e.clone(), B::float_add_scalar(e, float(2.0)));
    let square = B::float_mul(z.clone(), z.clone());
    let mut series = B::float_add_scalar(B::float_mul_scalar(square.clone(), float(1.0 / 13.0)), float(1.0 / 11.0));
    for odd in [9.0, 7.0, 5.0, 3.0, 1.0] {
        series = B::float_add_scalar(B::float_mul(series, square.clone()), float(1.0 / odd));
    }
    let logarithm = B::float_mul_scalar(B::float_mul(z, series), float(2.0));
    B::float_add(B::float_clamp_min(x, float(0.0)), logarithm)
}

fn power(x: DispatchTensor, exponent: f32) -> DispatchTensor {
    let whole = exponent.fract() == 0.0 && exponent.abs() <= MULTIPLIED_POWERS as f32 && exponent != 0.0;
    if exponent == 0.5 {
        return B::float_sqrt(x);
    }
    if !whole {
        return B::float_powf_scalar(x, float(exponent));
    }
    let y = multiplied(x, exponent.abs() as u32);
    if exponent < 0.0 { B::float_recip(y) } else { y }
}

/// `x` to a power of at least 1, by squaring.
fn multiplied(x: DispatchTensor, power: u32) -> DispatchTensor {
    if power <= 1 {
        return x;
    }
    let half = multiplied(x.clone(), power / 2);
    let even = B::float_mul(half.clone(), half);
    if power % 2 == 1 { B::float_mul(even, x) } else { even }
}

fn scalar(kind: Kind, number: f64) -> Scalar {
    if kind == Kind::Int { integer(number) } else { Scalar::Float(number) }
}

fn float(number: f32) -> Scalar {
    Scalar::Float(number.into())
}

/// The conversion saturates.
fn integer(number: f64) -> Scalar {
    Scalar::Int(number as i64)
}

fn unknown(binary: Binary, kind: Kind) -> String {
    format!("there is no primitive for {binary:?} on {kind:?}")
}
