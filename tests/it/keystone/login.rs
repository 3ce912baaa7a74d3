//! Every way to log in, and what is said when there is none.

use super::identity::PASSWORD;
use super::watcher::{Wanted, Watcher, caller};
use super::{Cloud, LASTING, shared};

/// A user and a project by name, as people know them.
pub(super) fn by_name(cloud: &Cloud) -> String {
    let told = |key| cloud.keystone.told(key);
    format!(
        "kind = \"keystone\"\nusername = \"{}\"\ndomain = \"{}\"\n\
         password_file = \"{{folder}}/password\"\nproject = \"{}\"",
        told("user"),
        told("domain"),
        told("project")
    )
}

#[test]
fn two_hundred_polls_due_at_once_log_in_once() {
    let Some(cloud) = shared(&LASTING) else {
        return;
    };
    let group = "cold";
    let wanted = Wanted {
        group,
        accounts: &[("otc", by_name(cloud))],
        jobs: 200,
        service: "url = \"{jobs}\"",
    };
    cloud.jobs.finish(group);
    Watcher::start(cloud, &wanted, &[("password", PASSWORD)]).succeed_undisturbed();
    assert_eq!(cloud.jobs.polls(group).len(), 200);
    assert_eq!(cloud.keystone.logins(&caller(group, "otc")), ["201"]);
}

#[test]
fn each_kind_of_account_gets_a_valid_token() {
    let Some(cloud) = shared(&LASTING) else {
        return;
    };
    let group = "kinds";
    let told = |key| cloud.keystone.told(key);
    let project_id = format!("project_id = \"{}\"", told("project_id"));
    let password = "password_file = \"{folder}/password\"";
    let accounts = [
        (
            "by-id",
            format!(
                "kind = \"keystone\"\nuser_id = \"{}\"\n{password}\n{project_id}",
                told("user_id")
            ),
        ),
        (
            "application",
            format!(
                "kind = \"keystone\"\napplication_id = \"{}\"\n\
                 application_secret_file = \"{{folder}}/application\"",
                told("application_id")
            ),
        ),
        (
            "careful",
            format!(
                "kind = \"keystone\"\nusername = \"{}\"\ndomain_id = \"{}\"\n{password}\n\
                 totp_file = \"{{folder}}/totp\"\n{project_id}",
                told("careful_user"),
                told("domain_id")
            ),
        ),
        (
            "exchanged",
            format!("kind = \"keystone-token\"\ntoken_file = \"{{folder}}/token\"\n{project_id}"),
        ),
    ];
    let wanted = Wanted {
        group,
        accounts: &accounts,
        jobs: 2,
        service: "url = \"{jobs}\"",
    };
    let token = cloud.keystone.log_in(told("user_id"), PASSWORD).token;
    let files = [
        ("password", PASSWORD),
        ("application", told("application_secret")),
        ("totp", told("totp_seed")),
        ("token", &token),
    ];
    cloud.jobs.finish(group);
    Watcher::start(cloud, &wanted, &files).succeed_undisturbed();
    for (name, _) in &accounts {
        let logins = cloud.keystone.logins(&caller(group, name));
        assert_eq!(logins, ["201"], "{name}");
    }
    let polls = cloud.jobs.polls(group);
    assert!(polls.iter().all(|poll| poll.token != token));
}

#[test]
fn a_service_is_found_in_the_catalog() {
    let Some(cloud) = shared(&LASTING) else {
        return;
    };
    let group = "catalog";
    let wanted = Wanted {
        group,
        accounts: &[("otc", by_name(cloud))],
        jobs: 2,
        service: "",
    };
    cloud.jobs.finish(group);
    Watcher::start(cloud, &wanted, &[("password", PASSWORD)]).succeed_undisturbed();
    assert_eq!(cloud.jobs.polls(group).len(), 2);
}

#[test]
fn a_wrong_password_is_reported_until_it_is_corrected() {
    let Some(cloud) = shared(&LASTING) else {
        return;
    };
    let group = "wrong";
    let wanted = Wanted {
        group,
        accounts: &[("otc", by_name(cloud))],
        jobs: 10,
        service: "url = \"{jobs}\"",
    };
    let wrong = "canary-of-a-wrong-password";
    let mut running = Watcher::start(cloud, &wanted, &[("password", wrong)]);
    running.daemon.process.line_with("a poll met a problem");
    let watches = running.watches();
    let problems = watches.iter().map(|watch| &watch["last_problem"]);
    let told = problems.clone().find(|problem| problem.is_object());
    let problem = told.expect("a problem was told of");
    assert_eq!(problem["kind"], "unauthorized");
    let file = running.write("password", PASSWORD).display().to_string();
    for word in [
        "credential `otc`",
        &format!("`{}`", cloud.keystone.told("user")),
        cloud.keystone.told("domain"),
        &file,
        "HTTP 401 (The request you have made requires authentication.)",
    ] {
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    cloud.jobs.finish(group);
    let watches = running.succeed();
    for watch in watches {
        assert!(!watch.to_string().contains(wrong), "{watch}");
    }
    let logins = cloud.keystone.logins(&caller(group, "otc"));
    assert_eq!(logins, ["401", "201"]);
}
