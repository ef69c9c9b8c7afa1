//! The pure plan: typed steps over numbered values, every parameter known and checked.
//!
//! A plan holds no tensor of any device and knows no backend. Shapes are row-major extents,
//! outermost first; images are `[batch, channels, height, width]`, convolution kernels
//! `[out channels, in channels / groups, height, width]`.

use std::sync::Arc;

use tract_onnx::prelude::{DatumType, Tensor as TractTensor};

use super::host::HostNode;

/// Number of a value in its plan: an input, a constant or a step's output.
pub(crate) type ValueId = usize;

/// What the elements of a value are. The width is the device's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Int,
    Bool,
    /// A tensor of tract's on the host, of any type; its shape is known when it is there.
    Host,
}

/// Shape and kind of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValueInfo {
    pub shape: Vec<usize>,
    pub kind: Kind,
}

impl ValueInfo {
    pub fn new(kind: Kind, shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), kind }
    }

    /// Number of elements.
    pub fn volume(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Elements of a constant, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ConstantData {
    Float(Vec<f32>),
    /// Floats that lie on the device in 16 bits.
    Half(Vec<half::f16>),
    Int(Vec<i64>),
    Bool(Vec<bool>),
    Host(Arc<TractTensor>),
}

impl ConstantData {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Float(_) | Self::Half(_) => Kind::Float,
            Self::Int(_) => Kind::Int,
            Self::Bool(_) => Kind::Bool,
            Self::Host(_) => Kind::Host,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Float(data) => data.len(),
            Self::Half(data) => data.len(),
            Self::Int(data) => data.len(),
            Self::Bool(data) => data.len(),
            Self::Host(tensor) => tensor.len(),
        }
    }
}

/// One operation on the device.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Name of the graph's node that this step comes from.
    pub node: String,
    pub op: Op,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    /// Values that no later step needs; freed once this step is queued.
    pub release: Vec<ValueId>,
}

/// A lowered graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub values: Vec<ValueInfo>,
    pub inputs: Vec<ValueId>,
    pub constants: Vec<(ValueId, ConstantData)>,
    pub steps: Vec<Step>,
    pub outputs: Vec<ValueId>,
    /// How many steps were joined to others.
    pub joined: usize,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// A node of the graph on the host; its operands and results lie there.
    Host(Box<HostNode>),
    /// Brings values of the device to the host, all in one transfer, as these types and shapes.
    Download(Vec<(DatumType, Vec<usize>)>),
    /// Brings a value of the host to the device; integers beyond the device's become the nearest there is.
    Upload(ValueInfo),
    /// Image, kernel and, optionally, bias of one number per output channel.
    Conv(ConvParams),
    /// As [`Op::Conv`], transposed; the kernel is `[in channels, out channels / groups, h, w]`.
    ConvTranspose(ConvTransposeParams),
    /// Largest value under a window; padding never wins.
    MaxPool(PoolParams),
    /// Mean under a window; `count_padding` divides by the whole window at the border too.
    AvgPool {
        pool: PoolParams,
        count_padding: bool,
    },
    /// Resamples height and width.
    Interpolate {
        mode: Interpolation,
        size: [usize; 2],
    },
    /// Samples an image, bilinearly, at a grid of normalised `(x, y)`.
    GridSample {
        padding: GridPadding,
        align_corners: bool,
    },
    Unary(Unary),
    Binary(Binary),
    /// A binary operation whose second operand is one number.
    BinaryScalar(Binary, f64),
    Compare(Compare),
    CompareScalar(Compare, f64),
    /// Both operands, or the one of [`Logic::Not`], are boolean.
    Logic(Logic),
    /// Condition, value where true, value where false; all of the output's shape.
    Select,
    Cast(Kind),
    /// Floats to 16 bits or back to 32.
    Width {
        half: bool,
    },
    /// Batched product of matrices; batch extents equal.
    MatMul,
    /// Folds axes to extent 1.
    Reduce {
        reducer: Reducer,
        axes: Vec<usize>,
    },
    Softmax {
        axis: usize,
        log: bool,
    },
    Concat {
        axis: usize,
    },
    /// One range per axis.
    Slice(Vec<SliceRange>),
    Reshape(Vec<usize>),
    Permute(Vec<usize>),
    Expand(Vec<usize>),
    Pad {
        pads: Vec<(usize, usize)>,
        mode: PadMode,
    },
    /// Reverses an axis.
    Flip {
        axis: usize,
    },
    /// Running sums along an axis.
    CumSum {
        axis: usize,
    },
    /// Takes rows of an axis by a one-dimensional index tensor.
    Gather {
        axis: usize,
    },
    /// Takes single elements along an axis; indices have the output's shape.
    GatherElements {
        axis: usize,
    },
    /// Values and indices of the `k` largest or smallest along an axis, in order.
    TopK {
        axis: usize,
        k: usize,
        largest: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConvParams {
    pub stride: [usize; 2],
    /// Before and after, per spatial axis.
    pub pads: [(usize, usize); 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConvTransposeParams {
    pub stride: [usize; 2],
    /// Cropped from both ends of each spatial axis.
    pub crop: [usize; 2],
    /// Added to the end of each spatial axis.
    pub extra: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolParams {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Both ends of each spatial axis.
    pub pads: [usize; 2],
    pub dilation: [usize; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpolation {
    /// The input cell that contains the output cell's corner.
    Nearest,
    /// Linear, with cell centres half a cell in.
    Bilinear,
    /// Linear, with the first and last cells of input and output at the same place.
    BilinearAligned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GridPadding {
    Zeros,
    Border,
    Reflection,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unary {
    Abs,
    Ceil,
    Clamp {
        min: f32,
        max: f32,
    },
    Cos,
    Erf,
    Exp,
    Floor,
    /// With the error function.
    Gelu,
    /// With the hyperbolic tangent; the exponent of the correction is 3, or 2 in a fast variant.
    GeluTanh {
        exponent: i32,
    },
    HardSwish,
    LeakyRelu {
        slope: f32,
    },
    Ln,
    /// `x tanh(ln(1 + exp(x)))`.
    Mish,
    Neg,
    Power {
        exponent: f32,
    },
    Recip,
    /// Ties go to the even neighbour.
    RoundToEven,
    Rsqrt,
    Sigmoid,
    Sign,
    Silu,
    Sin,
    /// `ln(1 + exp(x))`.
    Softplus,
    Sqrt,
    Square,
    Tanh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    /// Operands exchanged.
    SubFrom,
    Mul,
    Div,
    Max,
    Min,
    Pow,
    /// Remainder of a division; integers are not negative.
    Rem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
    Xor,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reducer {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    ArgMax,
    ArgMin,
}

/// Every `step`-th element from `start` on, before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SliceRange {
    pub start: usize,
    pub end: usize,
    pub step: usize,
}

impl SliceRange {
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start).div_ceil(self.step)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PadMode {
    Constant(f32),
    Reflect,
    Edge,
}
