//! Pictures that are sent in: JPEG, PNG or BMP, decoded within limits.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::error::Refused;
use super::limits::{Held, Memory};
use crate::frame::{Image, PixelFormat, check_size};

/// What is read.
const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp];
/// Memory that a decoder takes beside its picture.
const DECODER: u64 = 16 << 20;
/// The first byte of a JPEG's markers, the end of the picture, and the start of its data.
const END: [u8; 2] = [0xff, 0xd9];
const SCAN: [u8; 2] = [0xff, 0xda];

/// A picture with the memory that it takes.
pub(super) type Picture = (Image, Arc<Held>);

/// Decodes a picture. Its size is checked before there is room for its pixels.
pub(super) fn decode(bytes: &Bytes, memory: &Memory) -> Result<Picture, Refused> {
    if bytes.is_empty() {
        return Err(Refused::bad("the request has no picture: its body is empty"));
    }
    let format = image::guess_format(bytes).ok().filter(|format| FORMATS.contains(format));
    let format =
        format.ok_or_else(|| Refused::unsupported("this is no picture that is read here: send a JPEG, PNG or BMP"))?;
    if format == ImageFormat::Jpeg && is_cut_short(bytes) {
        return Err(Refused::bad("the JPEG was cut short: its end is missing"));
    }
    let wrong = |error: image::ImageError| Refused::bad(format!("the picture can't be decoded: {error}"));
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height).map_err(|error| Refused::too_large(error.to_string()))?;
    let rgb = PixelFormat::Rgb8.bytes(width, height) as u64;
    // As it is decoded, and as RGB.
    let held = memory.hold(decoder.total_bytes().saturating_add(rgb))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(decoder.total_bytes().saturating_add(DECODER));
    decoder.set_limits(limits).map_err(wrong)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(wrong)?.into_rgb8();
    let image = Image::new(width, height, PixelFormat::Rgb8, Bytes::from(decoded.into_raw()));
    image.map(|image| (image, Arc::new(held))).map_err(|error| Refused::bad(error.to_string()))
}

/// Whether a JPEG's data has no end. Of a preview in its head the end stands before the data.
fn is_cut_short(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last(END) <= last(SCAN)
}
