//! Keeps what cargo built on a self-hosted runner, so that it is not built again.

pub mod cargo;
pub mod cli;
pub mod fs;
pub mod model;
pub mod ops;
pub mod store;
