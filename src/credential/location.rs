//! The location of an account: the URL of its identity service, and its region.

use reqwest::Url;

use crate::outbound::url::without_query;

/// The placeholder for the region in a `clouds.yaml`, for openstacksdk and for its
/// predecessor os-client-config.
const REGION_PLACES: [&str; 2] = ["{region_name}", "%(region_name)s"];

/// Returns the URL of the identity service at `text`, up to and including `/v3`, without a
/// final `/`. Vendors publish it without a scheme, without the version, or with a final
/// `/`.
///
/// # Errors
/// Says how the URL must be. The text is not repeated, because it may contain a password.
pub(crate) fn auth_url(text: &str, region: Option<&str>) -> Result<Url, String> {
    let text = with_region(text.trim(), region)?;
    let text = if text.contains("://") {
        text
    } else {
        format!("https://{text}")
    };
    let allowed =
        "must be the URL of an identity service, as https://iam.eu-de.otc.t-systems.com/v3";
    let url = Url::parse(&text).map_err(|error| format!("{allowed} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(allowed.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or password".to_owned());
    }
    let mut url = without_query(url)?;
    let path = path_of_version_3(url.path())?;
    url.set_path(&path);
    Ok(url)
}

fn with_region(text: &str, region: Option<&str>) -> Result<String, String> {
    let Some(place) = REGION_PLACES.iter().find(|place| text.contains(**place)) else {
        return Ok(text.to_owned());
    };
    let region = region.ok_or_else(|| format!("names the region ({place}), and none is known"))?;
    // Any other text could lead to another host.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !region.chars().all(is_plain) {
        return Err("names the region, which must be made of letters, digits and `-`".to_owned());
    }
    Ok(text.replace(place, region))
}

fn path_of_version_3(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let is_version = last.starts_with('v') && last[1..].starts_with(|c: char| c.is_ascii_digit());
    if is_version && last != "v3" {
        return Err(format!(
            "ends in `{last}`; it must be version 3 of the identity service, `/v3`"
        ));
    }
    if path.contains("/v3/") {
        return Err("must end in `/v3`".to_owned());
    }
    Ok(if is_version {
        path.to_owned()
    } else {
        format!("{path}/v3")
    })
}

/// Returns the region that a project's name begins with: `eu-de_myproject` is in `eu-de`,
/// as for terraform-provider-opentelekomcloud. `None` if the name does not begin like the
/// regions of these clouds (`eu-de`, `eu-ch2`, `cn-north-4`).
pub(crate) fn region_of_project(project: &str) -> Option<&str> {
    let region = project.split('_').next()?;
    let (area, rest) = region.split_once('-')?;
    let is_area = area.len() == 2 && area.chars().all(|c| c.is_ascii_lowercase());
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_rest = rest.len() == 2 || rest.ends_with(|c: char| c.is_ascii_digit());
    (is_area && is_rest && rest.chars().all(is_plain)).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_auth_url_is_accepted() {
        for (text, url) in [
            (
                "https://iam.eu-de.otc.t-systems.com:443/v3",
                "https://iam.eu-de.otc.t-systems.com/v3",
            ),
            (
                "https://iam.example:5000/v3/",
                "https://iam.example:5000/v3",
            ),
            ("iam.example/v3", "https://iam.example/v3"),
            ("iam.example:5000", "https://iam.example:5000/v3"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/v3"),
            ("https://x/identity", "https://x/identity/v3"),
            ("https://iam.{region_name}.x/v3", "https://iam.eu-nl.x/v3"),
            ("https://iam.%(region_name)s.x/v3", "https://iam.eu-nl.x/v3"),
        ] {
            let found = auth_url(text, Some("eu-nl")).unwrap();
            assert_eq!(found.as_str(), url, "{text}");
        }
    }

    #[test]
    fn an_invalid_auth_url_is_reported_but_not_shown() {
        for (text, expected) in [
            ("https://x/v2.0", "ends in `v2.0`"),
            ("https://x/v2", "ends in `v2`"),
            ("https://x/v3/auth/tokens", "must end in `/v3`"),
            ("ftp://x/v3", "must be the URL"),
            ("https://", "must be the URL"),
            ("https://user:hunter2@x/v3", "must not have a user name"),
            ("https://x/v3?token=hunter2", "must have no `?`"),
        ] {
            let message = auth_url(text, None).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        for (region, expected) in [
            (None, "and none is known"),
            (Some("x/y"), "made of letters"),
        ] {
            let message = auth_url("https://iam.{region_name}.x/v3", region).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_region_is_taken_from_the_project_name() {
        for (project, region) in [
            ("eu-de_myproject", Some("eu-de")),
            ("eu-nl", Some("eu-nl")),
            ("eu-ch2_x_y", Some("eu-ch2")),
            ("cn-north-4", Some("cn-north-4")),
            ("eu-west-101_x", Some("eu-west-101")),
            ("my-project", None),
            ("admin", None),
            ("EU-DE_x", None),
            ("", None),
        ] {
            assert_eq!(region_of_project(project), region, "{project}");
        }
    }
}
