//! Every way to log in, and the message when a login fails.

use super::identity::PASSWORD;
use super::watcher::{Wanted, Watcher, caller};
use super::{Cloud, LASTING, shared};

/// A user and a project, both by name.
pub(super) fn by_name(cloud: &Cloud) -> String {
    let info = |key| cloud.keystone.info(key);
    format!(
        "kind = \"keystone\"\nusername = \"{}\"\ndomain = \"{}\"\n\
         password_file = \"{{folder}}/password\"\nproject = \"{}\"",
        info("user"),
        info("domain"),
        info("project")
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
    let info = |key| cloud.keystone.info(key);
    let project_id = format!("project_id = \"{}\"", info("project_id"));
    let password = "password_file = \"{folder}/password\"";
    let accounts = [
        (
            "by-id",
            format!(
                "kind = \"keystone\"\nuser_id = \"{}\"\n{password}\n{project_id}",
                info("user_id")
            ),
        ),
        (
            "application",
            format!(
                "kind = \"keystone\"\napplication_id = \"{}\"\n\
                 application_secret_file = \"{{folder}}/application\"",
                info("application_id")
            ),
        ),
        (
            "careful",
            format!(
                "kind = \"keystone\"\nusername = \"{}\"\ndomain_id = \"{}\"\n{password}\n\
                 totp_file = \"{{folder}}/totp\"\n{project_id}",
                info("careful_user"),
                info("domain_id")
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
    let token = cloud.keystone.log_in(info("user_id"), PASSWORD).token;
    let files = [
        ("password", PASSWORD),
        ("application", info("application_secret")),
        ("totp", info("totp_seed")),
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
    running
        .daemon
        .process
        .line_with("poll failed; its watch continues");
    let watches = running.watches();
    let problems = watches.iter().map(|watch| &watch["last_problem"]);
    let found = problems.clone().find(|problem| problem.is_object());
    let problem = found.expect("a problem was reported");
    assert_eq!(problem["kind"], "unauthorized");
    let file = running.write("password", PASSWORD).display().to_string();
    for word in [
        "credential `otc`",
        &format!("`{}`", cloud.keystone.info("user")),
        cloud.keystone.info("domain"),
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
