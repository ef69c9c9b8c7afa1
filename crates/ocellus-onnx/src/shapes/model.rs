//! A model before its shapes are fixed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::declared::{DeclaredInput, Extent};
use crate::error::Error;
use crate::graph::{Graph, deep, read};
use crate::limits::Limits;
use crate::source::Source;

/// A checked model whose open axes are still open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OpenModel(Arc<Source>);

impl OpenModel {
    /// Loads a model file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, else [`Error::InFile`] around what [`parse`](Self::parse) says.
    pub fn load(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let bytes = read(path, limits)?;
        Self::parse(&bytes, limits).map_err(|e| Error::InFile { path: path.to_owned(), source: Box::new(e) })
    }

    /// Reads a model from the bytes of an ONNX file.
    ///
    /// # Errors
    /// What is wrong with the model, as far as that can be told without shapes.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        deep(|| Source::parse(bytes, limits)).map(|source| Self(Arc::new(source)))
    }

    /// The inputs, in the file's order.
    #[must_use]
    pub fn inputs(&self) -> &[DeclaredInput] {
        self.0.inputs()
    }

    /// The model for inputs of these shapes, one for each input.
    ///
    /// # Errors
    /// [`Error::InputCount`]; [`Error::WrongInput`] for a shape that the file does not admit: another rank, another number
    /// on a fixed axis, or different numbers on axes of one name; what [`Graph::parse`] says where the graph does not
    /// admit it.
    pub fn graph(&self, shapes: &[Vec<usize>]) -> Result<Graph, Error> {
        self.admit(shapes)?;
        Graph::analysed(Arc::clone(&self.0), shapes.to_vec())
    }

    fn admit(&self, shapes: &[Vec<usize>]) -> Result<(), Error> {
        self.0.accept_shapes(shapes)?;
        let mut named: HashMap<&str, usize> = HashMap::new();
        for (input, shape) in self.inputs().iter().zip(shapes) {
            for (extent, found) in input.extents.iter().zip(shape) {
                let fits = match extent {
                    Extent::Fixed(n) => n == found,
                    Extent::Open(name) => name == "?" || named.entry(name).or_insert(*found) == found,
                };
                if !fits {
                    return Err(Error::WrongInput {
                        name: input.name.clone(),
                        expected: format!("a shape of {}", input.declared()),
                        got: format!("{shape:?}"),
                    });
                }
            }
        }
        Ok(())
    }
}
