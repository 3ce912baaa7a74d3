//! `config/default.toml`, the manual, is valid with all its examples and names every
//! setting.

use crate::settings::tests::{Folder, assert_diagnostics};
use crate::settings::{DEFAULT, sections};
use crate::tree::reader::Context;
use crate::tree::source;

/// The manual with its examples switched on: lines that begin with `#` and no space.
fn manual() -> String {
    let lines = DEFAULT.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    });
    // Of the two kinds of URL only one can be set.
    let lines = lines.filter(|line| !line.starts_with("url = \"sqlite:"));
    lines.collect::<Vec<_>>().join("\n")
}

fn manual_folder() -> Folder {
    let identity = rcgen::generate_simple_self_signed(vec!["jobwatch.example".to_owned()]).unwrap();
    let certificate = identity.cert.pem();
    let folder = Folder::new()
        .with(
            "services/mine.toml",
            include_str!("../../../config/services/dcs.toml"),
        )
        .with("otc-token", "token")
        .with("otc-password", "password")
        .with("otc-totp", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
        .with("application", "secret")
        .with("ak", "access key")
        .with("sk", "secret key")
        .with("security-token", "security token")
        .with("service-account-token", "token")
        .with("jenkins", "password")
        .with("gitlab", "token")
        .with("api", "key")
        .with("sso-client", "secret")
        .with(
            "clouds.yaml",
            "clouds:\n  otc:\n    auth:\n      auth_url: https://iam.eu-de.otc.t-systems.com/v3\n      token: t\n      project_name: eu-de_x\n",
        )
        .with("ops-webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with(
            "ops-webhook-old",
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
        .with("dcs-hints", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with(
            "dcs-hints-old",
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
        .with("ops-authorization", "Bearer canary")
        .with("pagerduty", "0123456789abcdef0123456789abcdef")
        .with("callback", "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=")
        .with("callback-old", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with(
            "pagerduty.json.j2",
            include_str!("../../../config/templates/pagerduty.json.j2"),
        )
        .with("ca.pem", &certificate)
        .with("cert.pem", &certificate)
        .with("key.pem", &identity.signing_key.serialize_pem())
        .with("client.pem", &certificate)
        .with("client-key.pem", &identity.signing_key.serialize_pem())
        .with("postgres", "password")
        .with("api-read", "reader")
        .with("api-write", "writer");
    let here = folder.folder.path().display().to_string();
    let text = manual()
        .replace("/etc/jobwatch/secrets", &here)
        .replace("/etc/jobwatch/templates", &here)
        .replace("/etc/jobwatch/tls", &here)
        .replace(
            "/var/lib/jobwatch/events.jsonl",
            &format!("{here}/events.jsonl"),
        )
        .replace("/usr/local/bin/open-ticket", "/bin/sh")
        .replace("/etc/jobwatch/services", &format!("{here}/services"));
    folder
        .with("jobwatch.toml", &text)
        .env("CREDENTIALS_DIRECTORY", &here)
        .env("OS_CLIENT_CONFIG_FILE", &format!("{here}/clouds.yaml"))
        .env("APP_KEY", "key")
        .env("PROXY_PASSWORD", "password")
        .env("OS_ACCESS_KEY", "access key")
        .env("OS_SECRET_KEY", "secret key")
}

#[test]
fn the_manual_is_valid_with_all_its_examples() {
    assert_diagnostics(&manual_folder().diagnostics(), &[]);
}

#[test]
fn the_manual_names_every_setting() {
    let folder = manual_folder();
    let layered = source::layer(DEFAULT, &folder.sources()).unwrap();
    let context = Context::new(&layered);
    sections::read_in(&context);
    let manual = DEFAULT;
    for asked in context.asked() {
        let key = asked.rsplit('.').next().unwrap();
        let is_secret_inline = manual.contains(&format!("{key}_file ="));
        let is_poll_override = asked.starts_with("services.*.poll.");
        let is_named = [
            format!("{key} ="),
            format!("[{key}]"),
            format!("[{key}."),
            format!(".{key}]"),
            format!("[[{key}]]"),
        ]
        .iter()
        .any(|form| manual.contains(form));
        assert!(
            is_named || is_secret_inline || is_poll_override,
            "{asked} is not in the manual"
        );
    }
}
