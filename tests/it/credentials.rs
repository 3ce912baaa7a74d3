//! Every kind of credential, in the whole program, against stand-ins of an identity service
//! and of job APIs: the requests sent, the renewals, and the reaction when either refuses,
//! throttles, answers wrongly or is down.

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
mod oauth2;
mod outages;
mod redirects;
mod refusals;
mod register;
mod signed;
mod stand;
mod storm;
