//! The nearest known name, for errors about an unknown name.

/// The least similarity (0 to 1) of a suggestion: one letter in three may be wrong or two
/// swapped, as in `dsc` for `dcs`.
const NEAR: f64 = 0.6;

/// Returns the known name that is most similar to `name`, if one is near enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(known, name), known))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

/// Returns "; did you mean `dcs`?", or an empty text.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_name_finds_its_name_and_others_find_none() {
        let known = ["dcs", "sdrs", "sfs-turbo", "instance", "json"];
        for (misspelt, name) in [
            ("dsc", Some("dcs")),
            ("sdr", Some("sdrs")),
            ("sfsturbo", Some("sfs-turbo")),
            ("instanse", Some("instance")),
            ("josn", Some("json")),
            ("database", None),
        ] {
            assert_eq!(nearest(misspelt, known), name, "{misspelt}");
        }
    }
}
