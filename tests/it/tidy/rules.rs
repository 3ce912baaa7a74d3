//! The rules: each takes what it judges, and its table, and returns what it found.

use std::collections::BTreeSet;
use std::fmt;

use super::source::{Path, Source, Token, paths, tokens};

/// A module and what it may name.
pub(crate) type Layer = (&'static str, &'static [&'static str]);

/// A dependency that only some files may name.
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    pub(crate) within: &'static [&'static str],
    pub(crate) reason: &'static str,
}

/// One breach of a rule.
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}:{}: {}: {}",
            self.path, self.line, self.what, self.reason
        )
    }
}

fn finding(source: &Source, line: usize, what: impl Into<String>, reason: &str) -> Finding {
    Finding {
        path: source.path.clone(),
        line,
        what: what.into(),
        reason: reason.to_owned(),
    }
}

/// Each module names only the modules in its row.
pub(crate) fn layers(source: &Source, table: &[Layer]) -> Vec<Finding> {
    let modules = source.modules();
    let Some((_, allowed)) = table.iter().find(|(name, _)| *name == modules[0]) else {
        let reason = "say in LAYERS, in tests/it/tidy.rs, whom it may name";
        return vec![finding(
            source,
            1,
            format!("`{}` is a new module", modules[0]),
            reason,
        )];
    };
    let program = source.program();
    let judge = |path: &Path<'_>| {
        let (what, reason) = layer_breach(path, &modules, allowed)?;
        Some(finding(source, path.line, what, &reason))
    };
    paths(&program).iter().filter_map(judge).collect()
}

fn layer_breach(path: &Path<'_>, modules: &[&str], allowed: &[&str]) -> Option<(String, String)> {
    let written = path.segments.join("::");
    let up = path
        .segments
        .iter()
        .skip_while(|each| **each == "self")
        .take_while(|each| **each == "super");
    if up.count() >= modules.len() {
        return Some((
            format!("`{written}`"),
            "it leaves its module: write `crate::`".to_owned(),
        ));
    }
    if !["crate", "jobwatch"].contains(&path.segments[0]) {
        return None;
    }
    let named = match path.segments.get(1) {
        Some(module) => vec![*module],
        None => path.group.clone(),
    };
    let breach = named
        .into_iter()
        .find(|module| *module != modules[0] && !is_allowed(path, module, allowed))?;
    let written = if path.segments.len() == 1 {
        format!("{written}::{breach}")
    } else {
        written
    };
    let reason = format!(
        "LAYERS lets `{}` name only [{}]",
        modules[0],
        allowed.join(", ")
    );
    Some((format!("`{written}`"), reason))
}

fn is_allowed(path: &Path<'_>, module: &str, allowed: &[&str]) -> bool {
    if allowed.iter().any(|each| *each == "*" || *each == module) {
        return true;
    }
    let items: Vec<&str> = path
        .segments
        .get(2)
        .copied()
        .map_or_else(|| path.group.clone(), |item| vec![item]);
    let named = |item: &str| allowed.contains(&format!("{module}::{item}").as_str());
    !items.is_empty() && items.into_iter().all(named)
}

/// Each row of the table names only rows before it.
pub(crate) fn floors(table: &[Layer]) -> Vec<Finding> {
    let mut before: Vec<&str> = vec!["*"];
    let mut findings = Vec::new();
    for (module, allowed) in table {
        let named = allowed
            .iter()
            .map(|each| each.split("::").next().unwrap_or(each));
        findings.extend(
            named
                .filter(|name| !before.contains(name))
                .map(|name| Finding {
                    path: "tests/it/tidy.rs".to_owned(),
                    line: 1,
                    what: format!("`{module}` may name `{name}`"),
                    reason: "LAYERS must list that row before, so that no circle can arise"
                        .to_owned(),
                }),
        );
        before.push(module);
    }
    findings
}

/// Pure modules use only the dependencies in their row.
pub(crate) fn purity(source: &Source, table: &[Layer], dependencies: &[String]) -> Vec<Finding> {
    let module = source.modules()[0];
    let Some((_, allowed)) = table.iter().find(|(name, _)| *name == module) else {
        return Vec::new();
    };
    let reason = format!(
        "`{module}` decides and does nothing else: beside std only [{}]",
        allowed.join(", ")
    );
    let program = source.program();
    let foreign = |path: &&Path<'_>| {
        dependencies.iter().any(|name| names_crate(path, name))
            && !allowed.contains(&path.segments[0])
    };
    let report = |path: &Path<'_>| {
        finding(
            source,
            path.line,
            format!("`{}`", path.segments.join("::")),
            &reason,
        )
    };
    paths(&program).iter().filter(foreign).map(report).collect()
}

/// Guarded dependencies are named only in their files.
pub(crate) fn crates(source: &Source, table: &[Crate]) -> Vec<Finding> {
    let program = source.program();
    let paths = paths(&program);
    let mut findings = Vec::new();
    for guarded in table {
        if guarded
            .within
            .iter()
            .any(|begin| source.within_src().starts_with(begin))
        {
            continue;
        }
        let named = paths.iter().filter(|path| names_crate(path, guarded.name));
        findings.extend(named.map(|path| {
            finding(
                source,
                path.line,
                format!("`{}`", guarded.name),
                guarded.reason,
            )
        }));
    }
    findings
}

/// A lone word is a local name, unless it is imported.
fn names_crate(path: &Path<'_>, name: &str) -> bool {
    let goes_on = path.segments.len() > 1 || !path.group.is_empty();
    path.segments[0] == name && (goes_on || path.imported)
}

/// A file can be read in one sitting.
pub(crate) fn length(source: &Source, limit: usize) -> Vec<Finding> {
    let lines = source.tests_begin();
    if lines <= limit {
        return Vec::new();
    }
    let reason = format!("a file of more than {limit} holds more than one thing");
    vec![finding(
        source,
        limit + 1,
        format!("{lines} lines before the tests"),
        &reason,
    )]
}

/// A file says at its beginning what it is for.
pub(crate) fn header(source: &Source) -> Vec<Finding> {
    let described = source.text.starts_with("//! ");
    let reason = "a file begins with `//!` and one sentence of purpose";
    if described {
        Vec::new()
    } else {
        vec![finding(source, 1, "no header", reason)]
    }
}

/// Each folder with a `mod.rs` is on the map, as `` `name` `` or `name/`.
pub(crate) fn mapped(sources: &[Source], map: &str, text: &str) -> Vec<Finding> {
    let absent = |source: &&Source| {
        let modules = source.modules();
        let name = modules[modules.len() - 1];
        source.path.ends_with("/mod.rs") && !is_on_map(text, name)
    };
    let reason = format!("{map} must show every folder of src/, as `name` or name/");
    sources
        .iter()
        .filter(absent)
        .map(|source| finding(source, 1, format!("not in {map}"), &reason))
        .collect()
}

/// The `//!` lines: a `mod` declaration alone is no map.
pub(crate) fn docs_only(text: &str) -> String {
    text.lines()
        .filter(|line| line.starts_with("//!"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_on_map(text: &str, name: &str) -> bool {
    text.contains(&format!("`{name}`")) || is_mentioned(text, &format!("{name}/"))
}

/// Whether the words occur, not as the tail of a longer word.
fn is_mentioned(text: &str, words: &str) -> bool {
    let begins =
        |at: usize| !text[..at].ends_with(|each: char| each.is_alphanumeric() || each == '_');
    text.match_indices(words).any(|(at, _)| begins(at))
}

/// Every file is declared by a file that is reached.
pub(crate) fn reached(sources: &[Source], roots: &[&str]) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut pending: Vec<String> = roots.iter().map(ToString::to_string).collect();
    while let Some(path) = pending.pop() {
        if let Some(source) = sources.iter().find(|source| source.path == path) {
            pending.extend(declared(source));
            reached.insert(path);
        }
    }
    let judged = |source: &&Source| {
        roots
            .iter()
            .any(|root| source.path.starts_with(folder(root)))
    };
    let reason = "no `mod` declares it, so it is never compiled: declare it or delete it";
    let dead = sources
        .iter()
        .filter(judged)
        .filter(|source| !reached.contains(&source.path));
    dead.map(|source| finding(source, 1, "dead file", reason))
        .collect()
}

/// The places where the modules declared in this file may be.
fn declared(source: &Source) -> Vec<String> {
    let home = ["/mod.rs", "/lib.rs", "/main.rs"]
        .iter()
        .find_map(|end| source.path.strip_suffix(end))
        .or_else(|| source.path.strip_suffix(".rs"))
        .unwrap_or_default();
    let tokens = tokens(&source.code);
    let modules = tokens
        .windows(3)
        .filter(|three| three[0].text == "mod" && three[2].text == ";");
    modules
        .flat_map(|three| {
            [
                format!("{home}/{}.rs", three[1].text),
                format!("{home}/{}/mod.rs", three[1].text),
            ]
        })
        .collect()
}

fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}

/// A name says what is inside.
pub(crate) fn names(source: &Source, empty: &[&str]) -> Vec<Finding> {
    let reason = "such a name says nothing, so anything ends up inside: name the thing";
    let parts = source
        .path
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part));
    parts
        .filter(|part| empty.contains(part))
        .map(|part| finding(source, 1, format!("`{part}`"), reason))
        .collect()
}

/// Nothing is left undone, and no test is switched off.
pub(crate) fn unfinished(source: &Source) -> Vec<Finding> {
    let tokens = tokens(&source.code);
    let mut findings = Vec::new();
    for pair in tokens.windows(2) {
        match (pair[0].text, pair[1].text) {
            ("todo" | "unimplemented", "!") => {
                findings.push(finding(
                    source,
                    pair[0].line,
                    format!("`{}!`", pair[0].text),
                    "finish it, or leave it out",
                ));
            }
            ("[", "ignore") => {
                findings.push(finding(
                    source,
                    pair[0].line,
                    "an ignored test",
                    "a test that does not run proves nothing",
                ));
            }
            _ => {}
        }
    }
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME")];
    findings.extend(mentions(
        source,
        &notes,
        "do it, or open an issue: notes in the code are forgotten",
    ));
    findings
}

/// The name of a test is a short sentence; a longer thought is a comment above it.
pub(crate) fn test_names(source: &Source, limit: usize) -> Vec<Finding> {
    let tests = source.tests();
    let named = tests.windows(2).filter(|pair| pair[0].text == "fn");
    let long = named.filter(|pair| pair[1].text.len() > limit);
    let reason = format!("at most {limit} characters: subject, verb, condition");
    long.map(|pair| finding(source, pair[1].line, format!("`{}`", pair[1].text), &reason))
        .collect()
}

/// Tests step the clock; they do not wait for it.
pub(crate) fn sleeps(source: &Source) -> Vec<Finding> {
    let tests = source.tests();
    let calls = tests.windows(3).filter(|three| is_sleep(three));
    let reason = "a test that sleeps is slow and still fails at random: step the clock, or wait for the thing itself";
    calls
        .map(|three| {
            finding(
                source,
                three[1].line,
                format!("`{}(`", three[1].text),
                reason,
            )
        })
        .collect()
}

/// A call, as opposed to a declaration or a method of our own.
fn is_sleep(three: &[Token<'_>]) -> bool {
    let called = ["sleep", "sleep_until"].contains(&three[1].text) && three[2].text == "(";
    called && ![".", "fn"].contains(&three[0].text)
}

/// A lint is expected, with a reason, and so falls away when it no longer fires.
pub(crate) fn allows(source: &Source) -> Vec<Finding> {
    let tokens = tokens(&source.code);
    let attributes = tokens
        .windows(2)
        .filter(|pair| pair[0].text == "[" && pair[1].text == "allow");
    let reason = "write `expect` with a reason: it complains when it is no longer needed";
    attributes
        .map(|pair| finding(source, pair[1].line, "`allow`", reason))
        .collect()
}

/// None of these words is in the text, be it code or comment.
pub(crate) fn mentions(source: &Source, words: &[&str], reason: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let mentioned = words.iter().filter(|word| is_mentioned(line, word));
        findings.extend(mentioned.map(|word| finding(source, at + 1, format!("`{word}`"), reason)));
    }
    findings
}
