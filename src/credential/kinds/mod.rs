//! The kinds of credentials, one file each. A new kind is one more file and a row of
//! [`KINDS`].

pub(crate) mod agency;
pub(crate) mod header;
pub(crate) mod headers;
pub(crate) mod keys;
pub(crate) mod keystone;
pub(crate) mod metadata;
pub mod none;
pub(crate) mod oauth2;

use crate::credential::configured::Read;
use crate::credential::kinds::none::Nothing;

/// The word for each kind in the configuration, and how its section is read.
pub(crate) const KINDS: &[(&str, Read)] = &[
    ("keystone", keystone::password),
    ("keystone-token", keystone::token),
    (keys::KIND, keys::read),
    (agency::KIND, agency::read),
    (metadata::KIND, metadata::read),
    ("token", header::token),
    ("bearer", header::bearer),
    ("basic", header::basic),
    ("header", header::header),
    (headers::KIND, headers::read),
    (oauth2::KIND, oauth2::read),
    (none::KIND, |_| Some(Nothing::settings())),
];
