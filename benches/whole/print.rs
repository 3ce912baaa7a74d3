//! The lines of the report: a figure, its limit in the same run, and its goal.

/// The goal of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most so many times its limit.
    Ratio(f64),
    /// The figure explains another one.
    None,
}

/// The text beside a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Beside<'a> {
    /// The limit of the figure, in the same unit.
    Limit(&'a str, f64),
    /// Another figure of the same measurement, in the same unit.
    Also(&'a str, f64),
    Nothing,
}

/// Prints a figure with its unit, beside its limit and its goal.
pub(crate) fn figure(name: &str, (ours, unit): (f64, &str), beside: Beside<'_>, goal: Goal) {
    let text_beside = match beside {
        Beside::Limit(name, bare) => format!("{name} {} (ratio {:.2})", show(bare), ours / bare),
        Beside::Also(name, other) => format!("{name} {}", show(other)),
        Beside::Nothing => String::new(),
    };
    let (goal, is_met) = match goal {
        Goal::AtMost(most) => (format!("goal ≤ {}", show(most)), ours <= most),
        Goal::AtLeast(least) => (format!("goal ≥ {}", show(least)), ours >= least),
        Goal::Ratio(most) => {
            let is_met = matches!(beside, Beside::Limit(_, bare) if ours <= most * bare);
            (format!("goal ratio ≤ {most}"), is_met)
        }
        Goal::None => (String::new(), true),
    };
    let verdict = if is_met { "" } else { "  MISSED" };
    let ours = format!("{} {unit}", show(ours));
    text(format!("  {name:<48} {ours:>12}   {text_beside:<48} {goal}{verdict}").trim_end());
}

/// Prints a line.
pub(crate) fn text(text: &str) {
    #[expect(clippy::print_stdout, reason = "the output of the benchmark")]
    {
        println!("{text}");
    }
}

/// Formats a number with three digits that count.
fn show(number: f64) -> String {
    match number.abs() {
        0.0..0.995 => format!("{number:.2}"),
        0.995..99.5 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// Returns the value below which this part of the values lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list"
    )]
    let index = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Returns the mean of the values.
#[expect(clippy::cast_precision_loss, reason = "the length of a short list")]
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
