//! Ids in the forms of the services, made from a counter.
//!
//! The same order of requests gives the same ids, so a rehearsal can be repeated, and a test
//! knows the id of a job before it exists.

use super::service::Service;

/// Returns the id of job `number`.
///
/// DCS and SDRS use 32 hexadecimal digits without dashes, SFS Turbo a UUID (the example
/// responses of their API references).
pub(super) fn job_id(service: Service, number: u64) -> String {
    match service {
        Service::Dcs | Service::Sdrs => hex_id(number, 0),
        Service::SfsTurbo => uuid(number, 0),
    }
}

/// Returns the id of sub-job `index` of job `number`.
pub(super) fn sub_job_id(service: Service, number: u64, index: usize) -> String {
    let part = index as u64 + 1;
    match service {
        Service::Dcs | Service::Sdrs => hex_id(number, part),
        Service::SfsTurbo => uuid(number, part),
    }
}

/// Returns the id of the protection group that job `number` works on.
pub(super) fn server_group_id(number: u64) -> String {
    uuid(number, u64::MAX)
}

/// Returns the id of request `number` in the form of the gateway: 32 hexadecimal digits.
pub(super) fn request_id(number: u64) -> String {
    let (high, low) = mixed(number, u64::MAX - 1);
    format!("{high:016x}{low:016x}")
}

// Ids of the job framework begin with this prefix and differ in the digits behind it.
fn hex_id(number: u64, part: u64) -> String {
    let (high, _) = mixed(number, 0);
    format!("ff808082{high:016x}{:08x}", part & 0xffff_ffff)
}

fn uuid(number: u64, part: u64) -> String {
    let (high, low) = mixed(number, part);
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

fn mixed(number: u64, part: u64) -> (u64, u64) {
    let high = scramble(number);
    (high, scramble(high ^ part))
}

// SplitMix64's finaliser: a bijection, so two numbers never share an id.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_their_service() {
        for service in [Service::Dcs, Service::Sdrs] {
            for id in [job_id(service, 7), sub_job_id(service, 7, 3)] {
                assert_eq!(id.len(), 32, "{id}");
                assert!(id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
            }
        }
        let id = job_id(Service::SfsTurbo, 7);
        assert_eq!(
            id.split('-').map(str::len).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert_eq!(request_id(0).len(), 32);
    }

    #[test]
    fn ids_are_unique() {
        let mut ids = std::collections::HashSet::new();
        for number in 0..1000 {
            assert!(ids.insert(job_id(Service::Dcs, number)));
            assert!(ids.insert(job_id(Service::SfsTurbo, number)));
            assert!(ids.insert(sub_job_id(Service::Sdrs, number, 0)));
            assert!(ids.insert(sub_job_id(Service::SfsTurbo, number, 0)));
        }
    }
}
