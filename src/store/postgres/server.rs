//! The PostgreSQL server of a store: where it is, and how its connections are made.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use secrecy::ExposeSecret;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};

use crate::outbound::secret::Secret;
use crate::store::SqlError;
use crate::store::postgres::tls::{self, Protection, Tls};

/// The time to connect to one host. A second one, after a failover, is tried after it.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a call waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A host that is silent for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The most connections of one process.
pub const CONNECTIONS: RangeInclusive<u32> = 2..=100;

/// The schemes of the URLs of a server.
pub const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// A server of a store.
#[derive(Clone)]
pub struct Server {
    config: Config,
    pub tls: Tls,
    /// The password, if the URL has none.
    pub password: Option<Secret>,
    /// The most connections of this process.
    pub connections: usize,
    /// The name by which people know this process among the replicas.
    pub replica: String,
}

impl Server {
    /// Reads a URL, such as `postgres://jobwatch@db-1:5432,db-2:5432/jobwatch`. Of several hosts, one
    /// that takes writes is used.
    ///
    /// # Errors
    /// Says what is wrong, without a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (rest, protection) = without_protection(url)?;
        let mut config = Config::from_str(&rest).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            format!("is not a URL of PostgreSQL: {cause}")
        })?;
        if config.get_hosts().is_empty() {
            return Err("names no host, as postgres://user@host/database does".to_owned());
        }
        if config.get_dbname().is_none() {
            return Err("names no database, as postgres://user@host/database does".to_owned());
        }
        if config.get_user().is_none() {
            return Err("names no user, as postgres://user@host/database does".to_owned());
        }
        config
            .application_name("jobwatch")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            // So that one that accepts connections and then says nothing cannot keep the others away.
            .load_balance_hosts(LoadBalanceHosts::Random)
            .connect_timeout(CONNECT_MAX)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(SILENCE_MAX)
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        Ok(Self {
            config,
            tls: Tls {
                protection: protection.unwrap_or_default(),
                ..Tls::default()
            },
            password: None,
            connections: 8,
            replica: host_name(),
        })
    }

    /// True if all hosts are Unix sockets: no other machine can listen on the way.
    pub fn is_local(&self) -> bool {
        let mut hosts = self.config.get_hosts().iter();
        hosts.all(|host| matches!(host, Host::Unix(_)))
    }

    /// True if the URL has a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Returns the URL without a password.
    pub fn shown(&self) -> String {
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or_default();
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(n, host)| {
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("postgres://{user}@{hosts}/{database}")
    }

    /// Checks that the certificates can be used.
    ///
    /// # Errors
    /// Says which file cannot be used.
    pub fn check(&self) -> Result<(), String> {
        if self.is_local() || self.tls.protection == Protection::Disable {
            return Ok(());
        }
        tls::connect(&self.tls)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Makes the pool of connections; none is made yet.
    ///
    /// # Errors
    /// The password or a certificate cannot be read.
    pub(super) fn pool(&self) -> Result<Pool, SqlError> {
        let mut config = self.config.clone();
        if let Some(password) = &self.password {
            config.password(password.read()?.expose_secret());
        }
        let manager = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = if self.is_local() || self.tls.protection == Protection::Disable {
            config.ssl_mode(SslMode::Disable);
            Manager::from_config(config, NoTls, manager)
        } else {
            config.ssl_mode(SslMode::Require);
            Manager::from_config(config, tls::connect(&self.tls)?, manager)
        };
        let timeouts = Timeouts {
            wait: Some(WAIT_MAX),
            create: Some(WAIT_MAX),
            recycle: None,
        };
        let pool = Pool::builder(manager)
            .max_size(self.connections)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(pool)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.shown()).finish()
    }
}

/// Returns the name of this machine.
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Takes `sslmode` out of the query of a URL: the client knows fewer words for it.
fn without_protection(url: &str) -> Result<(String, Option<Protection>), String> {
    let Some((base, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), None));
    };
    let mut protection = None;
    let mut rest = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let Some(word) = part.strip_prefix("sslmode=") else {
            rest.push(part);
            continue;
        };
        let known = Protection::from_word(word);
        protection = Some(known.ok_or_else(|| {
            let words = Protection::ALL.map(Protection::as_str).join(", ");
            format!("has the sslmode \"{word}\", which must be one of: {words}")
        })?);
    }
    if rest.is_empty() {
        return Ok((base.to_owned(), protection));
    }
    Ok((format!("{base}?{}", rest.join("&")), protection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_hosts_and_protection() {
        let server =
            Server::parse("postgres://jw:secret@a:5433,b:5434/jobs?sslmode=verify-ca").unwrap();
        assert_eq!(server.shown(), "postgres://jw@a:5433,b:5434/jobs");
        assert_eq!(server.tls.protection, Protection::VerifyCa);
        assert!(server.has_password() && !server.is_local());
        assert!(!format!("{server:?}").contains("secret"));
        let local = Server::parse("postgresql://jw@%2Frun%2Fpostgresql/jobs").unwrap();
        assert!(local.is_local());
        assert_eq!(local.tls.protection, Protection::VerifyFull);
    }

    #[test]
    fn a_wrong_url_says_what_is_missing() {
        for (url, said) in [
            ("postgres://jw@host", "names no database"),
            ("postgres://host/jobs", "names no user"),
            (
                "postgres://jw@host/jobs?sslmode=prefer",
                "must be one of: verify-full",
            ),
            ("postgres://jw@host:x/jobs", "is not a URL of PostgreSQL"),
        ] {
            let error = Server::parse(url).unwrap_err();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
