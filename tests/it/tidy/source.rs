//! Files as the rules see them: text, code without comments and strings, tokens, paths.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

/// One file of the repository.
pub(crate) struct Source {
    /// From the top folder, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments, strings and characters blanked; the lines stay as they are.
    pub(crate) code: String,
}

/// A word, `::`, or any other single character that is not white space.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// A path such as `crate::clock::{later, until}`: its segments, and the words of its group.
pub(crate) struct Path<'a> {
    pub(crate) line: usize,
    pub(crate) segments: Vec<&'a str>,
    pub(crate) group: Vec<&'a str>,
    pub(crate) imported: bool,
    /// Imported for others: `pub use`.
    pub(crate) exported: bool,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if is_rust(path) {
            code_only(text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    /// Its path within `src/`.
    pub(crate) fn within_src(&self) -> &str {
        self.path.strip_prefix("src/").unwrap_or(&self.path)
    }

    /// Modules from the crate's root down to this file: `store`, `sqlite`.
    pub(crate) fn modules(&self) -> Vec<&str> {
        let path = self.within_src();
        let path = path.strip_suffix("/mod.rs").unwrap_or(path);
        path.strip_suffix(".rs")
            .unwrap_or(path)
            .split('/')
            .collect()
    }

    /// The line (from 0) at which its tests begin; all of it is a test outside `src/`.
    pub(crate) fn tests_begin(&self) -> usize {
        let is_test = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        if !self.path.starts_with("src/") || is_test {
            return 0;
        }
        let lines: Vec<&str> = self.code.lines().map(str::trim).collect();
        let opens = |at: usize| {
            let following = lines[at + 1..]
                .iter()
                .find(|line| !line.is_empty() && !line.starts_with("#["));
            following.is_some_and(|line| line.starts_with("mod tests {"))
        };
        (0..lines.len())
            .find(|&at| lines[at] == "#[cfg(test)]" && opens(at))
            .unwrap_or(lines.len())
    }

    /// The tokens of the program itself.
    pub(crate) fn program(&self) -> Vec<Token<'_>> {
        let begin = self.tests_begin();
        tokens(&self.code)
            .into_iter()
            .filter(|token| token.line <= begin)
            .collect()
    }

    /// The tokens of its tests.
    pub(crate) fn tests(&self) -> Vec<Token<'_>> {
        let begin = self.tests_begin();
        tokens(&self.code)
            .into_iter()
            .filter(|token| token.line > begin)
            .collect()
    }
}

/// All Rust files below a folder of the repository, in the order of their paths.
pub(crate) fn read(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&top().join(folder), &mut paths);
    paths.sort();
    paths
        .iter()
        .filter_map(|path| load(path))
        .filter(|source| is_rust(&source.path))
        .collect()
}

/// The text files that are, or would be, under version control; all files where there is no git.
pub(crate) fn tracked() -> Vec<Source> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(top())
        .output();
    let mut paths = Vec::new();
    match listed {
        Ok(answer) if answer.status.success() => {
            let names = String::from_utf8_lossy(&answer.stdout).into_owned();
            paths.extend(names.split_terminator('\0').map(|name| top().join(name)));
        }
        _ => walk(&top(), &mut paths),
    }
    paths.iter().filter_map(|path| load(path)).collect()
}

/// One file's text; an absent file is empty, so that the rule that wants it speaks.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_default()
}

/// The names of this crate's dependencies, as code writes them.
pub(crate) fn dependencies() -> Vec<String> {
    let manifest = text("Cargo.toml");
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            names.push(name.trim().replace('-', "_"));
        }
    }
    names
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn is_rust(path: &str) -> bool {
    FilePath::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

fn walk(folder: &FilePath, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_output = [".git", "target"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !is_output {
            walk(&path, into);
        } else if path.is_file() {
            into.push(path);
        }
    }
}

/// Nothing for what is not text.
fn load(path: &FilePath) -> Option<Source> {
    let name = path.strip_prefix(top()).ok()?.to_str()?.replace('\\', "/");
    Some(Source::new(&name, &fs::read_to_string(path).ok()?))
}

/// Blanks comments, strings and characters.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = opaque_length(rest);
        let (taken, left) = rest.split_at(length.unwrap_or(first.len_utf8()));
        match length {
            Some(_) => code.extend(
                taken
                    .chars()
                    .map(|each| if each == '\n' { '\n' } else { ' ' }),
            ),
            None => code.push(first),
        }
        rest = left;
    }
    code
}

/// The comments and strings of Rust code, each with the line (from 1) on which it begins.
pub(crate) fn opaque_pieces(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = opaque_length(rest);
        let (taken, left) = rest.split_at(length.unwrap_or(first.len_utf8()));
        if length.is_some() {
            pieces.push((line, taken));
        }
        line += taken.matches('\n').count();
        rest = left;
    }
    pieces
}

/// How long the comment, string or character is that begins here, if one does.
fn opaque_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if rest.starts_with('"') {
        return Some(string_length(rest));
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    let raw = rest.strip_prefix('r')?;
    raw_string_length(raw).map(|length| length + 1)
}

/// Nothing for a word that only begins with `r`. The string begins after that letter.
fn raw_string_length(raw: &str) -> Option<usize> {
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let inside = raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = rest[at..].find(['/', '*']) {
        at += found;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, each) in rest.char_indices().skip(1) {
        match each {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Nothing for a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut inside = rest.char_indices().skip(1);
    let (_, first) = inside.next()?;
    if first == '\\' {
        return rest[3..].find('\'').map(|at| at + 4);
    }
    let (at, closing) = inside.next()?;
    (closing == '\'').then_some(at + 1)
}

fn is_word(each: char) -> bool {
    each.is_alphanumeric() || each == '_'
}

/// The tokens of blanked code, with lines from 1.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if is_word(first) => rest.find(|each| !is_word(each)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            found.push(Token {
                line: line + 1,
                text: &rest[..length],
            });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Every path in these tokens, from its first segment on.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    (0..tokens.len())
        .filter(|&at| begins_path(tokens, at))
        .map(|at| path_at(tokens, at))
        .collect()
}

fn text_at<'a>(tokens: &[Token<'a>], at: Option<usize>) -> &'a str {
    at.and_then(|at| tokens.get(at))
        .map_or("", |token| token.text)
}

fn begins_path(tokens: &[Token<'_>], at: usize) -> bool {
    if !tokens[at].text.starts_with(is_word) {
        return false;
    }
    let before = text_at(tokens, at.checked_sub(1));
    let further = text_at(tokens, at.checked_sub(2));
    // `::name` begins a path, `first::name` goes on with one.
    before != "." && (before != "::" || !(further.starts_with(is_word) || further == ">"))
}

fn path_at<'a>(tokens: &[Token<'a>], start: usize) -> Path<'a> {
    let mut segments = vec![tokens[start].text];
    let mut group = Vec::new();
    let mut at = start + 1;
    while text_at(tokens, Some(at)) == "::" {
        let next = text_at(tokens, Some(at + 1));
        if next == "{" {
            group = group_words(&tokens[at + 2..]);
            break;
        } else if !next.starts_with(is_word) && next != "*" {
            break;
        }
        segments.push(next);
        at += 2;
    }
    let imported = text_at(tokens, start.checked_sub(1)) == "use";
    let before = text_at(tokens, start.checked_sub(2));
    Path {
        line: tokens[start].line,
        segments,
        group,
        imported,
        exported: imported && ["pub", ")"].contains(&before),
    }
}

/// The first word of each member of a group whose brace has just been opened.
fn group_words<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let mut words = Vec::new();
    let mut depth = 1;
    let mut begins = true;
    for token in tokens {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => begins = true,
            word if begins => {
                words.push(word);
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    words
}
