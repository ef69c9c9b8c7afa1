//! Models for inputs of any shape that they admit.
//!
//! A [`Graph`](crate::Graph) is for shapes that are known to the last extent, which is what makes it fast and safe. An
//! [`OpenModel`] makes one for each shape, and [`Plans`] keeps the plans of the shapes last used.

mod declared;
mod model;
mod plans;

pub use declared::{DeclaredInput, Extent};
pub use model::OpenModel;
pub use plans::Plans;
