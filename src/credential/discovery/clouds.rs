//! `kind = "clouds"`: an account of a `clouds.yaml`, found and read as by openstacksdk (its
//! release 4.22, `openstack/config/loader.py`).
//!
//! `secure.yaml` is laid over `clouds.yaml`, key by key. `${VARIABLES}` are not filled in.
//! If openstacksdk cannot read or understand a file, it silently takes the next; we report
//! an error, because another account would be used without notice.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::credential::discovery::account::{Account, readable_by_all};
use crate::credential::discovery::cloud_file::{Cloud, CloudFile, Region, WORDS, bare};
use crate::credential::discovery::facts::{Fact, Facts};
use crate::credential::discovery::profiles::Profile;
use crate::credential::discovery::resolve::region_of_project;
use crate::credential::discovery::{profiles, resolve};
use crate::suggest;

/// The names of the files, without the ending.
const CLOUDS: &str = "clouds";
const SECURE: &str = "secure";
/// The variables that name the files.
const CLOUDS_VARIABLE: &str = "OS_CLIENT_CONFIG_FILE";
const SECURE_VARIABLE: &str = "OS_CLIENT_SECURE_FILE";
/// JSON is also YAML, so one parser reads all of these.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// The most names that a message lists; of more, only the nearest helps.
const LISTED_MAX: usize = 16;

/// Returns the account of a cloud; see
/// [`from_clouds`](crate::credential::discovery::from_clouds).
pub(super) fn account(
    name: Option<&str>,
    environment: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Account, Vec<String>> {
    Search {
        environment,
        folder,
        folders: folders(environment, folder),
    }
    .account(name)
}

/// Returns the folders to search, the preferred one first.
fn folders(environment: &BTreeMap<String, String>, folder: &Path) -> Vec<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let user = set("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = set("HOME").map(|home| Path::new(home).join(".config"));
    let site = set("XDG_CONFIG_DIRS").map_or("/etc/xdg", String::as_str);
    let site = site.split(':').map(PathBuf::from);
    let mut folders = vec![folder.to_owned()];
    let configurations = user.into_iter().chain(home).chain(site);
    folders.extend(configurations.map(|place| place.join("openstack")));
    folders.push(PathBuf::from("/etc/openstack"));
    folders.dedup();
    folders
}

struct Search<'a> {
    environment: &'a BTreeMap<String, String>,
    /// The working directory, which relative paths start from.
    folder: &'a Path,
    folders: Vec<PathBuf>,
}

impl Search<'_> {
    fn account(&self, name: Option<&str>) -> Result<Account, Vec<String>> {
        let one = |diagnostic: String| vec![diagnostic];
        let clouds = self.file(CLOUDS, CLOUDS_VARIABLE);
        let secure = self.file(SECURE, SECURE_VARIABLE);
        let files = both(secure, clouds)?;
        if files.is_empty() {
            return Err(one(self.nothing_found()));
        }
        let name = self.name(name, &files).map_err(one)?;
        let entries: Vec<Cloud> = files
            .iter()
            .map(|file| file.cloud(&name))
            .collect::<Result<_, _>>()
            .map_err(one)?;
        self.build(&name, &files, &entries)
    }

    /// Returns the file that `variable` names, or else the first that exists.
    fn file(&self, stem: &str, variable: &str) -> Result<Option<CloudFile>, String> {
        if let Some(named) = self.set(variable) {
            let path = self.folder.join(named);
            return CloudFile::read(&path)
                .map(Some)
                .map_err(|diagnostic| format!("{diagnostic} ({variable} names it)"));
        }
        let named =
            |folder: &PathBuf| ENDINGS.map(|ending| folder.join(format!("{stem}.{ending}")));
        let mut paths = self.folders.iter().flat_map(named);
        let found = paths.find(|path| path.exists());
        found.map(|path| CloudFile::read(&path)).transpose()
    }

    fn set(&self, variable: &str) -> Option<&str> {
        let text = self.environment.get(variable)?;
        Some(text.as_str()).filter(|text| !text.is_empty())
    }

    fn nothing_found(&self) -> String {
        let folders: Vec<String> = self
            .folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        format!(
            "there is no clouds.yaml in any of {}; {CLOUDS_VARIABLE} can name one",
            folders.join(", ")
        )
    }

    /// Returns the cloud to use: the configured one, that of `OS_CLOUD`, or the only one.
    fn name(&self, wanted: Option<&str>, files: &[CloudFile]) -> Result<String, String> {
        let mut names: Vec<&str> = files
            .iter()
            .flat_map(|file| file.names.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        let place = place_of(files);
        let picked = self.set("OS_CLOUD");
        let Some(name) = wanted.or(picked) else {
            return match names.as_slice() {
                [only] => Ok((*only).to_owned()),
                [] => Err(format!("{place}: there is no cloud in it")),
                _ => Err(format!(
                    "{place}: there are several clouds ({}); name one, here or in OS_CLOUD",
                    listed(&names)
                )),
            };
        };
        if names.contains(&name) {
            return Ok(name.to_owned());
        }
        let who = if wanted.is_none() {
            ", which OS_CLOUD names,"
        } else {
            ""
        };
        let hint = suggest::did_you_mean(name, names.iter().copied());
        let listed = listed(&names);
        Err(format!(
            "there is no cloud `{name}`{who} in {place}{hint} (there are: {listed})"
        ))
    }

    /// Builds the account. `entries` has the values from each of `files`, in order of
    /// precedence.
    fn build(
        &self,
        name: &str,
        files: &[CloudFile],
        entries: &[Cloud],
    ) -> Result<Account, Vec<String>> {
        let region = region_of_cloud(entries);
        // The values of a region take precedence over those of the cloud.
        let own = region.and_then(|region| region.values.as_ref());
        let all: Vec<&Cloud> = own.into_iter().chain(entries).collect();
        let mut facts = facts(format!("{}, cloud `{name}`", place_of(files)), &all);
        let secrets = files
            .iter()
            .zip(entries)
            .filter(|(_, entry)| entry.has_secret());
        let mut warnings: Vec<String> = secrets
            .filter_map(|(file, _)| readable_by_all(&file.path))
            .collect();
        let profile = match profile(&facts) {
            // As in openstacksdk: a cloud with its own `auth_url` needs no profile.
            Err(diagnostic) if facts.has(Fact::AuthUrl) => {
                warnings.push(diagnostic);
                None
            }
            found => found.map_err(|diagnostic| vec![diagnostic])?,
        };
        if let Some(profile) = profile {
            facts.add(Fact::AuthUrl, "profile", profile.auth_url);
        }
        let region = region
            .map(|region| region.name.clone())
            .or_else(|| self.other_region(&facts))
            .or_else(|| profile.map(|profile| profile.region.to_owned()));
        let paths = files.iter().map(|file| file.path.clone()).collect();
        let mut account = resolve::account(&facts, region, paths)?;
        account.warnings.extend(warnings);
        Ok(account)
    }

    /// Returns the region of a cloud that names none.
    fn other_region(&self, facts: &Facts) -> Option<String> {
        let set = self.set("OS_REGION_NAME").or_else(|| self.set("OS_REGION"));
        set.map(str::to_owned).or_else(|| region_of_project(facts))
    }
}

/// Returns both files, or the errors of each.
fn both(
    one: Result<Option<CloudFile>, String>,
    other: Result<Option<CloudFile>, String>,
) -> Result<Vec<CloudFile>, Vec<String>> {
    let (files, diagnostics): (Vec<_>, Vec<_>) = [one, other].into_iter().partition(Result::is_ok);
    if diagnostics.is_empty() {
        Ok(files.into_iter().flatten().flatten().collect())
    } else {
        Err(diagnostics.into_iter().filter_map(Result::err).collect())
    }
}

fn place_of(files: &[CloudFile]) -> String {
    let paths: Vec<String> = files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    paths.join(" and ")
}

fn listed(names: &[&str]) -> String {
    if names.len() > LISTED_MAX {
        return format!("{} of them", names.len());
    }
    names.join(", ")
}

/// Returns the region of the account: `region_name`, with its values in `regions`, or else
/// the first of `regions`, which openstacksdk takes even then.
fn region_of_cloud(entries: &[Cloud]) -> Option<&Region> {
    let listed = entries.iter().find(|cloud| !cloud.regions.is_empty());
    let listed = listed.map_or(&[][..], |cloud| cloud.regions.as_slice());
    let Some(named) = entries.iter().find_map(|cloud| cloud.region_name.first()) else {
        return listed.first();
    };
    let detailed = listed.iter().find(|region| region.name == named.name);
    Some(detailed.unwrap_or(named))
}

/// Returns the facts of the entries, which are in order of precedence.
fn facts(place: String, entries: &[&Cloud]) -> Facts {
    let mut facts = Facts::new(place, WORDS);
    for (fact, word) in WORDS {
        let word = bare(word);
        let within = entries.iter().find_map(|cloud| cloud.auth.get(word));
        let within = within.map(|text| (format!("auth.{word}"), text));
        let beside = entries.iter().find_map(|cloud| cloud.beside.get(word));
        let beside = beside.map(|text| (word.to_owned(), text));
        let found = if is_beside_first(*fact) {
            beside.or(within)
        } else {
            within.or(beside)
        };
        if let Some((name, text)) = found {
            facts.add(*fact, &name, text);
        }
    }
    facts
}

/// True for the values that openstacksdk takes from beside `auth` first.
fn is_beside_first(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::ProjectName
            | Fact::ProjectId
            | Fact::DomainName
            | Fact::DomainId
            | Fact::UserDomainName
            | Fact::UserDomainId
            | Fact::ProjectDomainName
            | Fact::ProjectDomainId
            | Fact::Token
            | Fact::Passcode
    )
}

/// Returns the vendor profile that is named.
fn profile(facts: &Facts) -> Result<Option<&'static Profile>, String> {
    let Some(name) = facts.text(Fact::Profile) else {
        return Ok(None);
    };
    profiles::profile(name).map(Some).ok_or_else(|| {
        let hint = suggest::did_you_mean(name, profiles::names());
        let known: Vec<&str> = profiles::names().collect();
        format!(
            "{}: unknown profile `{name}`{hint} (known: {}); or set `auth.auth_url`",
            facts.place,
            known.join(", ")
        )
    })
}
