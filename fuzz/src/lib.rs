//! The fuzz targets.
//!
//! Each function takes any bytes and returns, unless a promise is broken: then it panics. `scripts/fuzz` calls it with
//! generated inputs; `tests/corpus.rs` includes this file and replays the inputs in `corpus/` on each run.
//!
//! Inputs for compressed files are plain text, and are compressed here, because no fuzzer finds a valid checksum. An
//! input that begins like a zstd frame is used as it is.

pub mod chains;
pub mod commands;
pub mod events;
pub mod leases;
pub mod manifests;
pub mod packs;
pub mod records;
mod world;

/// A target: its name, which is also the name of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("chains", chains::run),
    ("commands", commands::run),
    ("events", events::run),
    ("leases", leases::run),
    ("manifests", manifests::run),
    ("packs", packs::run),
    ("records", records::run),
];
