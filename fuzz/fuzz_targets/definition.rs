//! Compiles any text as a definition file: the result is a definition or a list of errors,
//! never a panic. Each definition then reads an answer.
#![no_main]

use http::HeaderMap;
use jiff::Timestamp;
use jobwatch::definition::compile::compile;
use jobwatch::definition::explain::explain;
use jobwatch::definition::reading::{Answer, Asked};
use libfuzzer_sys::fuzz_target;

const BODY: &[u8] =
    br#"{"job_id":"job","status":"SUCCESS","tasks":[{"id":"job"}],"error":{"code":1}}"#;

fuzz_target!(|text: &str| {
    let Ok(definition) = compile("fuzzed", "fuzzed.toml", text) else {
        return;
    };
    let rendered = definition.request.render(|_| Some("a/../b"));
    if let Ok(request) = rendered {
        assert!(request.path_and_query.starts_with('/'));
    }
    for http_status in [200, 404] {
        let answer = Answer {
            http_status,
            headers: &HeaderMap::new(),
            body: BODY,
            is_cut: false,
        };
        let _ = explain(&definition, &Asked::job("job"), &answer, Timestamp::UNIX_EPOCH);
    }
});
