//! The rules of this house that no compiler checks, as tests.
//!
//! A single crate lets every module see every other; the table [`LAYERS`] says who may.
//! The other rules keep files short, reached, described and free of what does not belong.
//! A failure names file, line, and the reason of the rule. Rules are pure functions in
//! `rules`, held to small samples in `samples`, so that each is known to be able to fail.

mod circles;
mod rules;
mod samples;
mod source;
mod words;

use rules::{Crate, Finding, Layer};
use source::Source;

/// Stands for every module.
const ANY: &[&str] = &["*"];

/// Module → the modules of this crate that it may name, itself aside, floor by floor: a row
/// names only rows above it. `clock::later` allows that one item. A new module of `src/` needs
/// a row here, and its place thought about.
const LAYERS: &[Layer] = &[
    // The ground.
    ("clock", &[]),
    ("wake", &[]),
    ("suggest", &[]),
    ("size", &[]),
    ("diagnostic", &[]),
    ("line_writer", &[]),
    ("problem", &[]),
    ("telemetry", &["clock", "line_writer"]),
    ("outbound", &["clock"]),
    ("certificate", &["outbound::secret"]),
    (
        "tree",
        &["clock", "suggest", "diagnostic", "outbound::secret", "size"],
    ),
    ("timing", &["tree"]),
    // The core, and the parts that know only it: none of them knows another.
    (
        "watch",
        &[
            "clock::later",
            "clock::until",
            "clock::parse_duration",
            "clock::Moment",
            "timing",
        ],
    ),
    ("schedule", &["watch", "clock", "timing"]),
    (
        "definition",
        &[
            "watch",
            "clock",
            "outbound",
            "size",
            "suggest",
            "timing",
            "tree",
            "diagnostic",
        ],
    ),
    ("credential", &["clock", "outbound", "suggest", "tree"]),
    ("metrics", &["watch"]),
    ("simulator", &["clock"]),
    // The parts that touch the world; none of them knows another.
    (
        "service",
        &[
            "watch",
            "clock",
            "definition",
            "credential",
            "schedule",
            "timing",
            "tree",
            "suggest",
            "outbound",
        ],
    ),
    ("store", &["watch", "clock", "outbound::secret"]),
    ("sink", &["watch", "clock", "outbound", "tree", "telemetry"]),
    // The operations on watches and deliveries.
    (
        "actions",
        &[
            "watch",
            "clock",
            "store",
            "service",
            "sink::SinkStatus",
            // A hint: where it has the job id, and who may sign it.
            "definition",
            "sink::signature",
            "outbound::secret",
            "wake",
            "suggest",
            "outbound::egress",
        ],
    ),
    // What runs: it sees contracts, never a database or an HTTP client by name.
    (
        "workers",
        &[
            "watch", "clock", "schedule", "service", "store", "sink", "actions", "wake", "metrics",
            "problem",
        ],
    ),
    // Composes the sections of all parts.
    (
        "settings",
        &[
            "clock",
            "watch",
            "definition",
            "credential",
            "service",
            "store::postgres",
            "sink",
            "actions",
            "timing",
            "tree",
            "diagnostic",
            "certificate",
            "outbound",
            "suggest",
            "size",
            "telemetry",
        ],
    ),
    // The shell.
    ("lifecycle", &["clock", "telemetry"]),
    (
        "api",
        &[
            "watch",
            "clock",
            "store",
            "sink::SinkStatus",
            "actions",
            "workers",
            "certificate",
            "metrics",
            "suggest",
            "problem",
        ],
    ),
    ("app", ANY),
    ("cli", ANY),
    ("lib", ANY),
    ("main", &["cli"]),
];

/// Modules that may use these dependencies only, beside the standard library.
const PURE: &[Layer] = &[(
    "watch",
    &["serde", "serde_json", "jiff", "uuid", "thiserror"],
)];

/// Dependencies that only some files (by the beginning of their path in `src/`) may name.
const CRATES: &[Crate] = &[
    Crate {
        name: "rusqlite",
        within: &["store/sqlite"],
        reason: "everything else sees the contract of the store, so that another database can serve",
    },
    Crate {
        name: "tokio_postgres",
        within: &["store/postgres"],
        reason: "everything else sees the contract of the store, so that another database can serve",
    },
    Crate {
        name: "reqwest",
        within: &[
            "outbound",
            "service",
            "credential",
            "sink",
            "settings",
            "cli",
        ],
        reason: "workers and api see contracts, so that tests can stand in for the network",
    },
    Crate {
        name: "backoff",
        within: &["timing/ladder.rs"],
        reason: "it is unmaintained and must stay easy to drop; name our module of that name `self::backoff`",
    },
];

/// Characters of the name of a test.
const TEST_NAME_LIMIT: usize = 60;

/// Lines of a file before its tests.
const LINES_LIMIT: usize = 500;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "common", "helpers", "types", "manager"];

/// Folders of one developer's machine. Written in two halves, as this file is searched too.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Hosts of package registries: which of them serves a build is the business of its machine.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("py", "pi.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

/// Roots from which every file of a folder must be reached by `mod` declarations.
const ROOTS: &[&str] = &[
    "src/lib.rs",
    "src/main.rs",
    "tests/it/main.rs",
    "tests/chaos/main.rs",
];

fn program() -> Vec<Source> {
    source::read("src")
}

fn everything() -> Vec<Source> {
    ["src", "tests", "benches"]
        .into_iter()
        .flat_map(source::read)
        .collect()
}

#[track_caller]
fn holds(sources: &[Source], rule: impl Fn(&Source) -> Vec<Finding>) {
    assert!(
        !sources.is_empty(),
        "no source was found, so nothing was checked"
    );
    none(&sources.iter().flat_map(rule).collect::<Vec<_>>());
}

#[track_caller]
fn none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} found:\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn a_module_names_only_the_modules_its_layer_allows() {
    holds(&program(), |source| rules::layers(source, LAYERS));
}

#[test]
fn a_layer_names_only_layers_below_it() {
    none(&rules::floors(LAYERS));
}

#[test]
fn the_pure_core_uses_only_its_few_dependencies() {
    let dependencies = source::dependencies();
    assert!(
        dependencies.contains(&"jiff".to_owned()),
        "Cargo.toml was misread"
    );
    holds(&program(), |source| {
        rules::purity(source, PURE, &dependencies)
    });
}

#[test]
fn a_guarded_crate_is_named_only_where_it_belongs() {
    holds(&program(), |source| rules::crates(source, CRATES));
}

#[test]
fn no_part_of_a_folder_needs_another_that_needs_it() {
    let found = circles::circles(&program());
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_file_is_short() {
    holds(&program(), |source| rules::length(source, LINES_LIMIT));
}

#[test]
fn a_file_begins_with_what_it_is_for() {
    holds(&everything(), rules::header);
}

#[test]
fn a_folder_is_on_both_maps() {
    let sources = program();
    let library = rules::docs_only(&source::text("src/lib.rs"));
    none(&rules::mapped(
        &sources,
        "README.md",
        &source::text("README.md"),
    ));
    none(&rules::mapped(&sources, "src/lib.rs", &library));
}

#[test]
fn a_file_is_reached_from_a_root() {
    none(&rules::reached(&everything(), ROOTS));
}

#[test]
fn a_name_says_what_is_inside() {
    holds(&everything(), |source| rules::names(source, EMPTY_NAMES));
}

#[test]
fn nothing_is_left_for_later() {
    holds(&everything(), rules::unfinished);
}

#[test]
fn test_names_are_short() {
    holds(&everything(), |source| {
        rules::test_names(source, TEST_NAME_LIMIT)
    });
}

#[test]
fn no_test_sleeps() {
    // A benchmark of a process waits for it as its users do, and faults have times of their own.
    let sources: Vec<Source> = ["src", "tests"]
        .into_iter()
        .flat_map(source::read)
        .filter(|source| !source.path.starts_with("tests/chaos/"))
        .collect();
    holds(&sources, rules::sleeps);
}

#[test]
fn a_lint_is_expected_with_a_reason() {
    holds(&program(), rules::allows);
}

#[test]
fn no_file_names_one_machine_or_a_registry() {
    holds(&source::tracked(), |source| {
        let reason = "it means nothing on another machine";
        let mut findings = rules::mentions(source, MACHINE_PATHS, reason);
        let reason = "where packages come from is the machine's business";
        findings.extend(rules::mentions(source, REGISTRY_HOSTS, reason));
        findings
    });
}
