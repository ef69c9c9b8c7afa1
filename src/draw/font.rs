//! A bitmap font: ASCII 32..=126 in cells of 5 x 9 dots (7 above the base line, 2 below), and a box for all else.
//!
//! `font.txt` is the drawing: six bands of sixteen characters in code order, a blank column between them.

/// Dots across a character.
pub(super) const WIDTH: i64 = 5;
/// Dots from one character to the next.
pub const ADVANCE: i64 = 6;
/// Dots of a line of text, from the top of a capital to the bottom of a `g`.
pub const LINE: i64 = 9;

const CELL: usize = 5;
const ROWS: usize = 9;
const PER_BAND: usize = 16;
const GLYPHS: usize = 96;
/// Sixteen cells with blanks between them, and the end of the line.
const SHEET_LINE: usize = PER_BAND * (CELL + 1);
/// The glyph for what has none.
const BOX: usize = GLYPHS - 1;

static FONT: [[u8; ROWS]; GLYPHS] = read(include_bytes!("font.txt"));

/// The rows of a character, top first; bit 0 is the leftmost dot.
pub(super) fn glyph(c: char) -> [u8; ROWS] {
    let index = match u32::from(c) {
        code @ 32..=126 => code as usize - 32,
        _ => BOX,
    };
    FONT.get(index).copied().unwrap_or_default()
}

/// Reads the drawing. Runs at compile time, where an index out of range is a build error.
const fn read(sheet: &[u8]) -> [[u8; ROWS]; GLYPHS] {
    assert!(sheet.len() == GLYPHS / PER_BAND * ROWS * SHEET_LINE);
    let mut font = [[0; ROWS]; GLYPHS];
    let mut at = 0;
    while at < GLYPHS * ROWS * CELL {
        let (code, row, column) = (at / (ROWS * CELL), at / CELL % ROWS, at % CELL);
        let line = code / PER_BAND * ROWS + row;
        let dot = sheet[line * SHEET_LINE + code % PER_BAND * (CELL + 1) + column];
        assert!(dot == b'#' || dot == b'.');
        if dot == b'#' {
            font[code][row] |= 1 << column;
        }
        at += 1;
    }
    font
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_character_is_drawn_and_unlike_the_others() {
        let all: Vec<_> = (33u8..127).map(|c| glyph(char::from(c))).collect();
        for (i, one) in all.iter().enumerate() {
            assert!(one.iter().any(|row| *row != 0), "character {}", i + 33);
            assert!(!all[..i].contains(one), "character {} has a double", i + 33);
        }
        assert_eq!(glyph(' '), [0; ROWS]);
    }

    #[test]
    fn what_has_no_glyph_is_a_box() {
        assert_eq!(glyph('ä'), glyph('\u{7f}'));
        assert_eq!(glyph('\n'), glyph('目'));
        assert_eq!(glyph('L')[..7], [1, 1, 1, 1, 1, 1, 0b11111]);
    }
}
