//! The three simulated services: their names, paths and status words.
//!
//! Their bodies and errors are in one file each: `dcs`, `sfs_turbo`, `sdrs`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The project id in the paths of created jobs; polls may use any other.
pub const PROJECT_ID: &str = "5d2f1c6a8e9b4a07b3c4d5e6f7089a1b";

// All but the unreserved characters of RFC 3986, section 2.3.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One of the simulated job APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// Distributed Cache Service, "Querying the Job Execution Result of a Tenant".
    #[serde(rename = "dcs")]
    Dcs,
    /// SFS Turbo, "Querying the Status of a Task".
    #[serde(rename = "sfs-turbo")]
    SfsTurbo,
    /// Storage Disaster Recovery Service, "Querying the Job Status".
    #[serde(rename = "sdrs")]
    Sdrs,
}

/// The status words of a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) pending: &'static str,
    pub(super) running: &'static str,
    pub(super) succeeded: &'static str,
    pub(super) failed: &'static str,
}

const UPPER: Words = Words {
    pending: "INIT",
    running: "RUNNING",
    succeeded: "SUCCESS",
    failed: "FAIL",
};

// SFS Turbo alone writes lower case, and other words.
const LOWER: Words = Words {
    pending: "waiting",
    running: "running",
    succeeded: "success",
    failed: "failed",
};

impl Service {
    #[cfg(test)]
    pub(super) const ALL: [Self; 3] = [Self::Dcs, Self::SfsTurbo, Self::Sdrs];

    /// Returns the name as in the configuration: `dcs`, `sfs-turbo`, `sdrs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dcs => "dcs",
            Self::SfsTurbo => "sfs-turbo",
            Self::Sdrs => "sdrs",
        }
    }

    /// Returns the path of a job's status.
    pub fn path(self, job_id: &str) -> String {
        let id = utf8_percent_encode(job_id, RESERVED);
        match self {
            Self::Dcs => format!("/v2/{PROJECT_ID}/jobs/{id}"),
            Self::SfsTurbo => format!("/v1/{PROJECT_ID}/sfs-turbo/jobs/{id}"),
            Self::Sdrs => format!("/v1/{PROJECT_ID}/jobs/{id}"),
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::Dcs | Self::Sdrs => &UPPER,
            Self::SfsTurbo => &LOWER,
        }
    }
}

/// Returns the service and the job id of a path; `None` when no API has that path.
///
/// A trailing slash or an empty project is another path, as it is for the real gateway.
pub(super) fn polled_job(path: &str) -> Option<(Service, String)> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let version = segments.next()?;
    segments.next().filter(|project| !project.is_empty())?;
    let service = match (version, segments.next()?) {
        ("v2", "jobs") => Service::Dcs,
        ("v1", "jobs") => Service::Sdrs,
        ("v1", "sfs-turbo") if segments.next()? == "jobs" => Service::SfsTurbo,
        _ => return None,
    };
    let id = segments.next().filter(|id| !id.is_empty())?;
    if segments.next().is_some() {
        return None;
    }
    Some((service, percent_decode_str(id).decode_utf8_lossy().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_selects_its_service() {
        let table = [
            ("/v2/p/jobs/a", Some((Service::Dcs, "a"))),
            ("/v1/p/jobs/a", Some((Service::Sdrs, "a"))),
            ("/v1/p/sfs-turbo/jobs/a", Some((Service::SfsTurbo, "a"))),
            ("/v1/p/jobs/a%2Fb%20c", Some((Service::Sdrs, "a/b c"))),
            ("/v1/p/jobs/a/", None),
            ("/v1//jobs/a", None),
            ("/v1/p/jobs/", None),
            ("/v1/p/jobs", None),
            ("/v2/p/sfs-turbo/jobs/a", None),
            ("/v3/p/jobs/a", None),
            ("v1/p/jobs/a", None),
            ("/", None),
        ];
        for (path, expected) in table {
            let expected = expected.map(|(service, id)| (service, id.to_owned()));
            assert_eq!(polled_job(path), expected, "{path}");
        }
    }

    #[test]
    fn the_path_of_a_job_leads_back_to_it() {
        for service in Service::ALL {
            for id in ["odd id/%☃", "26f6b565-0000-4000-8000-03f0bd975433"] {
                assert_eq!(
                    polled_job(&service.path(id)),
                    Some((service, id.to_owned()))
                );
            }
        }
    }
}
