//! The options that select the daemon, and the variables behind them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;

use crate::cli::client::address::Address;
use crate::cli::client::{Client, Refused, Trust};
use crate::cli::complaint::complain_of_usage;
use crate::cli::config_args::ConfigArgs;
use crate::cli::environment::{self, environment};
use crate::outbound::secret::SECRET_BYTES_MAX;
use crate::settings;
use crate::tree::source::{Secrets, Sources};

const URL: &str = "JOBWATCH_URL";
const CA_FILE: &str = "JOBWATCH_CA_FILE";
const TOKEN_FILE: &str = "JOBWATCH_TOKEN_FILE";
const TOKEN: &str = "JOBWATCH_TOKEN";

const URL_HELP: &str = "The URL of the daemon: http://HOST:PORT, https://HOST or unix:///PATH \
    [env: JOBWATCH_URL] [default: the address in the configuration, or http://127.0.0.1:8620]";
const CA_FILE_HELP: &str = "The certificates of the authorities to trust for https, in PEM \
    [env: JOBWATCH_CA_FILE] [default: those of the system]";
const TOKEN_FILE_HELP: &str = "A file with the bearer token of the daemon, if it requires one \
    [env: JOBWATCH_TOKEN_FILE; JOBWATCH_TOKEN holds the token itself]";

/// The ways to give a token, for messages.
pub(super) const TOKEN_WAYS: &str = "--token-file, JOBWATCH_TOKEN_FILE or JOBWATCH_TOKEN";

/// The options that select the daemon.
#[derive(Args, Debug, Clone)]
pub(crate) struct DaemonArgs {
    #[arg(long, value_name = "URL", help = URL_HELP)]
    url: Option<String>,
    #[arg(long, value_name = "FILE", help = CA_FILE_HELP)]
    ca_file: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = TOKEN_FILE_HELP)]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

impl DaemonArgs {
    /// Makes the options of a command that only names the daemon.
    pub(crate) fn of(url: Option<String>, config: ConfigArgs) -> Self {
        Self {
            url,
            ca_file: None,
            token_file: None,
            config,
        }
    }

    /// Returns the URL of the daemon, as people write it. An error is printed; its exit code is
    /// returned.
    pub(crate) fn shown_url(&self) -> Result<String, Refused> {
        let variables = environment();
        let given = variables.get(URL).filter(|value| !value.is_empty());
        let address = self.address(given.map(String::as_str));
        let shown = address.map(|address| address.shown);
        shown.map_err(|message| complain_of_usage(&message))
    }

    /// Makes the client. An error is printed; its exit code is returned.
    pub(crate) fn client(&self) -> Result<Client, Refused> {
        environment::check()?;
        let token = self.token(&environment());
        self.client_with(token.map_err(|message| complain_of_usage(&message))?)
    }

    /// Makes a client for the probes, which need no token.
    pub(crate) fn client_without_token(&self) -> Result<Client, Refused> {
        environment::check()?;
        self.client_with(None)
    }

    fn client_with(&self, token: Option<SecretString>) -> Result<Client, Refused> {
        let usage = |message: String| complain_of_usage(&message);
        let variables = environment();
        let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let address = self
            .address(given(URL).map(String::as_str))
            .map_err(usage)?;
        let ca_file = self.ca_file.clone().or(given(CA_FILE).map(PathBuf::from));
        let trust = match (ca_file, &address.certificate) {
            (Some(file), _) => Trust::Only(file),
            (None, Some(certificate)) => Trust::Also(certificate.clone()),
            (None, None) => Trust::System,
        };
        Client::connecting(address, &trust, token)
    }

    /// Returns the address: of `--url`, else of the variable, else of the configuration.
    fn address(&self, variable: Option<&str>) -> Result<Address, String> {
        let given = self.url.as_deref().map(|url| ("--url", url));
        let given = given.or(variable.map(|url| (URL, url)));
        if let Some((source, url)) = given {
            return Address::parse(url.trim()).map_err(|reason| format!("{source} {reason}"));
        }
        let found = settings::address(&self.config.sources(Secrets::Unused));
        let found = match found {
            // A file that the user did not name may be there for the daemon only.
            Err(_) if !self.config.is_named() => settings::address(&Sources {
                environment: environment(),
                ..Sources::default()
            }),
            found => found,
        };
        let found = found.map_err(|diagnostics| diagnostics.to_string())?;
        Address::of(found).map_err(|reason| format!("the configuration {reason}; give --url"))
    }

    fn token(&self, variables: &BTreeMap<String, String>) -> Result<Option<SecretString>, String> {
        let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let named = self
            .token_file
            .as_deref()
            .map(|file| ("--token-file", file));
        let named = named.or(given(TOKEN_FILE).map(|file| (TOKEN_FILE, Path::new(file))));
        if let Some((source, file)) = named {
            let place = format!("{} ({source})", file.display());
            return from_file(file, &place).map(Some);
        }
        let token = variables.get(TOKEN).filter(|value| !value.is_empty());
        token.map(|token| checked(token, TOKEN)).transpose()
    }
}

fn from_file(file: &Path, place: &str) -> Result<SecretString, String> {
    use std::io::Read;
    let mut text = String::new();
    let limit = SECRET_BYTES_MAX as u64 + 2;
    std::fs::File::open(file)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| {
            format!("cannot read the token in {place}: {error}; give a token by {TOKEN_WAYS}")
        })?;
    checked(&text, place)
}

/// Returns the token without the blanks around it.
fn checked(text: &str, place: &str) -> Result<SecretString, String> {
    let token = text.trim();
    let fault = if token.is_empty() {
        "is empty"
    } else if token.len() > SECRET_BYTES_MAX {
        "is too long"
    } else if !token.chars().all(|c| c.is_ascii_graphic()) {
        "has a blank or another character that no token has"
    } else {
        return Ok(SecretString::from(token));
    };
    Err(format!(
        "the token in {place} {fault}; give the read or write token of the daemon by {TOKEN_WAYS}"
    ))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn args(url: Option<&str>, token_file: Option<&Path>, config: Option<&Path>) -> DaemonArgs {
        DaemonArgs {
            url: url.map(str::to_owned),
            ca_file: None,
            token_file: token_file.map(Path::to_owned),
            config: ConfigArgs::of(config),
        }
    }

    #[test]
    fn a_configuration_gives_the_address_without_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobwatch.toml");
        let text = "[api]\nlisten = \"0.0.0.0:9000\"\nwrite_token_file = \"/nowhere/write\"\n\
                    [credentials.otc]\nkind = \"token\"\ntoken_file = \"${NOT_SET}/token\"\n";
        std::fs::write(&file, text).unwrap();
        let shown = |url, variable| {
            let args = args(url, None, Some(&file));
            args.address(variable).map(|address| address.shown)
        };
        assert_eq!(shown(None, None), Ok("http://127.0.0.1:9000".into()));
        let of_variable = Some("http://a.example");
        assert_eq!(shown(None, of_variable), Ok("http://a.example".into()));
        let of_flag = Some("http://b.example");
        assert_eq!(shown(of_flag, of_variable), Ok("http://b.example".into()));
        let refused = shown(None, Some("127.0.0.1:9000")).unwrap_err();
        assert!(refused.starts_with("JOBWATCH_URL must be"), "{refused}");
    }

    #[test]
    fn a_named_configuration_that_is_broken_is_an_error() {
        let nowhere = Path::new("/nowhere/jobwatch.toml");
        let refused = args(None, None, Some(nowhere)).address(None);
        assert!(refused.unwrap_err().contains("/nowhere/jobwatch.toml"));
    }

    #[test]
    fn a_token_comes_from_the_flag_the_file_or_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "from-file\n").unwrap();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let in_file = set(TOKEN_FILE, &file.display().to_string());
        let own = set(TOKEN, "own");
        let token = |flag: Option<&Path>, variables: &[&(String, String)]| {
            let variables = variables.iter().map(|it| (*it).clone()).collect();
            let token = args(None, flag, None).token(&variables).unwrap();
            token.map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(token(None, &[]), None);
        assert_eq!(token(None, &[&own]).as_deref(), Some("own"));
        assert_eq!(token(None, &[&own, &in_file]).as_deref(), Some("from-file"));
        assert_eq!(token(Some(&file), &[&own]).as_deref(), Some("from-file"));
        assert_eq!(token(None, &[&set(TOKEN, "")]), None);
    }

    #[test]
    fn a_token_that_cannot_be_sent_names_both_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for content in ["", " \n", "two words", "two\nlines", "\u{e9}"] {
            std::fs::write(&file, content).unwrap();
            let refused = args(None, Some(&file), None).token(&BTreeMap::new());
            let refused = refused.unwrap_err();
            assert!(
                refused.contains("JOBWATCH_TOKEN_FILE or JOBWATCH_TOKEN"),
                "{refused}"
            );
            assert!(!refused.contains("two"), "{refused}");
        }
        let absent = args(None, Some(Path::new("/nowhere/token")), None);
        let refused = absent.token(&BTreeMap::new()).unwrap_err();
        assert!(refused.contains("/nowhere/token") && refused.contains("--token-file"));
    }
}
