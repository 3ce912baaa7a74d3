//! Import circles: two parts of one folder must not need each other.
//!
//! Each folder is judged by itself. Its parts are its files and its sub-folders, and a part
//! needs another if a file in it names an item of the other; a re-exported name leads to the
//! file that defines it. The folder's own file (`mod.rs`) is a part too: it may declare,
//! re-export and wire the files beside it, which may in turn use what it defines. A
//! sub-folder and the folder's own file must not need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::source::{Path, Source, paths};

/// The part that stands for the folder's own file.
const OWN: &str = "mod.rs";

/// A file that names an item of another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: Vec<String>,
    to: Vec<String>,
    line: usize,
}

/// Parts of a folder that need each other, and the imports by which they do.
pub(crate) struct Circle {
    folder: String,
    parts: Vec<String>,
    imports: Vec<String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: {} need each other: let one own what both use ({})",
            self.folder,
            self.parts.join(", "),
            self.imports.join("; ")
        )
    }
}

/// Every circle between the parts of a folder.
pub(crate) fn circles(sources: &[Source]) -> Vec<Circle> {
    let modules = Modules::of(sources);
    let imports: BTreeSet<Import> = sources
        .iter()
        .flat_map(|source| modules.imports(source))
        .collect();
    let folders: BTreeSet<Vec<String>> = modules
        .files
        .keys()
        .flat_map(|file| (0..file.len()).map(|end| file[..end].to_vec()))
        .collect();
    let in_folder = |folder: &Vec<String>| modules.circles_in(folder, &imports);
    folders.iter().flat_map(in_folder).collect()
}

/// The files of a crate by their modules, with the names that each re-exports.
struct Modules {
    files: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    fn of(sources: &[Source]) -> Self {
        let mut modules = Self {
            files: sources
                .iter()
                .map(|source| (module_of(source), BTreeMap::new()))
                .collect(),
        };
        for source in sources {
            let file = module_of(source);
            let program = source.program();
            let exported = paths(&program);
            let exported = exported.iter().filter(|path| path.exported);
            let names: BTreeMap<_, _> = exported
                .flat_map(members)
                .filter_map(|path| {
                    let target = modules.absolute(&path, &file, &BTreeMap::new())?;
                    Some((path.last()?.to_string(), target))
                })
                .collect();
            modules.files.insert(file, names);
        }
        modules
    }

    /// The path from the crate's root; `None` for one that leads elsewhere.
    fn absolute(
        &self,
        path: &[&str],
        file: &[String],
        imported: &BTreeMap<String, Vec<String>>,
    ) -> Option<Vec<String>> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let rest: Vec<String> = owned(&path[1..]);
        match path[0] {
            "crate" => Some(rest),
            "self" => Some([file, &rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|word| **word == "super").count();
                let kept = file.len().checked_sub(ups)?;
                Some([&file[..kept], &owned(&path[ups..])].concat())
            }
            first => {
                let child = [file, &[first.to_owned()]].concat();
                let base = imported.get(first).cloned();
                let base = base.or_else(|| self.files.contains_key(&child).then_some(child))?;
                Some([base, rest].concat())
            }
        }
    }

    /// The file that defines the item at `path`.
    fn defining(&self, path: &[String], hops: usize) -> Option<Vec<String>> {
        let is_file = |end: &usize| self.files.contains_key(&path[..*end]);
        let end = (1..=path.len()).rev().find(is_file)?;
        let (file, item) = path.split_at(end);
        let target = item.first().and_then(|name| self.files[file].get(name));
        match target {
            Some(target) if hops > 0 => self.defining(&[target, &item[1..]].concat(), hops - 1),
            _ => Some(file.to_vec()),
        }
    }

    fn imports(&self, source: &Source) -> Vec<Import> {
        let file = module_of(source);
        let program = source.program();
        let all = paths(&program);
        let nothing = BTreeMap::new();
        let imported: BTreeMap<String, Vec<String>> = all
            .iter()
            .filter(|path| path.imported)
            .flat_map(members)
            .filter_map(|path| {
                Some((
                    path.last()?.to_string(),
                    self.absolute(&path, &file, &nothing)?,
                ))
            })
            .collect();
        let used = all.iter().filter(|path| !path.exported);
        used.flat_map(|path| members(path).into_iter().map(move |each| (path, each)))
            .filter(|(path, each)| path.imported || each.len() > 1)
            .filter_map(|(path, each)| {
                let target = self.absolute(&each, &file, &imported)?;
                Some(Import {
                    from: file.clone(),
                    to: self.defining(&target, 8)?,
                    line: path.line,
                })
            })
            .filter(|import| import.from != import.to)
            .collect()
    }

    fn circles_in(&self, folder: &[String], imports: &BTreeSet<Import>) -> Vec<Circle> {
        let is_folder = |part: &String| {
            let below = [folder, std::slice::from_ref(part)].concat();
            let mut files = self.files.keys();
            files.any(|file| file.len() > below.len() && file.starts_with(&below))
        };
        let mut needs: BTreeMap<(String, String), &Import> = BTreeMap::new();
        for import in imports {
            let parts = part_of(&import.from, folder).zip(part_of(&import.to, folder));
            let Some((from, to)) = parts.filter(|(from, to)| from != to) else {
                continue;
            };
            let other = if from == OWN { &to } else { &from };
            let is_beside = (from == OWN || to == OWN) && !is_folder(other);
            if !is_beside {
                needs.entry((from, to)).or_insert(import);
            }
        }
        in_circles(&needs.keys())
            .into_iter()
            .map(|parts| {
                let inside =
                    |pair: &(String, String)| parts.contains(&pair.0) && parts.contains(&pair.1);
                let imports = needs.iter().filter(|(pair, _)| inside(pair));
                Circle {
                    folder: ["src", &folder.join("/")]
                        .join("/")
                        .trim_end_matches('/')
                        .to_owned(),
                    imports: imports.map(|(_, import)| shown(import)).collect(),
                    parts,
                }
            })
            .collect()
    }
}

fn shown(import: &Import) -> String {
    let (from, to) = (import.from.join("/"), import.to.join("/"));
    format!("{from}:{} uses {to}", import.line)
}

/// The file's modules from the crate's root down.
fn module_of(source: &Source) -> Vec<String> {
    let modules = source.modules();
    let modules = modules.into_iter().filter(|name| *name != "lib");
    modules.map(str::to_owned).collect()
}

/// The part of `folder` that `file` belongs to, if it is within.
fn part_of(file: &[String], folder: &[String]) -> Option<String> {
    let below = file.strip_prefix(folder)?;
    Some(below.first().map_or(OWN, String::as_str).to_owned())
}

/// A path for each member of its group.
fn members<'a>(path: &Path<'a>) -> Vec<Vec<&'a str>> {
    if path.group.is_empty() {
        return vec![path.segments.clone()];
    }
    let member = |word: &&'a str| match *word {
        "self" => path.segments.clone(),
        word => [path.segments.as_slice(), &[word]].concat(),
    };
    path.group.iter().map(member).collect()
}

/// The sets of parts of which each reaches every other.
fn in_circles<'a>(
    needs: &(impl Iterator<Item = &'a (String, String)> + Clone),
) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut pending = vec![from];
        while let Some(part) = pending.pop() {
            for (_, next) in needs.clone().filter(|(needing, _)| needing == part) {
                if reached.insert(next.clone()) {
                    pending.push(next);
                }
            }
        }
        reached
    };
    let parts: BTreeSet<&String> = needs.clone().map(|(from, _)| from).collect();
    let all: BTreeMap<&String, BTreeSet<String>> = parts
        .into_iter()
        .map(|part| (part, reached(part)))
        .collect();
    let circles: BTreeSet<Vec<String>> = all
        .iter()
        .filter(|(part, reached)| reached.contains(**part))
        .map(|(part, reached)| {
            let back = |other: &&String| all.get(*other).is_some_and(|it| it.contains(*part));
            reached.iter().filter(back).cloned().collect()
        })
        .collect();
    circles.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_circles(files: &[(&str, &str)], wanted: &[&str]) {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        let found: Vec<String> = circles(&sources)
            .iter()
            .map(|circle| format!("{}: {}", circle.folder, circle.parts.join(" ")))
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn files_beside_each_other_form_no_circle() {
        let one = ("src/a/one.rs", "use crate::a::two::Two;\nfn f() {}");
        assert_circles(
            &[one, ("src/a/two.rs", "fn g() { super::one::f(); }")],
            &["src/a: one two"],
        );
        assert_circles(&[one, ("src/a/two.rs", "use crate::b::Two;")], &[]);
        let tests = "#[cfg(test)]\nmod tests {\n    use crate::a::one::f;\n}\n";
        assert_circles(&[one, ("src/a/two.rs", tests)], &[]);
    }

    #[test]
    fn a_path_through_an_imported_module_counts() {
        let one = ("src/a/one.rs", "use crate::a;\nfn f() { a::two::g(); }");
        let two = ("src/a/two.rs", "use crate::a::one;\nfn g() { one::f(); }");
        assert_circles(&[("src/a/mod.rs", ""), one, two], &["src/a: one two"]);
    }

    #[test]
    fn a_reexported_name_leads_to_its_definition() {
        let own = ("src/a/mod.rs", "pub use crate::a::two::{Other, Two};");
        let one = ("src/a/one.rs", "use crate::a::Two;");
        assert_circles(
            &[own, one, ("src/a/two.rs", "use crate::a::one::One;")],
            &["src/a: one two"],
        );
        assert_circles(&[own, one, ("src/a/two.rs", "")], &[]);
    }

    #[test]
    fn the_own_file_wires_its_files_but_no_folder_that_needs_it() {
        let own = ("src/a/mod.rs", "mod b;\nuse self::b::B;\npub struct A;");
        assert_circles(&[own, ("src/a/b.rs", "use crate::a::A;")], &[]);
        let files = [
            own,
            ("src/a/b/mod.rs", ""),
            ("src/a/b/c.rs", "use crate::a::A;"),
        ];
        assert_circles(&files, &["src/a: b mod.rs"]);
    }

    #[test]
    fn folders_form_no_circle_through_different_files() {
        let files = [
            ("src/a/one.rs", "use crate::b::one::B;"),
            ("src/a/two.rs", ""),
            ("src/b/one.rs", ""),
            ("src/b/two.rs", "use crate::a::two::A;"),
        ];
        assert_circles(&files, &["src: a b"]);
    }
}
