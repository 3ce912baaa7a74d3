//! Quoting: a text as a word of a POSIX shell, and a script inside a string of another language.
//!
//! A word never holds two characters in a row that begin a placeholder in a language around the
//! shell (`${{` of GitHub, `{{` of Ansible, Argo and Airflow, `${` and `%{` of Terraform, `$(` of
//! Kubernetes, `$[[` of GitLab): two quotes stand between them, which the shell drops.

/// Characters that begin or continue a placeholder.
const SIGNS: &[char] = &['$', '%', '{', '}', '(', '[', '#'];

/// True for a character that each of the languages can hold as it is. Control characters, the
/// line breaks of YAML, and all that YAML calls unprintable are not.
pub(super) fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// Writes a text as one word of a shell.
pub(super) fn word(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    let mut word = String::from("'");
    let mut last = None;
    for c in text.chars() {
        if SIGNS.contains(&c) && last.is_some_and(|last| SIGNS.contains(&last)) {
            word.push_str("''");
        }
        match c {
            '\'' => word.push_str(r"'\''"),
            c => word.push(c),
        }
        last = Some(c);
    }
    word.push('\'');
    word
}

/// Writes a text for Docker Compose, which replaces variables itself.
pub(super) fn compose(text: &str) -> String {
    text.replace('$', "$$")
}

/// Writes a text for the inside of `'''…'''` in Groovy.
pub(super) fn groovy(text: &str) -> String {
    text.replace('\\', r"\\").replace('\'', r"\'")
}

/// Writes a text for the inside of `"""…"""` in Python.
pub(super) fn python(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const HOSTILE: &[&str] = &[
        "plain",
        "",
        "two words",
        "it's",
        "'; exit 0; '",
        "$(touch x) `touch y` $HOME ${HOME} ${{ secrets.X }} $[[ inputs.x ]]",
        "{{ 1 }} {% raw %} {# c #} %{ if true } {{{{",
        "back\\slash \\' \\\" \\",
        "\"double\" \"\"\" '''",
        "-n",
        "~",
        "*",
        "a b\u{a0}c \u{1f600} \u{e9}",
        "EOT",
        "--",
        "!event #comment: - x",
    ];

    #[test]
    fn a_shell_reads_each_word_as_it_was() {
        for text in HOSTILE {
            let script = format!("printf '%s' {}", word(text));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), *text, "{script}");
        }
    }

    #[test]
    fn a_word_begins_no_placeholder() {
        for text in HOSTILE {
            let word = word(text);
            for sign in ["{{", "{%", "{#", "${", "%{", "$(", "$["] {
                assert!(!word.contains(sign), "{sign} in {word}");
            }
        }
    }

    #[test]
    fn a_string_of_another_language_ends_where_it_should() {
        assert_eq!(compose("$A $$"), "$$A $$$$");
        assert_eq!(groovy(r"'a'\''b'"), r"\'a\'\\\'\'b\'");
        assert_eq!(python(r#""""\"#), r#"\"\"\"\\"#);
    }

    #[test]
    fn a_line_break_of_yaml_is_not_plain() {
        for c in ['\n', '\u{85}', '\u{2028}', '\u{7f}', '\0', '\u{feff}'] {
            assert!(!is_plain(c), "{c:?}");
        }
        assert!(is_plain('\u{e9}') && is_plain('\u{1f600}'));
    }
}
