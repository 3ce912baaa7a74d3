//! A file of clouds (`clouds.yaml`, `secure.yaml`): the names of its clouds, and the values
//! of one of them.
//!
//! Values stay as they are written: the password `00042` stays a text, and so does `yes`.
//! Keys of other tools are ignored. A message about a file names lines and never quotes
//! them, because a line may contain a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, NonFiniteFloatPolicy, alias_limits, budget, options};

use crate::credential::discovery::facts::{Fact, Words};
use crate::credential::discovery::text_file;

/// The key of all clouds.
const CLOUDS: &str = "clouds";
/// The key of a cloud with most of the values for a login.
const AUTH: &str = "auth";

/// The deepest nesting of a file; a cloud's region with values of its own needs 7.
const DEPTH_MAX: usize = 32;
/// The most nodes of a file, after its aliases are filled in; a cloud has about 20.
const PARTS_MAX: usize = 100_000;

/// The keys of these files. Each is accepted within `auth` and beside it.
///
/// These are the keys of openstacksdk, then AK/SK within `auth` (gophertelekomcloud) or
/// beside it (python-otcextensions), the agency of python-otcextensions, and `totp_seed`,
/// which is ours.
pub(super) const WORDS: &Words = &[
    (Fact::AuthUrl, "auth.auth_url"),
    (Fact::AuthType, "auth_type"),
    (Fact::AuthType, "auth_plugin"),
    (Fact::Username, "auth.username"),
    (Fact::Username, "auth.user_name"),
    (Fact::UserId, "auth.user_id"),
    (Fact::Password, "auth.password"),
    (Fact::TotpSeed, "auth.totp_seed"),
    (Fact::Passcode, "auth.passcode"),
    (Fact::Token, "auth.token"),
    (Fact::Token, "auth.auth_token"),
    (Fact::AccessKey, "auth.ak"),
    (Fact::AccessKey, "auth.access_key"),
    (Fact::SecretKey, "auth.sk"),
    (Fact::SecretKey, "auth.secret_key"),
    (Fact::SecurityToken, "auth.security_token"),
    (Fact::ApplicationId, "auth.application_credential_id"),
    (
        Fact::ApplicationSecret,
        "auth.application_credential_secret",
    ),
    (Fact::ProjectName, "auth.project_name"),
    (Fact::ProjectName, "auth.tenant_name"),
    (Fact::ProjectId, "auth.project_id"),
    (Fact::ProjectId, "auth.tenant_id"),
    (Fact::UserDomainName, "auth.user_domain_name"),
    (Fact::UserDomainId, "auth.user_domain_id"),
    (Fact::ProjectDomainName, "auth.project_domain_name"),
    (Fact::ProjectDomainId, "auth.project_domain_id"),
    (Fact::DomainName, "auth.domain_name"),
    (Fact::DomainId, "auth.domain_id"),
    (Fact::DefaultDomainName, "auth.default_domain_name"),
    (Fact::DefaultDomainId, "auth.default_domain_id"),
    (Fact::DefaultDomainId, "auth.default_domain"),
    (Fact::AgencyName, "target_agency_name"),
    (Fact::AgencyDomainName, "target_domain_name"),
    (Fact::AgencyDomainId, "target_domain_id"),
    (Fact::AgencyProject, "target_project_name"),
    (Fact::Profile, "profile"),
    (Fact::Profile, "cloud"),
    (Fact::Verify, "verify"),
    (Fact::Insecure, "insecure"),
    (Fact::CaBundle, "cacert"),
    (Fact::ClientCertificate, "cert"),
    (Fact::ClientKey, "key"),
];

/// Returns a key without the `auth` that it usually stands in.
pub(super) fn bare(word: &str) -> &str {
    word.strip_prefix("auth.").unwrap_or(word)
}

/// A file of clouds, with its text kept for reading one of them.
pub(super) struct CloudFile {
    pub(super) path: PathBuf,
    text: String,
    pub(super) names: Vec<String>,
}

/// The values that a file has for one cloud, by key.
#[derive(Default)]
pub(super) struct Cloud {
    /// The values of the table `auth`.
    pub(super) auth: BTreeMap<String, String>,
    /// The values beside `auth`, in the cloud itself.
    pub(super) beside: BTreeMap<String, String>,
    /// The region of the account; several if `region_name` is a list.
    pub(super) region_name: Vec<Region>,
    /// The regions that the cloud offers.
    pub(super) regions: Vec<Region>,
}

/// A region, and the values that it replaces.
pub(super) struct Region {
    pub(super) name: String,
    pub(super) values: Option<Cloud>,
}

impl CloudFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is not a file of clouds.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = text_file::read(path)?;
        #[expect(
            clippy::zero_sized_map_values,
            reason = "of a map in a file, serde fills only a map"
        )]
        let found: Option<BTreeMap<String, IgnoredAny>> = at(path, &text, &[CLOUDS])?;
        let Some(clouds) = found else {
            let path = path.display();
            return Err(format!("{path}: there are no `{CLOUDS}` in it"));
        };
        Ok(Self {
            path: path.to_owned(),
            text,
            names: clouds.into_keys().collect(),
        })
    }

    /// Returns the values of the cloud `name`; none if the file does not have it.
    ///
    /// # Errors
    /// A value has a form that it cannot have.
    pub(super) fn cloud(&self, name: &str) -> Result<Cloud, String> {
        let found = at(&self.path, &self.text, &[CLOUDS, name])?;
        Ok(found.unwrap_or_default())
    }
}

impl Cloud {
    /// True if one of the values is a secret.
    pub(super) fn has_secret(&self) -> bool {
        let is_secret = |word: &String| fact_of(word).is_some_and(Fact::is_secret);
        let mut regions = self.region_name.iter().chain(&self.regions);
        self.auth.keys().chain(self.beside.keys()).any(is_secret)
            || regions.any(|region| region.values.as_ref().is_some_and(Self::has_secret))
    }
}

fn fact_of(word: &str) -> Option<Fact> {
    let found = WORDS.iter().find(|(_, known)| bare(known) == word);
    found.map(|(fact, _)| *fact)
}

/// Returns the value at `keys` in the file; other parts of it may have any form.
fn at<'de, T: Deserialize<'de>>(
    path: &Path,
    text: &'de str,
    keys: &[&str],
) -> Result<Option<T>, String> {
    let options = options! {
        // A snippet would show the text of the file.
        with_snippet: false,
        // A `.nan` in an ignored part of the file is not an error.
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        budget: budget! {
            max_depth: DEPTH_MAX,
            max_events: PARTS_MAX,
            max_recorded_anchor_events: PARTS_MAX,
        },
        alias_limits: alias_limits! { max_total_replayed_events: PARTS_MAX },
    };
    let wanted = At {
        keys,
        of: PhantomData,
    };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        wanted.deserialize(deserializer)
    })
    .map_err(|error| describe(path, &error))
}

/// Returns the error without the text of the file that the library repeats.
fn describe(path: &Path, error: &Error) -> String {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let diagnostic = match error {
        Error::ExternalMessage { .. } | Error::Eof { .. } => "this is not YAML",
        Error::DuplicateMappingKey { .. } => "this key is there twice",
        Error::UnknownAnchor { .. } => "this alias has no anchor before it",
        Error::MultipleDocuments { .. } => "there is a second document, and only one is read",
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            "it is nested too deep, or too large with its aliases filled in"
        }
        _ => "this value has another form than it can have (a text, a list, keys with values)",
    };
    let path = path.display();
    match error.location() {
        Some(place) if place.line() > 0 => format!("{path}:{}: {diagnostic}", place.line()),
        _ => format!("{path}: {diagnostic}"),
    }
}

/// Follows `keys` and ignores everything else.
struct At<'a, T> {
    keys: &'a [&'a str],
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for At<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.keys.is_empty() {
            Option::<T>::deserialize(deserializer)
        } else {
            deserializer.deserialize_option(self)
        }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for At<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys with values")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match self.keys.split_first() {
                Some((wanted, keys)) if key == *wanted => {
                    found = map.next_value_seed(At {
                        keys,
                        of: PhantomData,
                    })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

impl<'de> Deserialize<'de> for Cloud {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CloudVisitor)
    }
}

struct CloudVisitor;

impl<'de> Visitor<'de> for CloudVisitor {
    type Value = Cloud;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cloud")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cloud, A::Error> {
        let mut cloud = Cloud::default();
        while let Some(word) = next_word(&mut map)? {
            match word.as_str() {
                AUTH => {
                    let auth: Option<Values> = map.next_value()?;
                    cloud.auth = auth.unwrap_or_default().0;
                }
                "region_name" => cloud.region_name = map.next_value::<Regions>()?.0,
                "regions" => cloud.regions = map.next_value::<Regions>()?.0,
                _ => keep(&mut map, word, &mut cloud.beside)?,
            }
        }
        Ok(cloud)
    }
}

/// Returns the key with `_` for `-`, as openstacksdk reads it.
fn next_word<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    let key = map.next_key::<String>()?;
    Ok(key.map(|key| key.replace('-', "_")))
}

/// Keeps the value of a known key, and ignores an unknown one.
fn keep<'de, A: MapAccess<'de>>(
    map: &mut A,
    word: String,
    values: &mut BTreeMap<String, String>,
) -> Result<(), A::Error> {
    if fact_of(&word).is_none() {
        map.next_value::<IgnoredAny>()?;
    } else if let Some(text) = map.next_value::<Option<String>>()? {
        values.insert(word, text);
    }
    Ok(())
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("words with texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(word) = next_word(&mut map)? {
            keep(&mut map, word, &mut values)?;
        }
        Ok(Values(values))
    }
}

/// A list of regions; also one region, or several separated by commas, which openstacksdk
/// still accepts.
struct Regions(Vec<Region>);

impl<'de> Deserialize<'de> for Regions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RegionsVisitor)
    }
}

struct RegionsVisitor;

impl<'de> Visitor<'de> for RegionsVisitor {
    type Value = Regions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("regions")
    }

    fn visit_unit<E>(self) -> Result<Regions, E> {
        Ok(Regions(Vec::new()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Regions, E> {
        let names = text.split(',').map(str::trim);
        let regions = names.filter(|name| !name.is_empty()).map(|name| Region {
            name: name.to_owned(),
            values: None,
        });
        Ok(Regions(regions.collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Regions, A::Error> {
        let mut regions = Vec::new();
        while let Some(region) = list.next_element()? {
            regions.push(region);
        }
        Ok(Regions(regions))
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RegionVisitor)
    }
}

struct RegionVisitor;

impl<'de> Visitor<'de> for RegionVisitor {
    type Value = Region;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a region")
    }

    fn visit_str<E>(self, name: &str) -> Result<Region, E> {
        Ok(Region {
            name: name.to_owned(),
            values: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Region, A::Error> {
        let (mut name, mut values) = (String::new(), None);
        while let Some(word) = next_word(&mut map)? {
            match word.as_str() {
                "name" => name = map.next_value()?,
                "values" => values = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Region { name, values })
    }
}
