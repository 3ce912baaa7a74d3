//! The lists about one watch: its stages, its children and its transitions.

use crate::api::view::{TransitionView, WatchView};
use crate::cli::age::Times;
use crate::cli::deliveries::short_type;
use crate::cli::output::or_dash;
use crate::cli::table::{Column, Table, plain};
use crate::watch::stage::Stage;

/// Shows the jobs that handed over to each other, and the present one.
pub(super) fn stages(watch: &WatchView, present: &Stage, times: Times) -> Table {
    let mut table = Table::new([
        Column::new("STAGE").right().whole(),
        Column::new("DEFINITION").gives_way(2),
        Column::new("JOB").at_least(10).wrapping(),
        Column::new("STATUS").at_least(8),
        Column::new("ENDED").whole().gives_way(1),
    ]);
    for (number, stage) in watch.stages.iter().enumerate() {
        table.row(vec![
            number.to_string(),
            stage.definition.clone(),
            plain(&stage.job_id),
            or_dash(stage.status.as_deref()),
            times.show(stage.ended_at),
        ]);
    }
    table.row(vec![
        present.index.to_string(),
        present.definition.clone(),
        plain(&present.job_id),
        or_dash(watch.status.as_deref()),
        watch
            .ended_at
            .map_or_else(|| "-".to_owned(), |at| times.show(at)),
    ]);
    table
}

pub(super) fn children(watch: &WatchView) -> Table {
    let mut table = Table::new([
        Column::new("CHILD").at_least(10).wrapping(),
        Column::new("TYPE").if_used().gives_way(2),
        Column::new("STATUS").at_least(8),
        Column::new("CODE").if_used().gives_way(1),
        Column::new("REASON").at_least(12).wrapping().if_used(),
    ]);
    for child in &watch.children {
        table.row(vec![
            or_dash(child.job_id.as_deref()),
            or_dash(child.job_type.as_deref()),
            or_dash(child.status.as_deref()),
            or_dash(child.code.as_deref()),
            or_dash(child.reason.as_deref()),
        ]);
    }
    table
}

pub(super) fn transitions(transitions: &[TransitionView], times: Times) -> Table {
    let mut table = Table::new([
        Column::new("AT").whole(),
        Column::new("EVENT").whole(),
        Column::new("STATUS").at_least(8).gives_way(1),
    ]);
    for transition in transitions {
        table.row(vec![
            times.show(transition.at),
            short_type(&transition.type_name).to_owned(),
            or_dash(transition.status.as_deref()),
        ]);
    }
    table
}
