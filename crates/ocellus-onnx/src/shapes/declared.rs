//! Inputs as a file declares them.

use std::fmt;

use crate::error::Error;
use crate::tensor::ElementType;

/// One axis of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// The file gives a number.
    Fixed(usize),
    /// The file gives a name, `?` where not even that. Axes of one name are equally long.
    Open(String),
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => n.fmt(f),
            Self::Open(name) => name.fmt(f),
        }
    }
}

/// Name, type and axes of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredInput {
    /// The name in the file.
    pub name: String,
    /// What its elements are.
    pub dtype: ElementType,
    /// Its axes, outermost first.
    pub extents: Vec<Extent>,
}

impl DeclaredInput {
    /// Whether the file leaves this axis open.
    #[must_use]
    pub fn is_open(&self, axis: usize) -> bool {
        matches!(self.extents.get(axis), Some(Extent::Open(_)))
    }

    /// The axes in one word, as `batchx3xheightxwidth`.
    pub(crate) fn declared(&self) -> String {
        self.extents.iter().map(Extent::to_string).collect::<Vec<_>>().join("x")
    }

    /// The declared shape, an open batch taken as 1 and a picture's open sides from `(width, height)`.
    pub(crate) fn shape(&self, size: Option<(usize, usize)>) -> Result<Vec<usize>, Error> {
        let picture = size.filter(|_| self.extents.len() == 4);
        let extent = |(axis, extent): (usize, &Extent)| match (extent, axis, picture) {
            (Extent::Fixed(n), ..) => Ok(*n),
            (Extent::Open(_), 0, _) if self.extents.len() > 1 => Ok(1),
            (Extent::Open(_), 2, Some((_, height))) => Ok(height),
            (Extent::Open(_), 3, Some((width, _))) => Ok(width),
            (Extent::Open(name), ..) => Err(Error::Unresolved {
                place: format!("input {:?}", self.name),
                what: format!("axis {axis}, {name}, of {}", self.declared()),
                advice: "give the input's size, as 1x3x640x640".into(),
            }),
        };
        self.extents.iter().enumerate().map(extent).collect()
    }
}
