//! Vendor profiles: what `profile: otc` in a `clouds.yaml` stands for.
//!
//! As openstacksdk 4.22 publishes them (`openstack/config/vendors/*.json`); the other
//! profiles there are of clouds without the job APIs that we know.

/// What is known of a vendor.
pub(super) struct Profile {
    /// Its name.
    pub(super) name: &'static str,
    /// The identity service.
    pub(super) auth_url: &'static str,
    /// The region of whoever names none.
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
        // Published without its `https://`.
        auth_url: "iam-pub.eu-ch2.sc.otc.t-systems.com/v3",
        region: "eu-ch2",
    },
];

/// The profile of that name.
pub(super) fn profile(name: &str) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.name == name)
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|profile| profile.name)
}
