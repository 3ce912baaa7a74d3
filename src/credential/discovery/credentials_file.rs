//! The credentials file of Huawei Cloud's SDK (huaweicloudsdkcore 3.1, `auth/provider.py`):
//! sections `[basic]` (for the services of a project) and `[global]` (for those of a
//! domain), each with an access key.

use std::collections::BTreeMap;
use std::path::Path;

use configparser::ini::Ini;

use crate::credential::discovery::account::{Account, readable_by_all};
use crate::credential::discovery::facts::{Fact, Facts, Words};
use crate::credential::discovery::{resolve, text_file};

/// The variable that names the file.
const VARIABLE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
/// The usual path of the file, within the user's home.
const USUAL: &str = ".huaweicloud/credentials";

/// The sections, the preferred one first: jobs belong to projects.
const SECTIONS: [&str; 2] = ["basic", "global"];

const WORDS: &Words = &[
    (Fact::AccessKey, "ak"),
    (Fact::SecretKey, "sk"),
    (Fact::SecurityToken, "security_token"),
    (Fact::ProjectId, "project_id"),
    (Fact::DomainId, "domain_id"),
    (Fact::AuthUrl, "iam_endpoint"),
];

/// Returns the account of the file that is named, or of the usual one if it exists.
pub(super) fn account(
    environment: &BTreeMap<String, String>,
) -> Option<Result<Account, Vec<String>>> {
    let set = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    if let Some(path) = set(VARIABLE) {
        let named = |diagnostic| format!("{diagnostic} ({VARIABLE} names it)");
        let account = account_in(Path::new(path));
        return Some(account.map_err(|diagnostics| diagnostics.into_iter().map(named).collect()));
    }
    let path = Path::new(set("HOME")?).join(USUAL);
    path.exists().then(|| account_in(&path))
}

fn account_in(path: &Path) -> Result<Account, Vec<String>> {
    let facts = facts(path).map_err(|diagnostic| vec![diagnostic])?;
    let mut account = resolve::account(&facts, None, vec![path.to_owned()])?;
    account.warnings.extend(readable_by_all(path));
    Ok(account)
}

fn facts(path: &Path) -> Result<Facts, String> {
    let shown = path.display();
    let mut rules = Ini::new().defaults();
    // As the SDK's parser, which reads `#` within a value as a part of it.
    rules.enable_inline_comments = false;
    // The parser's message mentions lines and brackets only.
    let sections = Ini::new_from_defaults(rules)
        .read(text_file::read(path)?)
        .map_err(|diagnostic| format!("{shown}: {diagnostic}"))?;
    let Some(section) = SECTIONS.iter().find(|name| sections.contains_key(**name)) else {
        return Err(format!("{shown}: there is no section [basic] or [global]"));
    };
    let mut facts = Facts::new(format!("{shown} [{section}]"), WORDS);
    for (fact, word) in WORDS {
        let value = sections.get(*section).and_then(|values| values.get(*word));
        if let Some(Some(text)) = value {
            facts.add(*fact, word, text);
        }
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use crate::credential::discovery::from_environment;
    use crate::credential::discovery::tests::{Home, assert_messages, line};

    #[test]
    fn the_file_is_read_as_by_the_sdk() {
        for (text, wanted) in [
            (
                "[basic]\nak = A\nsk = S\nsecurity_token = T\nproject_id = p\niam_endpoint = https://i\n",
                "keys A S T id:p domain:- name:- at https://i/v3 in -",
            ),
            (
                "# comment\n[global]\nak: A\nsk: S\ndomain_id: d\n; comment\n",
                "keys A S - id:- domain:d name:- at - in -",
            ),
            (
                "[global]\nak=G\nsk=G\n[basic]\nAK=00042\nsk=a#b;c\\d\"e\" =f\n",
                "keys 00042 a#b;c\\d\"e\" =f - id:- domain:- name:- at - in -",
            ),
        ] {
            let home = Home::new().with(".huaweicloud/credentials", text);
            let account = from_environment(&home.environment).unwrap();
            assert_eq!(line(&account), wanted, "{text}");
            assert_eq!(account.files, [home.path(".huaweicloud/credentials")]);
            let is_temporary = text.contains("security_token");
            let expected = &["[basic]: `security_token` expires"][..];
            assert_messages(&account.warnings, if is_temporary { expected } else { &[] });
        }
    }

    #[test]
    fn a_named_file_wins_and_must_exist() {
        let home = Home::new()
            .with(".huaweicloud/credentials", "[basic]\nak=A\nsk=S\n")
            .with("mine", "[basic]\nak=B\nsk=S\n")
            .open_to("mine", 0o644);
        let mine = home.path("mine");
        let home = home.env("HUAWEICLOUD_SDK_CREDENTIALS_FILE", mine.to_str().unwrap());
        let account = from_environment(&home.environment).unwrap();
        assert!(line(&account).starts_with("keys B S"));
        assert_messages(&account.warnings, &["every user can read"]);
        let home = home.env("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/nowhere/mine");
        assert_messages(
            &from_environment(&home.environment).unwrap_err(),
            &[
                "cannot read /nowhere/mine: No such file or directory (os error 2) (HUAWEICLOUD_SDK_CREDENTIALS_FILE names it)",
            ],
        );
    }

    #[test]
    fn a_file_without_an_account_is_reported_but_not_shown() {
        for (text, expected) in [
            (
                "[basic\nsk = hunter2\n",
                "credentials: line 1: Found opening bracket",
            ),
            (
                "[basic]\n= hunter2\n",
                "credentials: line 2:0: Key cannot be empty",
            ),
            (
                "[other]\nsk = hunter2\n",
                "there is no section [basic] or [global]",
            ),
            (
                "[basic]\nsk = hunter2\n",
                "credentials [basic]: `ak` is missing",
            ),
            ("[basic]\nak = A\nsk\n", "`sk` is missing"),
        ] {
            let home = Home::new().with(".huaweicloud/credentials", text);
            let diagnostics = from_environment(&home.environment).unwrap_err();
            assert_messages(&diagnostics, &[expected]);
            assert!(!diagnostics[0].contains("hunter2"), "{diagnostics:?}");
        }
    }
}
