//! The real program as processes of their own: what it says, how it exits, what survives.

mod commands;
mod crash;
mod daemon;
mod definitions;
mod process;
mod secrets;
mod service_manager;
