//! When to poll: the next interval ([`backoff`]), the order of next polls ([`agenda`]) and how
//! much one endpoint may be asked ([`budget`]).

pub mod agenda;
pub mod backoff;
pub mod budget;
