//! Images of any of tract's layouts as `[batch, channels, height, width]` and back.

use tract_onnx::tract_core::ops::nn::DataFormat;

use super::build::Builder;
use super::infer::Outcome;
use super::step::ValueId;

/// How images lie in the graph: axis order, and one or two spatial axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageLayout {
    format: DataFormat,
    spatial: usize,
}

impl ImageLayout {
    /// # Errors
    ///
    /// When there are neither one nor two spatial axes.
    pub fn new(format: DataFormat, spatial: usize) -> Outcome<Self> {
        if matches!(spatial, 1 | 2) {
            Ok(Self { format, spatial })
        } else {
            Err(format!("{spatial} spatial axes are not supported"))
        }
    }

    /// Two numbers per image from one per spatial axis; a missing width gets `neutral`.
    pub fn pair<T: Copy>(self, per_axis: &[T], neutral: T) -> Outcome<[T; 2]> {
        match *per_axis {
            [a] if self.spatial == 1 => Ok([a, neutral]),
            [a, b] if self.spatial == 2 => Ok([a, b]),
            _ => Err(format!("{} numbers for {} spatial axes", per_axis.len(), self.spatial)),
        }
    }

    /// Brings `x` into `[batch, channels, height, width]`.
    pub fn enter(self, b: &mut Builder<'_>, x: ValueId) -> Outcome<ValueId> {
        let mut shape = b.shape(x);
        if shape.len() != self.spatial + 1 + usize::from(self.format.has_n()) {
            return Err(format!("shape {shape:?} is not an image of {} axes", self.spatial));
        }
        let mut x = x;
        if !self.format.has_n() {
            shape.insert(0, 1);
        }
        if self.spatial == 1 {
            let end = if self.format.c_is_last() { 2 } else { 3 };
            shape.insert(end, 1);
        }
        x = b.reshape(x, &shape)?;
        if self.format.c_is_last() { b.permute(x, &[0, 3, 1, 2]) } else { Ok(x) }
    }

    /// Brings `y` back from `[batch, channels, height, width]`.
    pub fn leave(self, b: &mut Builder<'_>, y: ValueId) -> Outcome<ValueId> {
        let y = if self.format.c_is_last() { b.permute(y, &[0, 2, 3, 1])? } else { y };
        let mut shape = b.shape(y);
        if self.spatial == 1 {
            shape.remove(if self.format.c_is_last() { 2 } else { 3 });
        }
        if !self.format.has_n() {
            shape.remove(0);
        }
        b.reshape(y, &shape)
    }
}
