//! Keeps what cargo built on a self-hosted runner, so that it is not built again.

pub mod fs;
pub mod model;
pub mod store;
