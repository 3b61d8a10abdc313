//! Values and pure functions: the vocabulary and the decisions of the program.
//!
//! It touches no file, no clock and no environment. Every decision is made here, from facts that
//! other modules read.

pub mod ahead;
pub mod always_build;
pub mod area;
pub mod blind;
pub mod cache_mode;
pub mod cargo_home;
pub mod choice;
pub mod configuration;
pub mod digest;
pub mod environment;
pub mod expiry;
pub mod facts;
pub mod filesystem;
pub mod freshness;
pub mod further;
pub mod git_ref;
pub mod idle_dir;
pub mod kept;
pub mod leftovers;
pub mod level;
pub mod manifest;
pub mod mark;
pub mod names;
pub mod passed_on;
pub mod pressure;
pub mod printable;
pub mod quantity;
pub mod raw_path;
pub mod reason;
pub mod rebuild;
pub mod rel_path;
pub mod retention;
pub mod reuse;
pub mod root;
pub mod save_plan;
pub mod scope;
pub mod score;
pub mod server;
pub mod sketch;
pub mod source;
pub mod system;
#[cfg(test)]
pub(crate) mod testing;
pub mod timestamp;
pub mod token;
pub mod unit_graph;
pub mod unit_use;
