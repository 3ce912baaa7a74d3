//! What a credential is good for: whose it is, which project, and where its services are.

use std::collections::BTreeSet;

use serde::Serialize;

/// What a credential is good for, as far as its issuer says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// The user's name.
    pub user: Option<String>,
    /// The project's id.
    pub project_id: Option<String>,
    /// The project's name.
    pub project: Option<String>,
    /// The id of the project's domain, or the domain's own.
    pub domain_id: Option<String>,
    /// The name of that domain.
    pub domain: Option<String>,
    /// Where services are, by the issuer's catalog.
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
    /// The URL, with the issuer's idea of version and project in its path.
    pub url: String,
    /// It would show the secret to whoever listens, while the issuer is asked over TLS.
    pub is_exposed: bool,
}

impl Scope {
    /// The value of a definition's parameter that the scope knows. Heat calls the project a
    /// tenant.
    pub fn param(&self, name: &str) -> Option<&str> {
        match name {
            "project_id" | "tenant_id" => self.project_id.as_deref(),
            "domain_id" => self.domain_id.as_deref(),
            _ => None,
        }
    }

    /// The base URL of the first of these types of service that the catalog has in
    /// `region`, or in the only region there is.
    ///
    /// Version and project are left off: the definition has them, and catalogs name other
    /// versions than the job API's (`dcsv1` ends in `/v1.0`, its jobs are under `/v2`).
    ///
    /// # Errors
    /// There is none, or none that keeps the secret, or without a region nobody can say which: another region's service
    /// would not know the jobs, and they would be taken for lost.
    pub fn base_url(&self, types: &[String], region: Option<&str>) -> Result<String, String> {
        let of_type = |wanted: &String| -> Vec<&Endpoint> {
            let is_it = |it: &&Endpoint| {
                let is_there = region.is_none_or(|region| it.region == region || it.region == "*");
                it.service_type == *wanted && is_there
            };
            self.catalog.iter().filter(is_it).collect()
        };
        let types_shown = types.join(" or ");
        let endpoints = types.iter().map(of_type).find(|found| !found.is_empty());
        let endpoints = endpoints.unwrap_or_default();
        let regions: BTreeSet<&str> = endpoints.iter().map(|it| it.region.as_str()).collect();
        if region.is_none() && regions.len() > 1 {
            let regions: Vec<&str> = regions.into_iter().collect();
            return Err(format!(
                "the credential's catalog has {types_shown} in several regions ({}): set `region` of the service",
                regions.join(", ")
            ));
        }
        let kept = endpoints.iter().find(|it| !it.is_exposed);
        if kept.is_none() && !endpoints.is_empty() {
            return Err(format!(
                "the credential's catalog has {types_shown} only unencrypted, while its `auth_url` is https://: set `url` of the service"
            ));
        }
        let url = kept.and_then(|it| before_version(&it.url));
        url.ok_or_else(|| {
            format!(
                "the credential's catalog has no endpoint {types_shown} in the region {}: set `url` of the service",
                region.unwrap_or("any")
            )
        })
    }
}

/// `https://host/volume` of `https://host/volume/v3/PROJECT`; of a path without a version
/// only the host.
fn before_version(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let origin = url.origin().ascii_serialization();
    let segments: Vec<&str> = url.path_segments()?.collect();
    let prefix = segments.iter().position(|segment| is_version(segment));
    let prefix = prefix.map(|end| segments[..end].join("/"));
    Some(match prefix.filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{origin}/{prefix}"),
        None => origin,
    })
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
            url: url.into(),
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
        let base = |wanted: &str, region| scope().base_url(&[wanted.to_owned()], region);
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
        assert!(error.contains("only unencrypted"), "{error}");
        scope.catalog.push(Endpoint {
            is_exposed: false,
            url: "https://other.example.com/v1.0/p".into(),
            ..scope.catalog[1].clone()
        });
        let url = scope.base_url(&types, Some("eu-de")).unwrap();
        assert_eq!(url, "https://other.example.com");
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
