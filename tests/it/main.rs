//! What users rely on, driven as they drive it: the real program, real directories, real locks.

mod support;
mod workshop;

mod cargo;
mod commands;
mod concurrency;
mod crash;
mod damage;
mod filesystems;
mod freshness;
mod hostile;
mod installer;
mod launcher;
mod old_stores;
mod save_restore;
