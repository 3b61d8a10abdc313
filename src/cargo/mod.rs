//! Cargo's side of a build: its directories, the inputs of a key, and the packages of a lock file.
//!
//! This module hides cargo's file formats and search paths. It asks cargo itself where it can.
//! Without a cargo its documented rules apply, and tests compare the two.
//!
//! # Invariants
//!
//! - The environment is a value, [`Environment`](crate::model::environment::Environment): nothing
//!   here reads that of the process, and programs get only the variables that
//!   [`passed_on`](crate::model::passed_on) lists.
//! - A key is never made of nothing: without any input it is an error.

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
mod evidence;
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
mod home_paths;
pub mod incremental;
pub mod index_file;
pub mod key;
pub mod lock_file;
pub mod manifests;
pub mod meaning;
pub mod memory;
pub mod messages;
mod package;
pub mod parts;
mod program;
pub mod registries;
pub mod rlib;
mod rustup;
pub mod scratch;
pub mod seen;
pub mod sources;
pub mod switched_off;
pub mod system;
pub mod tested;
#[cfg(test)]
mod testing;
pub mod toolchain;
pub mod tracked;
pub mod units;
pub mod workspace;

pub use error::{Error, Result};
