//! The arguments: the parts to measure, and their sizes.

use crate::cores::Cores;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Polls,
    Paced,
    Transitions,
    Submissions,
    Log,
    Stored,
}

/// The parts by their names, in the order in which they are measured.
const PARTS: [(&str, Part); 6] = [
    ("polls", Part::Polls),
    ("paced", Part::Paced),
    ("transitions", Part::Transitions),
    ("submissions", Part::Submissions),
    ("log", Part::Log),
    ("stored", Part::Stored),
];

/// The parts to measure, and how large they are.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cores: Cores,
    pub(crate) parts: Vec<Part>,
    /// The rounds of polls; each runs the daemon and the bare client.
    pub(crate) rounds: u64,
    /// The seconds for which saturated polls are counted.
    pub(crate) seconds: u64,
    /// The jobs of saturated polls.
    pub(crate) polls: u64,
    /// The jobs that are polled every 2 s.
    pub(crate) paced: u64,
    /// The seconds over which these jobs end.
    pub(crate) spread: u64,
    /// The jobs that end at the same time.
    pub(crate) transitions: u64,
    /// The submissions one by one.
    pub(crate) submissions: u64,
    /// The events for the log sink.
    pub(crate) log: u64,
    /// The numbers of stored watches.
    pub(crate) stored: Vec<u64>,
}

impl Plan {
    /// Reads the arguments; the order does not matter.
    ///
    /// # Errors
    /// An argument is not known.
    pub(crate) fn read(arguments: &[String], cores: Cores) -> Result<Self, String> {
        let is_small = arguments.iter().any(|it| it == "--small");
        let mut plan = if is_small {
            Self::small(cores)
        } else {
            Self::full(cores)
        };
        for argument in arguments.iter().filter(|it| !it.starts_with("--")) {
            if let Some((name, value)) = argument.split_once('=') {
                plan.resize(name, value)?;
            } else if let Some((_, part)) = PARTS.iter().find(|(name, _)| name == argument) {
                plan.parts.push(*part);
            } else {
                let names = PARTS.map(|(name, _)| name).join(", ");
                return Err(format!("unknown part `{argument}` (known: {names})"));
            }
        }
        if plan.parts.is_empty() {
            plan.parts = PARTS.map(|(_, part)| part).into();
        }
        Ok(plan)
    }

    fn full(cores: Cores) -> Self {
        Self {
            cores,
            parts: Vec::new(),
            rounds: 3,
            seconds: 3,
            polls: 2_000,
            paced: 10_000,
            spread: 30,
            transitions: 20_000,
            submissions: 50_000,
            log: 100_000,
            stored: vec![100_000, 1_000_000],
        }
    }

    fn small(cores: Cores) -> Self {
        Self {
            rounds: 1,
            seconds: 1,
            polls: 200,
            paced: 300,
            spread: 2,
            transitions: 500,
            submissions: 1_000,
            log: 2_000,
            stored: vec![2_000],
            ..Self::full(cores)
        }
    }

    fn resize(&mut self, name: &str, value: &str) -> Result<(), String> {
        let numbers: Option<Vec<u64>> = value
            .split(',')
            .map(|number| number.replace('_', "").parse().ok().filter(|&n| n > 0))
            .collect();
        let wrong = format!("invalid size `{name}={value}`: write a whole number above 0");
        let numbers = numbers.ok_or_else(|| wrong.clone())?;
        if name == "stored" {
            self.stored = numbers;
            return Ok(());
        }
        let size = match name {
            "rounds" => &mut self.rounds,
            "seconds" => &mut self.seconds,
            "polls" => &mut self.polls,
            "paced" => &mut self.paced,
            "spread" => &mut self.spread,
            "transitions" => &mut self.transitions,
            "submissions" => &mut self.submissions,
            "log" => &mut self.log,
            _ => {
                return Err(format!(
                    "unknown size `{name}` (known: rounds, seconds, polls, paced, spread, \
                     transitions, submissions, log, stored)"
                ));
            }
        };
        let [number] = numbers[..] else {
            return Err(wrong);
        };
        *size = number;
        Ok(())
    }
}
