//! What flows from the cameras: pixels, their format, when and from where.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::status::CameraState;

/// The largest width or height that any room accepts, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The largest picture that any room accepts, in pixels (8K is 33 million).
pub const MAX_PIXELS: u64 = 64 * 1024 * 1024;

/// How the bytes of an [`Image`] are laid out. Rows are tightly packed, top row first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Three bytes a pixel: red, green, blue.
    Rgb8,
    /// Packed 4:2:2, bytes `Y0 U Y1 V` for two pixels. The width is even.
    Yuyv,
    /// 4:2:0: a plane of Y, then a half-size plane of interleaved U and V.
    /// Odd sizes round the chroma plane up.
    Nv12,
    /// 4:2:0: planes of Y, U and V; the last two half-size, rounded up.
    I420,
}

impl PixelFormat {
    /// The number of bytes that a picture of this size takes.
    #[must_use]
    pub fn bytes(self, width: u32, height: u32) -> usize {
        let (w, h) = (width as usize, height as usize);
        let chroma = w.div_ceil(2) * h.div_ceil(2);
        match self {
            Self::Rgb8 => w * h * 3,
            Self::Yuyv => w.div_ceil(2) * 4 * h,
            Self::Nv12 | Self::I420 => w * h + 2 * chroma,
        }
    }
}

/// Which YUV a picture speaks. Meaningless for [`PixelFormat::Rgb8`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum YuvMatrix {
    /// ITU-R BT.601, limited range (Y 16..=235): USB cameras and SD video.
    #[default]
    Bt601,
    /// ITU-R BT.709, limited range: HD video.
    Bt709,
    /// BT.601 coefficients, full range (Y 0..=255): JPEG and MJPEG.
    Jpeg,
}

impl YuvMatrix {
    /// `[y_offset, y_gain, v_to_r, u_to_g, v_to_g, u_to_b]` such that, with `y = y_gain * (Y - y_offset)`,
    /// `u = U - 128` and `v = V - 128`: `R = y + v_to_r * v`, `G = y + u_to_g * u + v_to_g * v`,
    /// `B = y + u_to_b * u`, all on 0..=255 (ITU-R BT.601-7 §2.5, BT.709-6 §3; JFIF 1.02).
    #[must_use]
    pub const fn coefficients(self) -> [f32; 6] {
        const LIMITED: f32 = 255.0 / 219.0;
        match self {
            Self::Bt601 => [16.0, LIMITED, 1.596_027, -0.391_762, -0.812_968, 2.017_232],
            Self::Bt709 => [16.0, LIMITED, 1.792_741, -0.213_249, -0.532_909, 2.112_402],
            Self::Jpeg => [0.0, 1.0, 1.402, -0.344_136, -0.714_136, 1.772],
        }
    }
}

/// Why bytes are not a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A side is zero or over the limits.
    #[error(
        "a picture of {width}x{height} pixels is outside the limits (1x1 up to {MAX_SIDE} a side and {MAX_PIXELS} pixels in all)"
    )]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The buffer does not fit the size and format.
    #[error("a {width}x{height} {format:?} picture takes {wanted} bytes, not {got}")]
    Length {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The layout claimed.
        format: PixelFormat,
        /// Bytes that the layout takes.
        wanted: usize,
        /// Bytes there are.
        got: usize,
    },
    /// Packed 4:2:2 comes in pairs of pixels.
    #[error("a YUYV picture needs an even width, not {width}")]
    OddWidth {
        /// Pixels across.
        width: u32,
    },
}

/// One picture. Cloning shares the pixels.
#[derive(Debug, Clone)]
pub struct Image {
    width: u32,
    height: u32,
    format: PixelFormat,
    matrix: YuvMatrix,
    pixels: Bytes,
    jpeg: Option<Bytes>,
}

impl Image {
    /// Checks size and length once, so that the stages behind need not.
    ///
    /// # Errors
    /// When the size is outside the limits or `pixels` has another length than the layout takes.
    pub fn new(width: u32, height: u32, format: PixelFormat, pixels: Bytes) -> Result<Self, ImageError> {
        check_size(width, height)?;
        if format == PixelFormat::Yuyv && width % 2 == 1 {
            return Err(ImageError::OddWidth { width });
        }
        let wanted = format.bytes(width, height);
        if pixels.len() != wanted {
            return Err(ImageError::Length { width, height, format, wanted, got: pixels.len() });
        }
        Ok(Self { width, height, format, matrix: YuvMatrix::default(), pixels, jpeg: None })
    }

    /// The same picture, its YUV read by another matrix.
    #[must_use]
    pub fn with_matrix(mut self, matrix: YuvMatrix) -> Self {
        self.matrix = matrix;
        self
    }

    /// The same picture, with the JPEG that it was decoded from.
    #[must_use]
    pub fn with_jpeg(mut self, jpeg: Bytes) -> Self {
        self.jpeg = Some(jpeg);
        self
    }

    /// The JPEG that the camera made of this picture, where it made one.
    #[must_use]
    pub fn jpeg(&self) -> Option<&Bytes> {
        self.jpeg.as_ref()
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The layout of [`Image::pixels`].
    #[must_use]
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// How its YUV is read.
    #[must_use]
    pub fn matrix(&self) -> YuvMatrix {
        self.matrix
    }

    /// The bytes, in the layout that [`Image::format`] says.
    #[must_use]
    pub fn pixels(&self) -> &Bytes {
        &self.pixels
    }
}

/// Checks a size before anything is allocated for it.
///
/// # Errors
/// [`ImageError::Size`] outside [`MAX_SIDE`] and [`MAX_PIXELS`].
pub fn check_size(width: u32, height: u32) -> Result<(), ImageError> {
    let inside = (1..=MAX_SIDE).contains(&width)
        && (1..=MAX_SIDE).contains(&height)
        && u64::from(width) * u64::from(height) <= MAX_PIXELS;
    if inside { Ok(()) } else { Err(ImageError::Size { width, height }) }
}

/// A picture with its origin: which camera, which in the row, and when.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The camera's name, as configured.
    pub camera: Arc<str>,
    /// Counts the frames of one camera from 0 since it was opened; gaps are frames that were dropped.
    pub seq: u64,
    /// Wall time of capture: a label.
    pub captured_at: DateTime<Utc>,
    /// Monotonic time of capture: what latencies are measured from.
    pub captured: Instant,
    /// What its camera was when it came: `Ok`, or `Frozen` or `Blind` where pictures are not to be trusted.
    pub state: CameraState,
    /// The picture.
    pub image: Image,
}
