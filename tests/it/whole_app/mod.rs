//! The whole program on a stepped clock, from the submission to the webhook.

mod access;
mod backlog;
mod budgets;
mod callbacks;
mod credentials;
mod dead_letters;
mod deadline;
mod delivery;
mod drop_folder;
mod durability;
mod late_results;
mod leases;
mod not_found;
mod operators;
mod outcomes;
mod probes;
mod problems;
mod quiet;
mod resources;
mod throttling;
mod trouble;
mod waits;
