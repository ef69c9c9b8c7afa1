//! From evidence to better models.

pub mod dataset;
