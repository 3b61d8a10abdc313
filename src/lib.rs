//! Caches cargo builds on a self-hosted GitHub runner, so that jobs do not build unchanged crates again.
//!
//! The promise: code that the runner has already built is not compiled again, a stale artifact
//! never happens, the disk never fills. `README.md` says how to use it, `ARCHITECTURE.md` how the
//! house is built, `docs/FORMAT.md` what is on disk.
//!
//! Layers import only downwards; `tests/architecture.rs` holds the table.

pub mod action;
pub mod cargo;
pub mod chain;
pub mod checkout;
pub mod cli;
pub mod front;
pub mod fs;
pub mod github;
pub mod job;
pub mod model;
pub mod restore;
pub mod save;
pub mod store;
pub mod tree;
pub mod upkeep;
pub mod vouch;
