//! The answer to a poll: a pure function of the job, the moment and the request.
//!
//! The order of the faults is documented in `faults`.

use std::time::Duration;

use jiff::Timestamp;

use super::answer::Answer;
use super::faults::Fault;
use super::gateway::Request;
use super::job::Job;
use super::service::Service;
use super::{dcs, gateway, sdrs, sfs_turbo};

/// Answers a poll of `job`; `None` when there is no such job.
pub(super) fn to_poll(
    service: Service,
    job: Option<&Job>,
    request: Request<'_>,
    now: Timestamp,
) -> Answer {
    let refusal = gateway::refusal(service, job, request, now);
    let mut answer = refusal.unwrap_or_else(|| match job {
        Some(job) => with_faults(job, request, now),
        None => served(service, None, request, now),
    });
    answer.delay = job.map_or(Duration::ZERO, |job| job.spec.faults.slow);
    answer
}

fn with_faults(job: &Job, request: Request<'_>, now: Timestamp) -> Answer {
    let served_before = job.polls.count - job.polls.refused;
    let service = job.spec.service;
    match job.spec.faults.fault_after(served_before) {
        Fault::ServerError(status) => server_error(service, status),
        Fault::Throttled(retry_after) => gateway::throttled(retry_after, request.id, now),
        Fault::Forbidden => gateway::forbidden(request.id),
        Fault::Malformed => gateway::html_page(),
        Fault::Torn => Answer {
            is_torn: true,
            ..served(service, Some(job), request, now)
        },
        Fault::None => served(service, Some(job), request, now),
    }
}

/// Returns the answer of the service itself, once the request has reached it.
fn served(service: Service, job: Option<&Job>, request: Request<'_>, now: Timestamp) -> Answer {
    if service == Service::SfsTurbo && !request.has_content_type {
        return sfs_turbo::error(sfs_turbo::BAD_PARAMETER);
    }
    let Some(job) = job.filter(|job| job.is_known(now)) else {
        return unknown_job(service);
    };
    let snapshot = job.snapshot(now);
    match service {
        Service::Dcs => dcs::job(&snapshot),
        Service::SfsTurbo => sfs_turbo::job(&snapshot),
        Service::Sdrs => sdrs::job(&snapshot, job.number),
    }
}

fn unknown_job(service: Service) -> Answer {
    match service {
        Service::Dcs => dcs::error(dcs::UNKNOWN_JOB),
        Service::SfsTurbo => sfs_turbo::error(sfs_turbo::UNKNOWN_JOB),
        Service::Sdrs => sdrs::error(sdrs::UNKNOWN_JOB),
    }
}

fn server_error(service: Service, status: u16) -> Answer {
    let answer = match service {
        Service::Dcs => dcs::error(dcs::INTERNAL_ERROR),
        Service::SfsTurbo => sfs_turbo::error(sfs_turbo::INTERNAL_ERROR),
        Service::Sdrs => sdrs::error(sdrs::INTERNAL_ERROR),
    };
    Answer { status, ..answer }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::simulator::faults::{Faults, RetryAfter, Throttle};
    use crate::simulator::gateway::Credential;
    use crate::simulator::job::tests::{at_ms, job as created};
    use crate::simulator::job::{FirstToken, PollNote};
    use crate::simulator::spec::{Ending, JobSpec};

    const GOOD: Request<'_> = Request {
        credential: Credential::Token(1),
        has_content_type: true,
        id: "r1",
    };

    fn with(service: Service, faults: Faults) -> Job {
        let spec = JobSpec::new(service, Duration::from_secs(10), Ending::Succeeded);
        created(JobSpec { faults, ..spec })
    }

    fn poll(job: &mut Job, request: Request<'_>, ms: i64) -> Answer {
        let answer = to_poll(job.spec.service, Some(job), request, at_ms(ms));
        let note = PollNote::at(at_ms(ms), job.created, answer.status, answer.is_torn);
        job.polls.note(note);
        answer
    }

    fn text(answer: &Answer) -> &str {
        std::str::from_utf8(&answer.body).unwrap()
    }

    #[test]
    fn each_service_answers_an_unknown_job_in_its_way() {
        let table = [
            (Service::Dcs, 400, "DCS.4133"),
            (Service::SfsTurbo, 404, "SFS.TURBO.0019"),
            (Service::Sdrs, 404, "SDRS.0408"),
        ];
        for (service, status, code) in table {
            let answer = to_poll(service, None, GOOD, at_ms(0));
            assert_eq!(answer.status, status, "{service:?}");
            assert!(text(&answer).contains(code), "{service:?}");
        }
    }

    #[test]
    fn credentials_are_checked_first() {
        let table = [
            (Service::Dcs, Credential::Missing, "x-auth-token not found"),
            (Service::Dcs, Credential::NotAccepted, "111401001"),
            (
                Service::SfsTurbo,
                Credential::NotAccepted,
                "decrypt token fail",
            ),
            (Service::Sdrs, Credential::NotAccepted, "decrypt token fail"),
        ];
        for (service, credential, expected) in table {
            let answer = to_poll(service, None, Request { credential, ..GOOD }, at_ms(0));
            assert_eq!(answer.status, 401);
            assert!(text(&answer).contains(expected), "{}", text(&answer));
        }
    }

    #[test]
    fn only_sfs_turbo_demands_a_content_type() {
        let bare = Request {
            has_content_type: false,
            ..GOOD
        };
        for service in Service::ALL {
            let status = poll(&mut with(service, Faults::default()), bare, 0).status;
            let expected = if service == Service::SfsTurbo {
                400
            } else {
                200
            };
            assert_eq!(status, expected, "{service:?}");
        }
    }

    #[test]
    fn faults_come_in_order_before_the_job_is_shown() {
        let faults = Faults {
            server_errors: 3,
            throttle: Some(Throttle {
                polls: 1,
                retry_after: RetryAfter::Seconds(2),
            }),
            forbidden: 1,
            malformed: 1,
            torn: 1,
            slow: Duration::from_secs(3),
            ..Faults::default()
        };
        for service in Service::ALL {
            let mut job = with(service, faults.clone());
            let answers: Vec<_> = (0..8).map(|_| poll(&mut job, GOOD, 0)).collect();
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [502, 503, 500, 429, 403, 200, 200, 200]);
            assert_eq!(answers[3].retry_after.as_deref(), Some("2"));
            assert!(text(&answers[5]).starts_with("<!DOCTYPE html>"));
            let torn: Vec<_> = answers.iter().map(|answer| answer.is_torn).collect();
            assert_eq!(
                torn,
                [false, false, false, false, false, false, true, false]
            );
            assert_eq!(answers[6].body, answers[7].body);
            assert!(answers.iter().all(|answer| answer.delay.as_secs() == 3));
        }
    }

    #[test]
    fn a_refused_poll_uses_up_no_fault() {
        let mut job = with(
            Service::Sdrs,
            Faults {
                server_errors: 1,
                ..Faults::default()
            },
        );
        let refused = Request {
            credential: Credential::Missing,
            ..GOOD
        };
        let statuses = [refused, refused, GOOD, GOOD].map(|r| poll(&mut job, r, 0).status);
        assert_eq!(statuses, [401, 401, 502, 200]);
    }

    #[test]
    fn a_job_may_be_unknown_at_first() {
        let not_found_for = Duration::from_secs(5);
        let mut job = with(
            Service::Dcs,
            Faults {
                not_found_for,
                ..Faults::default()
            },
        );
        let statuses = [0, 4_999, 5_000].map(|ms| poll(&mut job, GOOD, ms).status);
        assert_eq!(statuses, [400, 400, 200]);
    }

    #[test]
    fn the_first_token_expires_and_another_is_accepted() {
        let token_expires_after = Some(Duration::from_secs(3));
        let mut job = with(
            Service::Dcs,
            Faults {
                token_expires_after,
                ..Faults::default()
            },
        );
        job.polls.first_token = Some(FirstToken {
            fingerprint: 1,
            used: at_ms(1_000),
        });
        let other = Request {
            credential: Credential::Token(2),
            ..GOOD
        };
        let table = [(GOOD, 3_999, 200), (GOOD, 4_000, 401), (other, 4_000, 200)];
        for (request, ms, status) in table {
            assert_eq!(poll(&mut job, request, ms).status, status, "{ms}");
        }
    }
}
