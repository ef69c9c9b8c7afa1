//! Colour from a Bayer mosaic, where each pixel of the sensor saw one colour only.
//!
//! Bilinear: a missing colour is the mean of the nearest pixels that saw it. At the edges the mosaic is mirrored, which
//! keeps its order.

/// The first two pixels of the first two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bayer {
    Rggb,
    Bggr,
    Gbrg,
    Grbg,
}

impl Bayer {
    /// Whether the first row starts with green, and whether it holds red.
    const fn first_row(self) -> (bool, bool) {
        match self {
            Self::Rggb => (false, true),
            Self::Grbg => (true, true),
            Self::Bggr => (false, false),
            Self::Gbrg => (true, false),
        }
    }
}

/// Writes the picture as RGB8 to `rgb`, which holds `3 * width` bytes a row. `rows` are the mosaic's rows of `width`
/// bytes each; what is missing stays as it is.
pub(super) fn demosaic<'a>(order: Bayer, width: usize, rows: impl Iterator<Item = &'a [u8]>, rgb: &mut [u8]) {
    let (mut green_first, mut red) = order.first_row();
    let mut mosaic = rows.map(|row| mirrored(row, width)).peekable();
    let Some(mut here) = mosaic.next() else { return };
    let mut above = mosaic.peek().unwrap_or(&here).clone();
    for out in rgb.chunks_exact_mut(width.max(1) * 3) {
        let below = mosaic.next().unwrap_or_else(|| above.clone());
        row([&above, &here, &below], green_first, red, out);
        above = std::mem::replace(&mut here, below);
        (green_first, red) = (!green_first, !red);
    }
}

/// The row with one more pixel at each end, as a mirror would show it.
fn mirrored(row: &[u8], width: usize) -> Vec<u8> {
    let at = |x: usize| row.get(x).copied().unwrap_or_default();
    let mut out = Vec::with_capacity(width + 2);
    out.push(at(1.min(width.saturating_sub(1))));
    out.extend(row.iter().take(width));
    out.resize(width + 1, 0);
    out.push(at(width.saturating_sub(2)));
    out
}

/// One row of the picture from three rows of the mosaic.
fn row([above, here, below]: [&[u8]; 3], green_first: bool, red: bool, rgb: &mut [u8]) {
    let mut green = green_first;
    let windows = above.windows(3).zip(here.windows(3)).zip(below.windows(3));
    for (((a, h), b), out) in windows.zip(rgb.chunks_exact_mut(3)) {
        let (&[nw, n, ne], &[w, c, e], &[sw, s, se]) = (a, h, b) else { continue };
        // In a red row: what the row's pixels see besides green, green, what the rows above and below see.
        let [own, middle, other] =
            if green { [mean(&[w, e]), c, mean(&[n, s])] } else { [c, mean(&[n, w, e, s]), mean(&[nw, ne, sw, se])] };
        out.copy_from_slice(&if red { [own, middle, other] } else { [other, middle, own] });
        green = !green;
    }
}

/// The mean of two or four values, rounded.
fn mean<const N: usize>(values: &[u8; N]) -> u8 {
    let sum = values.iter().map(|&v| usize::from(v)).sum::<usize>();
    // A mean of bytes is a byte.
    ((sum + N / 2) / N) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: [Bayer; 4] = [Bayer::Rggb, Bayer::Bggr, Bayer::Gbrg, Bayer::Grbg];

    /// What a sensor of this order sees of a picture.
    fn mosaic(order: Bayer, width: usize, height: usize, rgb: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        let channel = |x: usize, y: usize| {
            let letters = match order {
                Bayer::Rggb => "RGGB",
                Bayer::Bggr => "BGGR",
                Bayer::Gbrg => "GBRG",
                Bayer::Grbg => "GRBG",
            };
            "RGB".find(&letters[y % 2 * 2 + x % 2..][..1]).unwrap()
        };
        (0..width * height).map(|i| rgb(i % width, i / width)[channel(i % width, i / width)]).collect()
    }

    fn picture(order: Bayer, width: usize, height: usize, mosaic: &[u8]) -> Vec<u8> {
        let mut rgb = vec![0; width * height * 3];
        demosaic(order, width, mosaic.chunks(width).take(height), &mut rgb);
        rgb
    }

    #[test]
    fn an_even_colour_comes_back_whatever_the_order() {
        for order in ORDERS {
            for (width, height) in [(2, 2), (3, 2), (2, 5), (7, 4), (16, 9)] {
                let seen = mosaic(order, width, height, |_, _| [200, 100, 50]);
                let rgb = picture(order, width, height, &seen);
                assert!(rgb.chunks(3).all(|p| p == [200, 100, 50]), "{order:?} {width}x{height}");
            }
        }
    }

    #[test]
    fn a_gradient_is_met_to_a_step() {
        let truth = |x: usize, y: usize| [(x * 4) as u8, (y * 4) as u8, (x * 2 + y * 2) as u8];
        for order in ORDERS {
            let rgb = picture(order, 32, 24, &mosaic(order, 32, 24, truth));
            for (i, pixel) in rgb.chunks(3).enumerate() {
                let (x, y) = (i % 32, i / 32);
                // Mirroring bends a gradient at the edges.
                let allowed = if x == 0 || y == 0 || x == 31 || y == 23 { 4 } else { 1 };
                let off = pixel.iter().zip(truth(x, y)).map(|(&a, b)| a.abs_diff(b)).max().unwrap();
                assert!(off <= allowed, "{order:?} {x},{y}: {pixel:?}");
            }
        }
    }

    #[test]
    fn a_row_or_column_alone_gives_a_picture() {
        for order in ORDERS {
            for (width, height) in [(1, 1), (1, 7), (9, 1)] {
                assert_eq!(picture(order, width, height, &vec![9; width * height]).len(), width * height * 3);
            }
        }
    }
}
