//! Every kind of credential, in the whole program, against stand-ins of an identity service
//! and of job APIs: what is sent, what is renewed, and what happens when either refuses,
//! throttles, lies or is gone.

mod agencies;
mod clocks;
mod cloud;
mod endpoints;
mod kinds;
mod leases;
mod locks;
mod log;
mod logins;
mod metadata;
mod outages;
mod redirects;
mod refusals;
mod register;
mod signed;
mod stand;
mod storm;
