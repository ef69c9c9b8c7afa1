//! What `shaders/preprocess.wgsl` is told about a picture, byte for byte as the shader declares it.

use crate::frame::{Image, PixelFormat, YuvMatrix};
use crate::model::input::{Channels, Placement};
use crate::model::preprocess::{FixedMatrix, InputSpec, Tap, Taps};

/// Bytes of the shader's `Params`.
pub(super) const PARAMS_BYTES: u64 = 128;

/// What decides the tables: a picture's looks and the input that it goes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key {
    size: (u32, u32),
    format: PixelFormat,
    matrix: YuvMatrix,
    spec: InputSpec,
}

impl Key {
    pub fn new(image: &Image, spec: &InputSpec) -> Self {
        let size = (image.width(), image.height());
        Self { size, format: image.format(), matrix: image.matrix(), spec: *spec }
    }

    fn placement(&self) -> Placement {
        let input = (self.spec.width, self.spec.height);
        Placement::new(self.spec.letterbox, self.size, input, self.spec.resize_short)
    }

    /// `Params`, the item beginning at value `first` of the output.
    pub fn params(&self, first: u32) -> Vec<u8> {
        let spec = &self.spec;
        let Placement { left, top, width, height, .. } = self.placement();
        let m = FixedMatrix::new(self.matrix);
        let format = match self.format {
            PixelFormat::Rgb8 => 0,
            PixelFormat::Yuyv => 1,
            PixelFormat::Nv12 => 2,
            PixelFormat::I420 => 3,
        };
        let bgr = u32::from(spec.normalise.channels == Channels::Bgr);
        let affine = spec.normalise.affine();
        let pad = affine.map(|(gain, bias)| gain * spec.normalise.pad + bias);
        let words = [
            [self.size.0, self.size.1, self.size.0.div_ceil(2), format],
            [spec.width, spec.height, first, bgr],
            [left, top, width, height],
            [m.y_offset, m.y_gain, m.v_to_r, m.u_to_g].map(i32::cast_unsigned),
            [m.v_to_g.cast_unsigned(), m.u_to_b.cast_unsigned(), 0, 0],
            channels(affine.map(|(gain, _)| gain)),
            channels(affine.map(|(_, bias)| bias)),
            channels(pad),
        ];
        words.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The shader's `taps`: columns, then rows.
    pub fn taps(&self) -> Vec<u8> {
        let taps = Taps::new(&self.placement(), self.size);
        let bytes = |tap: &Tap| [tap.index, tap.weight.to_bits()].map(u32::to_le_bytes);
        taps.columns.iter().chain(&taps.rows).flat_map(bytes).flatten().collect()
    }
}

fn channels([first, second, third]: [f32; 3]) -> [u32; 4] {
    [first.to_bits(), second.to_bits(), third.to_bits(), 0]
}
