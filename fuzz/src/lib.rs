//! What each fuzz target does with an input.
//!
//! A function here takes any bytes and returns, unless a promise is broken: then it panics. `scripts/fuzz` throws inputs
//! at it; `tests/corpus.rs` includes this file and replays the inputs that are kept in `corpus/`, each time.
//!
//! What a store has compressed is given as text, and compressed here: no fuzzer finds a checksum. An input that begins
//! as zstd does is taken as it is.

pub mod chains;
pub mod commands;
pub mod events;
pub mod leases;
pub mod manifests;
pub mod packs;
pub mod records;
mod world;

/// A target: its name, which is that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("chains", chains::run),
    ("commands", commands::run),
    ("events", events::run),
    ("leases", leases::run),
    ("manifests", manifests::run),
    ("packs", packs::run),
    ("records", records::run),
];
