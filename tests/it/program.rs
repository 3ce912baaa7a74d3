//! The real program as a process: its output, its exit codes, and the state that survives.

mod commands;
mod config;
mod crash;
mod crash_files;
mod credential_secrets;
mod daemon;
mod databases;
mod definitions;
mod disk;
mod hand_in;
mod json_errors;
mod kills;
mod listeners;
mod logs;
mod online;
mod power_cut;
pub(crate) mod process;
mod proxies;
mod refusals;
mod secrets;
mod service_manager;
mod sinks;
mod terminal;
mod variables;
