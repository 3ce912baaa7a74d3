//! The deliveries about one watch, in words.

use crate::api::delivery_view::DeliveryView;
use crate::cli::age::Times;
use crate::cli::deliveries::{painted, short_type};
use crate::cli::paint::Paint;
use crate::cli::table::{Column, Table, plain};

/// Lists the deliveries, the oldest first as the transitions are.
pub(super) fn table(deliveries: &[DeliveryView], times: Times) -> Table {
    let paint = Paint::for_stdout();
    let mut table = Table::new([
        Column::new("EVENT").whole().gives_way(1),
        Column::new("DELIVERY").at_least(16).wrapping(),
        Column::new("WHEN").whole().gives_way(2),
    ]);
    for delivery in deliveries.iter().rev() {
        let when = delivery.settled_at.map(|at| times.show(at));
        table.row(vec![
            short_type(&delivery.type_name).to_owned(),
            in_words(delivery, times, paint),
            when.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

/// Returns `ops answered 200 after 2 attempts`, or how it is going.
fn in_words(delivery: &DeliveryView, times: Times, paint: Paint) -> String {
    let sink = plain(&delivery.sink);
    let attempts = match delivery.attempts {
        0 | 1 => String::new(),
        count => format!(" after {count} attempts"),
    };
    let answer = match (&delivery.state[..], delivery.last_status) {
        (_, Some(status)) => format!("answered {status}{attempts}"),
        ("delivered", None) => format!("has it{attempts}"),
        (_, None) => match &delivery.last_error {
            Some(error) => format!("failed{attempts}: {}", plain(error)),
            None => "has not been asked yet".to_owned(),
        },
    };
    let next = match (&delivery.state[..], delivery.due_at) {
        ("dead", _) => {
            let dead = painted(paint, "dead");
            format!(
                "; {dead}: `jobwatch redrive {}` sends it again",
                delivery.id
            )
        }
        (_, Some(_)) if delivery.gone_since.is_some() => {
            "; waits for a restart of the daemon".to_owned()
        }
        (_, Some(due)) if delivery.attempts > 0 => format!("; next attempt {}", times.show(due)),
        _ => String::new(),
    };
    format!("{sink} {answer}{next}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn words(changes: &[(&str, Value)]) -> String {
        let mut delivery = json!({
            "id": "7", "event_id": "e", "watch_id": null, "type": "dev.jobwatch.job.failed", "sink": "ops",
            "state": "delivered", "attempts": 1, "due_at": null, "last_status": 200,
            "last_error": null, "settled_at": "2026-11-26T10:00:00Z",
        });
        for (name, value) in changes {
            delivery[*name] = value.clone();
        }
        let now: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
        let delivery = serde_json::from_value(delivery).unwrap();
        in_words(&delivery, Times::new(now, false), Paint::none())
    }

    #[test]
    fn a_delivery_says_how_it_went_and_goes_on() {
        assert_eq!(words(&[]), "ops answered 200");
        assert_eq!(
            words(&[("attempts", json!(2))]),
            "ops answered 200 after 2 attempts"
        );
        assert_eq!(
            words(&[("sink", json!("log")), ("last_status", json!(null))]),
            "log has it"
        );
        let failing = [
            ("state", json!("pending")),
            ("attempts", json!(3)),
            ("last_status", json!(503)),
            ("due_at", json!("2026-11-26T10:05:00Z")),
        ];
        assert_eq!(
            words(&failing),
            "ops answered 503 after 3 attempts; next attempt in 5m"
        );
        let dead = [
            ("state", json!("dead")),
            ("attempts", json!(10)),
            ("last_status", json!(null)),
            ("last_error", json!("no route")),
        ];
        assert_eq!(
            words(&dead),
            "ops failed after 10 attempts: no route; dead: `jobwatch redrive 7` sends it again"
        );
        let fresh = [
            ("state", json!("pending")),
            ("attempts", json!(0)),
            ("last_status", json!(null)),
        ];
        assert_eq!(words(&fresh), "ops has not been asked yet");
    }
}
