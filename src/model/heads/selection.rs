//! What a device must know to pick a head's candidates itself, so that only those are read back.
//!
//! A device that selects reads every candidate's scores, keeps the candidates of which one may pass the threshold,
//! and brings back their rows. [`Sparse`] puts the rows where they were in outputs that are empty otherwise, and the
//! head decodes these as it decodes whole outputs. A head that has candidates in rows says how they lie through
//! `selection()`; it need not know more.

use std::ops::Range;

/// How a head's candidates lie in the outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Lists of candidates: the grids, or one list.
    pub levels: Vec<Level>,
    /// The column of the scores with the objectness that multiplies every class, if there is one.
    pub objectness: Option<usize>,
    /// The columns of the scores with the classes.
    pub classes: Range<usize>,
    /// Whether objectness and classes are logits, whose sigmoid is the score.
    pub logits: bool,
}

/// One list of candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// The scores.
    pub scores: Rows,
    /// The rest of what decoding a candidate takes, a row for each candidate; may be empty.
    pub others: Vec<Rows>,
}

/// An output that has a row for each candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Its place among the network's outputs.
    pub output: usize,
    /// Candidates.
    pub rows: usize,
    /// Values of a candidate.
    pub columns: usize,
    /// Whether it lies as `[batch, columns, rows]`, not as `[batch, rows, columns]`.
    pub transposed: bool,
}

impl Rows {
    /// An output of shape `[batch, rows, columns]`.
    #[must_use]
    pub fn new(output: usize, rows: usize, columns: usize) -> Self {
        Self { output, rows, columns, transposed: false }
    }

    fn at(&self, row: usize, column: usize) -> usize {
        if self.transposed { column * self.rows + row } else { row * self.columns + column }
    }
}

impl Level {
    /// All outputs that belong to the candidates, scores first.
    pub fn outputs(&self) -> impl Iterator<Item = &Rows> {
        std::iter::once(&self.scores).chain(&self.others)
    }

    fn width(&self) -> usize {
        self.outputs().map(|rows| rows.columns).sum()
    }
}

impl Selection {
    /// Candidates in all levels.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.levels.iter().map(|level| level.scores.rows).sum()
    }

    /// The most values of a candidate.
    #[must_use]
    pub fn width(&self) -> usize {
        self.levels.iter().map(Level::width).max().unwrap_or_default()
    }

    /// What a score is where there is no candidate: no threshold lets it pass.
    fn nothing(&self) -> f32 {
        // Far enough for a sigmoid of exactly 0.
        if self.logits { -1e4 } else { 0.0 }
    }
}

/// Outputs of one picture that hold nothing but the rows put into them.
#[derive(Debug)]
pub struct Sparse {
    selection: Selection,
    outputs: Vec<Vec<f32>>,
    /// The rows that are there, by level.
    filled: Vec<(usize, usize)>,
}

impl Sparse {
    /// Empty outputs for a selection.
    #[must_use]
    pub fn new(selection: Selection) -> Self {
        let count = selection.levels.iter().flat_map(Level::outputs).map(|rows| rows.output + 1).max().unwrap_or(0);
        let mut outputs = vec![Vec::new(); count];
        for level in &selection.levels {
            for (i, rows) in level.outputs().enumerate() {
                let nothing = if i == 0 { selection.nothing() } else { 0.0 };
                if let Some(output) = outputs.get_mut(rows.output) {
                    output.resize(rows.rows * rows.columns, nothing);
                }
            }
        }
        Self { selection, outputs, filled: Vec::new() }
    }

    /// Puts in a candidate: its number, counted through the levels, and its values, those of its scores first.
    /// A number that there is not, or too few values, are left out.
    pub fn put(&mut self, number: usize, values: impl Iterator<Item = f32> + Clone) {
        let mut row = number;
        for at in 0..self.selection.levels.len() {
            let Some(level) = self.selection.levels.get(at) else { return };
            if row < level.scores.rows {
                self.filled.push((at, row));
                return write(&mut self.outputs, level, row, values);
            }
            row -= level.scores.rows;
        }
    }

    /// The outputs, in the network's order.
    #[must_use]
    pub fn outputs(&self) -> Vec<&[f32]> {
        self.outputs.iter().map(Vec::as_slice).collect()
    }

    /// Takes all rows out again.
    pub fn clear(&mut self) {
        let nothing = self.selection.nothing();
        for (at, row) in std::mem::take(&mut self.filled) {
            let Some(level) = self.selection.levels.get(at) else { continue };
            let scores = std::iter::repeat_n(nothing, level.scores.columns);
            let others = level.width() - level.scores.columns;
            write(&mut self.outputs, level, row, scores.chain(std::iter::repeat_n(0.0, others)));
        }
    }
}

fn write(outputs: &mut [Vec<f32>], level: &Level, row: usize, mut values: impl Iterator<Item = f32>) {
    for rows in level.outputs() {
        let Some(output) = outputs.get_mut(rows.output) else { continue };
        for (column, value) in values.by_ref().take(rows.columns).enumerate() {
            if let Some(place) = output.get_mut(rows.at(row, column)) {
                *place = value;
            }
        }
    }
}
