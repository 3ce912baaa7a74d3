//! Tokens that expire during watches.

use jobwatch::clock::SystemClock;

use super::identity::PASSWORD;
use super::jobs::tokens;
use super::login::by_name;
use super::watcher::{Wanted, Watcher, caller};
use super::{BRIEF, shared};

/// The shortest lifetime of a token of the brief Keystone, in seconds.
const LIFETIME_MIN_S: u64 = 3;
/// The number of token lifetimes that the watches last.
const TOKENS: usize = 4;

#[test]
fn tokens_of_a_few_seconds_disturb_no_watch() {
    let Some(cloud) = shared(&BRIEF) else { return };
    let group = "brief";
    let clock = SystemClock::shared();
    let wanted = Wanted {
        group,
        accounts: &[("otc", by_name(cloud))],
        jobs: 40,
        service: "url = \"{jobs}\"",
    };
    let watcher = Watcher::start(cloud, &wanted, &[("password", PASSWORD)]);
    cloud.jobs.wait(group, |polls| tokens(polls) >= TOKENS);
    cloud.jobs.finish(group);
    watcher.succeed_undisturbed();
    let logins = cloud.keystone.logins(&caller(group, "otc"));
    assert!(logins.iter().all(|status| status == "201"), "{logins:?}");
    // One login for all watches: not more often than tokens expire.
    let tokens_ended = clock.uptime().as_secs() / LIFETIME_MIN_S;
    let most = usize::try_from(tokens_ended).unwrap() + 2;
    let count = logins.len();
    assert!((TOKENS..=most).contains(&count), "{count} logins");
}
