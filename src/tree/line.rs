//! Finds the line of a key in a TOML text, for errors that are found after parsing.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Returns the line of `path` in `text`, from 1, or the line of the nearest table around it.
/// Elements of arrays are named by their number, from 0.
pub fn line_of_key(text: &str, path: &[String]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let at = offset_in_table(root.get_ref(), path)?;
    Some(line_at(text, at))
}

/// Returns the line of a byte offset, from 1.
pub fn line_at(text: &str, offset: usize) -> usize {
    let offset = text.floor_char_boundary(offset);
    text[..offset].matches('\n').count() + 1
}

fn offset_in_table(table: &DeTable<'_>, path: &[String]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table
        .iter()
        .find(|(key, _)| key.get_ref().as_ref() == first.as_str())?;
    Some(offset_in_value(value, rest).unwrap_or(key.span().start))
}

fn offset_in_value(value: &Spanned<DeValue<'_>>, path: &[String]) -> Option<usize> {
    match value.get_ref() {
        DeValue::Table(table) => offset_in_table(table, path),
        DeValue::Array(elements) => {
            let (index, rest) = path.split_first()?;
            let element = elements.get(index.parse::<usize>().ok()?)?;
            Some(offset_in_value(element, rest).unwrap_or(element.span().start))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_tables_and_lists() {
        let text = "a = 1\n[b]\nc = [\n  { d = 1 },\n  { e = 2 },\n]\n[[f]]\ng = 1\n[[f]]\ng = 2\n";
        let line = |path: &[&str]| {
            line_of_key(
                text,
                &path.iter().map(|&p| p.to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(line(&["a"]), Some(1));
        assert_eq!(line(&["b", "c", "1", "e"]), Some(5));
        assert_eq!(line(&["f", "1", "g"]), Some(10));
        assert_eq!(line(&["b", "nothing"]), Some(2));
        assert_eq!(line(&["nothing"]), None);
    }
}
