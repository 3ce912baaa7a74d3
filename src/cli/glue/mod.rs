//! `jobwatch glue`: prints a piece of a pipeline that starts a job and waits for its end.
//!
//! Each snippet is a shell script in the form of one tool. [`quote`] writes the script's words, so
//! that no label or name can leave its place in the shell or in the language around it.

mod quote;

use clap::{Args, ValueEnum};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::cli::client::DaemonArgs;
use crate::cli::complaint::{complain_of_usage, complain_settings, note};
use crate::cli::config_args::ConfigArgs;
use crate::cli::exit::Exit;
use crate::cli::output::say;
use crate::cli::pair::pair;
use crate::settings;
use crate::suggest::did_you_mean;
use crate::tree::source::Secrets;
use crate::watch::request::WatchRequest;

/// The service of a snippet where neither the command nor the configuration names one.
const SERVICE_DEFAULT: &str = "my-service";
const SERVICE_BYTES_MAX: usize = 64;

/// A tool that runs pipelines.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// A job of GitLab CI/CD
    Gitlab,
    /// A workflow of GitHub Actions
    Github,
    /// A resource for a plan of Terraform
    Terraform,
    /// A playbook that Ansible runs
    Ansible,
    /// A workflow of Argo Workflows
    Argo,
    /// A declarative pipeline of Jenkins
    Jenkins,
    /// A script for any POSIX shell
    Shell,
    /// A service of Docker Compose
    Compose,
    /// A Job for a cluster of Kubernetes
    Kubernetes,
    /// A DAG that Airflow runs
    Airflow,
}

impl Tool {
    fn template(self) -> &'static str {
        match self {
            Self::Gitlab => include_str!("gitlab.yml"),
            Self::Github => include_str!("github.yml"),
            Self::Terraform => include_str!("terraform.tf"),
            Self::Ansible => include_str!("ansible.yml"),
            Self::Argo => include_str!("argo.yml"),
            Self::Jenkins => include_str!("Jenkinsfile"),
            Self::Shell => include_str!("shell.sh"),
            Self::Compose => include_str!("compose.yml"),
            Self::Kubernetes => include_str!("kubernetes.yml"),
            Self::Airflow => include_str!("airflow.py"),
        }
    }
}

/// Prints a piece of a pipeline that starts a job and waits for its end. The pipeline fails
/// unless the job succeeds.
#[derive(Args)]
pub(super) struct Glue {
    /// The tool that runs the pipeline
    tool: Tool,
    /// The service that runs the job [default: the only one of the configuration]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// A label that every event of the watch carries, such as `deploy=42`; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The URL of the daemon, for the snippet [default: the URL that other commands would use]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The values of a template.
#[derive(Serialize)]
struct Values<'a> {
    service: &'a str,
    /// The options of the labels as words of a shell; each begins with a blank.
    labels: &'a str,
    url: &'a str,
    /// The exit codes in a sentence.
    exits: &'a str,
}

impl Glue {
    pub(super) fn execute(self) -> Exit {
        match self.text() {
            Ok(text) => {
                say(text.trim_end());
                Exit::Done
            }
            Err(exit) => exit,
        }
    }

    fn text(&self) -> Result<String, Exit> {
        let service = self.service()?;
        let refuse = |message: String| complain_of_usage(&message);
        check_labels(&service, &self.labels).map_err(refuse)?;
        let daemon = DaemonArgs::of(self.url.clone(), self.config.clone());
        let url = daemon.shown_url()?;
        check_url(&url).map_err(refuse)?;
        render(self.tool, &service, &self.labels, &url)
            .map_err(|error| complain_of_usage(&format!("cannot write the snippet: {error}")))
    }

    /// Returns the service: the one that is named, or the only one of the configuration.
    fn service(&self) -> Result<String, Exit> {
        let known = match settings::service_names(&self.config.sources(Secrets::Unused)) {
            Ok(known) => known,
            // A file that the user did not name may be there for the daemon only.
            Err(_) if !self.config.is_named() => Vec::new(),
            Err(diagnostics) => {
                complain_settings(&diagnostics);
                return Err(Exit::Usage);
            }
        };
        let service = choose(self.service.as_deref(), &known);
        let service = service.map_err(|message| complain_of_usage(&message))?;
        Ok(service.unwrap_or_else(|| {
            note(&format!(
                "the snippet names the service `{SERVICE_DEFAULT}`; give --service NAME for yours"
            ));
            SERVICE_DEFAULT.to_owned()
        }))
    }
}

/// Chooses a service; nothing if none is named and none is known.
fn choose(given: Option<&str>, known: &[String]) -> Result<Option<String>, String> {
    let names = known.iter().map(String::as_str);
    match (given, known) {
        (Some(name), _) if !is_name(name) => Err(format!(
            "--service {name:?} must be made of a-z, 0-9 and -, at most {SERVICE_BYTES_MAX}"
        )),
        (Some(name), []) => Ok(Some(name.to_owned())),
        (Some(name), known) if known.iter().any(|it| it == name) => Ok(Some(name.to_owned())),
        (Some(name), known) => Err(format!(
            "the configuration has no service `{name}`{} (known: {})",
            did_you_mean(name, names),
            known.join(", ")
        )),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only.clone())),
        (None, known) => Err(format!(
            "the configuration has several services; give --service: {}",
            known.join(", ")
        )),
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=SERVICE_BYTES_MAX).contains(&name.len())
        && !name.starts_with('-')
        && name.chars().all(is_plain)
}

/// Checks labels as the daemon will, and that every language here can write their characters.
fn check_labels(service: &str, labels: &[(String, String)]) -> Result<(), String> {
    let request = WatchRequest {
        service: service.to_owned(),
        job_id: "job".to_owned(),
        labels: labels.iter().cloned().collect(),
        ..WatchRequest::default()
    };
    if let Some(fault) = request.check().first() {
        return Err(fault.to_string());
    }
    let texts = labels.iter().map(|(_, value)| value);
    match texts
        .flat_map(|text| text.chars())
        .find(|c| !quote::is_plain(*c))
    {
        Some(c) => Err(format!(
            "a label has the character U+{:04X}, which YAML cannot hold as it is",
            u32::from(c)
        )),
        None => Ok(()),
    }
}

/// Checks that a URL means the same in every language here.
fn check_url(url: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@&+,;=%".contains(c);
    match url.chars().find(|c| !is_plain(*c)) {
        Some(c) => Err(format!(
            "--url has the character {c:?}; write it in the percent-encoding of URLs"
        )),
        None => Ok(()),
    }
}

fn render(
    tool: Tool,
    service: &str,
    labels: &[(String, String)],
    url: &str,
) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("compose", quote::compose);
    environment.add_filter("groovy", quote::groovy);
    environment.add_filter("python", quote::python);
    let mut words = String::new();
    for (name, value) in labels {
        words.push_str(" --label ");
        words.push_str(&quote::word(&format!("{name}={value}")));
    }
    let exits = Exit::in_words();
    let values = Values {
        service,
        labels: &words,
        url,
        exits: &exits,
    };
    environment.render_str(tool.template(), Serde(values))
}

#[cfg(test)]
mod tests;
