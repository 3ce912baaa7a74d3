//! The scope of a credential: its user, its project, and the URLs of its services.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::outbound::url::BaseUrl;

/// The scope of a credential, as far as its issuer gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scope {
    pub user: Option<String>,
    pub project_id: Option<String>,
    pub project: Option<String>,
    /// The id of the project's domain, or of the domain that is the scope.
    pub domain_id: Option<String>,
    /// The name of that domain.
    pub domain: Option<String>,
    /// The scopes of an OAuth 2.0 token, separated by spaces.
    pub scopes: Option<String>,
    /// The endpoints of services, from the issuer's catalog.
    #[serde(skip)]
    pub catalog: Vec<Endpoint>,
}

/// One entry of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The type of service, as `dcsv1`.
    pub service_type: String,
    /// The region; `*` is any.
    pub region: String,
    /// The URL of the catalog, without the version and the project that its path may have;
    /// `None` if it is not a URL of HTTP.
    pub base: Option<BaseUrl>,
    /// True if the endpoint would expose the secret to anyone on the network, while the
    /// issuer is asked over TLS.
    pub is_exposed: bool,
}

impl Scope {
    /// Returns the value that the scope has for a definition's parameter. Heat calls the
    /// project a tenant.
    pub fn param(&self, name: &str) -> Option<&str> {
        match name {
            "project_id" | "tenant_id" => self.project_id.as_deref(),
            "domain_id" => self.domain_id.as_deref(),
            _ => None,
        }
    }

    /// Returns the base URL of the first of these types of service that the catalog has in
    /// `region`, or in its only region.
    ///
    /// Version and project are left out: the definition has them, and catalogs name other
    /// versions than the job API's (`dcsv1` ends in `/v1.0`, its jobs are under `/v2`).
    ///
    /// # Errors
    /// The catalog has no such endpoint, or none over TLS, or it has several regions and
    /// none is given: the service of another region would not know the jobs, and they would
    /// be taken for lost.
    pub fn base_url(&self, types: &[String], region: Option<&str>) -> Result<&BaseUrl, String> {
        let of_type = |wanted: &String| -> Vec<&Endpoint> {
            let is_it = |it: &&Endpoint| {
                let is_there = region.is_none_or(|region| it.region == region || it.region == "*");
                it.service_type == *wanted && is_there
            };
            self.catalog.iter().filter(is_it).collect()
        };
        let types_shown = || types.join(" or ");
        let endpoints = types.iter().map(of_type).find(|found| !found.is_empty());
        let endpoints = endpoints.unwrap_or_default();
        let first = endpoints.first().map(|it| &it.region);
        if region.is_none() && endpoints.iter().any(|it| Some(&it.region) != first) {
            let regions: BTreeSet<&str> = endpoints.iter().map(|it| it.region.as_str()).collect();
            let regions: Vec<&str> = regions.into_iter().collect();
            return Err(format!(
                "the credential's catalog has {} in several regions ({}): set `region` of the service",
                types_shown(),
                regions.join(", ")
            ));
        }
        let kept = endpoints.iter().find(|it| !it.is_exposed);
        if kept.is_none() && !endpoints.is_empty() {
            return Err(format!(
                "the credential's catalog has {} only without TLS, while its `auth_url` is https://: set `url` of the service",
                types_shown()
            ));
        }
        let base = kept.and_then(|it| it.base.as_ref());
        base.ok_or_else(|| {
            format!(
                "the credential's catalog has no endpoint {} in the region {}: set `url` of the service",
                types_shown(),
                region.unwrap_or("any")
            )
        })
    }
}

/// Returns `https://host/volume` for `https://host/volume/v3/PROJECT`; only the host for a
/// path without a version.
pub(super) fn before_version(url: &str) -> Option<BaseUrl> {
    let url = reqwest::Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let origin = url.origin().ascii_serialization();
    let segments: Vec<&str> = url.path_segments()?.collect();
    let prefix = segments.iter().position(|segment| is_version(segment));
    let prefix = prefix.map(|end| segments[..end].join("/"));
    let base = match prefix.filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{origin}/{prefix}"),
        None => origin,
    };
    Some(base.into())
}

fn is_version(segment: &str) -> bool {
    let number = segment.strip_prefix('v').unwrap_or_default();
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let endpoint = |service_type: &str, region: &str, url: &str| Endpoint {
            service_type: service_type.into(),
            region: region.into(),
            base: before_version(url),
            is_exposed: false,
        };
        Scope {
            project_id: Some("p".into()),
            catalog: vec![
                endpoint("dcsv1", "eu-nl", "https://dcs.eu-nl.example.com/v1.0/p"),
                endpoint("dcsv1", "eu-de", "https://dcs.eu-de.example.com/v1.0/p"),
                endpoint("volumev3", "*", "http://cloud.example.com:8776/volume/v3/p"),
                endpoint("ccev2.0", "eu-de", "https://cce.eu-de.example.com"),
                endpoint("odd", "eu-de", "ftp://odd.example.com/v1"),
            ],
            ..Scope::default()
        }
    }

    #[test]
    fn the_catalog_gives_the_host_and_the_definition_the_version() {
        let scope = scope();
        let base = |wanted: &str, region| {
            let found = scope.base_url(&[wanted.to_owned()], region);
            found.map(BaseUrl::as_str)
        };
        assert_eq!(
            base("dcsv1", Some("eu-de")).unwrap(),
            "https://dcs.eu-de.example.com"
        );
        assert_eq!(
            base("ccev2.0", None).unwrap(),
            "https://cce.eu-de.example.com"
        );
        assert_eq!(
            base("volumev3", Some("eu-de")).unwrap(),
            "http://cloud.example.com:8776/volume"
        );
        assert_eq!(
            base("ccev2.0", Some("eu-de")).unwrap(),
            "https://cce.eu-de.example.com"
        );
        for (wanted, region) in [("dcsv1", "us-1"), ("odd", "eu-de"), ("rdsv3", "eu-de")] {
            assert!(base(wanted, Some(region)).is_err());
        }
        let error = base("dcsv1", None).unwrap_err();
        assert!(error.contains("(eu-de, eu-nl): set `region`"), "{error}");
    }

    #[test]
    fn endpoints_that_would_expose_the_secret_are_refused() {
        let mut scope = scope();
        let types = ["dcsv1".to_owned()];
        scope.catalog[1].is_exposed = true;
        let error = scope.base_url(&types, Some("eu-de")).unwrap_err();
        assert!(error.contains("only without TLS"), "{error}");
        scope.catalog.push(Endpoint {
            is_exposed: false,
            base: before_version("https://other.example.com/v1.0/p"),
            ..scope.catalog[1].clone()
        });
        let url = scope.base_url(&types, Some("eu-de")).unwrap();
        assert_eq!(url.as_str(), "https://other.example.com");
    }

    #[test]
    fn the_first_service_type_in_the_catalog_is_used() {
        let types = ["dcsv2".to_owned(), "dcsv1".to_owned()];
        assert!(scope().base_url(&types, Some("eu-de")).is_ok());
    }

    #[test]
    fn a_scope_knows_its_project_under_both_names() {
        assert_eq!(scope().param("project_id"), Some("p"));
        assert_eq!(scope().param("tenant_id"), Some("p"));
        assert_eq!(scope().param("cluster_id"), None);
    }
}
