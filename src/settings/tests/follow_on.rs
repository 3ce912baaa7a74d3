//! An error is reported once: errors that only follow from it are not reported.

use crate::settings::tests::{assert_diagnostics, config};

const MISSING: &str = "cannot read /nowhere/password";

/// A credential whose password file is absent.
fn keystone(more: &str) -> String {
    format!(
        "[credentials.otc]\nkind = \"keystone\"\nauth_url = \"https://iam.eu-de.otc.t-systems.com/v3\"\n\
         username = \"u\"\ndomain = \"D\"\npassword_file = \"/nowhere/password\"\n{more}\n"
    )
}

/// A service that has everything from its credential.
fn service(definition: &str) -> String {
    format!("[services.jobs]\ndefinition = \"{definition}\"\ncredential = \"otc\"\n")
}

#[track_caller]
fn assert_only(text: &str, wanted: &[&str]) {
    assert_diagnostics(&config(text).diagnostics(), wanted);
}

#[test]
fn a_broken_credential_hides_the_url_that_it_would_give() {
    let text = keystone("project = \"eu-de_x\"") + &service("sdrs");
    assert_only(&text, &[MISSING]);
    let text = keystone("project_id = \"p\"") + &service("dcs");
    assert_only(&text, &[MISSING]);
}

#[test]
fn a_broken_credential_hides_no_url_that_it_cannot_give() {
    let text = keystone("project_id = \"p\"") + &service("mine");
    let folder = config(&format!("services_dir = \"{{here}}/services\"\n{text}"));
    let definition = "title = \"t\"\ndocs = \"d\"\n[request]\nmethod = \"GET\"\npath = \"/{job_id}\"\n\
                      [job]\nstatus = \"$.s\"\n[states]\nrunning = [\"R\"]\nsucceeded = [\"S\"]\nfailed = [\"F\"]\n";
    let folder = folder.with("services/mine.toml", definition).with_here();
    assert_diagnostics(
        &folder.diagnostics(),
        &[MISSING, "services.jobs.url: is missing and has no default"],
    );
}

#[test]
fn an_unknown_kind_of_credential_is_the_only_error() {
    let text = "[credentials.otc]\nkind = \"keystoen\"\nauth_url = \"https://x\"\n".to_owned();
    assert_only(
        &(text + &service("sdrs")),
        &["credentials.otc.kind: \"keystoen\" must be one of"],
    );
}

#[test]
fn an_unknown_credential_is_the_only_error() {
    assert_only(
        &service("sdrs"),
        &["services.jobs.credential: \"otc\" must be one of none"],
    );
}

#[test]
fn an_unknown_definition_hides_url_and_params() {
    let text = keystone("project_id = \"p\"") + &service("sdsr") + "params = { tenant = \"t\" }\n";
    assert_only(&text, &[MISSING, "services.jobs.definition: \"sdsr\""]);
}

#[test]
fn a_broken_definition_is_not_unknown_as_well() {
    let service = "[services.jobs]\ndefinition = \"dcs\"\nurl = \"https://x\"\ncredential = \"none\"\n\
                   params = { tenant = \"t\" }\n";
    let folder = config(&format!("services_dir = \"{{here}}/services\"\n{service}"))
        .with("services/dcs.toml", "title = 1\n")
        .with_here();
    let diagnostics = folder.diagnostics();
    assert_diagnostics(&diagnostics, &["services/dcs.toml:1: "]);
    let folder = config(&format!(
        "services_dir = \"/nowhere\"\n{}",
        service.replace("dcs", "mine")
    ));
    assert_diagnostics(&folder.diagnostics(), &["/nowhere: cannot list the folder"]);
}

#[test]
fn a_name_that_is_set_wrongly_is_not_missing() {
    let kinds = [
        (
            "keystone",
            "auth_url = \"https://x\"\nusername = \"u\"\npassword = \"${PASSWORD}\"\ndomain = 1",
        ),
        (
            "keystone",
            "auth_url = \"https://x\"\nuser_id = 1\npassword = \"${PASSWORD}\"",
        ),
        (
            "keystone-token",
            "auth_url = \"https://x\"\ntoken = \"${PASSWORD}\"\nproject = 1",
        ),
        (
            "agency",
            "auth_url = \"https://x\"\nsource = \"otc\"\nagency_name = \"a\"\ndomain = 1",
        ),
        (
            "aksk",
            "access_key = \"${PASSWORD}\"\nsecret_key = \"${PASSWORD}\"\nproject = \"p\"\nauth_url = \"ftp://x\"",
        ),
    ];
    for (kind, keys) in kinds {
        let text = format!("[credentials.otc]\nkind = \"{kind}\"\n{keys}\n");
        let folder = config(&text).env("PASSWORD", "secret");
        let diagnostics = folder.diagnostics();
        assert_eq!(diagnostics.len(), 1, "{kind}: {diagnostics:#?}");
    }
}

#[test]
fn a_broken_interval_is_not_compared() {
    let service =
        "[services.jobs]\ndefinition = \"dcs\"\nurl = \"https://x\"\ncredential = \"none\"\n";
    let own = format!("{service}[services.jobs.poll]\ninitial = \"5m\"\nmax = \"1 parsec\"\n");
    assert_only(&own, &["services.jobs.poll.max: \"1 parsec\""]);
    let general = format!("[poll]\nmax = \"1 parsec\"\n{service}");
    assert_only(&general, &[".toml:2: poll.max: \"1 parsec\""]);
    let longer = format!("{service}[services.jobs.poll]\ninitial = \"5m\"\nmax = \"1m\"\n");
    assert_only(&longer, &["services.jobs.poll: initial is longer than max"]);
}

#[test]
fn a_broken_token_is_not_missing() {
    let text = "[api]\nlisten = \"0.0.0.0:8620\"\nread_token_file = \"/nowhere/r\"\nwrite_token_file = \"/nowhere/w\"\n";
    assert_only(text, &["cannot read /nowhere/r", "cannot read /nowhere/w"]);
}

#[test]
fn a_callback_url_is_not_judged_by_broken_settings() {
    let watch = "[services.dcs]\ndefinition = \"dcs\"\nurl = \"https://x\"\ncredential = \"none\"\n\
                 [[watches]]\nservice = \"dcs\"\njob_id = \"1\"\ncallback_url = \"https://a.example.com/\"\n";
    for (api, wanted) in [
        ("listen = \"nowhere\"", "api.listen: \"nowhere\" must be"),
        (
            "allow_callback_hosts = [\"https://a.example.com\"]",
            "api.allow_callback_hosts: ",
        ),
    ] {
        let text = format!("[api]\nallow_callback_hosts = [\"*.example.com\"]\n{api}\n{watch}");
        let text = if api.starts_with("allow") {
            text.replacen("allow_callback_hosts = [\"*.example.com\"]\n", "", 1)
        } else {
            text
        };
        assert_only(&text, &[wanted]);
    }
}

#[test]
fn an_incomplete_agency_reports_its_unknown_source() {
    let text =
        "[credentials.a]\nkind = \"agency\"\nsource = \"kkk\"\nauth_url = \"https://x/v3\"\n";
    let found = config(text).diagnostics();
    let has = |part: &str| found.iter().any(|message| message.contains(part));
    assert!(
        has("credentials.a.source: \"kkk\" must be one of"),
        "{found:?}"
    );
    assert!(has("credentials.a.agency_name"), "{found:?}");
}
