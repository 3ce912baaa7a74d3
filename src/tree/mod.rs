//! Trees of TOML values with their origins: layered from files and environment
//! ([`source`]), read key by key ([`reader`], tables within tables in `sections`, files and
//! secrets in [`secret`]), with the line of each key ([`line`](mod@line)).
//!
//! Each part of the program reads its own section with a [`reader::Reader`], which collects
//! all diagnostics.

pub mod line;
pub(crate) mod reader;
pub(crate) mod secret;
mod sections;
pub mod source;
