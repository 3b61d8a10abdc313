//! Keeping the store small and whole: gc, guard and verify.

pub mod gc;
pub mod guard;
mod hot;
pub mod idle_units;
mod report;
mod survey;
pub mod verify;
