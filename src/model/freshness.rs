//! Which mtimes are put back.
