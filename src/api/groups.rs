//! `/v1/groups/{name}`: shows a group of watches, and closes it.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::path::PathText;
use crate::store::StoredGroup;

/// A group of watches, as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupView {
    pub(crate) name: String,
    pub(crate) state: GroupState,
    /// The number of watches after which it closes by itself; `null` without one.
    pub(crate) size: Option<u32>,
    /// The number of its watches.
    pub(crate) members: u32,
    /// The number of its watches that have not ended.
    pub(crate) watching: u32,
    pub(crate) closed_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

/// The state of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GroupState {
    /// The group takes further watches.
    Open,
    /// It takes no more watches, and some have not ended.
    Closed,
    /// All of its watches have ended, and its event is stored.
    Finished,
}

/// Shows a group, and how far it is.
#[utoipa::path(
    get,
    path = "/v1/groups/{name}",
    tag = "watches",
    operation_id = "show_group",
    params(("name" = String, Path, description = "The name of the group")),
    responses(
        (status = 200, body = GroupView, description = "The group"),
        (status = 404, description = "no-such-group"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    PathText(name): PathText,
) -> Result<Json<GroupView>, ApiError> {
    let group = api.store.group(&name).await?;
    let group = group.ok_or_else(|| ApiError::no_such_group(&name))?;
    Ok(Json(group.into()))
}

/// Closes a group, and shows it. One that is closed stays as it is.
#[utoipa::path(
    post,
    path = "/v1/groups/{name}/close",
    tag = "watches",
    operation_id = "close_group",
    params(("name" = String, Path, description = "The name of the group")),
    responses(
        (status = 200, body = GroupView, description = "The group, which takes no more watches"),
        (status = 404, description = "no-such-group"),
    )
)]
pub(super) async fn close(
    State(api): State<Api>,
    PathText(name): PathText,
) -> Result<Json<GroupView>, ApiError> {
    let closed = api.actions.close_group(&name).await?;
    let group = closed.ok_or_else(|| ApiError::no_such_group(&name))?;
    Ok(Json(group.into()))
}

impl From<StoredGroup> for GroupView {
    fn from(group: StoredGroup) -> Self {
        let state = match (group.closed_at, group.finished_at) {
            (_, Some(_)) => GroupState::Finished,
            (Some(_), None) => GroupState::Closed,
            (None, None) => GroupState::Open,
        };
        Self {
            name: group.name,
            state,
            size: group.size,
            members: group.members,
            watching: group.open,
            closed_at: group.closed_at,
            finished_at: group.finished_at,
        }
    }
}
