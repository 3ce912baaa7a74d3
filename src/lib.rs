//! jobwatch watches asynchronous cloud jobs until they end, and tells everyone who asked.
//!
//! # The map, in reading order
//!
//! | where | what |
//! |---|---|
//! | `watch/` | the pure core: [`watch::Watch`], what a poll showed, what follows from it, what subscribers are told |
//! | `definition/` | what a family of job APIs looks like: a TOML file; one answer becomes one observation |
//! | `schedule/` | when to poll: the next interval, the agenda of next polls, budgets |
//! | `credential/` | how a request authenticates; `kinds/` has one file for each kind, `discovery/` finds credentials where other tools keep theirs |
//! | `service/` | a definition put to use: one poll over HTTP |
//! | `store/` | what is durable, and what commits together; `sqlite/` is the embedded one |
//! | `sink/` | where events go; `kinds/` has one file for each kind |
//! | `actions/` | the operations on watches and deliveries, one file each: submit, stop, redrive |
//! | `workers/` | what goes on by itself: the poller (`poller/`) and the courier |
//! | `api/` | the HTTP API |
//! | `settings/` | composes the sections of all parts into validated values |
//! | `app`, `lifecycle`, `telemetry` | wiring in start order, signals and stop, the log |
//! | `cli/` | the commands, one file each; `demo/` is the largest |
//! | `simulator/` | the stand-in services for `simulate`, `demo` and tests |
//! | `metrics` | what is counted |
//! | `timing/` | the settings of polling: as written, and ready for use |
//! | `tree/`, `diagnostic` | reading TOML sections with the origin of each value; one error in a file |
//! | `clock`, `wake`, `suggest`, `outbound/` | time and randomness, nudges, suggestions, what outgoing HTTP shares |
//!
//! # How a watch travels
//!
//! `POST /v1/watches` → [`api`] → [`actions`] checks and commits it through [`store`] →
//! [`workers::poller`] finds it in the store and puts it on the [`schedule::agenda`] → when
//! due and within its [`schedule::budget`], [`service`] makes one poll and
//! [`definition::reading`] reads the answer → [`watch::transition::decide`] says what
//! follows → watch, event and deliveries commit in one transaction → [`workers::courier`]
//! hands the event to each [`sink`].
//!
//! # Invariants
//!
//! 1. A poll problem is never a job failure.
//! 2. An acknowledged watch survives `kill -9`.
//! 3. A transition, its event and the deliveries it owes commit in one transaction.
//! 4. Every delivery is made at least once under a stable event id, or ends in the dead
//!    letters.
//! 5. Final is final.
//! 6. A poll that shows nothing new writes nothing.
//! 7. We only read the job.
//! 8. Secrets stay in, and no redirect is followed.
//! 9. Unknown is loud: a status that is not listed counts as running, with a warning.
//! 10. Everything is bounded.
//! 11. Times and randomness are passed in.

pub mod actions;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod credential;
pub mod definition;
pub mod diagnostic;
pub mod lifecycle;
pub mod metrics;
pub mod outbound;
pub mod schedule;
pub mod service;
pub mod settings;
pub mod simulator;
pub mod sink;
pub mod store;
pub mod suggest;
pub mod sync;
pub mod telemetry;
pub mod timing;
pub mod tree;
pub mod wake;
pub mod watch;
pub mod workers;
