//! The whole program on a stepped clock, from the submission to the webhook.

mod budgets;
mod credentials;
mod deadline;
mod delivery;
mod durability;
mod not_found;
mod operators;
mod outcomes;
mod problems;
mod quiet;
mod throttling;
