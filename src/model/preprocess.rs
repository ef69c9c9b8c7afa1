//! From a camera's picture to a model's input: pixel format, size, placement, channel order and numbers in one pass.
//!
//! The result is defined by arithmetic, not by a device: each source pixel is converted to 8-bit RGB as OpenCV's
//! `cvtColor` does (nearest chroma, clamped, rounded), sampled bilinearly as OpenCV's `INTER_LINEAR` does
//! (half-pixel centres, border replicated, no antialiasing, but no rounding either), placed as
//! [`Placement`] says, and normalised as [`Normalise`] says. [`CpuStage`] and `gpu::preprocess` agree on it to
//! rounding errors of `f32`; OpenCV's own 8-bit results lie within one grey level.
//!
//! Layout: an item is `[3, height, width]`, row-major, channels in the model's order.

use bytes::Bytes;

use crate::frame::{Image, MAX_SIDE, PixelFormat};
use crate::model::input::{Letterbox, Normalise, Placement};

mod convert;
#[cfg(test)]
mod opencv;
mod pool;
mod stage;
mod taps;
#[cfg(test)]
pub(crate) mod tests;

pub use convert::FixedMatrix;
pub use stage::CpuStage;
pub use taps::{Tap, Taps};

/// What a model takes for a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputSpec {
    /// Width of the input, pixels.
    pub width: u32,
    /// Height of the input, pixels.
    pub height: u32,
    /// How a picture of another size is placed in it.
    pub letterbox: Letterbox,
    /// The short side to resize to before cutting, for [`Letterbox::Crop`]; otherwise without effect.
    pub resize_short: u32,
    /// From pixel values to the model's numbers.
    pub normalise: Normalise,
}

impl InputSpec {
    /// Values of one item: `3 * height * width`.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // Never empty once checked.
    pub fn len(&self) -> usize {
        3 * self.height as usize * self.width as usize
    }

    /// Where `image` lies in the input; needed again to map boxes back.
    #[must_use]
    pub fn placement(&self, image: &Image) -> Placement {
        let source = (image.width(), image.height());
        Placement::new(self.letterbox, source, (self.width, self.height), self.resize_short)
    }

    /// Checks the size before anything is allocated for it.
    ///
    /// # Errors
    /// [`PreprocessError::Input`] when a side is zero or over the limits.
    pub fn check(&self) -> Result<(), PreprocessError> {
        if crate::frame::check_size(self.width, self.height).is_err() || self.resize_short > MAX_SIDE {
            return Err(PreprocessError::Input {
                width: self.width,
                height: self.height,
                resize_short: self.resize_short,
            });
        }
        Ok(())
    }
}

/// Why a picture was not preprocessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreprocessError {
    /// The model's input has no usable size.
    #[error(
        "a model input of {width}x{height} (resize_short {resize_short}) is outside the limits \
         (1 to {MAX_SIDE} a side); correct the model's input size"
    )]
    Input {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The short side to resize to.
        resize_short: u32,
    },
    /// The buffer is not one item long.
    #[error("the model's input takes {wanted} values, but the buffer has {got}")]
    Output {
        /// Values of an item.
        wanted: usize,
        /// Values there are.
        got: usize,
    },
    /// The stage was made for pictures of another size, format or YUV matrix.
    #[error("a {width}x{height} {format:?} picture came to a stage made for another; make a new stage")]
    OtherImage {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The layout of the picture that came.
        format: PixelFormat,
    },
}

/// Writes one `[3, height, width]` item, every value of it, on the calling thread.
///
/// Stages are kept for the pictures and models seen last, so that callers need not; any number of threads may call.
///
/// # Panics
/// When `out` is not [`InputSpec::len`] values long.
pub fn preprocess(image: &Image, spec: &InputSpec, out: &mut [f32]) {
    assert_eq!(out.len(), spec.len(), "the buffer is not one item of the model's input");
    let mut stage = pool::take(image, spec).unwrap_or_else(|| CpuStage::new(image, spec));
    if stage.run(image, out).is_ok() {
        pool::put(stage);
    }
}

/// The picture in [`PixelFormat::Rgb8`], by the same arithmetic as the model's input; RGB is shared, not copied.
#[must_use]
pub fn to_rgb8(image: &Image) -> Image {
    if image.format() == PixelFormat::Rgb8 {
        return image.clone();
    }
    let pixels = Bytes::from(convert::rgb8(image));
    // The size was checked when `image` was made, and the length follows from it.
    Image::new(image.width(), image.height(), PixelFormat::Rgb8, pixels).unwrap_or_else(|_| image.clone())
}
