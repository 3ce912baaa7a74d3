//! Finds the URL of a service: from its `url`, from its region and the host pattern of the
//! definition, or from the catalog of the credential's identity service.

use crate::credential::configured::CredentialSettings;
use crate::credential::identity::region;
use crate::definition::Definition;
use crate::outbound::is_local;
use crate::outbound::url::base_url;
use crate::service::Base;
use crate::suggest;
use crate::tree::reader::Reader;

/// The placeholder for the region in a host pattern.
const REGION: &str = "{region}";

/// The identity services of each cloud, by the end of their host's name. The clouds are
/// named as in `hosts` of definitions.
const CLOUDS: [(&str, &str); 3] = [
    (".otc.t-systems.com", "otc"),
    (".myhuaweicloud.com", "huawei"),
    (".myhuaweicloud.eu", "huawei"),
];

/// Reads the location of this section's service; `None` after an error, here or in its
/// definition or credential. Errors that only follow from that one are not reported.
pub(super) fn base(
    section: &Reader<'_>,
    definition: Option<&Definition>,
    credential: Option<&CredentialSettings>,
) -> Option<Base> {
    let own_region = region(section, "region");
    let own_cloud = section.text("cloud");
    if section.has("url") {
        return stated(section, credential).map(|url| Base::Url(url.into()));
    }
    let definition = definition?;
    let region = own_region.or_else(|| credential?.region.clone());
    let cloud = cloud(section, own_cloud, definition, credential);
    let pattern = cloud.as_ref().and_then(|cloud| definition.hosts.get(cloud));
    if let Some(pattern) = pattern
        && let Some(url) = filled(pattern, region.as_deref())
    {
        return Some(Base::Url(url.into()));
    }
    let has_catalog = credential.is_some_and(|found| found.credential.auth_url().is_some());
    if has_catalog && !definition.catalog.is_empty() {
        return Some(Base::Catalog {
            types: definition.catalog.clone(),
            region,
        });
    }
    let has_error = section.has("cloud") && cloud.is_none()
        || section.has("region") && region.is_none()
        || credential.is_none() && is_derived(definition);
    if has_error {
        return None;
    }
    section.report(
        "url",
        missing(definition, region.as_deref(), pattern.is_some()),
    );
    None
}

/// True if a credential helps to find services of this definition.
fn is_derived(definition: &Definition) -> bool {
    !definition.hosts.is_empty() || !definition.catalog.is_empty()
}

fn missing(definition: &Definition, region: Option<&str>, has_pattern: bool) -> String {
    if has_pattern && region.is_none() {
        return "is missing: set it, or `region`, from which the definition knows it".to_owned();
    }
    let clouds: Vec<&str> = definition.hosts.keys().map(String::as_str).collect();
    if clouds.is_empty() {
        return "is missing and has no default: the definition knows no host".to_owned();
    }
    format!(
        "is missing: set it, or `cloud` ({}) and `region`, from which the definition knows it",
        clouds.join(", ")
    )
}

/// Returns the cloud that was stated, or that the credential belongs to. If the credential
/// belongs to none, returns the only cloud of the definition.
fn cloud(
    section: &Reader<'_>,
    own: Option<String>,
    definition: &Definition,
    credential: Option<&CredentialSettings>,
) -> Option<String> {
    if let Some(own) = own {
        if definition.hosts.contains_key(&own) {
            return Some(own);
        }
        let names = definition.hosts.keys().map(String::as_str);
        let hint = suggest::did_you_mean(&own, names.clone());
        let names: Vec<&str> = names.collect();
        section.report(
            "cloud",
            format!(
                "the definition has no host for \"{own}\"{hint} (known: {})",
                names.join(", ")
            ),
        );
        return None;
    }
    let known = |cloud: &String| definition.hosts.contains_key(cloud);
    let auth_url = credential.and_then(|found| found.credential.auth_url());
    if let Some(auth_url) = auth_url {
        // The secret of one cloud is useless for the only other one that the definition
        // knows.
        let host = auth_url.host_str()?;
        let (_, cloud) = CLOUDS.iter().find(|(end, _)| host.ends_with(end))?;
        return Some((*cloud).to_owned()).filter(known);
    }
    match definition.hosts.len() {
        1 => definition.hosts.keys().next().cloned(),
        _ => None,
    }
}

/// The Swiss region of Open Telekom Cloud has its services one DNS label further down.
fn filled(pattern: &str, region: Option<&str>) -> Option<String> {
    if !pattern.contains(REGION) {
        return Some(pattern.to_owned());
    }
    let region = region?;
    let label = match region {
        "eu-ch2" if pattern.ends_with("{region}.otc.t-systems.com") => "eu-ch2.sc",
        region => region,
    };
    Some(pattern.replace(REGION, label))
}

fn stated(section: &Reader<'_>, credential: Option<&CredentialSettings>) -> Option<String> {
    let text = section.expanded("url")?;
    let url = match base_url(&text) {
        Ok(url) => url,
        Err(message) => {
            section.report("url", message);
            return None;
        }
    };
    let has_secret = credential.is_some_and(|found| found.credential.has_secret());
    if url.scheme() == "http" && !is_local(&text) && has_secret {
        section.warn("url", "the credential is sent unencrypted; use https://");
    }
    Some(text.trim_end_matches('/').to_owned())
}
