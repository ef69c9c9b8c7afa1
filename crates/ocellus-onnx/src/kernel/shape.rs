//! Shapes of images and windows.

/// How the values of an image lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[N, C, H, W]`.
    Planar,
    /// `[N, ceil(C / B), H, W, B]`.
    Blocked,
}

/// The logical shape of an image, whatever its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Channels, without those that fill the last block.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// A shape in the order of ONNX.
    #[must_use]
    pub const fn new(batch: usize, channels: usize, height: usize, width: usize) -> Self {
        Self { batch, channels, height, width }
    }

    /// Pixels of one image.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Blocks of `lanes` channels of one image.
    #[must_use]
    pub const fn blocks(self, lanes: usize) -> usize {
        self.channels.div_ceil(lanes)
    }

    /// Values of the planar layout.
    #[must_use]
    pub const fn planar_len(self) -> usize {
        self.batch * self.channels * self.pixels()
    }

    /// Values of the blocked layout, those that fill the last block included.
    #[must_use]
    pub const fn blocked_len(self, lanes: usize) -> usize {
        self.batch * self.blocks(lanes) * self.pixels() * lanes
    }

    /// Values in the given layout.
    #[must_use]
    pub const fn len_in(self, layout: Layout, lanes: usize) -> usize {
        match layout {
            Layout::Planar => self.planar_len(),
            Layout::Blocked => self.blocked_len(lanes),
        }
    }
}

/// A sliding window over rows and columns, in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Steps of the window.
    pub stride: [usize; 2],
    /// Distances between its taps.
    pub dilation: [usize; 2],
    /// Rows and columns of padding: top, left, bottom, right (the order of ONNX's `pads`).
    pub padding: [usize; 4],
}

impl Window {
    /// A dense square window.
    #[must_use]
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: [padding; 4] }
    }

    /// Taps of the window.
    #[must_use]
    pub const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns of the output for an input of `height` and `width` (rounded down as ONNX does without
    /// `ceil_mode`), or `None` where the window does not fit.
    #[must_use]
    pub fn output(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let [top, left, bottom, right] = self.padding;
        Some([self.along(0, height, top + bottom)?, self.along(1, width, left + right)?])
    }

    fn along(&self, axis: usize, size: usize, padding: usize) -> Option<usize> {
        let reach = self.dilation[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
        (size + padding).checked_sub(reach)?.checked_div(self.stride[axis])?.checked_add(1)
    }
}
