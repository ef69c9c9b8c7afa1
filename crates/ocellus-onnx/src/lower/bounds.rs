//! Between which numbers the integers of a value lie.
//!
//! ONNX integers are up to 64 bits wide and those of GPUs 32, so a step on integers goes to the device only where it
//! is known that no result leaves the device's range, nor that of its type in the graph.

use tract_onnx::prelude::DatumType;

use super::infer::Outcome;
use super::step::{Binary, Kind, Op, PadMode, Reducer, Unary, ValueInfo};

/// Least and greatest value, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub least: i64,
    pub greatest: i64,
}

impl Bounds {
    pub const I32: Self = Self { least: i32::MIN as i64, greatest: i32::MAX as i64 };
    pub const I64: Self = Self { least: i64::MIN, greatest: i64::MAX };

    pub const fn new(least: i64, greatest: i64) -> Self {
        Self { least, greatest }
    }

    /// Indices of an axis.
    pub fn of_axis(extent: usize) -> Self {
        Self::new(0, i64::try_from(extent).map_or(i64::MAX, |n| (n - 1).max(0)))
    }

    /// Of these numbers.
    pub fn of(data: &[i64]) -> Self {
        let least = data.iter().copied().min().unwrap_or(0);
        Self::new(least, data.iter().copied().max().unwrap_or(0))
    }

    /// Of all numbers of a type of the graph.
    pub fn of_type(datum_type: DatumType) -> Self {
        match datum_type {
            DatumType::I8 => Self::new(i8::MIN.into(), i8::MAX.into()),
            DatumType::U8 => Self::new(0, u8::MAX.into()),
            DatumType::I16 => Self::new(i16::MIN.into(), i16::MAX.into()),
            DatumType::U16 => Self::new(0, u16::MAX.into()),
            DatumType::I32 => Self::I32,
            DatumType::U32 => Self::new(0, u32::MAX.into()),
            _ => Self::I64,
        }
    }

    pub const fn within(self, other: Self) -> bool {
        other.least <= self.least && self.greatest <= other.greatest
    }

    fn union(self, other: Self) -> Self {
        Self::new(self.least.min(other.least), self.greatest.max(other.greatest))
    }

    /// What combining any two numbers gives, where `corner` takes its extremes at extremes.
    fn combined(self, other: Self, corner: impl Fn(i128, i128) -> i128) -> Outcome<Self> {
        let ends = |b: Self| [i128::from(b.least), i128::from(b.greatest)];
        let corners = ends(self).into_iter().flat_map(|x| ends(other).map(|y| corner(x, y)));
        let (least, greatest) = corners.fold((i128::MAX, i128::MIN), |(l, g), v| (l.min(v), g.max(v)));
        let fit = |v: i128| i64::try_from(v).map_err(|_| "its integers may overflow".to_owned());
        Ok(Self::new(fit(least)?, fit(greatest)?))
    }
}

/// Bounds of the integers that a step gives, one for each output that is of integers.
///
/// # Errors
/// When they may overflow, or the step has no primitive that is exact for such integers.
pub(super) fn bounds(op: &Op, inputs: &[(&ValueInfo, Bounds)], wide: bool) -> Outcome<Bounds> {
    let operand = |ix: usize| inputs.get(ix).map(|(_, b)| *b).ok_or_else(|| format!("operand {ix} is missing"));
    let info = |ix: usize| inputs.get(ix).map(|(i, _)| *i).ok_or_else(|| format!("operand {ix} is missing"));
    match op {
        Op::Unary(unary) => of_unary(*unary, operand(0)?, wide),
        Op::Binary(binary) => of_binary(*binary, operand(0)?, operand(1)?),
        Op::BinaryScalar(binary, number) => of_binary(*binary, operand(0)?, whole(*number, wide)?),
        Op::Cast(_) => match info(0)?.kind {
            Kind::Bool => Ok(Bounds::new(0, 1)),
            Kind::Float if wide => Ok(Bounds::I64),
            _ => Err("what becomes of floats that are too large for an integer differs between devices".into()),
        },
        Op::Select => Ok(operand(1)?.union(operand(2)?)),
        Op::Concat { .. } => {
            let all = inputs.iter().map(|(_, b)| *b).reduce(Bounds::union);
            all.ok_or_else(|| "a join of nothing".into())
        }
        Op::Pad { mode: PadMode::Constant(value), .. } => Ok(operand(0)?.union(whole(f64::from(*value), wide)?)),
        Op::Reduce { reducer, axes } => of_reduction(*reducer, axes, info(0)?, operand(0)?),
        Op::CumSum { axis } => summed(operand(0)?, info(0)?.shape.get(*axis).copied().unwrap_or(1)),
        Op::TopK { axis, .. } => Ok(Bounds::of_axis(info(0)?.shape.get(*axis).copied().unwrap_or(1))),
        _ => operand(0),
    }
}

fn of_unary(unary: Unary, x: Bounds, wide: bool) -> Outcome<Bounds> {
    match unary {
        Unary::Clamp { min, max } => {
            let (min, max) = (whole(f64::from(min), wide)?.least, whole(f64::from(max), wide)?.least);
            Ok(Bounds::new(x.least.clamp(min, max), x.greatest.clamp(min, max)))
        }
        other => Err(format!("{other:?} of integers is not supported")),
    }
}

fn of_binary(binary: Binary, x: Bounds, y: Bounds) -> Outcome<Bounds> {
    match binary {
        Binary::Add => x.combined(y, |a, b| a + b),
        Binary::Sub => x.combined(y, |a, b| a - b),
        Binary::SubFrom => x.combined(y, |a, b| b - a),
        Binary::Mul => x.combined(y, |a, b| a * b),
        Binary::Max => x.combined(y, i128::max),
        Binary::Min => x.combined(y, i128::min),
        // Rounding differs for negative numbers, and division by nothing is an error on the host only.
        Binary::Div | Binary::Rem if x.least < 0 || y.least < 1 => {
            Err("division of integers that may be negative, or by zero, differs between devices".into())
        }
        Binary::Div => x.combined(y, |a, b| a / b),
        Binary::Rem => Ok(Bounds::new(0, x.greatest.min(y.greatest - 1))),
        Binary::Pow => Err("powers of integers are not supported".into()),
    }
}

fn of_reduction(reducer: Reducer, axes: &[usize], info: &ValueInfo, x: Bounds) -> Outcome<Bounds> {
    let extents = axes.iter().filter_map(|axis| info.shape.get(*axis));
    match reducer {
        Reducer::ArgMax | Reducer::ArgMin => Ok(Bounds::of_axis(extents.product())),
        Reducer::Sum => summed(x, extents.product()),
        _ => Ok(x),
    }
}

fn summed(x: Bounds, count: usize) -> Outcome<Bounds> {
    let count = i64::try_from(count).map_err(|_| "its integers may overflow".to_owned())?;
    x.combined(Bounds::new(0, count), |a, b| a * b)
}

/// One number as bounds, where the device has it.
fn whole(number: f64, wide: bool) -> Outcome<Bounds> {
    let most = if wide { 9_007_199_254_740_992.0 } else { f64::from(i32::MAX) };
    if number.fract() != 0.0 || number.abs() > most {
        return Err(format!("{number} is not an integer that is known exactly"));
    }
    Ok(Bounds::new(number as i64, number as i64))
}
