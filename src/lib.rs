//! jobwatch watches asynchronous cloud jobs until they end, and sends events about them.
//!
//! # The map, in reading order
//!
//! The words (job, watch, poll, observation, verdict, …) each have one meaning; the table is
//! in `CONTRIBUTING.md`, section "Words".
//!
//! | module | contents |
//! |---|---|
//! | `watch/` | the pure core: [`watch::Watch`], the observation of one poll, whether it is believed, the transition that follows, the event and its subscribers |
//! | `timing/` | the poll settings: as written in each place, and merged into a complete set |
//! | `schedule/` | the time of the next poll: intervals, the agenda, budgets |
//! | `definition/` | the description of a family of job APIs, a TOML file: `compile/` checks it, `body/` parses an answer, `reading/` turns it into one observation |
//! | `credential/` | the authentication of requests to a service: `kinds/` has one file for each kind, `discovery/` finds the credentials that other tools have stored |
//! | `service/` | a definition with URL and credential: makes one poll over HTTP |
//! | `store/` | the contracts of durable storage; `sqlite/` is the embedded store, `postgres/` the one that several daemons share |
//! | `sink/` | the receivers of events; `kinds/` has one file for each kind |
//! | `actions/` | the operations on watches and deliveries, one file each: submit, stop, redrive |
//! | `workers/` | the background workers: the poller (`poller/`), the courier (`courier/`), the pruner of old watches, the drop folder (`drop_folder/`), and the announcer (`announcer/`) for clients that wait |
//! | `api/` | the HTTP API; `server/` is its connections |
//! | `settings/` | composes the sections of all parts into validated values |
//! | `app`, `lifecycle`, `telemetry` | wiring in start order, signals and stop, the log |
//! | `cli/` | the commands, one file each; `client/` calls the daemon, `glue/` has the pieces of pipelines, `table/` lays out every table; the folders `db/`, `demo/`, `do_command/`, `events/`, `submit/`, `top/` and `wait/` are large commands |
//! | `simulator/` | the stand-in services for `simulate`, `demo` and tests; `resource/` has the one that misleads a watcher |
//! | `outbound/` | the parts that all outgoing HTTP shares: client, proxies, secrets, redaction, egress rules, `Retry-After` |
//! | `tree/`, `diagnostic` | reads TOML sections with the origin of each value; an error or a warning about one value |
//! | `certificate` | the certificate of the API, read again when its files change |
//! | `problem` | the types of problem documents, in the API and in the drop folder |
//! | `metrics` | the counters, in Prometheus' format |
//! | `clock`, `wake`, `line_writer`, `suggest`, `size` | time and randomness, wakes between workers, the thread that writes the log, "did you mean", sizes with units |
//!
//! # The way of a watch
//!
//! 1. [`api`] receives `POST /v1/watches`; [`actions`] checks the request and commits the
//!    watch to the [`store`].
//! 2. The action passes the watch to the [`workers::poller`], which puts it on the
//!    [`schedule::agenda`]. Watches of another process, or of a client that hung up, are found by
//!    reading the changes of the store.
//! 3. When the watch is due and its [`schedule::budget`] allows, [`service`] makes one poll,
//!    and [`definition::reading`] turns the answer into an observation.
//! 4. [`watch::transition::decide`] decides on the effect of the observation.
//! 5. If there is one, the watch, its event and its deliveries commit in one transaction.
//! 6. The [`workers::courier`] hands the event to each [`sink`], until it is delivered or a
//!    dead letter.
//!
//! # Invariants
//!
//! Tests and comments name these by number.
//!
//! 1. A problem of a poll is never a failure of the job: `failed` comes only from a service
//!    that says so.
//! 2. An acknowledged watch survives `kill -9`: the acknowledgement follows the commit.
//! 3. A transition, its event and the deliveries that it owes commit in one transaction.
//! 4. Every delivery is made at least once under a stable event id, or ends as a dead letter
//!    that can be listed and redriven.
//! 5. An outcome never changes; a verdict that comes later is a separate `late_result` event.
//! 6. A poll that shows nothing new writes nothing. The agenda is built from the store on start.
//! 7. jobwatch only reads a job: it never cancels or repeats remote work.
//! 8. Secrets never appear in logs, errors, `Debug`, events or metrics, and never go to
//!    another origin: a redirect is followed only on the same one.
//! 9. A status that the definition does not list is loud: the job counts as running, with a
//!    warning, a metric and a note on the watch.
//! 10. Every queue, cache, body, list and retry is bounded.
//! 11. Time and randomness are arguments, so that tests can step and repeat them.

pub mod actions;
pub mod api;
pub mod app;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod credential;
pub mod definition;
pub mod diagnostic;
pub mod lifecycle;
pub mod line_writer;
pub mod metrics;
pub mod outbound;
mod problem;
pub mod schedule;
pub mod service;
pub mod settings;
pub mod simulator;
pub mod sink;
pub mod size;
pub mod store;
pub mod suggest;
pub mod telemetry;
pub mod timing;
pub mod tree;
pub mod wake;
pub mod watch;
pub mod workers;
