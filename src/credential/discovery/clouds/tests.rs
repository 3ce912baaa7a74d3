//! `clouds.yaml` as users write it: each place, each form, each mistake.

use super::*;
use crate::credential::discovery::from_clouds;
use crate::credential::discovery::tests::{Home, assert_messages, line};

const URL: &str = "https://iam.eu-de.otc.t-systems.com/v3";

impl Home {
    /// Returns the account as [`account`] does, without the folders of this machine.
    fn account(&self, name: Option<&str>) -> Result<Account, Vec<String>> {
        let folder = self.path("cwd");
        let root = self.path("");
        let folders = folders(&self.environment, &folder);
        let is_own = |folder: &PathBuf| folder.starts_with(&root);
        Search {
            environment: &self.environment,
            folder: &folder,
            folders: folders.into_iter().filter(is_own).collect(),
        }
        .account(name)
    }

    #[track_caller]
    fn found(&self, name: Option<&str>) -> Account {
        self.account(name).unwrap()
    }

    #[track_caller]
    fn diagnostics(&self, name: Option<&str>) -> Vec<String> {
        let diagnostics = self.account(name).unwrap_err();
        diagnostics
            .iter()
            .map(|diagnostic| self.short(diagnostic))
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.found(None).warnings;
        warnings.iter().map(|warning| self.short(warning)).collect()
    }
}

/// Returns a home whose only cloud is `body`, as `{ key: value, … }`.
fn cloud(body: &str) -> Home {
    Home::new().with("cwd/clouds.yaml", &format!("clouds: {{ otc: {body} }}\n"))
}

/// Returns the same with `body` within `auth`, beside a URL.
fn auth(body: &str) -> Home {
    cloud(&format!("{{ auth: {{ auth_url: {URL}, {body} }} }}"))
}

#[test]
fn each_kind_of_login_is_parsed() {
    for (body, wanted) in [
        (
            "username: u, password: p, user_domain_name: OTC1, project_name: eu-de_x",
            "u@OTC1 p at URL for project eu-de_x in eu-de",
        ),
        (
            "username: u, password: p, domain_name: OTC1, project_name: x",
            "u@OTC1 p at URL for project x@OTC1 in -",
        ),
        (
            "user_id: u, password: p, tenant_id: t",
            "id:u p at URL for project:t in -",
        ),
        (
            "username: u, password: p, user_domain_name: U, project_domain_id: P, project_name: x",
            "u@U p at URL for project x@domain:P in -",
        ),
        (
            "username: u, password: p, project_domain_id: P, project_id: x, totp_seed: S",
            "u@domain:P p with totp S at URL for project:x in -",
        ),
        (
            "application_credential_id: i, application_credential_secret: s",
            "application i s at URL for default in -",
        ),
        (
            "token: t, project_id: p",
            "token t at URL for project:p in -",
        ),
        ("token: t", "x-auth-token t in -"),
        (
            "ak: A, sk: S, security_token: T, project_name: eu-nl, domain_id: d",
            "keys A S T id:- domain:d name:eu-nl at URL in eu-nl",
        ),
    ] {
        let account = auth(body).found(None);
        assert_eq!(line(&account).replace(URL, "URL"), wanted, "{body}");
    }
}

#[test]
fn an_access_key_is_read_inside_and_outside_auth() {
    for body in [
        "{ auth: { ak: A, sk: S, project_id: p } }",
        "{ ak: A, sk: S, auth: { project_id: p } }",
        "{ access_key: A, secret-key: S, auth: { project-id: p } }",
        "{ auth: { access_key: A, secret_key: S }, project_id: p }",
    ] {
        let account = cloud(body).found(None);
        let wanted = "keys A S - id:p domain:- name:- at - in -";
        assert_eq!(line(&account), wanted, "{body}");
    }
}

#[test]
fn an_agency_is_assumed_by_the_account_without_its_project() {
    let agency = "target_agency_name: a, target_domain_name: D, target_project_name: eu-nl_y";
    for (auth, source) in [
        (
            "username: u, password: p, user_domain_name: O, project_name: eu-de_x",
            "u@O p at URL for O",
        ),
        ("token: t, project_name: x", "x-auth-token t"),
        (
            "ak: A, sk: S, project_name: x",
            "keys A S - id:- domain:- name:- at URL",
        ),
    ] {
        let body = format!("{{ {agency}, auth: {{ auth_url: {URL}, {auth} }} }}");
        let account = cloud(&body).found(None);
        let project = "project eu-nl_y@D";
        assert_eq!(
            line(&account).replace(URL, "URL"),
            format!("agency a of D for {project} at URL by ({source}) in eu-nl")
        );
    }
    let home = cloud(&format!(
        "{{ target_domain_id: d, auth: {{ auth_url: {URL}, token: t }} }}"
    ));
    assert_messages(
        &home.diagnostics(None),
        &["`target_agency_name` is missing"],
    );
}

#[test]
fn the_first_login_is_used_and_the_others_are_reported() {
    let all = "token: t, ak: A, sk: S, password: p, username: u, domain_name: d, project_id: x";
    let ignored = ["`auth.ak` is not used", "`auth.password` is not used"];
    let (home, expires) = (auth(all), "`auth.token` expires");
    assert!(line(&home.found(None)).starts_with("token t"));
    assert_messages(&home.warnings(), &[ignored[0], ignored[1], expires]);
    let home = auth(&all.replace("token: t,", ""));
    assert!(line(&home.found(None)).starts_with("keys A S"));
    assert_messages(&home.warnings(), &[ignored[1]]);
}

#[test]
fn an_auth_type_selects_the_login() {
    let all = "token: t, ak: A, sk: S, password: p, username: u, domain_name: d, project_id: x, totp_seed: Z";
    for (auth_type, begins) in [
        ("password", "u@d p"),
        ("v3password", "u@d p"),
        ("v3multifactor", "u@d p with totp Z"),
        ("v3token", "token t"),
        ("aksk", "keys A S"),
    ] {
        let body = format!("{{ auth_type: {auth_type}, auth: {{ auth_url: {URL}, {all} }} }}");
        let account = cloud(&body).found(None);
        assert!(line(&account).starts_with(begins), "{}", line(&account));
    }
    for (body, expected) in [
        (
            "auth_type: v3pasword",
            "`auth_type` is `v3pasword`, which is not one of password, v3password, token, v3token, v3applicationcredential, v3totp, v3multifactor, aksk; did you mean `v3password`?",
        ),
        ("auth_type: aksk, auth: { ak: A }", "`auth.sk` is missing"),
    ] {
        assert_messages(
            &cloud(&format!("{{ {body} }}")).diagnostics(None),
            &[expected],
        );
    }
    let home = cloud(&format!(
        "{{ auth_type: v3totp, auth: {{ auth_url: {URL}, user_id: u, password: p, passcode: 1 }} }}"
    ));
    assert_messages(&home.diagnostics(None), &["`auth.totp_seed` is missing"]);
}

#[test]
fn all_missing_values_are_reported_together() {
    let home = cloud("{ auth: { username: u, auth_url: 'https://x/v2.0' } }");
    assert_messages(
        &home.diagnostics(None),
        &[
            "cwd/clouds.yaml, cloud `otc`: `auth.auth_url` ends in `v2.0`",
            "`auth.password` is missing",
            "`auth.user_domain_name` is missing",
        ],
    );
    assert_messages(
        &cloud("{ auth: { sk: S, project_name: x } }").diagnostics(None),
        &[
            "`auth.ak` is missing",
            "`auth.auth_url` is missing: the project's id",
        ],
    );
    assert_messages(
        &cloud("{}").diagnostics(None),
        &["nothing to authenticate with: set `auth.username` and `auth.password`, or `auth.ak`"],
    );
    assert_messages(
        &cloud("").diagnostics(None),
        &["nothing to authenticate with"],
    );
}

#[test]
fn a_scalar_keeps_its_spelling() {
    for (written, password) in [
        ("00042", "00042"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("1.50", "1.50"),
        ("+7", "+7"),
        (".inf", ".inf"),
        ("yes", "yes"),
        ("True", "True"),
        ("2001-12-14", "2001-12-14"),
        ("'~'", "~"),
        ("\"null\"", "null"),
        ("'it''s'", "it's"),
        ("${HOME}", "${HOME}"),
        ("a#b", "a#b"),
        ("!!str 42", "42"),
    ] {
        let text = format!(
            "clouds:\n  otc:\n    auth:\n      auth_url: {URL}\n      user_id: 007\n      project_id: 1e5\n      password: {written}\n"
        );
        let home = Home::new().with("cwd/clouds.yaml", &text);
        let wanted = format!("id:007 {password} at {URL} for project:1e5");
        assert!(line(&home.found(None)).starts_with(&wanted), "{written}");
    }
    for (written, expected) in [
        ("~", "`auth.password` is missing"),
        ("null", "`auth.password` is missing"),
        ("''", "`auth.password` is missing"),
        ("\"a\\nb\"", "`auth.password` has a line break"),
        ("[hunter2]", "clouds.yaml:1: this value has another form"),
        (
            "{ hunter2: x }",
            "clouds.yaml:1: this value has another form",
        ),
        ("!!int 31337", "clouds.yaml:1: this value has another form"),
    ] {
        let diagnostics = auth(&format!("user_id: u, password: {written}")).diagnostics(None);
        assert_messages(&diagnostics, &[expected]);
        let all = diagnostics.join("");
        assert!(!all.contains("hunter2") && !all.contains("31337"), "{all}");
    }
}

#[test]
fn invalid_yaml_is_reported_by_line_without_its_text() {
    for (text, expected) in [
        (
            "clouds:\n  otc:\n    password: \"hunter2\n",
            "this is not YAML",
        ),
        (
            "clouds:\n  otc:\n   password: hunter2\n  - x\n",
            "this is not YAML",
        ),
        ("clouds:\n\tpassword: hunter2\n", "this is not YAML"),
        ("clouds:\n  otc: {password: hunter2\n", "this is not YAML"),
        ("clouds:\n  otc: %hunter2\n", "this is not YAML"),
        (
            "clouds:\n  otc: {auth: *hunter2}\n",
            "this alias has no anchor",
        ),
        (
            "clouds:\n  hunter2: {}\n  hunter2: {}\n",
            "this key is there twice",
        ),
        ("clouds: {}\n---\npassword: hunter2\n", "a second document"),
        ("clouds: hunter2\n", "this value has another form"),
        ("clouds:\n  otc: hunter2\n", "this value has another form"),
        ("- hunter2\n", "this value has another form"),
        ("password: hunter2\n", "there are no `clouds` in it"),
        ("", "there are no `clouds` in it"),
    ] {
        let diagnostics = Home::new().with("cwd/clouds.yaml", text).diagnostics(None);
        assert_messages(&diagnostics, &[expected]);
        assert!(
            diagnostics[0].starts_with("cwd/clouds.yaml:"),
            "{diagnostics:?}"
        );
        assert!(!diagnostics[0].contains("hunter2"), "{diagnostics:?}");
    }
}

#[test]
fn excessive_aliases_and_nesting_are_refused() {
    let bomb = ('b'..='i').zip('a'..='h').fold(
        "a: &a [x, x, x, x, x, x, x, x, x]".to_owned(),
        |bomb, (new, old)| {
            format!(
                "{bomb}\n{new}: &{new} [{}]",
                vec![format!("*{old}"); 7].join(", ")
            )
        },
    );
    let deep = format!("x: {}{}\n", "[".repeat(100), "]".repeat(100));
    let large = format!("# {}\n", "x".repeat(4 * 1024 * 1024));
    for (text, expected) in [
        (bomb, "too large with its aliases"),
        (deep, "nested too deep"),
        (large, "has more than 4194304 bytes"),
    ] {
        let home = Home::new().with("cwd/clouds.yaml", &format!("{text}\nclouds: {{}}\n"));
        assert_messages(&home.diagnostics(None), &[expected]);
    }
}

#[test]
fn settings_of_other_tools_are_ignored() {
    let text = format!(
        "cache: {{ auth: true }}\nclouds:\n  other: [odd]\n  otc: &otc\n    networks: [{{ name: x }}]\n    interface: internal\n    identity_api_version: 3\n    auth: &auth {{ auth_url: {URL}, user_id: u, password: p, project_id: x, 7: y }}\n  again:\n    <<: *otc\n    auth:\n      <<: *auth\n      password: q\n"
    );
    let home = Home::new().with("cwd/clouds.yaml", &text);
    assert!(line(&home.found(Some("otc"))).starts_with("id:u p at"));
    assert!(line(&home.found(Some("again"))).starts_with("id:u q at"));
    assert_messages(
        &home.diagnostics(Some("other")),
        &["clouds.yaml:3: this value"],
    );
}

#[test]
fn the_first_file_in_the_search_order_is_used() {
    let token = |token: &str| format!("clouds: {{ otc: {{ auth: {{ token: {token} }} }} }}");
    let places = [
        "cwd/clouds.yaml",
        "cwd/clouds.yml",
        "cwd/clouds.json",
        "xdg/openstack/clouds.yaml",
        ".config/openstack/clouds.yaml",
        "site/openstack/clouds.yml",
    ];
    for first in 0..places.len() {
        let home = places[first..].iter().fold(Home::new(), |home, place| {
            home.with(place, &token(&place.replace('/', "_")))
        });
        let (xdg, site) = (home.path("xdg"), home.path("site"));
        let home = home
            .env("XDG_CONFIG_HOME", xdg.to_str().unwrap())
            .env("XDG_CONFIG_DIRS", site.to_str().unwrap());
        let account = home.found(None);
        let wanted = format!("x-auth-token {} in -", places[first].replace('/', "_"));
        assert_eq!(line(&account), wanted);
        assert_eq!(account.files, [home.path(places[first])]);
        let home = home
            .with("cwd/mine.yaml", &token("mine"))
            .env("OS_CLIENT_CONFIG_FILE", "mine.yaml");
        assert_eq!(line(&home.found(None)), "x-auth-token mine in -");
    }
    let known = folders(&BTreeMap::new(), Path::new("/cwd"));
    let known: Vec<&str> = known.iter().filter_map(|path| path.to_str()).collect();
    assert_eq!(known, ["/cwd", "/etc/xdg/openstack", "/etc/openstack"]);
}

#[test]
fn both_files_can_be_set_by_the_environment() {
    let home = Home::new()
        .with("a", "clouds: { otc: { auth: { ak: A, project_id: p } } }")
        .with("b", "clouds: { otc: { auth: { sk: S } } }");
    let (clouds, secure) = (home.path("a"), home.path("b"));
    let home = home
        .env("OS_CLIENT_CONFIG_FILE", clouds.to_str().unwrap())
        .env("OS_CLIENT_SECURE_FILE", secure.to_str().unwrap());
    let account = from_clouds(Some("otc"), &home.environment, Path::new("/")).unwrap();
    let wanted = "keys A S - id:p domain:- name:- at - in -";
    assert_eq!(line(&account), wanted);
    assert_eq!(account.files, [secure, clouds]);
}

#[test]
fn duplicate_values_are_read_as_by_openstacksdk() {
    let body = "username: top, project_name: top, auth: { username: u, password: p, tenant_name: old, project_name: x, auth_url: 'https://x', domain_name: D }";
    let account = cloud(&format!("{{ {body} }}")).found(None);
    let wanted = "u@D p at https://x/v3 for project top@D in -";
    assert_eq!(line(&account), wanted);
}

#[test]
fn mistyped_files_show_no_secret() {
    let text = "clouds:\n  otc:\n    auth: {auth_url: https://x, user_id: u}\n    password: Qz7Wk\n    sk: |\n      Qz7Wk\n    token: \"Qz7Wk\"\n";
    let changed = (0..=text.len()).flat_map(|at| {
        let (before, after) = text.split_at(at);
        let inserted = ":\"'[{&|%\t\n".chars();
        let inserted = inserted.map(move |new| format!("{before}{new}{after}"));
        let left = after.get(1..).unwrap_or_default();
        inserted.chain([format!("{before}{left}")])
    });
    let mut home = Home::new();
    for changed in changed {
        home = home.with("cwd/clouds.yaml", &changed);
        let messages = match home.account(None) {
            Ok(account) => account.warnings,
            Err(diagnostics) => diagnostics,
        };
        assert!(
            !messages.concat().contains("Qz7"),
            "{changed}: {messages:?}"
        );
    }
}

#[test]
fn an_unreadable_file_is_an_error() {
    let messages = Home::new().diagnostics(None);
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].starts_with("there is no clouds.yaml in any of cwd, "),
        "{messages:?}"
    );
    let home = Home::new()
        .with("cwd/clouds.yaml/x", "")
        .env("OS_CLIENT_SECURE_FILE", "nowhere.yaml");
    assert_messages(
        &home.diagnostics(None),
        &[
            "cwd/clouds.yaml is not a file",
            "cannot read cwd/nowhere.yaml: No such file or directory (os error 2) (OS_CLIENT_SECURE_FILE names it)",
        ],
    );
}

#[test]
fn the_secure_file_overrides_key_by_key() {
    let clouds = format!(
        "clouds:\n  otc:\n    region_name: eu-nl\n    auth: {{ auth_url: {URL}, user_id: u, password: old, project_id: x }}\n  b: {{}}\n"
    );
    let home = Home::new().with("cwd/clouds.yaml", &clouds).with(
        ".config/openstack/secure.yaml",
        "clouds: { otc: { auth: { password: new } }, c: { auth: { token: t } } }",
    );
    let account = home.found(Some("otc"));
    assert_eq!(
        line(&account).replace(URL, "URL"),
        "id:u new at URL for project:x in eu-nl"
    );
    assert_eq!(account.files.len(), 2);
    assert_eq!(line(&home.found(Some("c"))), "x-auth-token t in -");
    assert_messages(
        &home.diagnostics(Some("b")),
        &[".config/openstack/secure.yaml and cwd/clouds.yaml, cloud `b`: there is nothing"],
    );
}

#[test]
fn a_cloud_is_selected_by_name_os_cloud_or_as_the_only_one() {
    let text = "clouds:\n  otc: { auth: { token: a } }\n  other: { auth: { token: b } }\n";
    let home = Home::new().with("cwd/clouds.yaml", text);
    assert_messages(
        &home.diagnostics(None),
        &["there are several clouds (otc, other); name one, here or in OS_CLOUD"],
    );
    assert_messages(
        &home.diagnostics(Some("otcc")),
        &[
            "there is no cloud `otcc` in cwd/clouds.yaml; did you mean `otc`? (there are: otc, other)",
        ],
    );
    let home = home.env("OS_CLOUD", "other");
    assert_eq!(line(&home.found(None)), "x-auth-token b in -");
    assert_eq!(line(&home.found(Some("otc"))), "x-auth-token a in -");
    let home = home.env("OS_CLOUD", "othr");
    assert_messages(
        &home.diagnostics(None),
        &["`othr`, which OS_CLOUD names, in"],
    );
    let home = Home::new().with("cwd/clouds.yaml", "clouds: {}");
    assert_messages(&home.diagnostics(None), &["there is no cloud in it"]);
}

#[test]
fn a_vendor_profile_gives_the_auth_url() {
    for (body, url, region) in [
        (
            "profile: otc",
            "https://iam.eu-de.otc.t-systems.com/v3",
            "eu-de",
        ),
        (
            "cloud: otc, region_name: eu-nl",
            "https://iam.eu-nl.otc.t-systems.com/v3",
            "eu-nl",
        ),
        (
            "profile: otc, project_name: eu-nl_x",
            "https://iam.eu-nl.otc.t-systems.com/v3",
            "eu-nl",
        ),
        (
            "profile: otc-swiss",
            "https://iam-pub.eu-ch2.sc.otc.t-systems.com/v3",
            "eu-ch2",
        ),
        (
            "profile: otc, auth_url: 'https://x/v3'",
            "https://x/v3",
            "eu-de",
        ),
    ] {
        let body = format!("{{ {body}, auth: {{ user_id: u, password: p, project_id: x }} }}");
        let account = cloud(&body).found(None);
        let wanted = format!("id:u p at {url} for project:x in {region}");
        assert_eq!(line(&account), wanted, "{body}");
    }
    let expected = "unknown profile `otcc`; did you mean `otc`? (known: otc, otc-swiss)";
    assert_messages(&cloud("{ profile: otcc }").diagnostics(None), &[expected]);
    let home = cloud("{ profile: otcc, auth: { token: t, auth_url: 'https://x' } }");
    assert_messages(&home.warnings(), &[expected, "`auth.token` expires"]);
}

#[test]
fn a_region_is_found() {
    for (body, region) in [
        ("region_name: eu-nl, regions: [eu-de]", "eu-nl"),
        ("regions: [eu-de, eu-nl]", "eu-de"),
        (
            "regions: [{ name: eu-nl, values: { auth: { token: other } } }]",
            "eu-nl",
        ),
        ("region_name: [eu-nl, eu-de]", "eu-nl"),
        ("region_name: 'eu-nl, eu-de'", "eu-nl"),
        ("region_name: ~", "RegionOne"),
        ("project_name: eu-nl_x", "RegionOne"),
    ] {
        let home = cloud(&format!("{{ {body}, auth: {{ token: t }} }}"))
            .env("OS_REGION_NAME", "RegionOne");
        let account = home.found(None);
        assert_eq!(account.region.as_deref(), Some(region), "{body}");
        let token = if body.contains("other") { "other" } else { "t" };
        assert!(line(&account).contains(&format!(" {token} in")), "{body}");
    }
}

#[test]
fn ignored_settings_are_reported() {
    let body = format!(
        "{{ verify: False, cacert: /x, cert: /y, key: /z, auth: {{ auth_url: '{}', user_id: u, password: p, passcode: 123456 }} }}",
        URL.replace("https", "http")
    );
    let home = cloud(&body).open_to("cwd/clouds.yaml", 0o644);
    assert_messages(
        &home.warnings(),
        &[
            "`verify` is not used: certificates are always checked",
            "`cacert` is not used; name the bundle in SSL_CERT_FILE",
            "`cert` is not used",
            "`key` is not used",
            "is sent unencrypted",
            "`auth.passcode` works once",
            "no project is named",
            "every user can read cwd/clouds.yaml; `chmod 600` it",
        ],
    );
    let home = cloud("{ verify: true, insecure: false, auth: { ak: A, project_id: x } }")
        .with("cwd/secure.yaml", "clouds: { otc: { sk: S } }")
        .open_to("cwd/clouds.yaml", 0o644);
    assert_messages(&home.warnings(), &[]);
    let home = home.open_to("cwd/secure.yaml", 0o604);
    assert_messages(&home.warnings(), &["every user can read cwd/secure.yaml"]);
}
