//! `/v1/replicas`: the processes that share a database, and the part of the watches that each polls.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::store::shards::Replica;

/// The replicas of a daemon, as the API shows them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Replicas)]
pub(crate) struct ReplicasView {
    /// The living replicas; none where this process is the only one.
    pub(crate) replicas: Vec<ReplicaView>,
}

/// One of the replicas, as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Replica)]
pub(crate) struct ReplicaView {
    /// New at each start of the process.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) started_at: Timestamp,
    /// The last sign of life.
    pub(crate) seen_at: Timestamp,
    /// The number of shards, of 256, whose watches it polls.
    pub(crate) shards: usize,
    /// True for the replica that answers.
    pub(crate) is_self: bool,
}

/// Lists the replicas that share the database.
#[utoipa::path(
    get,
    path = "/v1/replicas",
    tag = "daemon",
    operation_id = "list_replicas",
    responses((status = 200, body = ReplicasView, description = "The replicas, by name"))
)]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<ReplicasView>, ApiError> {
    let replicas = api.store.replicas().await?;
    let replicas = replicas.into_iter().map(ReplicaView::from).collect();
    Ok(Json(ReplicasView { replicas }))
}

impl From<Replica> for ReplicaView {
    fn from(replica: Replica) -> Self {
        Self {
            id: replica.id,
            name: replica.name,
            version: replica.version,
            started_at: replica.started_at,
            seen_at: replica.seen_at,
            shards: replica.shards.len(),
            is_self: replica.is_self,
        }
    }
}
