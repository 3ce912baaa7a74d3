//! The contract of the store: one suite, run over every kind of store.
//!
//! A new kind of store is one more [`Database`] and one more `suite!`.

pub(crate) mod abandoned;
mod contract;
mod deliveries;
mod listing;
pub(crate) mod samples;
mod sqlite;
mod upgrade;

use jobwatch::store::SharedStore;
use jobwatch::store::StoreError;

/// Where a store keeps what it keeps, for one test.
pub(crate) trait Database {
    /// Opens the store; what was stored before is there.
    fn open(&self) -> Result<SharedStore, StoreError>;
}

/// Has every function of the contract run as a test over one kind of database.
macro_rules! suite {
    ($database:expr; $($topic:ident: $($name:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                let database = $database;
                crate::store::$topic::$name(&database).await;
            }
        )+)+
    };
}
pub(crate) use suite;
