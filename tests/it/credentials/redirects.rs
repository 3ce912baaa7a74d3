//! An identity service that redirects: no secret follows the redirect.

use std::time::Duration;

use crate::credentials::cloud::{AKSK, Cloud, KEYSTONE, PASSWORD};
use crate::credentials::stand::Answer;

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let by_name = AKSK.replace(
        "project_id = \"project-id-of-the-stand-in\"",
        "project = \"eu-de_prod\"\nauth_url = \"{iam}\"",
    );
    let metadata =
        "[credentials.otc]\nkind = \"metadata\"\nurl = \"{metadata}\"\nproject_id = \"p\"\n";
    for credential in [KEYSTONE, by_name.as_str(), metadata] {
        for http_status in [301, 302, 303, 307, 308] {
            let cloud = Cloud::start();
            let elsewhere = cloud.another_job_api();
            let location = format!("{}/v3/auth/tokens", elsewhere.url);
            let answer = Answer::text(http_status, "").with("location", location);
            cloud.identity.always(answer);
            let app = cloud.app(credential).await;
            let id = app.submit("jobs", "job-1").await;
            for _ in 0..10 {
                app.advance(Duration::from_secs(12)).await;
            }
            let problem = app.progress(id).last_problem.unwrap().message;
            for words in ["`otc`", "redirect", &http_status.to_string()] {
                assert!(problem.contains(words), "{problem}");
            }
            assert!(!problem.contains(PASSWORD), "{problem}");
            assert_eq!(elsewhere.count(), 0);
            assert_eq!(cloud.identity.count(), 1, "it will not pass by itself");
        }
    }
}
