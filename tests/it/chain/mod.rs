//! The chain, with repos on a GitHub that runs on this machine.

mod github;
mod world;

mod mistakes;
mod nightlies;
mod orchestrator;
mod tls;
mod tokens;
mod trouble;
mod walks;
