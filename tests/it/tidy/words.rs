//! Counts the words and clauses that plain English does without, in comments, strings and
//! the documents for readers. Each count has a limit that only falls: a change that lowers
//! the count lowers the limit as well.
//!
//! `cargo test --test it tidy::words -- --nocapture` prints every place.

use std::path::Path;

use super::source::{self, Source, opaque_pieces};

/// Places with a banned word.
const BANNED_LIMIT: usize = 4;
/// Places with "is no …"; "there is no …" and "is no longer" are plain.
const IS_NO_LIMIT: usize = 0;
/// Clauses that stand for a noun: "What was sent …", "of what it sent", "by whom", "of which".
const HEADLESS_LIMIT: usize = 6;
/// Doc comments of at most [`SHORT_WORDS`] words, help texts of options aside.
const SHORT_LIMIT: usize = 0;

const BANNED: &[&str] = &[
    "nobody", "somebody", "whoever", "whatever", "told", "wish", "wishes", "owe", "owes",
];

/// Before "what", these make a clause that stands for a noun.
const PREPOSITIONS: &[&str] = &["of", "with", "to", "from", "by", "for", "about", "on"];

const SHORT_WORDS: usize = 4;

/// Documents that are written for readers.
const DOCUMENTS: &[&str] = &["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/"];

/// Sentences that belong together: a block of comments, a string, or a paragraph.
struct Prose {
    words: Vec<Word>,
    is_doc_comment: bool,
    /// The last line of the block.
    end: usize,
}

struct Word {
    line: usize,
    /// In lower case, without punctuation; empty for code in backticks.
    text: String,
    begins_sentence: bool,
    /// The character that ends a sentence here, if one does.
    stop: Option<char>,
}

/// One place that a class counts.
struct Place {
    path: String,
    line: usize,
    text: String,
}

fn is_markdown(source: &Source) -> bool {
    Path::new(&source.path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

fn prose(source: &Source) -> Vec<Prose> {
    if is_markdown(source) {
        return paragraphs(&source.text);
    }
    let mut blocks: Vec<(usize, String, &str)> = Vec::new();
    for (line, piece) in opaque_pieces(&source.text) {
        let marker = ["///", "//!", "//"]
            .into_iter()
            .find(|marker| piece.starts_with(marker))
            .unwrap_or_default();
        let text = piece[marker.len()..].trim_matches(['"', '#', '\'', 'r', '/', '*']);
        match blocks.last_mut() {
            Some((begin, block, before))
                if !marker.is_empty()
                    && *before == marker
                    && *begin + block.matches('\n').count() + 1 == line =>
            {
                block.push('\n');
                block.push_str(text);
            }
            _ => blocks.push((line, text.to_owned(), marker)),
        }
    }
    blocks
        .into_iter()
        .map(|(line, text, marker)| read(line, &text, marker == "///"))
        .collect()
}

/// Paragraphs of Markdown without fenced code.
fn paragraphs(text: &str) -> Vec<Prose> {
    let mut found = Vec::new();
    let mut is_code = false;
    let mut paragraph = (1, String::new());
    for (at, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence || line.trim().is_empty() || is_code {
            is_code ^= is_fence;
            found.push(read(paragraph.0, &paragraph.1, false));
            paragraph = (at + 2, String::new());
            continue;
        }
        paragraph.1.push_str(line);
        paragraph.1.push('\n');
    }
    found.push(read(paragraph.0, &paragraph.1, false));
    found
}

fn read(first_line: usize, text: &str, is_doc_comment: bool) -> Prose {
    let mut words = Vec::new();
    let (mut begins_sentence, mut is_code) = (true, false);
    let text = text.replace("\\n", " • ");
    for (at, line) in text.lines().enumerate() {
        for raw in line.split_whitespace() {
            if is_mark(raw) {
                begins_sentence = true;
                continue;
            }
            let is_hidden = is_code || raw.contains('`');
            is_code ^= raw.matches('`').count() % 2 == 1;
            let bare = raw.trim_end_matches([')', '"', '\'', '*', '_', '`', '”']);
            let stop = bare.chars().last().filter(|last| ".!?:".contains(*last));
            let word = raw.trim_matches(|each: char| !each.is_alphanumeric());
            words.push(Word {
                line: first_line + at,
                text: if is_hidden {
                    String::new()
                } else {
                    word.to_lowercase()
                },
                begins_sentence,
                stop,
            });
            begins_sentence = stop.is_some();
        }
    }
    Prose {
        words,
        is_doc_comment,
        end: first_line + text.lines().count().saturating_sub(1),
    }
}

/// The beginning of an item of a list, of a cell or of a heading.
fn is_mark(raw: &str) -> bool {
    raw.chars().all(|each| "-*|#•>".contains(each))
}

impl Prose {
    fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &word.text)
    }

    fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |at| self.text(at))
    }

    fn is_question(&self, at: usize) -> bool {
        let stop = self.words[at..].iter().find_map(|word| word.stop);
        stop == Some('?')
    }

    fn is_banned(&self, at: usize) -> bool {
        BANNED.contains(&self.text(at))
    }

    fn is_no(&self, at: usize) -> bool {
        let is_plain = self.before(at) == "there"
            || self.text(at + 2) == "longer"
            || (self.text(at + 2), self.text(at + 3)) == ("more", "than");
        self.text(at) == "is" && self.text(at + 1) == "no" && !is_plain
    }

    fn is_headless(&self, at: usize) -> bool {
        let after_preposition = PREPOSITIONS.contains(&self.before(at));
        let begins = self.words[at].begins_sentence && !self.is_question(at);
        match self.text(at) {
            "what" => begins || after_preposition,
            "who" => begins,
            "whom" => after_preposition,
            "which" => self.before(at) == "of",
            _ => false,
        }
    }

    fn is_short(&self) -> bool {
        self.is_doc_comment && (1..=SHORT_WORDS).contains(&self.words.len())
    }
}

type Class = fn(&Prose, usize) -> bool;

fn places(sources: &[Source], class: Class) -> Vec<Place> {
    let mut found = Vec::new();
    for source in sources {
        for prose in prose(source) {
            let hits = (0..prose.words.len()).filter(|at| class(&prose, *at));
            found.extend(hits.map(|at| place(source, prose.words[at].line)));
        }
    }
    found
}

fn short_docs(sources: &[Source]) -> Vec<Place> {
    let mut found = Vec::new();
    for source in sources {
        let is_help = |prose: &Prose| {
            let next = source.text.lines().nth(prose.end).unwrap_or_default();
            let next = next.trim_start();
            next.starts_with("#[arg") || next.starts_with("#[command")
        };
        let short = prose(source)
            .into_iter()
            .filter(|prose| prose.is_short() && !is_help(prose));
        found.extend(short.map(|prose| place(source, prose.words[0].line)));
    }
    found
}

fn place(source: &Source, line: usize) -> Place {
    let text = source.text.lines().nth(line - 1).unwrap_or_default();
    Place {
        path: source.path.clone(),
        line,
        text: text.trim().to_owned(),
    }
}

/// Compares the count with its limit; says what to do when they differ.
fn compare(name: &str, places: &[Place], limit: usize) -> Result<(), String> {
    let count = places.len();
    if count == limit {
        return Ok(());
    }
    let advice = if count > limit {
        "write it in plain English (subject, verb, object)".to_owned()
    } else {
        format!("lower {name} to {count}, so that it cannot rise again")
    };
    let lines: Vec<String> = places
        .iter()
        .map(|place| format!("{}:{}: {}", place.path, place.line, place.text))
        .collect();
    let lines = lines.join("\n");
    Err(format!(
        "{count} found, {name} is {limit}: {advice}\n{lines}\n"
    ))
}

#[track_caller]
fn holds(name: &str, places: &[Place], limit: usize) {
    for place in places {
        eprintln!("{name} {}:{}: {}", place.path, place.line, place.text);
    }
    if let Err(message) = compare(name, places, limit) {
        panic!("{message}");
    }
}

fn readable() -> Vec<Source> {
    let is_document = |source: &Source| {
        let mut all = DOCUMENTS.iter();
        all.any(|begin| source.path.starts_with(begin)) && is_markdown(source)
    };
    let mut sources = source::read("src");
    assert!(!sources.is_empty(), "no source was found");
    sources.extend(source::tracked().into_iter().filter(is_document));
    sources
}

#[test]
fn banned_words_do_not_increase() {
    let found = places(&readable(), Prose::is_banned);
    holds("BANNED_LIMIT", &found, BANNED_LIMIT);
}

#[test]
fn is_no_does_not_increase() {
    let found = places(&readable(), Prose::is_no);
    holds("IS_NO_LIMIT", &found, IS_NO_LIMIT);
}

#[test]
fn headless_clauses_do_not_increase() {
    let found = places(&readable(), Prose::is_headless);
    holds("HEADLESS_LIMIT", &found, HEADLESS_LIMIT);
}

#[test]
fn short_doc_comments_do_not_increase() {
    let found = short_docs(&source::read("src"));
    holds("SHORT_LIMIT", &found, SHORT_LIMIT);
}

mod samples {
    use super::*;

    fn count(path: &str, text: &str, class: Class) -> usize {
        places(&[Source::new(path, text)], class).len()
    }

    #[test]
    fn banned_words_are_found_in_comments_strings_and_documents() {
        let rust = "// Nobody\n/// is told, by `told`\nlet told = \"whoever\\nwishes\"; // owed";
        assert_eq!(count("src/a.rs", rust, Prose::is_banned), 4);
        let markdown = "It owes `owe` one.\n\n```sh\ntold\n```\n\n| Whatever | told |\n";
        assert_eq!(count("README.md", markdown, Prose::is_banned), 3);
    }

    #[test]
    fn is_no_is_found_across_lines_and_plain_forms_pass() {
        let rust = "/// It is\n/// no error. It is no longer one; there is no other.\n// It is no more than one.\nlet a = \"is no setting\";";
        assert_eq!(count("src/a.rs", rust, Prose::is_no), 2);
    }

    #[test]
    fn clauses_that_stand_for_nouns_are_found_and_questions_pass() {
        let rust = "/// What is sent.\n/// It lists the sum of what it sent. What is that?\n// Who asks, and by whom, parts of which\n// It says what it is.";
        assert_eq!(count("src/a.rs", rust, Prose::is_headless), 5);
    }

    #[test]
    fn short_doc_comments_are_found_and_help_texts_pass() {
        let rust = "/// The name.\nname: A,\n/// Print JSON\n#[arg(long)]\njson: B,\n/// The name of the thing\n/// here.\nc: C,\n//! The end.\n// The end.\n";
        let found = short_docs(&[Source::new("src/a.rs", rust)]);
        let lines: Vec<usize> = found.iter().map(|place| place.line).collect();
        assert_eq!(lines, [1]);
    }

    #[test]
    fn a_count_above_or_below_its_limit_is_refused() {
        let place = || Place {
            path: "src/a.rs".to_owned(),
            line: 7,
            text: "// nobody".to_owned(),
        };
        let above = compare("LIMIT", &[place(), place()], 1).unwrap_err();
        assert!(above.contains("plain English"), "{above}");
        assert!(above.contains("src/a.rs:7: // nobody"), "{above}");
        let below = compare("LIMIT", &[place()], 2).unwrap_err();
        assert!(below.contains("lower LIMIT to 1"), "{below}");
        assert!(compare("LIMIT", &[place()], 1).is_ok());
    }
}
