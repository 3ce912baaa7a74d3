//! Vendor profiles: the values that `profile: otc` in a `clouds.yaml` stands for.
//!
//! As openstacksdk 4.22 publishes them (`openstack/config/vendors/*.json`); its other
//! profiles are of clouds without the job APIs that we know.

/// The values of one vendor.
pub(super) struct Profile {
    pub(super) name: &'static str,
    pub(super) auth_url: &'static str,
    /// The region of clouds that name none.
    pub(super) region: &'static str,
}

const ALL: [Profile; 2] = [
    Profile {
        name: "otc",
        auth_url: "https://iam.{region_name}.otc.t-systems.com/v3",
        region: "eu-de",
    },
    Profile {
        name: "otc-swiss",
        // The vendor publishes it without `https://`.
        auth_url: "iam-pub.eu-ch2.sc.otc.t-systems.com/v3",
        region: "eu-ch2",
    },
];

/// Returns the profile of that name.
pub(super) fn profile(name: &str) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.name == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|profile| profile.name)
}
