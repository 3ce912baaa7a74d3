//! All integration tests, one binary.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy allows it in tests only, not in their helpers"
)]

mod catalog; // every definition against its recorded answers
mod credentials; // every kind of credential against stand-ins of a cloud
mod documents; // the documents name what the program has, and all of it
mod field; // situations from public reports: the real binary and a stub that answers by steps
mod harness; // the program around a stepped clock, for `whole_app`
mod keystone; // the real binary logs in at a real Keystone, where there is one
mod program; // the real binary as processes of their own
mod properties; // invariants of any sequence of observations, and of any signed request
mod readings; // recorded and built answers, and how each is read
mod simulation; // the core in random histories, on models of its surroundings
mod sinks; // each kind of sink at real sockets, files and processes
mod store; // the contract of the store, over every kind of store
mod terminal; // the commands that look on, on the screen of a pseudo-terminal
mod tidy; // the rules of this repository that no compiler checks
mod whole_app; // submit, poll, decide, store and deliver, together
