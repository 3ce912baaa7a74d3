//! Tokens that are revoked during watches.

use super::identity::PASSWORD;
use super::jobs::tokens;
use super::login::by_name;
use super::watcher::{Wanted, Watcher, caller};
use super::{LASTING, shared};

#[test]
fn a_revoked_token_is_replaced_once_for_all_watches() {
    let Some(cloud) = shared(&LASTING) else {
        return;
    };
    let group = "revoked";
    let wanted = Wanted {
        group,
        accounts: &[("otc", by_name(cloud))],
        jobs: 40,
        service: "url = \"{jobs}\"",
    };
    let watcher = Watcher::start(cloud, &wanted, &[("password", PASSWORD)]);
    cloud.jobs.wait(group, |polls| tokens(polls) >= 1);
    cloud.keystone.revoke(&cloud.jobs.polls(group)[0].token);
    cloud.jobs.wait(group, |polls| tokens(polls) >= 2);
    cloud.jobs.finish(group);
    watcher.succeed_undisturbed();
    let logins = cloud.keystone.logins(&caller(group, "otc"));
    assert_eq!(logins, ["201", "201"]);
}

#[test]
fn a_new_password_is_read_from_its_file() {
    let Some(cloud) = shared(&LASTING) else {
        return;
    };
    let group = "changed";
    let user_id = cloud.keystone.add_user("changing", "canary-of-before");
    let project_id = cloud.keystone.info("project_id");
    let account = format!(
        "kind = \"keystone\"\nuser_id = \"{user_id}\"\npassword_file = \"{{folder}}/password\"\n\
         project_id = \"{project_id}\""
    );
    let wanted = Wanted {
        group,
        accounts: &[("otc", account)],
        jobs: 10,
        service: "url = \"{jobs}\"",
    };
    let watcher = Watcher::start(cloud, &wanted, &[("password", "canary-of-before")]);
    cloud.jobs.wait(group, |polls| tokens(polls) >= 1);
    cloud.keystone.change_password(&user_id, "canary-of-after");
    cloud
        .jobs
        .wait(group, |polls| polls.iter().any(|poll| !poll.is_accepted));
    watcher.write("password", "canary-of-after");
    cloud.jobs.wait(group, |polls| tokens(polls) >= 2);
    cloud.jobs.finish(group);
    watcher.succeed();
    let logins = cloud.keystone.logins(&caller(group, "otc"));
    let issued = logins.iter().filter(|status| *status == "201").count();
    // The old password is sent at most once more, which must not lock the account.
    assert!(issued == 2 && logins.len() <= 3, "{logins:?}");
}
