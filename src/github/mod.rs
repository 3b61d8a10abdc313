//! What a runner promises: what it tells an action, and what an action may tell it.
//!
//! It hides the names of variables, the syntax of workflow commands and of the files that carry
//! outputs and state, and how far the code of an event is to be trusted. It knows no cache.
//!
//! # Invariants
//!
//! - Everything from outside (inputs, variables, the event's payload, state) is hostile until it
//!   is parsed, and nothing in it makes this module panic.
//! - Doubt makes a job less trusted, never more: [`trust`].
//! - No text of others becomes a command or another output: [`commands`], [`files`].

pub mod annotations;
pub mod cache_mode;
pub mod commands;
pub mod event;
pub mod files;
pub mod inputs;
pub mod label;
pub mod runner;
pub mod shown;
pub mod state;
pub mod summary;
pub mod trust;
