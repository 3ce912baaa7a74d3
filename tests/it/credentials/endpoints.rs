//! The URLs of services without a `url`: from region and host, or from the service catalog.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobwatch::service::Base;
use jobwatch::settings::load;
use jobwatch::tree::source::Sources;
use jobwatch::watch::observation::ProblemKind;
use serde_json::{Value, json};

use crate::credentials::cloud::{AKSK, Cloud, KEYSTONE, PROJECT, TOKENS, token};
use crate::credentials::stand::Answer;
use crate::program::process::{Folder, Process};

/// The path of the service catalog.
const CATALOG: &str = "/v3/auth/catalog";

/// The URL of a service with this credential and these extra lines.
fn base(folder: &Path, credential: &str, service: &str) -> Result<Base, String> {
    let file = folder.join("jobwatch.toml");
    let text =
        format!("[credentials.it]\n{credential}\n[services.it]\ncredential = \"it\"\n{service}\n");
    std::fs::write(
        &file,
        text.replace("{folder}", &folder.display().to_string()),
    )
    .unwrap();
    let sources = Sources {
        files: vec![file],
        ..Sources::default()
    };
    let loaded = load(&sources).map_err(|problems| problems.to_string())?;
    Ok(loaded.settings.services["it"].base.clone())
}

fn keystone(host: &str, project: &str) -> String {
    format!(
        "kind = \"keystone\"\nauth_url = \"https://{host}/v3\"\nusername = \"u\"\n\
         domain = \"d\"\npassword_file = \"{{folder}}/secret\"\n{project}"
    )
}

#[test]
fn a_service_without_a_url_gets_it_from_cloud_and_region() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let otc = |project: &str| keystone("iam.eu-de.otc.t-systems.com", project);
    let token = "kind = \"token\"\ntoken_file = \"{folder}/secret\"".to_owned();
    let stated = format!("{token}\nregion = \"eu-nl\"");
    for (credential, service, wanted) in [
        // The project's name begins with the region.
        (
            otc("project = \"eu-de_prod\""),
            "",
            "https://dcs.eu-de.otc.t-systems.com",
        ),
        (
            otc("project = \"eu-nl\""),
            "",
            "https://dcs.eu-nl.otc.t-systems.com",
        ),
        (
            otc("project = \"eu-de_prod\"\nregion = \"eu-nl\""),
            "",
            "https://dcs.eu-nl.otc.t-systems.com",
        ),
        (
            otc("project = \"eu-de_prod\""),
            "region = \"eu-nl\"",
            "https://dcs.eu-nl.otc.t-systems.com",
        ),
        // The Swiss hosts have one more label.
        (
            keystone(
                "iam-pub.eu-ch2.sc.otc.t-systems.com",
                "project = \"eu-ch2_prod\"",
            ),
            "",
            "https://dcs.eu-ch2.sc.otc.t-systems.com",
        ),
        (
            keystone("iam.eu-west-0.myhuaweicloud.com", "project = \"eu-west-0\""),
            "",
            "https://dcs.eu-west-0.myhuaweicloud.com",
        ),
        // A token does not name its cloud.
        (
            stated,
            "cloud = \"otc\"",
            "https://dcs.eu-nl.otc.t-systems.com",
        ),
        (
            token.clone(),
            "cloud = \"huawei\"\nregion = \"cn-north-4\"",
            "https://dcs.cn-north-4.myhuaweicloud.com",
        ),
        (
            token,
            "url = \"https://dcs.example.com/\"",
            "https://dcs.example.com",
        ),
    ] {
        let service = format!("definition = \"dcs\"\n{service}");
        let found = base(folder.path(), &credential, &service);
        assert_eq!(found, Ok(Base::Url(wanted.into())), "{credential}");
    }
}

#[test]
fn a_service_without_a_host_is_found_in_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let stack = keystone(
        "keystone.example.com",
        "project = \"demo\"\nregion = \"one\"",
    );
    for (definition, first) in [("dcs", "dcsv1"), ("cinder-volume", "volumev3")] {
        let service = format!("definition = \"{definition}\"");
        let Ok(Base::Catalog { types, region }) = base(folder.path(), &stack, &service) else {
            panic!("{definition} is not looked up in the catalog");
        };
        assert!(types.iter().any(|it| it == first), "{types:?}");
        assert_eq!(region.as_deref(), Some("one"));
    }
    // Its only host is in another cloud, which must not get this cloud's token.
    for definition in ["gaussdb", "geip", "swr"] {
        let service = format!("definition = \"{definition}\"");
        let problem = base(folder.path(), &stack, &service).unwrap_err();
        assert!(problem.contains("services.it.url"), "{problem}");
    }
    let installed = stack.replace("\"one\"", "\"RegionOne\"");
    let found = base(folder.path(), &installed, "definition = \"dcs\"");
    assert!(
        matches!(found, Ok(Base::Catalog { region: Some(region), .. }) if region == "RegionOne")
    );
    // Without a login there is no service catalog.
    let token = "kind = \"token\"\ntoken_file = \"{folder}/secret\"";
    let problem = base(folder.path(), token, "definition = \"dcs\"").unwrap_err();
    assert!(problem.contains("services.it.url"), "{problem}");
}

fn service(name: &str, lines: &str) -> String {
    format!(
        "[services.{name}]\ndefinition = \"dcs\"\ncredential = \"otc\"\n{lines}\n\
         poll = {{ jitter = 0.0, first = \"1s\", initial = \"1s\", max = \"1s\" }}\n"
    )
}

fn catalog(url: &str) -> Value {
    let endpoint = |region: &str, interface: &str, url: &str| json!({ "region": region, "interface": interface, "url": url });
    json!([
        { "type": "identity", "endpoints": [endpoint("*", "public", "https://iam.example.com/v3")] },
        { "type": "dcsv1", "endpoints": [
            endpoint("eu-de", "internal", "https://internal.example.com/v1.0/p"),
            endpoint("eu-nl", "public", "https://eu-nl.example.com/v1.0/p"),
            endpoint("eu-de", "public", &format!("{url}/v1.0/{PROJECT}")),
        ]},
        { "type": "rdsv3", "endpoints": [endpoint("eu-de", "public", &format!("{url}/v3/{PROJECT}"))] },
    ])
}

/// Adds a catalog with this `url` of the service to all further tokens.
fn tokens_lead_to(cloud: &Cloud, url: &str) {
    let register = Arc::clone(&cloud.register);
    let entries = catalog(url);
    cloud
        .identity
        .instead(move |asked| asked.is("POST", TOKENS).then(|| token(&register, &entries)));
}

#[tokio::test]
async fn a_token_response_contains_the_service_url() {
    let cloud = Cloud::start();
    tokens_lead_to(&cloud, &cloud.jobs.url);
    let app = cloud
        .app_with(&format!("{KEYSTONE}{}", service("jobs", "")))
        .await;
    let id = app.submit("jobs", "job-1").await;
    app.advance_secs(30).await;
    assert_eq!(
        app.progress(id).problems,
        0,
        "{:?}",
        app.progress(id).last_problem
    );
    assert_eq!(cloud.identity.last().path, TOKENS, "with the catalog");
    let poll = cloud.jobs.last();
    assert_eq!(poll.path, format!("/v2/{PROJECT}/jobs/job-1"));
    // After a move it is found again with the next token.
    let moved = cloud.another_job_api();
    tokens_lead_to(&cloud, &moved.url);
    cloud.register.revoke_all();
    app.advance_secs(2).await;
    assert_eq!(app.progress(id).problems, 0);
    assert!(moved.count() > 0);
}

/// The catalog is known after the first poll of each service.
#[tokio::test]
async fn services_on_one_host_of_the_catalog_share_a_budget() {
    let cloud = Cloud::start();
    tokens_lead_to(&cloud, &cloud.jobs.url);
    let limits = "\nrate = 1.0\nburst = 1\nconcurrency = 4\n";
    let of_catalog = service("first", &format!("region = \"eu-de\"{limits}"));
    let anywhere = service("second", limits).replace("\"dcs\"", "\"rds\"");
    let stated = service("third", &format!("url = \"{}\"{limits}", cloud.jobs.url));
    let app = cloud
        .app_with(&format!("{KEYSTONE}{of_catalog}{anywhere}{stated}"))
        .await;
    let budgets = || -> Vec<_> {
        let all = app.program.poller.budgets().into_iter();
        all.filter(|it| it.credential == "otc").collect()
    };
    assert_eq!(budgets().len(), 3);
    for name in ["first", "second", "third"] {
        for n in 0..5 {
            app.submit(name, &format!("job-{n}")).await;
        }
    }
    app.advance_secs(10).await;
    let hosts: Vec<_> = budgets().into_iter().map(|it| it.host).collect();
    assert_eq!(hosts, std::slice::from_ref(&cloud.jobs.url));
    let before = cloud.jobs.count();
    for _ in 0..20 {
        app.clock.advance(Duration::from_millis(500));
        app.program.poller.run_once().await.unwrap();
    }
    assert!(cloud.jobs.count() - before <= 11, "one a second");
    assert!(cloud.jobs.count() - before >= 9);
    let services = app.program.poller.services().into_iter();
    let shares = services.filter(|it| it.budget.host == cloud.jobs.url);
    assert_eq!(shares.count(), 3);
}

#[tokio::test]
async fn a_region_missing_in_the_catalog_is_reported() {
    let cloud = Cloud::start();
    tokens_lead_to(&cloud, &cloud.jobs.url);
    let settings = format!("{KEYSTONE}{}", service("jobs", "region = \"us-1\""));
    let app = cloud.app_with(&settings).await;
    let id = app.submit("jobs", "job-1").await;
    app.next_poll(id).await;
    let problem = app.progress(id).last_problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Misconfigured);
    for words in ["dcsv1", "us-1", "`url`"] {
        assert!(problem.message.contains(words), "{}", problem.message);
    }
    assert_eq!(cloud.jobs.count(), 0);
}

#[tokio::test]
async fn a_key_requests_the_catalog_separately() {
    let own = format!("{AKSK}auth_url = \"{{iam}}\"\n");
    let source = AKSK.replace("[credentials.otc]", "[credentials.source]");
    let of_agency = format!(
        "[credentials.otc]\nkind = \"agency\"\nsource = \"source\"\nauth_url = \"{{iam}}\"\n\
         agency_name = \"watchers\"\ndomain = \"OTC-2\"\nproject_id = \"{PROJECT}\"\n{source}"
    );
    for credential in [own, of_agency] {
        let cloud = Cloud::start();
        let register = Arc::clone(&cloud.register);
        let body = json!({ "catalog": catalog(&cloud.jobs.url) });
        cloud.identity.instead(move |asked| {
            let is_known = asked.is("GET", CATALOG) && register.judge(asked).is_ok();
            is_known.then(|| Answer::new(200, &body))
        });
        let settings = format!("{credential}{}", service("jobs", "region = \"eu-de\""));
        let app = cloud.app_with(&settings).await;
        let id = app.submit("jobs", "job-1").await;
        app.next_poll(id).await;
        let progress = app.progress(id);
        assert_eq!(progress.problems, 0, "{:?}", progress.last_problem);
        assert_eq!(cloud.identity.count_of("GET", CATALOG), 1);
        assert_eq!(cloud.jobs.last().header("x-project-id"), Some(PROJECT));
    }
}

/// A proxy would take the local address for its own machine.
#[tokio::test(flavor = "multi_thread")]
async fn local_catalog_endpoint_is_polled_without_a_proxy() {
    let cloud = Cloud::start();
    tokens_lead_to(&cloud, &cloud.jobs.url);
    let folder = Folder::new();
    let settings = cloud.filled(&format!("{KEYSTONE}{}", service("jobs", "")));
    let settings = folder.write("jobwatch.toml", &settings);
    let settings = settings.display().to_string();
    // Connections are accepted and never answered.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let environment = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    let environment = environment.map(|name| (name, proxy_url.as_str()));
    let arguments = ["probe", "jobs", "job-1", "--config", &settings];
    let mut probe = Process::start_with(&arguments, &environment);
    let status = probe.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(cloud.jobs.count(), 1);
}
