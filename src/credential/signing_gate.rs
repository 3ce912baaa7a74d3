//! Decides whether to sign with an access key whose signatures may be refused. Pure.
//!
//! The API gateway locks an access key for five minutes after more than five wrong
//! signatures ("AK access failed to reach the limit", `services.md` section 3), for all
//! programs that use it. So a key that no service has accepted yet signs one request at a
//! time, and after a few refusals in a row it signs nothing for as long as a lock would
//! last.

use std::time::Duration;

/// Refusals in a row after which no request is signed: fewer than the gateway's five.
pub const REFUSALS_MAX: u32 = 3;
/// The time for which no request is signed then: as long as the gateway's lock.
pub const LOCK_WINDOW: Duration = Duration::from_mins(5);
/// A trial without a result after this time counts as abandoned.
const TRIAL_MAX: Duration = Duration::from_secs(40);

/// The state of an access key. Times are of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningGate {
    phase: Phase,
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unproven,
    Trial { since: Duration },
    Proven,
    Stopped { until: Duration },
}

/// The answer to a request to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateAnswer {
    Sign,
    /// Not before the request on trial is answered.
    Wait,
    /// No request is signed for this long.
    Stopped(Duration),
}

/// The result for a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureResult {
    /// The signature was right, even if the request was refused for another reason.
    Accepted,
    /// The gateway did not accept the signature.
    Refused,
    /// The gateway has locked the key.
    Locked,
    /// The answer does not show whether the signature was right.
    Nothing,
}

impl Default for SigningGate {
    fn default() -> Self {
        Self {
            phase: Phase::Unproven,
            refusals: 0,
        }
    }
}

impl SigningGate {
    /// Asks to sign a request. The caller must report the result to
    /// [`record`](Self::record).
    pub fn ask(&mut self, uptime: Duration) -> GateAnswer {
        match self.phase {
            Phase::Proven => return GateAnswer::Sign,
            Phase::Trial { since } if uptime.saturating_sub(since) < TRIAL_MAX => {
                return GateAnswer::Wait;
            }
            Phase::Stopped { until } if uptime < until => {
                return GateAnswer::Stopped(until.saturating_sub(uptime));
            }
            Phase::Unproven | Phase::Trial { .. } | Phase::Stopped { .. } => {}
        }
        self.phase = Phase::Trial { since: uptime };
        GateAnswer::Sign
    }

    /// Records the result for a signed request.
    pub fn record(&mut self, result: SignatureResult, uptime: Duration) {
        match result {
            SignatureResult::Accepted => {
                self.phase = Phase::Proven;
                self.refusals = 0;
            }
            SignatureResult::Refused => {
                self.refusals = self.refusals.saturating_add(1);
                if self.refusals > REFUSALS_MAX {
                    self.stop(uptime);
                } else {
                    self.phase = Phase::Unproven;
                }
            }
            SignatureResult::Locked => self.stop(uptime),
            SignatureResult::Nothing => {
                if matches!(self.phase, Phase::Trial { .. }) {
                    self.phase = Phase::Unproven;
                }
            }
        }
    }

    /// Returns the number of refusals in a row.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// True if no request is signed for now.
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped { .. })
    }

    /// Returns the time until a signature is tried again; `None` if signing is not stopped.
    pub fn stopped_for(&self, uptime: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Stopped { until } if uptime < until => Some(until.saturating_sub(uptime)),
            _ => None,
        }
    }

    fn stop(&mut self, uptime: Duration) {
        self.phase = Phase::Stopped {
            until: uptime + LOCK_WINDOW,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_unproven_key_signs_one_request_at_a_time() {
        let mut gate = SigningGate::default();
        assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
        assert_eq!(gate.ask(SECOND), GateAnswer::Wait);
        gate.record(SignatureResult::Nothing, SECOND);
        assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
        gate.record(SignatureResult::Accepted, SECOND);
        assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
        assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
    }

    #[test]
    fn an_abandoned_trial_does_not_block_the_key() {
        let mut gate = SigningGate::default();
        gate.ask(SECOND);
        assert_eq!(gate.ask(SECOND + TRIAL_MAX), GateAnswer::Sign);
    }

    #[test]
    fn refusals_in_a_row_stop_signing_for_the_lock_window() {
        let mut gate = SigningGate::default();
        for _ in 0..=REFUSALS_MAX {
            assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
            gate.record(SignatureResult::Refused, SECOND);
        }
        assert_eq!(gate.ask(SECOND), GateAnswer::Stopped(LOCK_WINDOW));
        let over = SECOND + LOCK_WINDOW;
        // One request is tried; its refusal stops the next at once.
        assert_eq!(gate.ask(over), GateAnswer::Sign);
        assert_eq!(gate.ask(over), GateAnswer::Wait);
        gate.record(SignatureResult::Refused, over);
        assert_eq!(gate.ask(over), GateAnswer::Stopped(LOCK_WINDOW));
    }

    #[test]
    fn a_refusal_between_acceptances_stops_nothing() {
        let mut gate = SigningGate::default();
        for _ in 0..100 {
            assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
            gate.record(SignatureResult::Refused, SECOND);
            assert_eq!(gate.ask(SECOND), GateAnswer::Sign);
            gate.record(SignatureResult::Accepted, SECOND);
        }
        assert_eq!(gate.refusals(), 0);
    }

    #[test]
    fn a_reported_lock_stops_signing_at_once() {
        let mut gate = SigningGate::default();
        gate.ask(SECOND);
        gate.record(SignatureResult::Accepted, SECOND);
        gate.record(SignatureResult::Locked, SECOND);
        assert!(matches!(gate.ask(SECOND), GateAnswer::Stopped(_)));
    }
}
