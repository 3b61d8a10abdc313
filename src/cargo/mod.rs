//! What cargo means: its directories, what identifies a build, and what a lock file names.
//!
//! It hides cargo's file formats and where cargo looks for things. Whatever cargo itself can be
//! asked, it is asked; where there is no cargo, its documented rules apply, and tests hold the two
//! together.
//!
//! # Invariants
//!
//! - The environment is a value, [`Environment`](crate::model::environment::Environment): nothing
//!   here reads that of the process, and programs see only what
//!   [`passed_on`](crate::model::passed_on) lists of it.
//! - A key is never made of nothing: where no input is found there is an error.

pub mod artifacts;
mod basis;
pub mod build_lock;
pub mod checksums;
mod config;
pub mod crate_file;
pub mod dep_info;
pub mod dirs;
pub mod environment;
pub mod error;
pub mod explain;
mod extra_inputs;
pub mod fingerprint;
mod git_config;
pub mod git_database;
pub mod git_files;
pub mod git_index;
mod git_objects;
pub mod git_repository;
pub mod home;
pub mod home_config;
pub mod index_file;
pub mod key;
pub mod lock_file;
pub mod manifests;
pub mod meaning;
mod package;
pub mod parts;
mod program;
pub mod registries;
pub mod rlib;
mod rustup;
pub mod scratch;
pub mod seen;
pub mod sources;
pub mod system;
pub mod tested;
#[cfg(test)]
mod testing;
pub mod toolchain;
pub mod tracked;
pub mod units;
pub mod workspace;

pub use error::{Error, Result};
