//! The operations we ask of the kernel: walking, opening beneath a root, times, renames, locks,
//! space, programs, signals.
//!
//! It hides the system calls. It knows no path of the store and no file format.

pub mod atime;
pub mod beneath;
pub mod child;
pub mod clone;
pub mod crash;
pub mod cursor;
pub mod digest;
pub mod error;
pub mod extents;
pub mod lock;
pub mod named_dir;
pub mod pieces;
pub mod prefetch;
pub mod process;
pub mod regular;
pub mod remove;
pub mod rename;
pub mod room;
pub mod space;
pub mod spread;
pub mod stat;
mod user;
pub mod walk;

pub use error::{At, Error, Result};
pub use user::{shown_user, user_id};
