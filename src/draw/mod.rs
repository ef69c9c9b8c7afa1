//! Drawing what a model saw onto a picture, for people: boxes, labels, and the JPEG of it.
//!
//! Boxes arrive as fractions of the frame ([`Rect`]) and are drawn in pixels, origin top left.
//! Nothing from outside can make this room fail: boxes that are not numbers or lie outside the picture are left out,
//! the rest is clipped, and labels are moved and shortened until they are inside the picture.

mod canvas;
mod colour;
mod font;

pub use self::canvas::Canvas;
pub use self::colour::{colour, hex};
pub use self::font::{ADVANCE, LINE};

use jpeg_encoder::{ColorType, Encoder};

use crate::detection::{Object, Rect};

/// Boxes drawn on one picture; more would only hide it.
const MAX_BOXES: usize = 300;
/// Lines listed for a classifier.
const MAX_LINES: usize = 5;
/// Characters of a label that are drawn.
const MAX_CHARS: usize = 40;
/// Text colour: dark, because every label's colour is light enough for it.
const INK: [u8; 3] = [16, 18, 22];

/// Why a picture did not become a JPEG.
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// JPEG counts its sides in 16 bits, and an empty picture is none.
    #[error("a picture of {width}x{height} pixels can't be a JPEG: a side is 1 to 65535 pixels")]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The buffer does not fit the size.
    #[error("a {width}x{height} RGB picture takes {wanted} bytes, not {got}")]
    Length {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Bytes that the size takes.
        wanted: usize,
        /// Bytes there are.
        got: usize,
    },
    /// The encoder refused.
    #[error("a {width}x{height} picture could not be encoded as JPEG")]
    Encoder {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// What the encoder said.
        source: jpeg_encoder::EncodingError,
    },
}

/// Encodes tightly packed RGB as a baseline JPEG. `quality` is 1..=100 and is brought into that range.
///
/// # Errors
/// When the size is none that JPEG can hold, or `rgb` has another length than it takes.
pub fn jpeg(rgb: &[u8], width: u32, height: u32, quality: u8) -> Result<Vec<u8>, JpegError> {
    let (Ok(w @ 1..), Ok(h @ 1..)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(JpegError::Size { width, height });
    };
    let wanted = usize::from(w) * usize::from(h) * 3;
    if rgb.len() != wanted {
        return Err(JpegError::Length { width, height, wanted, got: rgb.len() });
    }
    // About a tenth of the raw size is what busy pictures take; it saves the buffer from growing.
    let mut out = Vec::with_capacity(wanted / 10 + 1024);
    Encoder::new(&mut out, quality.clamp(1, 100))
        .encode(rgb, w, h, ColorType::Rgb)
        .map_err(|source| JpegError::Encoder { width, height, source })?;
    Ok(out)
}

/// Draws a box and a label for each object, best score on top. What a classifier says of the whole frame
/// ([`Rect::FULL`]) is listed in the top-left corner instead.
pub fn annotate(canvas: &mut Canvas, objects: &[Object]) {
    let style = Style::of(canvas);
    let mut taken = Vec::new();
    let whole = objects.iter().filter(|o| o.rect == Rect::FULL);
    for object in whole.take(MAX_LINES) {
        let top = taken.last().map_or(0, |last: &Area| last.bottom);
        taken.extend(style.label(canvas, object, |_, _| (0, top)));
    }
    let boxed: Vec<(&Object, Area)> = objects
        .iter()
        .filter(|o| o.rect != Rect::FULL)
        .take(MAX_BOXES)
        .filter_map(|o| Some((o, Area::of(&o.rect, canvas)?)))
        .collect();
    for (object, area) in boxed.iter().rev() {
        style.frame(canvas, *area, colour(&object.label));
    }
    for (object, area) in boxed {
        let placed = style.label(canvas, object, |w, h| place(area, w, h, &taken));
        taken.extend(placed);
    }
}

/// A rectangle in pixels, inside the picture; right and bottom are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Area {
    /// The visible part of `rect`, or nothing where there is none.
    fn of(rect: &Rect, canvas: &Canvas) -> Option<Self> {
        let edges = [rect.x, rect.y, rect.x + rect.w, rect.y + rect.h];
        if edges.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let [left, top, right, bottom] = edges;
        if right <= 0.0 || bottom <= 0.0 || left >= 1.0 || top >= 1.0 || right < left || bottom < top {
            return None;
        }
        // Clamped to 0..=1 first, so the cast is exact enough and never saturates.
        #[allow(clippy::cast_possible_truncation)]
        let pixel = |v: f32, side: u32| (f64::from(v.clamp(0.0, 1.0)) * f64::from(side)).round() as i64;
        let (w, h) = (canvas.width(), canvas.height());
        let left = pixel(left, w).min(i64::from(w) - 1);
        let top = pixel(top, h).min(i64::from(h) - 1);
        Some(Self { left, top, right: pixel(right, w).max(left + 1), bottom: pixel(bottom, h).max(top + 1) })
    }

    fn touches(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// Where a label of `w` x `h` goes: the first of above, inside at the top, below and inside at the bottom
/// that no other label has; above where all are taken.
fn place(area: Area, w: i64, h: i64, taken: &[Area]) -> (i64, i64) {
    let tops = [area.top - h, area.top, area.bottom, area.bottom - h];
    let free = tops.into_iter().filter(|top| *top >= 0).find(|&top| {
        let spot = Area { left: area.left, top, right: area.left + w, bottom: top + h };
        !taken.iter().any(|other| other.touches(&spot))
    });
    (area.left, free.unwrap_or(area.top - h))
}

/// Sizes that follow from the picture's.
struct Style {
    /// Pixels of a line.
    line: i64,
    /// Pixels of a dot of the font.
    dot: i64,
}

impl Style {
    fn of(canvas: &Canvas) -> Self {
        let side = i64::from(canvas.width().min(canvas.height()));
        let dot = ((side + 399) / 400).max(1);
        let line = if side < 160 { 1 } else { dot.max(2) };
        Self { line, dot }
    }

    /// A box of `line` pixels with a dark rim on both sides, so that it stands out on any ground.
    fn frame(&self, canvas: &mut Canvas, area: Area, colour: [u8; 3]) {
        let Area { left, top, right, bottom } = area;
        let mut ring = |grow: i64, thick: i64, colour: [u8; 3], alpha: u8| {
            let (l, t, r, b) = (left - grow, top - grow, right + grow, bottom + grow);
            canvas.fill(l, t, r, t + thick, colour, alpha);
            canvas.fill(l, b - thick, r, b, colour, alpha);
            canvas.fill(l, t + thick, l + thick, b - thick, colour, alpha);
            canvas.fill(r - thick, t + thick, r, b - thick, colour, alpha);
        };
        if self.line > 1 {
            ring(1, 1, INK, 110);
            ring(-self.line, 1, INK, 110);
        }
        ring(0, self.line, colour, 255);
    }

    /// Draws one label where `at` wants it for its size, moved into the picture. Returns what it covers,
    /// or nothing where not a single character fits.
    fn label(&self, canvas: &mut Canvas, object: &Object, at: impl FnOnce(i64, i64) -> (i64, i64)) -> Option<Area> {
        let (width, height) = (i64::from(canvas.width()), i64::from(canvas.height()));
        let pad = 2 * self.dot;
        let fits = usize::try_from((width - 2 * pad) / (ADVANCE * self.dot)).unwrap_or(0);
        let text = caption(object, fits.min(MAX_CHARS));
        let chars = i64::try_from(text.chars().count()).unwrap_or(0);
        if chars == 0 {
            return None;
        }
        // The last character needs no gap behind it.
        let w = (chars * ADVANCE - 1) * self.dot + 2 * pad;
        let h = (LINE + 1) * self.dot + pad;
        let (left, top) = at(w, h);
        let left = left.min(width - w).max(0);
        let top = top.min(height - h).max(0);
        canvas.fill(left, top, left + w, top + h, colour(&object.label), 255);
        canvas.text(left + pad, top + pad, self.dot, &text, INK);
        Some(Area { left, top, right: left + w, bottom: top + h })
    }
}

/// `label #track 0.93`, at most `room` characters; the name is shortened first, then the rest left out.
fn caption(object: &Object, room: usize) -> String {
    let track = object.track.as_deref().map_or(String::new(), |t| format!(" #{t}"));
    let rest = format!("{track} {:.2}", object.score);
    let name = object.label.chars().count();
    if name + rest.chars().count() <= room {
        return format!("{}{rest}", object.label);
    }
    let score = format!(" {:.2}", object.score);
    let left = room.saturating_sub(score.chars().count());
    if left >= 4 {
        let mut text: String = object.label.chars().take(left).collect();
        if name > left {
            text = text.chars().take(left - 2).chain("..".chars()).collect();
        }
        return text + &score;
    }
    object.label.chars().take(room).collect()
}

#[cfg(test)]
mod tests;
