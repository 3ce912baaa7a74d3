//! Looks at a database on a server from outside of a daemon.

use crate::store::postgres::connections::Connections;
use crate::store::postgres::migration;
use crate::store::postgres::server::Server;
use crate::store::{SqlError, StoreError};

/// Says how a daemon would find the database; changes nothing.
///
/// # Errors
/// The server cannot be reached or refuses the connection, or a newer version or another program
/// wrote the database.
pub async fn standing(server: &Server) -> Result<String, StoreError> {
    let found = async {
        let connections = Connections::new(server.pool()?);
        let version = migration::check(&connections).await?;
        Ok(if version == 0 {
            "can be reached, and is empty".to_owned()
        } else {
            format!("can be reached, and has the schema version {version}")
        })
    };
    found.await.map_err(|error: SqlError| StoreError::Open {
        url: server.shown(),
        reason: error.to_string(),
    })
}
