//! Convolutions: weights packed for the instruction set, kernel chosen from the parameters.

#[cfg(target_arch = "x86_64")]
mod bytes;
mod dense;
mod depthwise;
mod strips;
mod tile;
mod winograd;

#[cfg(target_arch = "x86_64")]
use self::bytes::Bytes;
use self::dense::Call;
pub(super) use self::dense::Dense;
use self::depthwise::Depthwise;
use self::winograd::Winograd;
use super::{Activation, Grid, Isa, KernelError, Layout, Shape, Window, expect_len};

/// The parameters of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvSpec {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Groups of channels that are convolved apart: 1, the number of channels (depthwise), or a number that leaves
    /// groups of whole blocks.
    pub groups: usize,
    /// The sliding window.
    pub window: Window,
    /// Layout of the input; the output is always blocked. Planar is for the first layer: one group, few channels.
    pub input: Layout,
}

impl ConvSpec {
    /// Whether there is a kernel for these parameters.
    #[must_use]
    pub fn supported(&self, isa: Isa) -> bool {
        let (lanes, groups) = (isa.lanes(), self.groups);
        let window = self.window;
        if self.in_channels == 0 || self.out_channels == 0 || groups == 0 || window.taps() == 0 {
            return false;
        }
        if window.stride.contains(&0) || window.dilation.contains(&0) {
            return false;
        }
        match self.input {
            Layout::Planar => groups == 1 && self.in_channels <= 16,
            Layout::Blocked if groups == 1 || self.depthwise() => true,
            Layout::Blocked => {
                self.in_channels.is_multiple_of(groups * lanes) && self.out_channels.is_multiple_of(groups * lanes)
            }
        }
    }

    fn depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels && self.groups == self.out_channels
    }
}

/// Multiplications, about ten microseconds of them, under which a thread does faster without others.
const WORTH_SHARING: usize = 700_000;

/// A value of the output's shape and layout that is added to the convolution's output after its own activation.
#[derive(Debug, Clone, Copy)]
pub struct Residual<'a> {
    /// The values to add.
    pub data: &'a [f32],
    /// What is applied to the sum.
    pub after: Activation,
}

/// A convolution with its weights packed: `after(activation(conv(x) + bias) + residual)`.
#[derive(Debug, Clone)]
pub struct Conv {
    isa: Isa,
    spec: ConvSpec,
    packed: Packed,
}

#[derive(Debug, Clone)]
enum Packed {
    Dense(Dense),
    Depthwise(Depthwise),
    Winograd(Winograd),
    #[cfg(target_arch = "x86_64")]
    Bytes(Bytes),
}

impl Conv {
    /// Packs `weights` (`[out_channels, in_channels / groups, kernel height, kernel width]`) and `bias`
    /// (`[out_channels]`, or empty for none). An input whose values all lie on a `grid` may be convolved in bytes.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] where [`ConvSpec::supported`] says no, [`KernelError::Length`] for slices that
    /// do not fit the parameters.
    pub fn new(
        isa: Isa,
        spec: ConvSpec,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        grid: Option<Grid>,
    ) -> Result<Self, KernelError> {
        if !spec.supported(isa) {
            return Err(KernelError::Unsupported { what: format!("the convolution {spec:?}") });
        }
        expect_len(
            "weights",
            spec.out_channels * (spec.in_channels / spec.groups) * spec.window.taps(),
            weights.len(),
        )?;
        if !bias.is_empty() {
            expect_len("bias", spec.out_channels, bias.len())?;
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(bytes) = grid.and_then(|grid| Bytes::new(isa, spec, weights, bias, activation, grid)) {
            return Ok(Self { isa, spec, packed: Packed::Bytes(bytes) });
        }
        let packed = if spec.depthwise() {
            Packed::Depthwise(Depthwise::new(isa, spec, weights, bias, activation))
        } else if Winograd::suits(isa, &spec) {
            Packed::Winograd(Winograd::new(isa, spec, weights, bias, activation))
        } else {
            Packed::Dense(Dense::new(isa, spec, weights, bias, activation))
        };
        Ok(Self { isa, spec, packed })
    }

    /// The shape of the output for an input of this shape; `None` where the channels differ or the window does not
    /// fit.
    #[must_use]
    pub fn output(&self, input: Shape) -> Option<Shape> {
        let [height, width] = self.spec.window.output(input.height, input.width)?;
        let shape = Shape::new(input.batch, self.spec.out_channels, height, width);
        (input.channels == self.spec.in_channels).then_some(shape)
    }

    /// Convolves `input` of `shape` into `output` (blocked, of the shape [`Self::output`]), with `threads` tasks.
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit, [`KernelError::Unsupported`] for a shape that does not.
    pub fn run(
        &self,
        input: &[f32],
        shape: Shape,
        residual: Option<Residual<'_>>,
        output: &mut [f32],
        threads: usize,
    ) -> Result<(), KernelError> {
        let lanes = self.isa.lanes();
        let out_shape =
            self.output(shape).ok_or_else(|| KernelError::Unsupported { what: format!("an input of {shape:?}") })?;
        expect_len("the convolution's input", shape.len_in(self.spec.input, lanes), input.len())?;
        expect_len("the convolution's output", out_shape.blocked_len(lanes), output.len())?;
        if let Some(residual) = residual {
            expect_len("the residual", output.len(), residual.data.len())?;
        }
        let threads = if self.work(out_shape) < WORTH_SHARING { 1 } else { threads };
        let call = Call { input: (input, shape), residual, output: (output, out_shape), threads };
        match &self.packed {
            Packed::Dense(dense) => dense.run(self.isa, call),
            Packed::Depthwise(depthwise) => depthwise.run(self.isa, call),
            Packed::Winograd(winograd) => winograd.run(self.isa, call),
            #[cfg(target_arch = "x86_64")]
            Packed::Bytes(bytes) => bytes.run(call),
        }
        Ok(())
    }

    /// Multiplications of one run, those of a depthwise convolution, which reads more for each, counted as eight, and
    /// those of bytes, of which four are done at once, as a third.
    fn work(&self, output: Shape) -> usize {
        let inputs = if self.spec.depthwise() { 8 } else { self.spec.in_channels / self.spec.groups };
        let work = output.planar_len() * inputs * self.spec.window.taps();
        match &self.packed {
            #[cfg(target_arch = "x86_64")]
            Packed::Bytes(_) => work / 3,
            _ => work,
        }
    }
}
