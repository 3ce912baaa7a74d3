//! The section `[services.NAME.hints]`: where a hint has the job id, and who may send one.

use crate::actions::hint::HintSource;
use crate::definition::selector::{Selector, Selectors};
use crate::sink::signature::keys;
use crate::tree::reader::Reader;

/// Reads the hints of a service; `None` if it takes none.
pub(super) fn hints(service: &Reader<'_>) -> Option<HintSource> {
    if !service.has("hints") {
        service.ask("hints");
        return None;
    }
    let section = service.section("hints");
    let job_id = section.required_text("job_id");
    let keys = keys(&section, ["secret", "old_secret"]);
    section.finish();
    let selector = Selector::compile(&job_id?);
    let selector = selector.map_err(|message| section.report("job_id", message));
    let selector = selector.ok()?;
    if !selector.needs_a_tree() {
        section.report(
            "job_id",
            "must select from the body of the hint, as `$.data.job_id`",
        );
        return None;
    }
    let selectors = Selectors::new(vec![selector]).ok()?;
    Some(HintSource::new(selectors, keys))
}
