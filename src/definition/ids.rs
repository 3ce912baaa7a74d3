//! The comparison of job ids.

use uuid::Uuid;

/// The length of a UUID with its dashes.
const UUID_LENGTH: usize = 36;

/// True if the two are equal, or are the same UUID in its form with dashes: some services
/// answer with a UUID in another case than that of the request.
pub fn same_id(one: &str, other: &str) -> bool {
    one == other
        || (one.len() == UUID_LENGTH
            && one.eq_ignore_ascii_case(other)
            && Uuid::try_parse(one).is_ok())
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
        // Without dashes it may be any hexadecimal id, whose case counts.
        let plain = uuid.replace('-', "");
        assert!(!same_id(&plain, &plain.to_uppercase()));
        assert!(!same_id(uuid, &plain));
        let not_a_uuid = "deploy-of-the-west-region-2024-01-25";
        assert_eq!(not_a_uuid.len(), UUID_LENGTH);
        assert!(!same_id(not_a_uuid, &not_a_uuid.to_uppercase()));
    }
}
