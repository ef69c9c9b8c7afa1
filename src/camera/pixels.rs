//! What cameras give, as pictures: rows without their padding, mosaics as colours, JPEGs decoded.

use super::bayer::{Bayer, demosaic};
use super::mjpeg;
use super::pool::Pool;
use crate::frame::{Image, ImageError, PixelFormat, YuvMatrix, check_size};

/// How a camera lays out its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Packed 4:2:2, `Y0 U Y1 V`.
    Yuyv,
    /// 4:2:0: rows of Y, then rows of U and V in turns. Both have the same stride.
    Nv12,
    /// Three bytes a pixel: red, green, blue.
    Rgb,
    /// A byte of brightness a pixel.
    Grey,
    /// A byte of one colour a pixel.
    Bayer(Bayer),
    /// A JPEG a picture.
    Mjpg,
}

/// Why bytes are not a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PixelsError {
    #[error("a picture was damaged on its way")]
    Damaged,
    #[error("a picture came in the format {0:#010x}, which is not read")]
    Format(u32),
    #[error("a picture of {wanted} bytes came with {got}")]
    Short { wanted: usize, got: usize },
    #[error("a row takes {wanted} bytes, and the camera says that rows are {stride} apart")]
    Stride { wanted: usize, stride: usize },
    #[error("pixels that share their colour come in pairs, and the camera says that there are {width} in a row")]
    Odd { width: u32 },
    #[error("a picture is no usable JPEG: {0}")]
    Jpeg(String),
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Turns what one camera gives into pictures.
#[derive(Debug)]
pub(super) struct Converter {
    layout: Layout,
    width: u32,
    height: u32,
    /// Bytes from the start of a row to the next.
    stride: usize,
    matrix: YuvMatrix,
    pool: Pool,
}

impl Converter {
    /// For pictures of this size, whose rows start `stride` bytes apart; 0 where they are packed.
    ///
    /// # Errors
    /// When the size is outside the limits or the rows don't fit the stride.
    pub fn new(
        layout: Layout,
        (width, height): (u32, u32),
        stride: u32,
        matrix: YuvMatrix,
    ) -> Result<Self, PixelsError> {
        check_size(width, height)?;
        if matches!(layout, Layout::Yuyv | Layout::Nv12) && width % 2 == 1 {
            return Err(PixelsError::Odd { width });
        }
        let row = row_bytes(layout, width);
        let stride = if stride == 0 { row } else { stride as usize };
        if stride < row {
            return Err(PixelsError::Stride { wanted: row, stride });
        }
        // Sensors use the whole range.
        let matrix = if layout == Layout::Grey { YuvMatrix::Jpeg } else { matrix };
        let pool = Pool::new(format(layout).bytes(width, height));
        Ok(Self { layout, width, height, stride, matrix, pool })
    }

    /// One picture.
    ///
    /// # Errors
    /// When there are too few bytes, or they are no JPEG where one was promised.
    pub fn image(&self, bytes: &[u8]) -> Result<Image, PixelsError> {
        let Self { layout, width, height, .. } = *self;
        if layout == Layout::Mjpg {
            return mjpeg::decode(mjpeg::whole(bytes)?, width, height, &self.pool);
        }
        let rows = self.rows(bytes)?;
        let mut buffer = self.pool.buffer();
        match layout {
            Layout::Bayer(order) => demosaic(order, width as usize, rows, buffer.as_mut()),
            _ => {
                let row = row_bytes(layout, width);
                buffer.as_mut().chunks_exact_mut(row).zip(rows).for_each(|(to, from)| to.copy_from_slice(from));
            }
        }
        if layout == Layout::Grey {
            let luma = width as usize * height as usize;
            buffer.as_mut().iter_mut().skip(luma).for_each(|chroma| *chroma = NEUTRAL);
        }
        Ok(Image::new(width, height, format(layout), buffer.freeze())?.with_matrix(self.matrix))
    }

    /// The rows of all planes, without their padding.
    fn rows<'a>(&self, bytes: &'a [u8]) -> Result<impl Iterator<Item = &'a [u8]>, PixelsError> {
        let (row, height) = (row_bytes(self.layout, self.width), self.height as usize);
        let rows = if self.layout == Layout::Nv12 { height + height.div_ceil(2) } else { height };
        // The last row need not be padded.
        let wanted = self.stride.saturating_mul(rows - 1).saturating_add(row);
        if bytes.len() < wanted {
            return Err(PixelsError::Short { wanted, got: bytes.len() });
        }
        Ok(bytes.chunks(self.stride).take(rows).map(move |padded| padded.get(..row).unwrap_or_default()))
    }
}

/// Chroma without colour.
const NEUTRAL: u8 = 128;

/// The bytes of a row without padding; of JPEG, which has none, as many as there are pixels.
fn row_bytes(layout: Layout, width: u32) -> usize {
    let width = width as usize;
    match layout {
        Layout::Yuyv => width * 2,
        Layout::Rgb => width * 3,
        Layout::Nv12 | Layout::Grey | Layout::Bayer(_) | Layout::Mjpg => width,
    }
}

/// What becomes of a layout.
fn format(layout: Layout) -> PixelFormat {
    match layout {
        Layout::Yuyv => PixelFormat::Yuyv,
        Layout::Nv12 => PixelFormat::Nv12,
        Layout::Grey => PixelFormat::I420,
        Layout::Rgb | Layout::Bayer(_) | Layout::Mjpg => PixelFormat::Rgb8,
    }
}

/// A grey picture from a buffer of I420 whose plane of Y is filled.
pub(super) fn grey(width: u32, height: u32, mut luma: Vec<u8>) -> Result<Image, ImageError> {
    luma.iter_mut().skip(width as usize * height as usize).for_each(|chroma| *chroma = NEUTRAL);
    Ok(Image::new(width, height, PixelFormat::I420, luma.into())?.with_matrix(YuvMatrix::Jpeg))
}

#[cfg(test)]
mod tests;
