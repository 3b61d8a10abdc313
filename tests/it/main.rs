//! What users rely on, driven as they drive it: the real program, real directories, real locks.

mod support;

mod concurrency;
mod crash;
mod damage;
mod hostile;
mod save_restore;
