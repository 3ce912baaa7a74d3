//! `/reference`: the `OpenAPI` document as a page for people.
//!
//! The page needs no script and no other host. Its template escapes every value, and its
//! policy allows the one style sheet inside it, by its hash, and nothing else.

use std::sync::Arc;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header;
use minijinja::value::{Serde, Value as Markup};
use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::document::Document;
use crate::api::error::ApiError;
use crate::problem::{self, Problem};

const TEMPLATE: &str = include_str!("document_page.html");
const STYLE: &str = include_str!("document_page.css");
/// The beginning of a reference to a schema.
const SCHEMA: &str = "#/components/schemas/";

/// The values of the template.
#[derive(Serialize)]
struct Page<'a> {
    style: Markup,
    version: &'a str,
    description: &'a str,
    groups: Vec<Group<'a>>,
    schemas: Vec<Table<'a>>,
    problems: &'static [&'static Problem],
}

/// The calls of one tag.
#[derive(Serialize)]
struct Group<'a> {
    name: &'a str,
    description: &'a str,
    calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    summary: &'a str,
    description: &'a str,
    token: &'static str,
    parameters: Vec<Member<'a>>,
    body: Option<Kind>,
    example: Option<String>,
    responses: Vec<Answer<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    status: &'a str,
    description: &'a str,
    content_type: &'a str,
    kind: Kind,
}

/// A schema with its members.
#[derive(Serialize)]
struct Table<'a> {
    name: &'a str,
    description: &'a str,
    words: Vec<&'a str>,
    members: Vec<Member<'a>>,
}

/// A member of a schema, or a parameter of a call.
#[derive(Serialize)]
struct Member<'a> {
    name: &'a str,
    place: &'a str,
    kind: Kind,
    required: bool,
    description: &'a str,
}

/// The type of a value in words, and the schema of this page that it leads to.
#[derive(Serialize, Default, Debug, PartialEq)]
struct Kind {
    words: String,
    schema: Option<String>,
}

/// Shows the reference of this API as a page.
#[utoipa::path(
    get,
    path = "/reference",
    tag = "daemon",
    operation_id = "reference",
    responses((status = 200, body = String, content_type = "text/html", description = "The page"))
)]
pub(super) async fn page(
    Extension(document): Extension<Arc<Document>>,
) -> Result<Response, ApiError> {
    let page = render(&document.as_json())
        .map_err(|error| ApiError::unavailable(format!("cannot show the reference: {error}")))?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Ok((headers, page).into_response())
}

/// The policy: nothing but the style sheet of the page.
fn policy() -> String {
    let hash = BASE64.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn render(document: &[u8]) -> Result<String, anyhow::Error> {
    let document: Value = serde_json::from_slice(document)?;
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("prose", |text: &str| Markup::from_safe_string(prose(text)));
    environment.add_template("reference", TEMPLATE)?;
    let template = environment.get_template("reference")?;
    let page = template.render(Serde(Page::of(&document)))?;
    Ok(page)
}

/// Escapes a text; pieces between backticks become code.
fn prose(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(n, piece)| match n % 2 {
            0 => HtmlEscape(piece).to_string(),
            _ => format!("<code>{}</code>", HtmlEscape(piece)),
        })
        .collect()
}

impl<'a> Page<'a> {
    fn of(document: &'a Value) -> Self {
        let groups = list(&document["tags"]).map(|tag| Group::of(document, tag));
        let schemas = members(&document["components"]["schemas"]);
        Self {
            style: Markup::from_safe_string(STYLE.to_owned()),
            version: text(&document["info"]["version"]),
            description: text(&document["info"]["description"]),
            groups: groups.collect(),
            schemas: schemas
                .map(|(name, schema)| Table::of(name, schema))
                .collect(),
            problems: problem::ALL,
        }
    }
}

impl<'a> Group<'a> {
    fn of(document: &'a Value, tag: &'a Value) -> Self {
        let calls = members(&document["paths"]).flat_map(|(path, item)| {
            members(item).map(move |(method, operation)| (method, path, operation))
        });
        let ours = calls.filter(|(_, _, operation)| operation["tags"][0] == tag["name"]);
        Self {
            name: text(&tag["name"]),
            description: text(&tag["description"]),
            calls: ours
                .map(|(method, path, operation)| Call::of(method, path, operation))
                .collect(),
        }
    }
}

impl<'a> Call<'a> {
    fn of(method: &str, path: &'a str, operation: &'a Value) -> Self {
        let body = &operation["requestBody"]["content"];
        let body = members(body).next().map(|(_, content)| content);
        let responses = members(&operation["responses"]);
        Self {
            id: text(&operation["operationId"]),
            method: method.to_uppercase(),
            path,
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            token: match operation["security"].as_array().map_or(0, Vec::len) {
                0 => "no token",
                1 => "write token",
                _ => "read or write token",
            },
            parameters: list(&operation["parameters"])
                .map(|parameter| Member {
                    name: text(&parameter["name"]),
                    place: text(&parameter["in"]),
                    kind: Kind::of(&parameter["schema"]),
                    required: parameter["required"] == true,
                    description: text(&parameter["description"]),
                })
                .collect(),
            body: body.map(|content| Kind::of(&content["schema"])),
            example: body
                .map(|content| &content["example"])
                .filter(|example| !example.is_null())
                .map(|example| format!("{example:#}")),
            responses: responses
                .map(|(status, response)| Answer::of(status, response))
                .collect(),
        }
    }
}

impl<'a> Answer<'a> {
    fn of(status: &'a str, response: &'a Value) -> Self {
        let content = members(&response["content"]).next();
        Self {
            status,
            description: text(&response["description"]),
            content_type: content.map_or("", |(content_type, _)| content_type),
            kind: content.map_or_else(Kind::default, |(_, content)| Kind::of(&content["schema"])),
        }
    }
}

impl<'a> Table<'a> {
    fn of(name: &'a str, schema: &'a Value) -> Self {
        let required: Vec<&str> = list(&schema["required"]).map(text).collect();
        let members = members(&schema["properties"]);
        Self {
            name,
            description: text(&schema["description"]),
            words: list(&schema["enum"]).map(text).collect(),
            members: members
                .map(|(name, member)| Member {
                    name,
                    place: "",
                    kind: Kind::of(member),
                    required: required.contains(&name),
                    description: text(&member["description"]),
                })
                .collect(),
        }
    }
}

impl Kind {
    /// Describes a schema in words.
    fn of(schema: &Value) -> Self {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches(SCHEMA);
            return Self {
                words: name.to_owned(),
                schema: Some(name.to_owned()),
            };
        }
        let choices = ["oneOf", "anyOf", "allOf"].map(|key| &schema[key]);
        let choices: Vec<Self> = choices
            .into_iter()
            .flat_map(list)
            .filter(|choice| !choice["$ref"].is_null() || choice["type"] != "object")
            .map(Self::of)
            .collect();
        if !choices.is_empty() {
            return Self {
                words: joined(choices.iter().map(|choice| &*choice.words), " or "),
                schema: choices.into_iter().find_map(|choice| choice.schema),
            };
        }
        Self::of_plain(schema)
    }

    fn of_plain(schema: &Value) -> Self {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            several => list(several).map(text).collect(),
        };
        let (inner, before) = if types.contains(&"array") {
            (Some(&schema["items"]), "list of ")
        } else if schema["additionalProperties"].is_object() {
            (Some(&schema["additionalProperties"]), "map of ")
        } else {
            (None, "")
        };
        if let Some(inner) = inner {
            let inner = Self::of(inner);
            return Self {
                words: format!("{before}{}", inner.words),
                ..inner
            };
        }
        let words = match (list(&schema["enum"]).count(), types.is_empty()) {
            (0, true) => "any JSON".to_owned(),
            (0, false) if schema["format"] == "date-time" => {
                joined(types, " or ").replace("string", "time")
            }
            (0, false) => joined(types, " or "),
            _ => joined(list(&schema["enum"]).map(text), ", "),
        };
        Self {
            words,
            schema: None,
        }
    }
}

fn joined<'a>(pieces: impl IntoIterator<Item = &'a str>, between: &str) -> String {
    let pieces: Vec<&str> = pieces.into_iter().collect();
    pieces.join(between)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_is_escaped() {
        let attack = "<script>alert(1)</script>`<b>`";
        let document = json!({
            "info": {"version": attack, "description": attack},
            "tags": [{"name": attack, "description": attack}],
            "paths": {attack: {"get": {
                "tags": [attack], "operationId": attack, "summary": attack, "description": attack,
                "parameters": [{"name": attack, "in": attack, "description": attack,
                    "schema": {"enum": [attack]}}],
                "requestBody": {"content": {attack: {"example": attack, "schema": {"$ref": attack}}}},
                "responses": {attack: {"description": attack,
                    "content": {attack: {"schema": {"type": [attack]}}}}},
            }}},
            "components": {"schemas": {attack: {"description": attack, "enum": [attack],
                "properties": {attack: {"description": attack, "type": attack}}}}},
        });
        let page = render(document.to_string().as_bytes()).unwrap();
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_type_is_described_in_words() {
        for (schema, words, leads_to) in [
            (json!({"type": "string"}), "string", None),
            (
                json!({"type": ["string", "null"], "format": "date-time"}),
                "time or null",
                None,
            ),
            (json!({}), "any JSON", None),
            (json!({"type": "string", "enum": ["a", "b"]}), "a, b", None),
            (
                json!({"type": "array", "items": {"$ref": "#/components/schemas/Child"}}),
                "list of Child",
                Some("Child"),
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "map of string",
                None,
            ),
            (
                json!({"oneOf": [{"$ref": "#/components/schemas/Stage"}, {"type": "null"}]}),
                "Stage or null",
                Some("Stage"),
            ),
            (
                json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "object"}]}),
                "Problem",
                Some("Problem"),
            ),
        ] {
            let kind = Kind::of(&schema);
            assert_eq!(
                (&*kind.words, kind.schema.as_deref()),
                (words, leads_to),
                "{schema}"
            );
        }
    }
}
