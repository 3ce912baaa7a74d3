//! Makes a tree of JSON values from an XML document.
//!
//! An element without attributes and elements in it is its text. Any other is an object: the
//! attributes as `@name`, the elements by their names, the text as `#text`. Elements of one
//! name are a list. Prefixes of namespaces are dropped, as white space around texts is.
//!
//! The parser reads one tag after the other and expands only the references that XML itself
//! defines. A document type with declarations is refused before the parser comes to the first
//! reference, so no entity can grow.

use encoding_rs::Encoding;
use quick_xml::errors::SyntaxError;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::definition::body::charset;

/// The most levels of elements within elements, as in JSON.
const DEPTH_MAX: usize = 128;
/// The most members with different names of one element. A document with more would cost too much.
const MEMBERS_MAX: usize = 10_000;
/// The part of a document in which its declaration stands, in bytes.
const DECLARATION_BYTES_MAX: usize = 256;
/// The longest reason from the parser, in characters: it may name an element.
const REASON_CHARS_MAX: usize = 200;

/// Reads one document.
///
/// # Errors
/// Returns the reason, if `text` is not one whole document, or declares entities.
pub(super) fn parse(lists: &[String], text: &str) -> Result<Value, String> {
    let mut tree = Tree::new(lists);
    match read_events(&mut tree, text) {
        Ok(()) => tree.finish(),
        Err(Refusal::Cut) => Err("it ends within an element or a tag".to_owned()),
        Err(Refusal::Wrong(why)) => Err(why),
    }
}

/// Reads the elements that are whole in the beginning of a document; `None` if none is.
pub(super) fn parse_beginning(lists: &[String], text: &str) -> Option<Value> {
    // The part may end within a reference, which is wrong in a whole document.
    let whole = match text.rsplit_once('&') {
        Some((before, after)) if !after.contains([';', '<']) => before,
        _ => text,
    };
    let mut tree = Tree::new(lists);
    match read_events(&mut tree, whole) {
        Ok(()) => tree.finish().ok(),
        Err(Refusal::Cut) => tree.close(),
        Err(Refusal::Wrong(_)) => None,
    }
}

/// Returns the charset that the declaration of a document names.
pub(super) fn declared_encoding(body: &[u8]) -> Option<&'static Encoding> {
    let head = &body[..body.len().min(DECLARATION_BYTES_MAX)];
    let head = String::from_utf8_lossy(head);
    match Reader::from_str(&head).read_event() {
        Ok(Event::Decl(declaration)) => charset::byte_charset(&declaration.encoding()?.ok()?),
        _ => None,
    }
}

/// The reason why a document was not read to its end.
enum Refusal {
    /// It ends too early; the text before is right.
    Cut,
    Wrong(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Syntax(SyntaxError::InvalidBangMarkup) => Self::Wrong(error.to_string()),
            // All others of this kind are a tag or a comment that does not end.
            Error::Syntax(_) => Self::Cut,
            error => Self::Wrong(error.to_string().chars().take(REASON_CHARS_MAX).collect()),
        }
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Wrong(why.into()))
}

fn read_events(tree: &mut Tree<'_>, text: &str) -> Result<(), Refusal> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event()? {
            Event::Start(start) => tree.open(&start)?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.end()?;
            }
            Event::End(_) => tree.end()?,
            Event::Text(text) => tree.text(&text.xml10_content())?,
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => tree.reference(&reference)?,
            Event::DocType(declarations) => check_document_type(&declarations)?,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if tree.open.is_empty() => return Ok(()),
            Event::Eof => return Err(Refusal::Cut),
        }
    }
}

/// Refuses a document type that declares anything in the document. One that names a file is
/// allowed, because the file is not read.
fn check_document_type(declarations: &str) -> Result<(), Refusal> {
    if declarations.contains(['[', '<']) {
        return wrong("it declares entities or other parts of a document type");
    }
    Ok(())
}

/// The elements that are read so far.
struct Tree<'a> {
    lists: &'a [String],
    root: Option<(String, Value)>,
    /// The open elements, the innermost last.
    open: Vec<Element>,
}

struct Element {
    name: String,
    members: Map<String, Value>,
    text: String,
}

impl<'a> Tree<'a> {
    fn new(lists: &'a [String]) -> Self {
        Self {
            lists,
            root: None,
            open: Vec::new(),
        }
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), Refusal> {
        if self.open.is_empty() && self.root.is_some() {
            return wrong("it has two root elements");
        }
        if self.open.len() == DEPTH_MAX {
            return wrong(format!("more than {DEPTH_MAX} levels of elements"));
        }
        let name = start.name().0;
        check_name(name)?;
        self.open.push(Element {
            name: local(name).to_owned(),
            members: attributes(start)?,
            text: String::new(),
        });
        Ok(())
    }

    /// Closes the innermost element. The parser has compared the names of the two tags.
    fn end(&mut self) -> Result<(), Refusal> {
        if let Some(element) = self.open.pop() {
            let (name, value) = element.into_member();
            self.add(name, value);
        }
        match self.open.last() {
            Some(parent) => check_members(&parent.members),
            None => Ok(()),
        }
    }

    /// Adds an element to the innermost open one, or as the root.
    fn add(&mut self, name: String, value: Value) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some((name, value));
            return;
        };
        match parent.members.entry(name) {
            Entry::Vacant(place) => {
                let value = listed(self.lists, place.key(), value);
                place.insert(value);
            }
            Entry::Occupied(mut place) => match place.get_mut() {
                Value::Array(values) => values.push(value),
                first => *first = Value::Array(vec![first.take(), value]),
            },
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Refusal> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim_ascii().is_empty() => {}
            None => return wrong("there is text outside the root element"),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Refusal> {
        if let Some(c) = reference.resolve_char_ref()? {
            return self.text(c.encode_utf8(&mut [0; 4]));
        }
        match resolve_xml_entity(reference) {
            Some(text) => self.text(text),
            None => wrong("it uses an entity that XML does not define"),
        }
    }

    fn finish(self) -> Result<Value, String> {
        let (name, value) = self.root.ok_or("there is no element")?;
        let value = listed(self.lists, &name, value);
        Ok(Value::Object(Map::from_iter([(name, value)])))
    }

    /// Closes the open elements of a document that was cut. Their texts may go on, so they are
    /// left out.
    fn close(mut self) -> Option<Value> {
        while let Some(mut element) = self.open.pop() {
            element.text.clear();
            if !element.members.is_empty() {
                let (name, value) = element.into_member();
                self.add(name, value);
            }
        }
        self.finish().ok()
    }
}

impl Element {
    fn into_member(mut self) -> (String, Value) {
        let text = self.text.trim();
        if self.members.is_empty() {
            return (self.name, Value::from(text));
        }
        if !text.is_empty() {
            self.members.insert("#text".to_owned(), Value::from(text));
        }
        (self.name, Value::Object(self.members))
    }
}

fn listed(lists: &[String], name: &str, value: Value) -> Value {
    if lists.iter().any(|list| list == name) {
        Value::Array(vec![value])
    } else {
        value
    }
}

/// Returns the attributes of a tag. Of two that differ in their prefixes only, the one without
/// a prefix stays, or else the first.
fn attributes(start: &BytesStart<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut members = Map::new();
    let mut names = Vec::new();
    let mut is_repeated = false;
    // Its own check for duplicates compares each attribute with each.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| Refusal::Wrong(error.to_string()))?;
        let name = attribute.key.0;
        check_name(name)?;
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        names.push(name);
        let value = unescape(&attribute.value).map_err(Error::from)?;
        match members.entry("@".to_owned() + local(name)) {
            Entry::Vacant(place) => {
                place.insert(Value::from(value));
            }
            Entry::Occupied(mut place) => {
                is_repeated = true;
                if !name.contains(':') {
                    place.insert(Value::from(value));
                }
            }
        }
        check_members(&members)?;
    }
    if is_repeated {
        check_distinct(names)?;
    }
    Ok(members)
}

fn check_members(members: &Map<String, Value>) -> Result<(), Refusal> {
    if members.len() > MEMBERS_MAX {
        return wrong(format!("an element has more than {MEMBERS_MAX} members"));
    }
    Ok(())
}

fn check_distinct(mut names: Vec<&str>) -> Result<(), Refusal> {
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => wrong(format!("the attribute {} stands there twice", pair[0])),
        None => Ok(()),
    }
}

/// Refuses a name that XML does not allow, as far as it could be taken for another: the parser
/// takes any text up to white space.
fn check_name(name: &str) -> Result<(), Refusal> {
    let is_first = |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' | 0x80..);
    let is_next = |byte: u8| is_first(byte) || matches!(byte, b'0'..=b'9' | b'-' | b'.');
    if name.bytes().next().is_some_and(is_first) && name.bytes().all(is_next) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    wrong(format!("{shown:?} is not a name"))
}

/// Returns a name without its prefix.
fn local(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((_, local)) if !local.is_empty() => local,
        _ => name,
    }
}
