//! Operators that work element by element: arithmetic, activations, comparisons, casts.

use tract_onnx::prelude::{DatumType, TypedNode};
use tract_onnx::tract_core::internal::ElementWiseMiniOp;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_core::ops::nn::{GeluApproximate, LeakyRelu};

use super::build::Builder;
use super::elements::kind_of;
use super::infer::Outcome;
use super::step::{Binary, Compare, Kind, Logic, Op, Unary, ValueId};
use crate::burn_plan::Precision;
use crate::kernel::Grid;
use crate::rewrite::QuantizeDequantize;

/// Devices take whole exponents as integers, and fail on those that do not fit.
const LARGEST_POWER: f32 = 65_536.0;

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    let value = if let Some(op) = node.op_as::<ElementWiseOp>() {
        element_wise(b, node, op.0.as_ref())
    } else if let Some(op) = node.op_as::<TypedBinOp>() {
        two_operands(b, node, op.0.name())
    } else if let Some(op) = node.op_as::<Cast>() {
        cast(b, node, op.to)
    } else if node.op_is::<Iff>() {
        select(b, node)
    } else {
        return None;
    };
    Some(value.map(|y| vec![y]))
}

fn element_wise(b: &mut Builder<'_>, node: &TypedNode, op: &dyn ElementWiseMiniOp) -> Outcome<ValueId> {
    let x = b.input(node, 0)?;
    let name = op.name();
    if b.info(x).kind == Kind::Bool && matches!(name.as_str(), "Not" | "BitNot") {
        return b.emit(Op::Logic(Logic::Not), &[x]);
    }
    if let Some(op) = op.downcast_ref::<QuantizeDequantize>() {
        return quantise(b, x, op.0);
    }
    let unary = unary(op, &name).ok_or("there is no translation for this operator")?;
    if let Unary::Power { exponent } = unary
        && (exponent.is_nan() || exponent.abs() > LARGEST_POWER)
    {
        return Err(format!("a power of {exponent} is not supported"));
    }
    b.emit(Op::Unary(unary), &[x])
}

/// Rounds to a grid.
fn quantise(b: &mut Builder<'_>, x: ValueId, grid: Grid) -> Outcome<ValueId> {
    let scale = f64::from(grid.scale);
    let steps = b.emit(Op::BinaryScalar(Binary::Div, scale), &[x])?;
    let steps = b.emit(Op::BinaryScalar(Binary::Max, f64::from(grid.low)), &[steps])?;
    let steps = b.emit(Op::BinaryScalar(Binary::Min, f64::from(grid.high)), &[steps])?;
    let steps = b.emit(Op::Unary(Unary::RoundToEven), &[steps])?;
    b.emit(Op::BinaryScalar(Binary::Mul, scale), &[steps])
}

fn unary(op: &dyn ElementWiseMiniOp, name: &str) -> Option<Unary> {
    if let Some(op) = op.downcast_ref::<LeakyRelu>() {
        return Some(Unary::LeakyRelu { slope: op.alpha });
    }
    if let Some(op) = op.downcast_ref::<PowConst>() {
        return Some(Unary::Power { exponent: op.exponent });
    }
    if let Some(op) = op.downcast_ref::<GeluApproximate>() {
        return Some(Unary::GeluTanh { exponent: if op.fast_impl { 2 } else { 3 } });
    }
    Some(match name {
        "Abs" => Unary::Abs,
        "Ceil" => Unary::Ceil,
        "Cos" => Unary::Cos,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "GeluExact" => Unary::Gelu,
        "HardSwish" => Unary::HardSwish,
        "Ln" => Unary::Ln,
        "Mish" => Unary::Mish,
        "Neg" => Unary::Neg,
        "Recip" => Unary::Recip,
        "RoundHalfToEven" => Unary::RoundToEven,
        "Rsqrt" => Unary::Rsqrt,
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Silu" => Unary::Silu,
        "Sin" => Unary::Sin,
        "Softplus" => Unary::Softplus,
        "Sqrt" => Unary::Sqrt,
        "Square" => Unary::Square,
        "Tanh" => Unary::Tanh,
        _ => return None,
    })
}

fn two_operands(b: &mut Builder<'_>, node: &TypedNode, name: &str) -> Outcome<ValueId> {
    if let Some(compare) = compare(name) {
        return comparison(b, node, compare);
    }
    let boolean = b.output_info(node)?.kind == Kind::Bool;
    if let Some(logic) = logic(name).filter(|_| boolean) {
        let operands = b.inputs(node)?;
        return b.emit(Op::Logic(logic), &operands);
    }
    let binary = match name {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "SubF" => Binary::SubFrom,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        "Pow" => Binary::Pow,
        "Rem" => Binary::Rem,
        _ => return Err("there is no translation for this operator".into()),
    };
    arithmetic(b, node, binary)
}

/// Arithmetic; an operand that is one number is kept as a number, not as a tensor.
fn arithmetic(b: &mut Builder<'_>, node: &TypedNode, binary: Binary) -> Outcome<ValueId> {
    let shape = b.output_info(node)?.shape;
    if let Some(number) = b.scalar_input(node, 1) {
        let x = b.input(node, 0)?;
        if b.info(x).shape == shape {
            return b.emit(Op::BinaryScalar(binary, number), &[x]);
        }
    }
    if let Some(number) = b.scalar_input(node, 0) {
        let x = b.input(node, 1)?;
        if b.info(x).shape == shape {
            match binary {
                Binary::Add | Binary::Mul | Binary::Max | Binary::Min => {
                    return b.emit(Op::BinaryScalar(binary, number), &[x]);
                }
                Binary::Sub => return b.emit(Op::BinaryScalar(Binary::SubFrom, number), &[x]),
                Binary::SubFrom => return b.emit(Op::BinaryScalar(Binary::Sub, number), &[x]),
                Binary::Div if b.info(x).kind == Kind::Int => {}
                Binary::Div => {
                    let inverse = b.emit(Op::Unary(Unary::Recip), &[x])?;
                    return b.emit(Op::BinaryScalar(Binary::Mul, number), &[inverse]);
                }
                Binary::Pow | Binary::Rem => {}
            }
        }
    }
    let (x, y) = (b.input(node, 0)?, b.input(node, 1)?);
    match binary {
        Binary::Pow if !b.target().wide_integers => {
            Err("shaders know no powers of negative numbers by exponents that are computed".into())
        }
        Binary::SubFrom => b.emit(Op::Binary(Binary::Sub), &[y, x]),
        Binary::Max | Binary::Min => {
            let (x, y) = (b.expand(x, &shape)?, b.expand(y, &shape)?);
            b.emit(Op::Binary(binary), &[x, y])
        }
        _ => b.emit(Op::Binary(binary), &[x, y]),
    }
}

fn comparison(b: &mut Builder<'_>, node: &TypedNode, compare: Compare) -> Outcome<ValueId> {
    let shape = b.output_info(node)?.shape;
    if let Some(number) = b.scalar_input(node, 1) {
        let x = b.input(node, 0)?;
        let exact = b.info(x).kind != Kind::Int || number.abs() <= f64::from(i32::MAX);
        if b.info(x).shape == shape && exact {
            return b.emit(Op::CompareScalar(compare, number), &[x]);
        }
    }
    let (x, y) = (b.input(node, 0)?, b.input(node, 1)?);
    b.emit(Op::Compare(compare), &[x, y])
}

fn compare(name: &str) -> Option<Compare> {
    Some(match name {
        "Eq" => Compare::Equal,
        "NE" => Compare::NotEqual,
        "LT" => Compare::Less,
        "LTE" => Compare::LessEqual,
        "GT" => Compare::Greater,
        "GTE" => Compare::GreaterEqual,
        _ => return None,
    })
}

fn logic(name: &str) -> Option<Logic> {
    Some(match name {
        "And" | "BitAnd" => Logic::And,
        "Or" | "BitOr" => Logic::Or,
        "Xor" | "BitXor" => Logic::Xor,
        _ => return None,
    })
}

fn cast(b: &mut Builder<'_>, node: &TypedNode, to: DatumType) -> Outcome<ValueId> {
    let x = b.input(node, 0)?;
    let kind = kind_of(to)?;
    let from = b.input_type(node, 0)?;
    if to == DatumType::F16 && from == DatumType::F32 && b.target().precision == Precision::F32 {
        if !b.target().half {
            return Err("the device cannot round to 16 bits".into());
        }
        let rounded = b.emit(Op::Width { half: true }, &[x])?;
        return b.emit(Op::Width { half: false }, &[rounded]);
    }
    if b.info(x).kind == kind {
        return Ok(x);
    }
    b.emit(Op::Cast(kind), &[x])
}

fn select(b: &mut Builder<'_>, node: &TypedNode) -> Outcome<ValueId> {
    let shape = b.output_info(node)?.shape;
    let mut operands = b.inputs(node)?;
    for operand in &mut operands {
        *operand = b.expand(*operand, &shape)?;
    }
    b.emit(Op::Select, &operands)
}
