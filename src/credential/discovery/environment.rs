//! `kind = "env"`: an account of the environment.

use std::collections::BTreeMap;

use crate::credential::discovery::account::Account;
use crate::credential::discovery::facts::{Fact, Facts, Words};
use crate::credential::discovery::resolve::region_of_project;
use crate::credential::discovery::{credentials_file, resolve};

/// The variables of openstacksdk and keystoneauth, then those that
/// terraform-provider-opentelekomcloud adds; `OS_TOTP_SEED` is ours.
const OPENSTACK: &Words = &[
    (Fact::AuthUrl, "OS_AUTH_URL"),
    (Fact::AuthType, "OS_AUTH_TYPE"),
    (Fact::AuthType, "OS_AUTH_PLUGIN"),
    (Fact::Username, "OS_USERNAME"),
    (Fact::UserId, "OS_USER_ID"),
    (Fact::Password, "OS_PASSWORD"),
    (Fact::TotpSeed, "OS_TOTP_SEED"),
    (Fact::Passcode, "OS_PASSCODE"),
    (Fact::Token, "OS_TOKEN"),
    (Fact::Token, "OS_AUTH_TOKEN"),
    (Fact::AccessKey, "OS_ACCESS_KEY"),
    (Fact::SecretKey, "OS_SECRET_KEY"),
    (Fact::SecurityToken, "OS_SECURITY_TOKEN"),
    (Fact::ApplicationId, "OS_APPLICATION_CREDENTIAL_ID"),
    (Fact::ApplicationSecret, "OS_APPLICATION_CREDENTIAL_SECRET"),
    (Fact::ProjectName, "OS_PROJECT_NAME"),
    (Fact::ProjectName, "OS_TENANT_NAME"),
    (Fact::ProjectId, "OS_PROJECT_ID"),
    (Fact::ProjectId, "OS_TENANT_ID"),
    (Fact::UserDomainName, "OS_USER_DOMAIN_NAME"),
    (Fact::UserDomainId, "OS_USER_DOMAIN_ID"),
    (Fact::ProjectDomainName, "OS_PROJECT_DOMAIN_NAME"),
    (Fact::ProjectDomainId, "OS_PROJECT_DOMAIN_ID"),
    (Fact::DomainName, "OS_DOMAIN_NAME"),
    (Fact::DomainId, "OS_DOMAIN_ID"),
    (Fact::DefaultDomainName, "OS_DEFAULT_DOMAIN_NAME"),
    (Fact::DefaultDomainId, "OS_DEFAULT_DOMAIN_ID"),
    (Fact::DefaultDomainId, "OS_DEFAULT_DOMAIN"),
    (Fact::AgencyName, "OS_AGENCY_NAME"),
    (Fact::AgencyDomainName, "OS_AGENCY_DOMAIN_NAME"),
    (Fact::AgencyProject, "OS_DELEGATED_PROJECT"),
    (Fact::Region, "OS_REGION_NAME"),
    (Fact::Region, "OS_REGION"),
    (Fact::Insecure, "OS_INSECURE"),
    (Fact::CaBundle, "OS_CACERT"),
    (Fact::ClientCertificate, "OS_CERT"),
    (Fact::ClientKey, "OS_KEY"),
];

/// The variables of huaweicloudsdkcore 3.1 (`auth/provider.py`, `auth/internal.py`).
const HUAWEI_SDK: &Words = &[
    (Fact::AccessKey, "HUAWEICLOUD_SDK_AK"),
    (Fact::SecretKey, "HUAWEICLOUD_SDK_SK"),
    (Fact::SecurityToken, "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    (Fact::ProjectId, "HUAWEICLOUD_SDK_PROJECT_ID"),
    (Fact::DomainId, "HUAWEICLOUD_SDK_DOMAIN_ID"),
    (Fact::AuthUrl, "HUAWEICLOUD_SDK_IAM_ENDPOINT"),
];

/// The variables of terraform-provider-huaweicloud for AK/SK.
const HUAWEI_TERRAFORM: &Words = &[
    (Fact::AccessKey, "HW_ACCESS_KEY"),
    (Fact::SecretKey, "HW_SECRET_KEY"),
    (Fact::SecurityToken, "HW_SECURITY_TOKEN"),
    (Fact::ProjectName, "HW_PROJECT_NAME"),
    (Fact::ProjectId, "HW_PROJECT_ID"),
    (Fact::DomainId, "HW_DOMAIN_ID"),
    (Fact::AuthUrl, "HW_AUTH_URL"),
    (Fact::Region, "HW_REGION_NAME"),
    (Fact::Insecure, "HW_INSECURE"),
];

/// The domain of Huawei Cloud's services, unless `HW_CLOUD` names another.
const HUAWEI_CLOUD: &str = "myhuaweicloud.com";

/// Returns the account of the environment; see
/// [`from_environment`](crate::credential::discovery::from_environment).
pub(super) fn account(environment: &BTreeMap<String, String>) -> Result<Account, Vec<String>> {
    let all_facts = [
        Facts::of_environment(OPENSTACK, environment),
        Facts::of_environment(HUAWEI_SDK, environment),
        huawei_terraform(environment),
    ];
    let mut there = all_facts.iter().filter(|facts| resolve::has_method(facts));
    let Some(facts) = there.next() else {
        return from_file(environment);
    };
    let mut account = resolve::account(facts, region(facts), Vec::new())?;
    account
        .warnings
        .extend(there.filter_map(|ignored| not_used(facts, ignored)));
    account.warnings.extend(not_assumed(facts, environment));
    Ok(account)
}

fn region(facts: &Facts) -> Option<String> {
    facts
        .first(&[Fact::Region])
        .or_else(|| region_of_project(facts))
}

/// The region fills in missing values: terraform-provider-huaweicloud uses its name as that
/// of the project, and builds the URL of the identity service from it.
fn huawei_terraform(environment: &BTreeMap<String, String>) -> Facts {
    let mut facts = Facts::of_environment(HUAWEI_TERRAFORM, environment);
    let Some(region) = facts.first(&[Fact::Region]) else {
        return facts;
    };
    let name = "HW_REGION_NAME";
    if !facts.has(Fact::ProjectId) {
        facts.add(Fact::ProjectName, name, &region);
    }
    let cloud = environment.get("HW_CLOUD").filter(|text| !text.is_empty());
    let cloud = cloud.map_or(HUAWEI_CLOUD, String::as_str);
    let auth_url = format!("https://iam.{{region_name}}.{cloud}/v3");
    facts.add(Fact::AuthUrl, name, &auth_url);
    facts
}

fn not_used(used: &Facts, ignored: &Facts) -> Option<String> {
    let (used, ignored) = (resolve::method_name(used)?, resolve::method_name(ignored)?);
    Some(format!(
        "the environment: `{ignored}` is not used: `{used}` takes precedence (the order is OS_…, HUAWEICLOUD_SDK_…, HW_…)"
    ))
}

/// Warns about the agency of Terraform, which is not assumed here.
fn not_assumed(used: &Facts, environment: &BTreeMap<String, String>) -> Option<String> {
    let agency = "HW_ASSUME_ROLE_AGENCY_NAME";
    let is_set = environment.get(agency).is_some_and(|text| !text.is_empty());
    let is_asked = is_set && used.name(Fact::AccessKey) == "HW_ACCESS_KEY";
    is_asked.then(|| {
        format!("the environment: `{agency}` is not used; use OS_AGENCY_NAME to assume an agency")
    })
}

fn from_file(environment: &BTreeMap<String, String>) -> Result<Account, Vec<String>> {
    if let Some(account) = credentials_file::account(environment) {
        return account;
    }
    let hint = if environment.contains_key("OS_CLOUD") {
        " (OS_CLOUD is set: kind = \"clouds\" uses it)"
    } else {
        ""
    };
    Err(vec![format!(
        "the environment has no credential{hint}: set OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_USER_DOMAIN_NAME and OS_PROJECT_NAME; or OS_ACCESS_KEY and OS_SECRET_KEY; or HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK; or HW_ACCESS_KEY and HW_SECRET_KEY"
    )])
}

#[cfg(test)]
mod tests {
    use crate::credential::discovery::from_environment;
    use crate::credential::discovery::tests::{Home, assert_messages, line};

    const LOGIN: &str = "OS_AUTH_URL=https://x OS_USERNAME=u OS_PASSWORD=p OS_DOMAIN_NAME=D OS_PROJECT_NAME=eu-de_x";

    impl Home {
        #[track_caller]
        fn line(&self) -> String {
            line(&from_environment(&self.environment).unwrap())
        }

        #[track_caller]
        fn messages(&self) -> Vec<String> {
            from_environment(&self.environment).unwrap_err()
        }

        #[track_caller]
        fn warned(&self) -> Vec<String> {
            from_environment(&self.environment).unwrap().warnings
        }
    }

    #[test]
    fn each_family_of_variables_is_read() {
        for (settings, wanted) in [
            (
                LOGIN,
                "u@D p at https://x/v3 for project eu-de_x@D in eu-de",
            ),
            (
                "OS_AUTH_URL=https://x OS_USERNAME=u OS_PASSWORD=00042 OS_USER_DOMAIN_NAME=U OS_PROJECT_DOMAIN_ID=P OS_TENANT_NAME=t OS_REGION=r OS_TOTP_SEED=S",
                "u@U 00042 with totp S at https://x/v3 for project t@domain:P in r",
            ),
            (
                "OS_AUTH_TYPE=v3applicationcredential OS_AUTH_URL=https://x OS_APPLICATION_CREDENTIAL_ID=i OS_APPLICATION_CREDENTIAL_SECRET=s OS_REGION_NAME=r",
                "application i s at https://x/v3 for default in r",
            ),
            ("OS_TOKEN=t", "x-auth-token t in -"),
            (
                "OS_AUTH_TOKEN=t OS_AUTH_URL=https://x OS_TENANT_ID=p",
                "token t at https://x/v3 for project:p in -",
            ),
            (
                "OS_ACCESS_KEY=A OS_SECRET_KEY=S OS_SECURITY_TOKEN=T OS_PROJECT_ID=p OS_USER_DOMAIN_ID=d",
                "keys A S T id:p domain:d name:- at - in -",
            ),
            (
                "OS_AUTH_URL=https://x OS_ACCESS_KEY=A OS_SECRET_KEY=S OS_AGENCY_NAME=a OS_AGENCY_DOMAIN_NAME=D OS_DELEGATED_PROJECT=eu-nl",
                "agency a of D for project eu-nl@D at https://x/v3 by (keys A S - id:- domain:- name:- at https://x/v3) in eu-nl",
            ),
            (
                "HUAWEICLOUD_SDK_AK=A HUAWEICLOUD_SDK_SK=S HUAWEICLOUD_SDK_SECURITY_TOKEN=T HUAWEICLOUD_SDK_PROJECT_ID=p HUAWEICLOUD_SDK_DOMAIN_ID=d HUAWEICLOUD_SDK_IAM_ENDPOINT=https://i",
                "keys A S T id:p domain:d name:- at https://i/v3 in -",
            ),
            (
                "HW_ACCESS_KEY=A HW_SECRET_KEY=S HW_SECURITY_TOKEN=T HW_REGION_NAME=cn-north-4",
                "keys A S T id:- domain:- name:cn-north-4 at https://iam.cn-north-4.myhuaweicloud.com/v3 in cn-north-4",
            ),
            (
                "HW_ACCESS_KEY=A HW_SECRET_KEY=S HW_PROJECT_NAME=eu-west-101_x HW_CLOUD=myhuaweicloud.eu HW_REGION_NAME=eu-west-101",
                "keys A S - id:- domain:- name:eu-west-101_x at https://iam.eu-west-101.myhuaweicloud.eu/v3 in eu-west-101",
            ),
            (
                "HW_ACCESS_KEY=A HW_SECRET_KEY=S HW_PROJECT_ID=p HW_DOMAIN_ID=d",
                "keys A S - id:p domain:d name:- at - in -",
            ),
        ] {
            assert_eq!(Home::new().envs(settings).line(), wanted, "{settings}");
        }
    }

    #[test]
    fn the_first_account_is_used_and_the_others_are_reported() {
        let keys = "OS_ACCESS_KEY=A OS_SECRET_KEY=S";
        let sdk = "HUAWEICLOUD_SDK_AK=B HUAWEICLOUD_SDK_SK=S";
        let terraform = "HW_ACCESS_KEY=C HW_SECRET_KEY=S HW_PROJECT_ID=p";
        let file = "[basic]\nak = F\nsk = S\n";
        let home = Home::new().with(".huaweicloud/credentials", file);
        assert!(home.line().starts_with("keys F"));
        let home = home.envs(terraform);
        assert!(home.line().starts_with("keys C"));
        let home = home.envs(sdk);
        assert!(home.line().starts_with("keys B"));
        let expected = "`HW_ACCESS_KEY` is not used: `HUAWEICLOUD_SDK_AK` takes precedence";
        assert_messages(&home.warned(), &[expected]);
        let home = home.envs(LOGIN);
        assert!(home.line().starts_with("u@D p"));
        let home = home.envs(keys);
        assert!(home.line().starts_with("keys A"));
        let home = home.env("OS_TOKEN", "t");
        assert!(home.line().starts_with("token t"));
        assert_messages(
            &home.warned(),
            &[
                "`OS_TOKEN` expires",
                "`OS_ACCESS_KEY` is not used: `OS_TOKEN` takes precedence",
                "`OS_PASSWORD` is not used: `OS_TOKEN` takes precedence",
                "`HUAWEICLOUD_SDK_AK` is not used: `OS_TOKEN` takes precedence",
                "`HW_ACCESS_KEY` is not used: `OS_TOKEN` takes precedence",
            ],
        );
    }

    #[test]
    fn an_incomplete_account_is_reported_by_its_missing_keys() {
        for (settings, wanted) in [
            (
                "OS_USERNAME=u",
                &[
                    "the environment: `OS_AUTH_URL` is missing: a user logs in there",
                    "`OS_PASSWORD` is missing: a user logs in with a password",
                    "`OS_USER_DOMAIN_NAME` is missing",
                ][..],
            ),
            ("OS_SECRET_KEY=S", &["`OS_ACCESS_KEY` is missing"]),
            (
                "OS_ACCESS_KEY=A OS_SECRET_KEY=",
                &["`OS_SECRET_KEY` is missing"],
            ),
            (
                "OS_ACCESS_KEY=A OS_SECRET_KEY=S OS_PROJECT_NAME=x",
                &[
                    "`OS_AUTH_URL` is missing: the project's id is asked for there, unless `OS_PROJECT_ID` is set",
                ],
            ),
            (
                "OS_TOKEN=t OS_AUTH_URL=https://x OS_AGENCY_NAME=a",
                &["`OS_AGENCY_DOMAIN_NAME` is missing"],
            ),
            ("HUAWEICLOUD_SDK_AK=A", &["`HUAWEICLOUD_SDK_SK` is missing"]),
            ("HW_SECRET_KEY=S", &["`HW_ACCESS_KEY` is missing"]),
            (
                "HW_ACCESS_KEY=A HW_SECRET_KEY=S HW_PROJECT_NAME=x",
                &["`HW_AUTH_URL` is missing"],
            ),
            (
                "HW_ACCESS_KEY=A HW_SECRET_KEY=S HW_REGION_NAME=x/y",
                &[
                    "`HW_REGION_NAME` names the region, which must be made of letters, digits and `-`",
                ],
            ),
            (
                "OS_AUTH_TYPE=v3oidcpassword OS_USERNAME=u",
                &["`OS_AUTH_TYPE` is `v3oidcpassword`"],
            ),
            (
                "OS_CLOUD=otc",
                &[
                    "has no credential (OS_CLOUD is set: kind = \"clouds\" uses it): set OS_AUTH_URL",
                ],
            ),
            (
                "OS_AUTH_URL=https://x OS_PROJECT_NAME=x",
                &["the environment has no credential: set OS_AUTH_URL"],
            ),
        ] {
            assert_messages(&Home::new().envs(settings).messages(), wanted);
        }
    }

    #[test]
    fn an_invalid_secret_is_reported_but_not_shown() {
        for text in ["hunter2\n", "hun\rter2", &"hunter2".repeat(2400)] {
            let messages = Home::new().env("OS_TOKEN", text).messages();
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains("`OS_TOKEN` "), "{messages:?}");
            assert!(!messages[0].contains("ter2"), "{messages:?}");
        }
    }

    #[test]
    fn ignored_settings_are_reported() {
        let settings = "OS_PASSCODE=1 OS_INSECURE=true OS_CACERT=/x OS_CERT=/y OS_KEY=/z";
        assert_messages(
            &Home::new().envs(LOGIN).envs(settings).warned(),
            &[
                "`OS_PASSCODE` works once and is not used; each login computes one from the seed in `OS_TOTP_SEED`",
                "`OS_INSECURE` is not used",
                "`OS_CACERT` is not used",
                "`OS_CERT` is not used",
                "`OS_KEY` is not used",
            ],
        );
        let settings =
            "HW_ACCESS_KEY=A HW_SECRET_KEY=S HW_PROJECT_ID=p HW_ASSUME_ROLE_AGENCY_NAME=a";
        assert_messages(
            &Home::new().envs(settings).warned(),
            &["`HW_ASSUME_ROLE_AGENCY_NAME` is not used"],
        );
        assert_messages(
            &Home::new().envs(LOGIN).env("OS_INSECURE", "0").warned(),
            &[],
        );
    }
}
