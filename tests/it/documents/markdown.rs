//! The parts of Markdown that these tests read.

/// The pieces of code of a document: each line of a fenced block, and each inline piece.
pub(crate) fn code(text: &str) -> impl Iterator<Item = String> {
    let mut is_fenced = false;
    let mut pieces = Vec::new();
    let mut joined = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            // A line that goes on in the next one is one piece.
            if let Some(begun) = line.strip_suffix('\\') {
                joined.push_str(begun);
            } else {
                joined.push_str(line);
                pieces.push(std::mem::take(&mut joined).trim().to_owned());
            }
        } else {
            let inline = line.split('`').skip(1).step_by(2);
            pieces.extend(inline.map(str::to_owned));
        }
    }
    pieces.into_iter()
}

/// The cells of a row of a table.
pub(crate) fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells = inner.split(" | ");
    Some(cells.map(|cell| cell.trim().to_owned()).collect())
}

/// The long options in a piece of code, without their dashes.
pub(crate) fn flags(text: &str) -> impl Iterator<Item = String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split([' ', '[', '`', ',', '('])
        .filter_map(|word| word.strip_prefix("--"))
        .map(move |word| {
            let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
            word[..end].to_owned()
        })
        .filter(|name| !name.is_empty())
}

/// The words of a call before its first option that are names of commands.
pub(crate) fn words(call: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    call.split_whitespace().take_while(is_name)
}

#[test]
fn code_is_read_from_fences_and_lines() {
    let text = "Say `one` and `two`.\n```sh\nthree \\\n  --four\n```\nfive\n";
    let pieces: Vec<String> = code(text).collect();
    assert_eq!(pieces, ["one", "two", "three   --four"]);
}

#[test]
fn options_are_read_without_their_values() {
    let found: Vec<String> = flags("jobwatch submit --label=a -c F [--json] -- --x").collect();
    assert_eq!(found, ["label", "json", "x"]);
}

#[test]
fn words_end_before_the_first_value() {
    let found: Vec<&str> = words("sink test ops --config x").collect();
    assert_eq!(found, ["sink", "test", "ops"]);
    assert_eq!(words("<COMMAND>").next(), None);
}
