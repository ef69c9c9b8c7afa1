//! Finds a head's outputs among a network's: by name where one is given, else by their shapes.

use ocellus_onnx::TensorInfo;

use super::{HeadError, matrix_of};

/// A network's outputs, as a kind of head looks at them.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'t> {
    pub head: &'static str,
    pub all: &'t [TensorInfo],
}

impl<'t> Outputs<'t> {
    /// The output of this name, with its place.
    pub fn named(self, name: &str) -> Result<(usize, &'t TensorInfo), HeadError> {
        self.all.iter().enumerate().find(|(_, o)| o.name == name).ok_or_else(|| HeadError::Missing {
            head: self.head,
            name: name.to_owned(),
            got: self.all.iter().map(|o| format!("`{}`", o.name)).collect::<Vec<_>>().join(", "),
        })
    }

    /// The output of this name; without a name the only one that `fits`, or of several the one whose name has one of
    /// `hints` in it. `key` is how a description names it, `shape` what it should look like.
    pub fn find(
        self,
        name: Option<&str>,
        key: &'static str,
        hints: &[&str],
        shape: &'static str,
        fits: impl Fn(&TensorInfo) -> bool,
    ) -> Result<(usize, &'t TensorInfo), HeadError> {
        if let Some(name) = name {
            let (index, output) = self.named(name)?;
            return if fits(output) { Ok((index, output)) } else { Err(self.wrong(output, shape.to_owned())) };
        }
        let fitting: Vec<_> = self.all.iter().enumerate().filter(|(_, o)| fits(o)).collect();
        let hinted = |o: &TensorInfo| hints.iter().any(|hint| o.name.to_ascii_lowercase().contains(hint));
        let by_name: Vec<_> = fitting.iter().copied().filter(|(_, o)| hinted(o)).collect();
        match (fitting.as_slice(), by_name.as_slice()) {
            ([one], _) | (_, [one]) => Ok(*one),
            _ => Err(HeadError::Unclear { head: self.head, key, shape, fitting: fitting.len() }),
        }
    }

    /// The only output.
    pub fn only(self) -> Result<&'t TensorInfo, HeadError> {
        match self.all {
            [output] => Ok(output),
            _ => Err(HeadError::Count { head: self.head, expected: 1, got: self.all.len() }),
        }
    }

    /// The error for an output of another shape than expected.
    pub fn wrong(self, output: &TensorInfo, expected: String) -> HeadError {
        HeadError::Shape { head: self.head, output: output.name.clone(), expected, got: output.shape.clone() }
    }
}

/// Rows of boxes `[batch, rows, 4]`.
pub(super) fn rows_of_boxes(output: &TensorInfo) -> Option<usize> {
    matrix_of(output).filter(|(_, columns)| *columns == 4).map(|(rows, _)| rows)
}

/// Channels, height and width of `[batch, channels, height, width]`, none of them zero.
pub(in crate::model) fn map_of(output: &TensorInfo) -> Option<(usize, usize, usize)> {
    match *output.shape.as_slice() {
        [_, c, h, w] if c > 0 && h > 0 && w > 0 => Some((c, h, w)),
        _ => None,
    }
}
