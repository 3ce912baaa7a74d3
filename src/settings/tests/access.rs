//! Mistakes in credentials and proxies, and the transports that services share.

use std::sync::Arc;

use crate::clock::SystemClock;
use crate::settings::build;
use crate::settings::tests::{Folder, assert_diagnostics, config};

const CLIENT: &str = "[credentials.own]\nkind = \"oauth2\"\nclient_id = \"c\"\n\
    client_secret = \"${SECRET}\"\n";
const SERVICE: &str =
    "definition = \"dcs\"\ncredential = \"none\"\nparams = { project_id = \"p\" }\n";

#[track_caller]
fn assert_only(text: &str, wanted: &[&str]) {
    let folder = config(text).env("SECRET", "canary-in-a-variable");
    let diagnostics = folder.diagnostics();
    assert_diagnostics(&diagnostics, wanted);
    assert!(
        !diagnostics.join("\n").contains("canary"),
        "{diagnostics:?}"
    );
}

#[test]
fn unsupported_ways_of_oauth2_are_refused_by_name() {
    let with =
        |more: &str| format!("{CLIENT}token_url = \"https://sso.example.com/token\"\n{more}\n");
    assert_only(
        &with("auth = \"basic\"\ngrant = \"client-credentials\""),
        &[],
    );
    assert_only(
        &with("auth = \"private_key_jwt\"\ngrant = \"jwt-bearer\""),
        &[
            "auth: \"private_key_jwt\" must be one of basic, body",
            "grant: \"jwt-bearer\" must be one of client-credentials",
        ],
    );
    assert_only(
        &with("extra = { scope = \"x\", other = \"${UNKNOWN}\" }"),
        &["`scope` must not be set here", "`other` uses ${UNKNOWN}"],
    );
    assert_only(
        "[credentials.own]\nkind = \"oauth2\"\n",
        &[
            "token_url: is missing",
            "client_id: is missing",
            "client_secret_file: is missing",
        ],
    );
}

#[test]
fn a_token_url_must_keep_the_secret_private() {
    for (url, wanted) in [
        ("http://sso.example.com/token", "must begin with https://"),
        (
            "https://watcher:canary@sso.example.com/token",
            "must not have a user name",
        ),
        ("https://sso.example.com/token#canary", "must have no `#`"),
        ("sso.example.com/canary", "must be an absolute URL"),
    ] {
        assert_only(&format!("{CLIENT}token_url = \"{url}\"\n"), &[wanted]);
    }
    for url in ["http://127.0.0.1:1/token", "http://localhost/t?realm=x"] {
        assert_only(&format!("{CLIENT}token_url = \"{url}\"\n"), &[]);
    }
}

#[test]
fn a_header_without_a_usable_secret_is_reported() {
    for (headers, wanted) in [
        ("", "headers: must name at least one header"),
        ("headers = {}", "headers: must name at least one header"),
        ("headers = 7", "headers: must be a table"),
        (
            "headers = { X-Api-Key = {} }",
            "headers.X-Api-Key: needs `file`",
        ),
        (
            "headers = { X-Api-Key = 7 }",
            "headers.X-Api-Key: must be a table",
        ),
        (
            "headers = { X-Api-Key = { file = \"/nowhere/key\" } }",
            "X-Api-Key.file: cannot read /nowhere/key",
        ),
        (
            "headers = { X-Api-Key = { fiel = \"/nowhere/key\" } }",
            "unknown setting `fiel`",
        ),
        (
            "headers = { \"X Key\" = \"${SECRET}\" }",
            "invalid header name `X Key`",
        ),
        (
            "headers = { X-Key = \"${SECRET}\", x-key = \"${SECRET}\" }",
            "has `x-key` twice",
        ),
    ] {
        let text = format!("[credentials.own]\nkind = \"headers\"\n{headers}\n");
        assert_only(&text, &[wanted]);
    }
    assert_only(
        "[credentials.own]\nkind = \"headers\"\n[credentials.own.headers]\nX-Api-Key = \"${SECRET}\"\n\
         [credentials.own.headers.X-App-Key]\nvalue = \"${SECRET}\"\nprefix = \"Key \"\n",
        &[],
    );
}

/// The warnings about a configuration that every user can read.
fn open_warnings(text: &str) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let folder = config(text).env("SECRET", "canary-in-a-variable");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(folder.path("jobwatch.toml"), open).unwrap();
    let warnings = folder.load().unwrap().warnings;
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_secret_in_an_open_file_is_a_warning() {
    let service = |proxy: &str| {
        format!(
            "[services.far]\n{SERVICE}url = \"https://jobs.example.com\"\nproxy = \"{proxy}\"\n"
        )
    };
    let header = |value: &str| {
        format!("[credentials.own]\nkind = \"headers\"\nheaders = {{ X-Api-Key = \"{value}\" }}\n")
    };
    for text in [service("http://u:canary@p:3128"), header("canary")] {
        let warnings = open_warnings(&text);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("in a file that every user can read"),
            "{warnings:?}"
        );
        assert!(!warnings[0].contains("canary"), "{warnings:?}");
    }
    for text in [
        service("http://u:${SECRET}@p:3128"),
        service("http://p:3128"),
        header("${SECRET}"),
    ] {
        assert_eq!(open_warnings(&text), [""; 0]);
    }
}

#[test]
fn an_unusable_proxy_is_reported_but_not_shown() {
    let service = format!("[services.far]\n{SERVICE}url = \"https://jobs.example.com\"\n");
    for proxy in [
        "p:3128",
        "ftp://u:canary@p",
        "canary",
        "http://u:${SECRET}@p/x",
        "",
    ] {
        let text = format!("{service}proxy = \"{proxy}\"\n");
        assert_only(&text, &["services.far.proxy: must "]);
    }
}

#[test]
fn a_far_proxy_for_this_machine_is_a_warning() {
    let warned = |url: &str, proxy: &str| {
        let text = format!("[services.near]\n{SERVICE}url = \"{url}\"\nproxy = \"{proxy}\"\n");
        let warnings = config(&text).load().unwrap().warnings;
        warnings
            .iter()
            .any(|it| it.message.contains("names this machine"))
    };
    assert!(warned(
        "http://localhost:80",
        "http://proxy.example.com:3128"
    ));
    assert!(!warned("http://localhost:80", "socks5://127.0.0.1:1080"));
    assert!(!warned("http://localhost:80", "none"));
    assert!(!warned(
        "https://jobs.example.com",
        "http://proxy.example.com:3128"
    ));
}

#[tokio::test]
async fn services_with_the_same_proxy_share_one_transport() {
    let service = |(name, proxy): (&str, &str)| {
        format!("[services.{name}]\n{SERVICE}url = \"https://x\"\n{proxy}\n")
    };
    let text = [
        ("a", "proxy = \"http://u:first@p:3128\""),
        ("b", "proxy = \"http://u:first@p:3128\""),
        ("c", "proxy = \"http://u:second@p:3128\""),
        ("d", "proxy = \"none\""),
        ("e", "proxy = \"none\""),
        ("f", ""),
    ]
    .map(service)
    .concat();
    let settings = Folder::new()
        .with("jobwatch.toml", &text)
        .load()
        .unwrap()
        .settings;
    let services = build::services(&settings, &SystemClock::shared()).unwrap();
    let transport = |name: &str| Arc::clone(&services.get(name).unwrap().transport);
    let is_shared = |a: &str, b: &str| Arc::ptr_eq(&transport(a), &transport(b));
    assert!(is_shared("a", "b") && is_shared("d", "e"));
    for (a, b) in [("a", "c"), ("a", "d"), ("a", "f"), ("d", "f")] {
        assert!(!is_shared(a, b), "{a} {b}");
    }
}
