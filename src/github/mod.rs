//! The interface of a runner: the facts that it tells an action, and the answers that it takes.
//!
//! This module hides the names of variables, the syntax of workflow commands and of the files for
//! outputs and state, and the trust in an event's code. It does not know about the cache.
//!
//! # Invariants
//!
//! - Everything from outside (inputs, variables, the event's payload, state) is hostile until it is
//!   parsed, and nothing in it makes this module panic.
//! - Doubt makes a job less trusted, never more: [`trust`].
//! - No foreign text becomes a command or another output: [`commands`], [`files`].

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
