//! The real program as processes of their own: what it says, how it exits, what survives.

mod commands;
mod crash;
mod credential_secrets;
mod daemon;
mod definitions;
mod disk;
mod kills;
mod logs;
mod power_cut;
pub(crate) mod process;
mod proxies;
mod secrets;
mod service_manager;
mod sinks;
