//! Reads any bytes as an answer, with each definition of the catalog: the result is a sighting
//! or a problem, never a panic, and a sighting only from a HTTP status that the definition
//! claims.
#![no_main]

use std::sync::LazyLock;

use http::HeaderMap;
use jiff::Timestamp;
use jobwatch::definition::catalog::Catalog;
use jobwatch::definition::reading::{Answer, Asked, read};
use jobwatch::watch::observation::Observation;
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::built_in);

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (number, http_status, body) = input;
    let http_status = 100 + http_status % 500;
    let count = CATALOG.all().count();
    let Some(definition) = CATALOG.all().nth(usize::from(number) % count) else {
        return;
    };
    let answer = Answer {
        http_status,
        headers: &HeaderMap::new(),
        body,
        is_cut: false,
    };
    let observation = read(definition, &Asked::job("job"), &answer, Timestamp::UNIX_EPOCH);
    if let Observation::Sighting(_) = observation {
        assert!(definition.answer.claims(http_status), "a sighting from HTTP {http_status}");
    }
});
