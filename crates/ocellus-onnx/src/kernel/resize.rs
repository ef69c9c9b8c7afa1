//! Resizing of blocked images through a table of taps for each axis, so that every coordinate mode of ONNX is the
//! caller's table.

use super::{Isa, KernelError, Shape, expect_len};

/// What a row or column of the output is made of: `(1 - weight) * input[low] + weight * input[high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// The first row or column of the input.
    pub low: usize,
    /// The second.
    pub high: usize,
    /// Share of the second, 0 for nearest.
    pub weight: f32,
}

impl Tap {
    /// The tap of nearest-neighbour resizing.
    #[must_use]
    pub const fn nearest(index: usize) -> Self {
        Self { low: index, high: index, weight: 0.0 }
    }
}

/// Nearest or bilinear resizing.
#[derive(Debug, Clone)]
pub struct Resize {
    isa: Isa,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Resize {
    /// A resize to `rows.len()` rows and `columns.len()` columns.
    #[must_use]
    pub const fn new(isa: Isa, rows: Vec<Tap>, columns: Vec<Tap>) -> Self {
        Self { isa, rows, columns }
    }

    /// Resizes `input` of `shape` into `out` of `shape` with the new rows and columns, both blocked.
    ///
    /// # Errors
    /// [`KernelError::Length`] for slices that do not fit, [`KernelError::Unsupported`] for taps outside `shape`.
    pub fn run(&self, input: &[f32], shape: Shape, out: &mut [f32], threads: usize) -> Result<(), KernelError> {
        let lanes = self.isa.lanes();
        let out_shape = Shape { height: self.rows.len(), width: self.columns.len(), ..shape };
        expect_len("the resize's input", shape.blocked_len(lanes), input.len())?;
        expect_len("the resize's output", out_shape.blocked_len(lanes), out.len())?;
        let outside = |taps: &[Tap], size: usize| taps.iter().any(|t| t.low >= size || t.high >= size);
        if outside(&self.rows, shape.height) || outside(&self.columns, shape.width) {
            return Err(KernelError::Unsupported { what: format!("a resize of {shape:?} with taps outside") });
        }
        let _ = threads;
        for (i, out) in out.iter_mut().enumerate() {
            let (lane, x) = (i % lanes, i / lanes % out_shape.width);
            let (y, plane) = (i / lanes / out_shape.width % out_shape.height, i / lanes / out_shape.pixels());
            let (row, column) = (self.rows[y], self.columns[x]);
            let at = |y: usize, x: usize| input[((plane * shape.height + y) * shape.width + x) * lanes + lane];
            let mix = |a: f32, b: f32, weight: f32| if weight == 0.0 { a } else { a + (b - a) * weight };
            let low = mix(at(row.low, column.low), at(row.low, column.high), column.weight);
            let high = mix(at(row.high, column.low), at(row.high, column.high), column.weight);
            *out = mix(low, high, row.weight);
        }
        Ok(())
    }
}
