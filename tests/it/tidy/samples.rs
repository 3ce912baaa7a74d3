//! Small samples of what each rule must find, and of what it must let pass.

use super::rules::{self, Crate, Finding, Layer};
use super::source::{self, Source, code_only, paths, tokens};

const LAYERS: &[Layer] = &[
    ("watch", &["clock::later", "clock::until"]),
    ("store", &["watch"]),
    ("app", &["*"]),
];

/// Asserts what was found: the beginning of each line that a finding prints.
#[track_caller]
fn finds(findings: &[Finding], expected: &[&str]) {
    let printed: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let agrees = printed.len() == expected.len()
        && printed
            .iter()
            .zip(expected)
            .all(|(line, begin)| line.starts_with(begin));
    assert!(agrees, "expected {expected:#?}, found {printed:#?}");
}

fn rust(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

#[test]
fn comments_strings_and_characters_are_not_code() {
    let text =
        "a /* b /* c */ d */ e // f\n\"g \\\" h\" i r#\"j \" k\"# l b'm' '\\'' 'n' '\\u{6f}' &'p q";
    let code = code_only(text);
    let words: Vec<&str> = tokens(&code).iter().map(|token| token.text).collect();
    assert_eq!(words, ["a", "e", "i", "l", "b", "&", "'", "p", "q"]);
}

#[test]
fn a_path_is_read_with_its_group_and_line() {
    let code = "\nuse crate::clock::{later, until as til, deep::{x, y}};\nlet a = ::reqwest::get(b.c::<d::E>());";
    let tokens = tokens(code);
    let paths = paths(&tokens);
    let clock = paths
        .iter()
        .find(|path| path.segments == ["crate", "clock"]);
    let clock = clock.expect("the path is there");
    assert_eq!((clock.line, clock.imported), (2, true));
    assert_eq!(clock.group, ["later", "until", "deep"]);
    assert!(
        paths
            .iter()
            .any(|path| path.segments == ["reqwest", "get"] && path.line == 3)
    );
    assert!(paths.iter().any(|path| path.segments == ["d", "E"]));
}

#[test]
fn a_module_outside_the_row_is_found() {
    let source = rust(
        "src/store/sqlite.rs",
        "use crate::watch::Watch;\n\nfn a() { crate::sink::log(); }",
    );
    finds(
        &rules::layers(&source, LAYERS),
        &["src/store/sqlite.rs:3: `crate::sink::log`: LAYERS lets `store` name only [watch]"],
    );
}

#[test]
fn a_row_that_names_a_later_row_is_found() {
    finds(
        &rules::floors(&[("clock", &[]), ("watch", &["clock::later"])]),
        &[],
    );
    finds(
        &rules::floors(&[("watch", &["clock::later"]), ("clock", &[])]),
        &["tests/it/tidy.rs:1: `watch` may name `clock`"],
    );
}

#[test]
fn a_modules_own_tests_may_name_anything() {
    let text = "use crate::store::Row;\n#[cfg(test)]\nmod tests {\n    use crate::sink::Log;\n}\n";
    finds(&rules::layers(&rust("src/store/mod.rs", text), LAYERS), &[]);
}

#[test]
fn a_single_item_can_be_allowed() {
    let good = "use crate::clock::{later, until};\nuse crate::clock::later;";
    finds(&rules::layers(&rust("src/watch/mod.rs", good), LAYERS), &[]);
    let bad = "use crate::clock::{later, SystemClock};\nuse crate::clock;";
    let expected = [
        "src/watch/mod.rs:1: `crate::clock`",
        "src/watch/mod.rs:2: `crate::clock`",
    ];
    finds(
        &rules::layers(&rust("src/watch/mod.rs", bad), LAYERS),
        &expected,
    );
}

#[test]
fn each_module_of_a_grouped_import_is_checked() {
    let text = "use crate::{watch, sink};\nuse crate::{store, watch};";
    finds(
        &rules::layers(&rust("src/store/sqlite.rs", text), LAYERS),
        &["src/store/sqlite.rs:1: `crate::sink`"],
    );
}

#[test]
fn a_way_round_through_super_is_found() {
    let text = "use super::Row;\nuse super::super::sink::Log;";
    finds(
        &rules::layers(&rust("src/store/sqlite.rs", text), LAYERS),
        &["src/store/sqlite.rs:2: `super::super::sink::Log`"],
    );
    finds(
        &rules::layers(&rust("src/app.rs", "use super::store;"), LAYERS),
        &["src/app.rs:1"],
    );
}

#[test]
fn a_module_without_a_row_is_found() {
    finds(
        &rules::layers(&rust("src/extra.rs", ""), LAYERS),
        &["src/extra.rs:1: `extra` is a new module"],
    );
}

#[test]
fn a_dependency_in_a_pure_module_is_found() {
    let table: &[Layer] = &[("watch", &["serde"])];
    let dependencies = ["serde".to_owned(), "tokio".to_owned(), "config".to_owned()];
    let text = "use serde::Serialize;\nuse tokio::time;\nlet config = config.tokio;\nuse std::fmt;";
    finds(
        &rules::purity(&rust("src/watch/mod.rs", text), table, &dependencies),
        &["src/watch/mod.rs:2: `tokio::time`"],
    );
    finds(
        &rules::purity(&rust("src/store/mod.rs", text), table, &dependencies),
        &[],
    );
}

#[test]
fn a_guarded_crate_elsewhere_is_found() {
    let table = [Crate {
        name: "backoff",
        within: &["schedule/backoff.rs"],
        reason: "why",
    }];
    let text = "use self::backoff::Policy;\nuse crate::schedule::backoff;\nfn a(backoff: u8) {}\nuse backoff;";
    finds(
        &rules::crates(&rust("src/schedule/mod.rs", text), &table),
        &["src/schedule/mod.rs:4: `backoff`: why"],
    );
    finds(
        &rules::crates(&rust("src/schedule/backoff.rs", text), &table),
        &[],
    );
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let long = "//! x\nfn a() {}\nfn b() {}\n";
    finds(
        &rules::length(&rust("src/a.rs", long), 2),
        &["src/a.rs:3: 3 lines"],
    );
    let tested = "//! x\n\n#[cfg(test)]\n#[expect(lint, reason = \"x\")]\nmod tests {\n}\n";
    finds(&rules::length(&rust("src/a.rs", tested), 2), &[]);
}

#[test]
fn a_file_without_a_header_is_found() {
    finds(&rules::header(&rust("src/a.rs", "//! For this.\n")), &[]);
    finds(
        &rules::header(&rust("src/a.rs", "// For this.\n")),
        &["src/a.rs:1: no header"],
    );
}

#[test]
fn a_folder_off_the_map_is_found() {
    let sources = [rust("src/sink/mod.rs", ""), rust("src/sink/log.rs", "")];
    for good in ["the `sink` of", "  sink/   where events go"] {
        finds(&rules::mapped(&sources, "README.md", good), &[]);
    }
    for bad in ["a sink", "resink/", ""] {
        finds(
            &rules::mapped(&sources, "README.md", bad),
            &["src/sink/mod.rs:1: not in README.md"],
        );
    }
    assert_eq!(rules::docs_only("//! `sink`\npub mod store;"), "//! `sink`");
}

#[test]
fn a_file_that_nobody_declares_is_found() {
    let sources = [
        rust("src/lib.rs", "pub mod a;\nmod inline { }\n// mod dead;"),
        rust("src/a/mod.rs", "mod b;"),
        rust("src/a/b.rs", "mod c;"),
        rust("src/a/b/c.rs", ""),
        rust("src/dead.rs", ""),
    ];
    finds(
        &rules::reached(&sources, &["src/lib.rs"]),
        &["src/dead.rs:1: dead file"],
    );
}

#[test]
fn an_empty_name_is_found() {
    finds(
        &rules::names(&rust("src/utils/text.rs", ""), &["utils"]),
        &["src/utils/text.rs:1: `utils`"],
    );
    finds(
        &rules::names(&rust("src/text/utils.rs", ""), &["utils"]),
        &["src/text/utils.rs:1: `utils`"],
    );
    finds(&rules::names(&rust("src/text.rs", ""), &["utils"]), &[]);
}

#[test]
fn a_long_test_name_is_found() {
    let text = "fn a_name() {}\nfn a_longer_name() {}\n";
    let found = rules::test_names(&rust("tests/it/a.rs", text), 6);
    finds(&found, &["tests/it/a.rs:2: `a_longer_name`"]);
    finds(&rules::test_names(&rust("src/a.rs", text), 6), &[]);
}

#[test]
fn unfinished_work_is_found() {
    let note = concat!("// FIX", "ME: later");
    let text = format!("fn a() {{ todo!() }}\n#[ignore = \"slow\"]\n{note}\nlet todo = \"todo!\";");
    let expected = [
        "src/a.rs:1: `todo!`",
        "src/a.rs:2: an ignored test",
        "src/a.rs:3",
    ];
    finds(&rules::unfinished(&rust("src/a.rs", &text)), &expected);
}

#[test]
fn a_sleeping_test_is_found() {
    let text = "tokio::time::sleep(d).await;\nclock.sleep(d);\nfn sleep() {}\n";
    finds(
        &rules::sleeps(&rust("tests/it/a.rs", text)),
        &["tests/it/a.rs:1: `sleep(`"],
    );
    finds(&rules::sleeps(&rust("src/a.rs", text)), &[]);
    let tested = format!("#[cfg(test)]\nmod tests {{\n{text}}}");
    finds(&rules::sleeps(&rust("src/a.rs", &tested)), &["src/a.rs:3"]);
}

#[test]
fn an_allowed_lint_is_found() {
    let text =
        "#![allow(dead_code)]\n#[expect(dead_code, reason = \"x\")]\nallow(1);\n// #[allow(x)]";
    finds(
        &rules::allows(&rust("src/a.rs", text)),
        &["src/a.rs:1: `allow`"],
    );
}

#[test]
fn a_machines_own_path_is_found() {
    let path = concat!("/ho", "me/");
    let text = format!("see {path}me\nhttps://example.com{path}me\n");
    finds(
        &rules::mentions(&rust("a.md", &text), &[path], "why"),
        &["a.md:1"],
    );
}

#[test]
fn the_repository_is_read() {
    let tracked = source::tracked();
    assert!(tracked.iter().any(|source| source.path == "Cargo.toml"));
    let sources = source::read("src");
    let library = sources
        .iter()
        .find(|source| source.path == "src/lib.rs")
        .expect("the library is there");
    assert_eq!(library.modules(), ["lib"]);
}
