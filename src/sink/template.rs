//! Bodies of webhooks from a template, for receivers that require a format of their own.
//!
//! A template can use the members of the event: `type`, `subject`, `time`, `data` and so on.
//! In JSON every `{{ value }}` is written as JSON, with its quotes, so that no text of a job
//! can break out of its string. The operator writes the template, but jobs supply its values:
//! its steps and its output are limited, and JSON output is parsed before it is signed. Its
//! memory is not limited: a template that repeats a text must choose the number itself.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The largest output of a template, in bytes.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// The largest file of a template, in bytes.
const SOURCE_BYTES_MAX: u64 = 256 * 1024;
/// The largest number of steps of a template; one that lists 500 children needs about 20,000.
const FUEL: u64 = 200_000;
/// The name of the only template in an environment.
const NAME: &str = "body";

#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    is_json: bool,
    file: String,
}

impl Template {
    /// Compiles the template in `file`, whose output is of `content_type`.
    ///
    /// # Errors
    /// Describes the fault, with file and line.
    pub fn read(file: &Path, content_type: &str) -> Result<Self, String> {
        let shown = file.display();
        let unreadable = |error: io::Error| format!("cannot read {shown}: {error}");
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        if size > SOURCE_BYTES_MAX {
            return Err(format!("{shown} is larger than {SOURCE_BYTES_MAX} bytes"));
        }
        let source = std::fs::read_to_string(file).map_err(unreadable)?;
        Self::compile(shown.to_string(), source, content_type)
    }

    fn compile(file: String, source: String, content_type: &str) -> Result<Self, String> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        // Case does not matter (RFC 9110, section 8.3.1) and must not turn escaping off.
        let essence = essence.to_ascii_lowercase();
        let is_json = essence.ends_with("/json") || essence.ends_with("+json");
        let escape = match essence.as_str() {
            _ if is_json => AutoEscape::Json,
            "text/html" => AutoEscape::Html,
            _ => AutoEscape::None,
        };
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(move |_| escape.clone());
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| in_words(&file, &error))?;
        Ok(Self {
            environment: Arc::new(environment),
            is_json,
            file,
        })
    }

    /// Returns the body for `event`; the template can use its members and `secrets`.
    ///
    /// # Errors
    /// Describes the fault, with file and line: a name that this event does not have, too many
    /// steps, too much output, or output that is not JSON.
    pub fn render(
        &self,
        event: &serde_json::Map<String, Value>,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Vec<u8>, String> {
        let exposed = secrets
            .iter()
            .map(|(name, secret)| (name.clone(), secret.expose_secret().into()));
        let mut context = event.clone();
        context.insert("secrets".to_owned(), Value::Object(exposed.collect()));
        let mut output = Bounded(Vec::new());
        self.environment
            .get_template(NAME)
            .and_then(|template| {
                template
                    .render_captured_to(Serde(&context), &mut output)
                    .map(drop)
            })
            .map_err(|error| in_words(&self.file, &error))?;
        let body = output.0;
        if self.is_json
            && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&body)
        {
            return Err(format!(
                "{}: the output is not JSON: {error}; write {{{{ value }}}} without quotes around it",
                self.file
            ));
        }
        Ok(body)
    }
}

/// Describes the fault with file and line, but without values, which could be secret.
fn in_words(file: &str, error: &Error) -> String {
    let line = error.line().map(|line| format!(":{line}"));
    let fault = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    let advice = match error.kind() {
        minijinja::ErrorKind::UndefinedError => {
            "; for a value that some events lack, write {{ name | default(\"\") }}"
        }
        minijinja::ErrorKind::WriteFailure => "; the output is larger than 1 MiB",
        _ => "",
    };
    format!("{file}{}: {fault}{advice}", line.unwrap_or_default())
}

/// Collects output and fails above [`OUTPUT_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compiled(source: &str, content_type: &str) -> Result<Template, String> {
        Template::compile("chat.j2".to_owned(), source.to_owned(), content_type)
    }

    fn rendered(source: &str, content_type: &str, event: &Value) -> Result<String, String> {
        let template = compiled(source, content_type)?;
        let body = template.render(event.as_object().unwrap(), &BTreeMap::new())?;
        Ok(String::from_utf8(body).unwrap())
    }

    #[test]
    fn no_text_breaks_out_of_its_json_string() {
        let event = json!({"data": {"reason": "\"}, \"admin\": true, {\"a\": \"\n\u{1b}"}});
        let body = rendered(
            r#"{"text": {{ "job: " ~ data.reason }}, "all": {{ data }}}"#,
            "application/json",
            &event,
        );
        let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 2);
        let reason = event["data"]["reason"].as_str().unwrap();
        assert_eq!(body["text"], format!("job: {reason}"));
        assert_eq!(body["all"], event["data"]);
    }

    #[test]
    fn other_content_types_are_escaped_by_their_rules() {
        let event = json!({"subject": "<b>&"});
        let text = |content_type| rendered("{{ subject }}", content_type, &event).unwrap();
        assert_eq!(text("text/plain; charset=utf-8"), "<b>&");
        assert_eq!(text("text/html"), "&lt;b&gt;&amp;");
        assert_eq!(text("application/vnd.x+json"), r#""<b>&""#);
        assert_eq!(text("Application/JSON; charset=UTF-8"), r#""<b>&""#);
    }

    #[test]
    fn a_template_error_has_file_and_line() {
        let error = compiled("{\n{% if %}", "application/json").err().unwrap();
        assert!(error.starts_with("chat.j2:2: syntax error"), "{error}");
        let error = compiled("{% include 'x' %}", "text/plain").err().unwrap();
        assert!(error.contains("chat.j2:1:"), "{error}");
        let fails =
            |source| rendered(source, "application/json", &json!({"data": {}})).unwrap_err();
        let error = fails("[\n{{ data.lables.team }}]");
        assert!(error.starts_with("chat.j2:2: undefined value"), "{error}");
        assert!(error.contains("default"), "{error}");
        let error = fails(r#"{"text": "{{ "x" }}"}"#);
        assert!(error.contains("is not JSON"), "{error}");
        assert_eq!(
            rendered(
                "{{ data.labels.team | default('') }}",
                "text/plain",
                &json!({"data": {"labels": {}}})
            ),
            Ok(String::new())
        );
    }

    #[test]
    fn steps_and_output_are_bounded() {
        let fails = |source| rendered(source, "text/plain", &json!({})).unwrap_err();
        let endless =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(fails(endless).contains("fuel"), "{}", fails(endless));
        assert!(fails("{% for a in range(10 ** 9) %}{% endfor %}").contains("too many elements"));
        let large = "{% for a in range(30) %}{{ 'x' * 100000 }}{% endfor %}";
        assert!(fails(large).contains("1 MiB"), "{}", fails(large));
    }
}
