//! The first words of an HTML page that came instead of JSON: that of a gateway, a proxy or a
//! login. Pure.
//!
//! This is not an HTML parser. It finds the first text of a page, which is the title if
//! there is one, so that a person can recognise the page; no decision depends on it.

use std::borrow::Cow;
use std::str::Chars;

/// The part of a page that is searched, in bytes. Error pages are shorter, and the title of
/// any page is near its beginning.
const PAGE_BYTES_MAX: usize = 32 * 1024;
/// The longest text returned, in characters.
const WORDS_CHARS_MAX: usize = 200;
/// The tags that an HTML page may begin with, after its declarations.
const FIRST_TAGS: [&str; 11] = [
    "html", "head", "body", "title", "meta", "center", "div", "p", "h1", "h2", "pre",
];
/// Tags within a sentence. Every other tag ends it.
const INLINE_TAGS: [&str; 13] = [
    "a", "b", "i", "u", "em", "strong", "span", "font", "code", "small", "tt", "sub", "sup",
];
/// Elements whose content is not text.
const SILENT_TAGS: [&str; 3] = ["script", "style", "template"];
/// The longest entity that is decoded, without `&` and `;`.
const ENTITY_CHARS_MAX: usize = 8;

/// A piece of a page.
enum Piece<'a> {
    Text(&'a str),
    /// The name of a tag, opening or closing, as it is written.
    Tag(&'a str),
    /// A comment or a declaration.
    Nothing,
}

/// True if `body` is an HTML page, with or without a text.
pub fn is_page(body: &[u8]) -> bool {
    beginning(body).is_some_and(|page| is_html(&page))
}

/// Returns the first text of an HTML page, at most 200 characters on one line; `None` if
/// `body` is not HTML, or has no text.
pub fn words(body: &[u8]) -> Option<String> {
    let page = beginning(body).filter(|page| is_html(page))?;
    first_text(&page)
}

/// Returns the beginning of a body whose first character opens a tag.
fn beginning(body: &[u8]) -> Option<Cow<'_, str>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = body.trim_ascii_start();
    let is_marked = body.first() == Some(&b'<');
    is_marked.then(|| String::from_utf8_lossy(&body[..body.len().min(PAGE_BYTES_MAX)]))
}

/// True if `page` has the doctype of HTML, or begins with one of its tags.
fn is_html(page: &str) -> bool {
    let mut rest = page;
    while !rest.is_empty() {
        if starts_with(rest, "<!doctype html") {
            return true;
        }
        match next_piece(&mut rest) {
            Piece::Tag(name) => return is_one_of(name, &FIRST_TAGS),
            Piece::Text(text) if !text.trim().is_empty() => return false,
            Piece::Text(_) | Piece::Nothing => {}
        }
    }
    false
}

fn first_text(page: &str) -> Option<String> {
    let mut rest = page;
    let mut sentence = String::new();
    while !rest.is_empty() {
        match next_piece(&mut rest) {
            Piece::Text(text) => sentence.push_str(text),
            Piece::Tag(name) if is_one_of(name, &INLINE_TAGS) => {}
            Piece::Tag(name) => {
                if let Some(words) = readable(&sentence) {
                    return Some(words);
                }
                sentence.clear();
                if is_one_of(name, &SILENT_TAGS) {
                    rest = after_element(rest, name);
                }
            }
            Piece::Nothing => {}
        }
    }
    readable(&sentence)
}

/// Cuts the next piece off `rest`, which is not empty; the piece is not empty either.
fn next_piece<'a>(rest: &mut &'a str) -> Piece<'a> {
    let text = *rest;
    let (piece, left) = if let Some(comment) = text.strip_prefix("<!--") {
        (Piece::Nothing, after(comment, "-->"))
    } else if text.starts_with("<!") || text.starts_with("<?") {
        (Piece::Nothing, after(text, ">"))
    } else if let Some(name) = tag_name(text) {
        (Piece::Tag(name), after_tag(text))
    } else {
        // A lone `<` is text as well.
        let begin = usize::from(text.starts_with('<'));
        let end = text[begin..].find('<').map_or(text.len(), |at| begin + at);
        (Piece::Text(&text[..end]), &text[end..])
    };
    *rest = left;
    piece
}

fn tag_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('<')?;
    let name = name.strip_prefix('/').unwrap_or(name);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric());
    let name = &name[..end.unwrap_or(name.len())];
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        .then_some(name)
}

/// Skips a tag, whose quoted attributes may hold `>`.
fn after_tag(text: &str) -> &str {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return &text[at + 1..],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    ""
}

/// Skips the content of an element and its closing tag; all the rest if there is none.
fn after_element<'a>(text: &'a str, name: &str) -> &'a str {
    let closes = |at: &usize| {
        let tag = &text[*at..];
        tag.starts_with("</") && tag_name(tag).is_some_and(|it| it.eq_ignore_ascii_case(name))
    };
    let mut tags = text.match_indices('<').map(|(at, _)| at);
    tags.find(closes).map_or("", |at| after_tag(&text[at..]))
}

fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, left)| left)
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}

fn starts_with(text: &str, beginning: &str) -> bool {
    let start = text.as_bytes().get(..beginning.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
}

/// Returns `text` on one line, with its entities decoded and cut to its limit; `None` if a
/// person could read nothing in it.
fn readable(text: &str) -> Option<String> {
    let mut words = String::new();
    let mut length = 0;
    let mut is_apart = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = if c == '&' { entity(&mut chars) } else { c };
        if c.is_whitespace() {
            is_apart = true;
            continue;
        }
        if is_hidden(c) {
            continue;
        }
        if length + usize::from(is_apart) >= WORDS_CHARS_MAX - 1 {
            words = cut(&words, is_apart);
            break;
        }
        if std::mem::take(&mut is_apart) && !words.is_empty() {
            words.push(' ');
            length += 1;
        }
        words.push(c);
        length += 1;
    }
    words.contains(char::is_alphanumeric).then_some(words)
}

/// Ends a text that goes on. A word that is cut is left out: it could be the beginning of a
/// secret, which would not be recognised.
fn cut(words: &str, is_whole: bool) -> String {
    let whole = if is_whole {
        words
    } else {
        words.trim_end_matches(|c: char| c.is_ascii_graphic())
    };
    format!("{}\u{2026}", whole.trim_end())
}

/// Decodes the entity that follows an `&`. Unknown entities stay as they are written.
fn entity(chars: &mut Chars<'_>) -> char {
    let ahead: String = chars.clone().take(ENTITY_CHARS_MAX + 1).collect();
    let name = ahead.split_once(';').map(|(name, _)| name);
    let Some((name, decoded)) = name.and_then(|name| Some((name, decoded(name)?))) else {
        return '&';
    };
    // With its `;`, which is the character after the name.
    chars.nth(name.chars().count());
    decoded
}

fn decoded(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "ndash" => Some('\u{2013}'),
        "mdash" => Some('\u{2014}'),
        _ => None,
    }
}

/// True for characters that are invisible or change how others are shown: control
/// characters, direction marks, and the replacement for bytes that are not UTF-8.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// As the servers send them.
    const PAGES: [(&str, &str); 12] = [
        (
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
            "502 Bad Gateway",
        ),
        (
            "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
            "503 Service Unavailable",
        ),
        (
            "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>504 Gateway Timeout</title>\n</head><body>\n<h1>Gateway Timeout</h1>",
            "504 Gateway Timeout",
        ),
        (
            "<!doctype html><html lang=\"en\"><head><title>HTTP Status 404 &#8211; Not Found</title><style type=\"text/css\">body {font-family:Tahoma}</style></head>",
            "HTTP Status 404 \u{2013} Not Found",
        ),
        (
            "<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"x\">\n<html xmlns=\"x\"><head><title>R&amp;D portal &ndash; sign&nbsp;in</title></head></html>",
            "R&D portal \u{2013} sign in",
        ),
        (
            "<!DOCTYPE html>\n<!--[if lt IE 7]> <html class=\"no-js ie6\"> <![endif]-->\n<head>\n<title>api.example.com |\n   520: Web server is returning an unknown error</title>",
            "api.example.com | 520: Web server is returning an unknown error",
        ),
        (
            "<html><head><script>var title = \"<h1>no</h1>\";</script><style>p {}</style></head><body><p>Your <b>IP</b> address is <a href=\"/x>y\">blocked</a>.</p><p>Bye</p>",
            "Your IP address is blocked.",
        ),
        ("<html>maintenance</html>", "maintenance"),
        ("  \n\u{feff}", ""),
        (
            "<HTML><TITLE></TITLE><BODY><H1> Forbidden </H1>",
            "Forbidden",
        ),
        (
            "<h1>Not Found</h1><p>The resource was not found.</p>",
            "Not Found",
        ),
        (
            "<html><title>\u{7f51}\u{5173}\u{9519}\u{8bef}</title>",
            "\u{7f51}\u{5173}\u{9519}\u{8bef}",
        ),
    ];

    #[test]
    fn page_gives_its_first_text() {
        for (page, said) in PAGES {
            let wanted = Some(said.to_owned()).filter(|said| !said.is_empty());
            assert_eq!(words(page.as_bytes()), wanted, "{page}");
            let with_mark = ["\u{feff}", page].concat();
            assert_eq!(words(with_mark.as_bytes()), wanted, "{page}");
        }
    }

    #[test]
    fn body_that_is_not_a_page_gives_no_text() {
        for body in [
            "",
            "Bad Gateway",
            "{\"title\":\"<html>\"}",
            "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>",
            "<Response><title>x</title></Response>",
            "< html>x",
            "<>",
            "<",
            "<html>",
            "<html><body>\u{200b} &#0; --- </body></html>",
            "<!doctype html>",
            "<html><script>only a program</script>",
        ] {
            assert_eq!(words(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn broken_or_hostile_page_is_bounded() {
        for (page, said) in [
            ("<title>502 Bad Gateway", "502 Bad Gateway"),
            ("<title>502 Bad Gateway<body><h1>x", "502 Bad Gateway"),
            ("<html><body>a <b", "a"),
            ("<html><body><p title=\"never closed>a", ""),
            ("<html><!-- never closed <title>a</title>", ""),
            ("<html><script>never closed<title>a</title>", ""),
            ("<html><p>1 < 2 and 3 <4</p>", "1 < 2 and 3 <4"),
            (
                "<html><p>&lt;b&gt; &amp;lt; &bogus; & &#xffffffff; &#x41;",
                "<b> &lt; &bogus; & &#xffffffff; A",
            ),
            (
                "<html><p>red\u{1b}[31m\u{202e}\u{9b}\0 a&#27;&#x202e;b",
                "red[31m ab",
            ),
        ] {
            let wanted = Some(said.to_owned()).filter(|said| !said.is_empty());
            assert_eq!(words(page.as_bytes()), wanted, "{page}");
        }
        assert_eq!(
            words(b"<title>\xff\xfe caf\xe9</title>"),
            Some("caf".to_owned())
        );
        let nested = "<div>".repeat(1_000_000);
        assert_eq!(words(format!("{nested}deep").as_bytes()), None);
    }

    #[test]
    fn long_text_ends_after_a_whole_word() {
        let page = |text: &str| format!("<html><p>{text}</p>");
        let long = words(page(&"busy ".repeat(1000)).as_bytes()).unwrap();
        assert!(long.ends_with("busy\u{2026}") && long.chars().count() <= WORDS_CHARS_MAX);
        let secret = format!("key {}", "k".repeat(300));
        assert_eq!(words(page(&secret).as_bytes()).unwrap(), "key\u{2026}");
        assert_eq!(words(page(&"k".repeat(300)).as_bytes()), None);
        let unspaced = words(page(&"\u{9519}".repeat(300)).as_bytes()).unwrap();
        assert_eq!(unspaced.chars().count(), WORDS_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_short_line(
            tokens in vec(prop_oneof![
                "[ -~]{0,9}".prop_map(String::into_bytes),
                vec(any::<u8>(), 0..9),
                prop::sample::select(vec!["<", ">", "</", "<!--", "-->", "<p>", "&", ";", "&#", "\"", "<script>", "<title>"])
                    .prop_map(|token| token.as_bytes().to_vec()),
            ], 0..99)
        ) {
            let page = [b"<html>".to_vec(), tokens.concat()].concat();
            if let Some(words) = words(&page) {
                prop_assert!(words.chars().count() <= WORDS_CHARS_MAX);
                prop_assert!(!words.contains(char::is_control));
            }
        }
    }
}
