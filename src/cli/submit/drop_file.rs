//! `submit --drop`: writes a submission into the drop folder of a daemon.

use std::path::Path;

use rand::RngExt;
use serde_json::json;

use crate::cli::complaint::complain_of_usage;
use crate::cli::exit::Exit;
use crate::cli::output::{say, say_json};
use crate::clock::machine_seeded_rng;
use crate::watch::request::WatchRequest;
use crate::workers::drop_folder::write_new;

/// Writes a submission under a name of its own, and prints the name.
pub(super) fn write(folder: &Path, request: &WatchRequest, as_json: bool) -> Result<(), Exit> {
    let faults = request.check();
    if !faults.is_empty() {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(complain_of_usage(&faults.join("; ")));
    }
    let body = serde_json::to_string(request).expect("string keys only");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let service: String = request.service.chars().take(64).map(plain).collect();
    let number: u64 = machine_seeded_rng().random();
    let name = format!("{service}-{number:016x}");
    write_new(folder, &name, &body).map_err(|error| {
        let folder = folder.display();
        complain_of_usage(&format!(
            "cannot write the submission into {folder}: {error}"
        ))
    })?;
    if as_json {
        say_json(&json!({"name": name, "folder": folder}));
    } else {
        say(&name);
    }
    Ok(())
}
