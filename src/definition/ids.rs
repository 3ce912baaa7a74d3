//! The comparison of job ids.

use uuid::Uuid;

/// The length of a UUID with its dashes.
const UUID_LENGTH: usize = 36;
/// The length of a UUID without them.
const PLAIN_LENGTH: usize = 32;

/// True if the two are equal, or are the same UUID and one has the form with dashes: some services
/// answer with a UUID in another case than that of the request, or without its dashes.
pub fn same_id(one: &str, other: &str) -> bool {
    one == other || matches!((uuid(one), uuid(other)), (Some(one), Some(other)) if one == other)
}

/// Returns a text that is the same for ids that [`same_id`] takes for the same.
pub fn key(id: &str) -> String {
    match uuid(id) {
        Some(uuid) => uuid.simple().to_string(),
        None => id.to_owned(),
    }
}

/// Reads a UUID with dashes, or without them in lower case. A text of 32 hexadecimal digits with
/// capitals may be any other id, whose case counts.
fn uuid(id: &str) -> Option<Uuid> {
    let is_plain = id.len() == PLAIN_LENGTH && !id.bytes().any(|b| b.is_ascii_uppercase());
    let is_uuid = is_plain || id.len() == UUID_LENGTH;
    Uuid::try_parse(id).ok().filter(|_| is_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uuids_compare_whatever_their_case() {
        let uuid = "9f1c2e7a-0b3d-4e5f-8a6b-7c8d9e0f1a2b";
        assert!(same_id(uuid, &uuid.to_uppercase()));
        assert!(same_id("Job-7", "Job-7"));
        assert!(!same_id("Job-7", "job-7"));
        assert!(!same_id(uuid, "9f1c2e7a-0b3d-4e5f-8a6b-7c8d9e0f1a2c"));
        let plain = uuid.replace('-', "");
        assert!(same_id(uuid, &plain) && same_id(&plain, &uuid.to_uppercase()));
        assert_eq!(key(&plain), key(&uuid.to_uppercase()));
        // Without dashes it may be any hexadecimal id, whose case counts.
        assert!(!same_id(&plain, &plain.to_uppercase()));
        let not_a_uuid = "deploy-of-the-west-region-2024-01-25";
        assert_eq!(not_a_uuid.len(), UUID_LENGTH);
        assert!(!same_id(not_a_uuid, &not_a_uuid.to_uppercase()));
    }
}
