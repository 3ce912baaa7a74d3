//! The key of a job, by which it is known whether it is watched already, and which replica polls it.

use sha2::{Digest, Sha256};

use crate::watch::{Params, Watch};

/// Returns the key that makes two submissions the same watch: SHA-256 over service, params
/// and job id, each preceded by its length. The first byte is the shard.
pub fn of(watch: &Watch) -> [u8; 32] {
    key_of(&watch.service, &watch.params, &watch.job_id)
}

/// Does the same with the parts of a watch.
pub fn key_of(service: &str, params: &Params, job_id: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    part(service);
    for (name, value) in params {
        part(name);
        part(value);
    }
    part(job_id);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_each_part_and_on_where_it_ends() {
        let none = Params::new();
        let project = Params::from([("project_id".to_owned(), "p".to_owned())]);
        let keys = [
            key_of("dcs", &none, "ab"),
            key_of("dcsa", &none, "b"),
            key_of("dcs", &none, "abc"),
            key_of("dcs", &project, "ab"),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(!keys[n + 1..].contains(key));
        }
    }
}
