//! What users rely on, driven as they drive it: the real program, real directories, real locks.

mod support;
mod workshop;

mod cargo;
mod concurrency;
mod crash;
mod damage;
mod freshness;
mod hostile;
mod old_stores;
mod save_restore;
