//! The nearest known name, for errors about a name that is not known.

/// How alike two names must be for one to be suggested for the other: a letter in three
/// may be wrong or two swapped, as `dsc` for `dcs`.
const NEAR: f64 = 0.6;

/// The known name that is most like `name`, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(known, name), known))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

/// "; did you mean `dcs`?", or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_name_and_nonsense_finds_none() {
        let known = ["dcs", "sdrs", "sfs-turbo", "instance", "json"];
        for (slip, name) in [
            ("dsc", Some("dcs")),
            ("sdr", Some("sdrs")),
            ("sfsturbo", Some("sfs-turbo")),
            ("instanse", Some("instance")),
            ("josn", Some("json")),
            ("database", None),
        ] {
            assert_eq!(nearest(slip, known), name, "{slip}");
        }
    }
}
