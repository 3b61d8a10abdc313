//! Which generation a restore takes.
