//! What users rely on, driven as they drive it: the real program, real directories, real locks.

mod fake_runner;
mod git_server;
mod support;
mod workshop;

mod action;
mod cargo;
mod chain;
mod chain_init;
mod checkouts;
mod choosing;
mod commands;
mod concurrency;
mod crash;
mod damage;
mod explain;
mod filesystems;
mod forecasts;
mod freshness;
mod histories;
mod homes;
mod hostile;
mod hot;
mod installer;
mod jobs;
mod lanes;
mod launcher;
mod layouts;
mod old_stores;
mod partial;
mod runners;
mod save_restore;
mod stopping;
mod systems;
mod toolchains;
mod units;
