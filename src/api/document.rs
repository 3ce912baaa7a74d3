//! The `OpenAPI` document of the routes, and the check that a query has only its parameters.
//!
//! Handlers name the problems of a response in its description; here they become schemas and
//! words. The responses that every route has are added here too.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, header};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, Parameter as Described, ParameterIn, PathItem};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, RefOr};

use crate::api::error::ApiError;
use crate::api::query::terms;
use crate::api::schema;
use crate::problem::{self, Problem};
use crate::suggest::did_you_mean;

/// The type of the body of an error.
const PROBLEM_TYPE: &str = "application/problem+json";
/// The problems of every route.
const ALWAYS: &[&Problem] = &[&problem::TOO_SLOW];
/// The further problems of the routes behind the guard.
const BEHIND_GUARD: &[&Problem] = &[
    &problem::MALFORMED,
    &problem::UNAUTHORIZED,
    &problem::FORBIDDEN,
    &problem::UNAVAILABLE,
];
const READ: &str = "read_token";
const WRITE: &str = "write_token";

/// The part of the document that is not about one route.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "jobwatch",
        description = "Watches asynchronous cloud jobs until they end. Bodies are JSON; times are RFC 3339 in UTC. Where the operator has set tokens, send `Authorization: Bearer TOKEN`; without tokens the API answers at an IP address or `localhost` only, and never to a web page. Every error is a problem document (RFC 9457)."
    ),
    servers((url = "/", description = "This daemon")),
    tags(
        (name = "watches", description = "Watches of jobs"),
        (name = "events", description = "Events of watches"),
        (name = "deliveries", description = "Deliveries of events, dead letters, and the sinks"),
        (name = "services", description = "The services of the configuration"),
        (name = "daemon", description = "The daemon itself, and this document"),
    ),
    components(schemas(ApiError, schema::Label, schema::WaitFor, schema::WaitForOne))
)]
struct Frame;

/// The document of this daemon, and the parameters that its routes take.
pub(super) struct Document {
    json: Bytes,
    parameters: HashMap<(Method, String), Vec<Parameter>>,
}

struct Parameter {
    name: String,
    /// True if the query may have it more than once.
    repeats: bool,
}

impl Document {
    /// Completes the documents of the routes behind the guard, and of those beside it.
    pub(super) fn new(behind: OpenApi, beside: OpenApi) -> Self {
        let document = complete(behind, beside);
        let parameters = operations(&document)
            .map(|(method, path, operation)| ((method, path.to_owned()), parameters(operation)))
            .collect();
        let json = document.to_json().unwrap_or_default();
        Self {
            json: json.into(),
            parameters,
        }
    }

    /// Returns the document as JSON.
    pub(super) fn as_json(&self) -> Bytes {
        self.json.clone()
    }

    /// Refuses a query with a parameter that the route does not take, or takes once.
    fn check(&self, method: &Method, path: &str, query: &str) -> Result<(), ApiError> {
        let method = match *method {
            Method::HEAD => Method::GET,
            ref other => other.clone(),
        };
        let Some(known) = self.parameters.get(&(method, path.to_owned())) else {
            return Ok(());
        };
        let mut seen: Vec<String> = Vec::new();
        for term in terms(query) {
            match known.iter().find(|known| known.name == term.name) {
                None => return Err(unknown(&term.name, known)),
                Some(parameter) if !parameter.repeats && seen.contains(&parameter.name) => {
                    return Err(ApiError::wrong_parameter(
                        &term.name,
                        "is given twice; give it once",
                    ));
                }
                Some(_) => seen.push(term.name.into_owned()),
            }
        }
        Ok(())
    }
}

/// Shows the `OpenAPI` 3.1 document of this API.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "daemon",
    operation_id = "openapi",
    responses((status = 200, body = Object, description = "The document"))
)]
pub(super) async fn json(Extension(document): Extension<Arc<Document>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, document.as_json()).into_response()
}

/// Passes on a request whose query has known parameters only; answers any other with 400.
pub(super) async fn check_query(
    State(document): State<Arc<Document>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let (Some(path), Some(query)) = (
        request.extensions().get::<MatchedPath>(),
        request.uri().query(),
    ) {
        document.check(request.method(), path.as_str(), query)?;
    }
    Ok(next.run(request).await)
}

fn unknown(name: &str, known: &[Parameter]) -> ApiError {
    let names: Vec<&str> = known.iter().map(|known| &*known.name).collect();
    let near = did_you_mean(name, names.iter().copied());
    let rule = match (near.is_empty(), names.as_slice()) {
        (true, []) => "is unknown; this call takes none".to_owned(),
        (true, names) => format!("is unknown; known are {}", names.join(", ")),
        (false, _) => format!("is unknown{near}"),
    };
    ApiError::wrong_parameter(name, &rule)
}

fn complete(mut behind: OpenApi, mut beside: OpenApi) -> OpenApi {
    for (method, operation) in behind.paths.paths.values_mut().flat_map(operations_of) {
        operation.security = Some(tokens(&method));
        add(operation, BEHIND_GUARD);
    }
    for (_, operation) in beside.paths.paths.values_mut().flat_map(operations_of) {
        operation.security = Some(Vec::new());
    }
    let mut document = Frame::openapi();
    document.merge(behind);
    document.merge(beside);
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations_of) {
        add(operation, ALWAYS);
        describe_problems(operation);
        operation
            .parameters
            .iter_mut()
            .flatten()
            .for_each(leave_out_null);
    }
    let components = document.components.get_or_insert_with(Components::new);
    for (name, description) in [
        (READ, "The read token, for calls that change nothing."),
        (WRITE, "The write token, for every call."),
    ] {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(description.to_owned());
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
    document
}

/// Lists the tokens that allow a call.
fn tokens(method: &Method) -> Vec<SecurityRequirement> {
    let names: &[&str] = match *method {
        Method::GET => &[READ, WRITE],
        _ => &[WRITE],
    };
    let scopes = || -> [&str; 0] { [] };
    names
        .iter()
        .map(|name| SecurityRequirement::new(*name, scopes()))
        .collect()
}

/// Adds problems to the responses of an operation, by their usual statuses.
fn add(operation: &mut Operation, problems: &[&Problem]) {
    for problem in problems {
        let status = problem.statuses.first().copied().unwrap_or(500);
        let response = operation.responses.responses.entry(status.to_string());
        let response = response.or_insert_with(|| utoipa::openapi::Response::new("").into());
        if let RefOr::T(response) = response
            && !response
                .description
                .split(' ')
                .any(|name| name == problem.name)
        {
            let names = format!("{} {}", response.description, problem.name);
            names.trim().clone_into(&mut response.description);
        }
    }
}

/// Removes `null` from the values of a parameter: one without a value is absent.
fn leave_out_null(parameter: &mut RefOr<Described>) {
    let RefOr::T(parameter) = parameter else {
        return;
    };
    let types = match &mut parameter.schema {
        Some(RefOr::T(Schema::Object(object))) => &mut object.schema_type,
        Some(RefOr::T(Schema::Array(array))) => &mut array.schema_type,
        Some(RefOr::T(Schema::OneOf(choice))) => {
            let named = choice
                .items
                .iter()
                .find(|item| matches!(item, RefOr::Ref(_)));
            parameter.schema = named.cloned();
            return;
        }
        _ => return,
    };
    if let SchemaType::Array(several) = types
        && let Some(real) = several.iter().find(|it| **it != Type::Null)
    {
        *types = SchemaType::Type(real.clone());
    }
}

/// Gives each error response its body, and words in place of the names of its problems.
fn describe_problems(operation: &mut Operation) {
    let errors = operation.responses.responses.iter_mut();
    for (_, response) in errors.filter(|(status, _)| status.as_str() >= "400") {
        let RefOr::T(response) = response else {
            continue;
        };
        let problems: Vec<&Problem> = response
            .description
            .split(' ')
            .filter_map(problem::named)
            .collect();
        let words: Vec<String> = problems
            .iter()
            .map(|problem| format!("`{}`: {}", problem.name, problem.meaning))
            .collect();
        response.description = words.join("; ");
        let content = Content::new(Some(schema_of(&problems)));
        response
            .content
            .insert(PROBLEM_TYPE.to_owned(), content.into());
    }
}

/// The schema of a problem document of one of these types.
fn schema_of(problems: &[&Problem]) -> Schema {
    let types = problems.iter().map(|problem| problem.uri);
    let type_uri = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(types));
    AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().property("type", type_uri))
        .build()
        .into()
}

fn operations(document: &OpenApi) -> impl Iterator<Item = (Method, &str, &Operation)> {
    document.paths.paths.iter().flat_map(|(path, item)| {
        [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, path.as_str(), operation.as_ref()?)))
    })
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The query parameters of an operation.
fn parameters(operation: &Operation) -> Vec<Parameter> {
    let all = operation.parameters.iter().flatten();
    all.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(Parameter {
            name: parameter.name.clone(),
            repeats: parameter.schema.as_ref().is_some_and(is_list),
        }),
        _ => None,
    })
    .collect()
}

fn is_list(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Array(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        let mut behind = crate::api::guarded().into_openapi();
        behind.merge(crate::api::long().into_openapi());
        behind.merge(crate::api::signed().into_openapi());
        let beside = crate::api::open().into_openapi();
        serde_json::from_slice(&Document::new(behind, beside).as_json()).unwrap()
    }

    fn calls(document: &Value) -> impl Iterator<Item = (String, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, call)| (format!("{method} {path}"), call))
        })
    }

    #[test]
    fn every_call_is_described() {
        let document = document();
        let tags: Vec<&Value> = document["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["name"])
            .collect();
        let mut ids = std::collections::BTreeSet::new();
        for (name, call) in calls(&document) {
            assert!(
                ids.insert(call["operationId"].to_string()),
                "{name}: its id is taken"
            );
            assert!(tags.contains(&&call["tags"][0]), "{name}: {}", call["tags"]);
            assert!(
                call["summary"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.')),
                "{name}"
            );
            for parameter in call["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{name}: {parameter}");
            }
        }
        assert!(ids.len() > 10);
    }

    #[test]
    fn every_error_response_names_its_problems() {
        let document = document();
        let mut seen = Vec::new();
        for (name, call) in calls(&document) {
            for (status, response) in call["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap();
                assert!(
                    !description.is_empty(),
                    "{name} {status}: no known problem is named"
                );
                if status.as_str() < "400" {
                    continue;
                }
                let types = &response["content"][PROBLEM_TYPE]["schema"]["allOf"][1]["properties"]
                    ["type"]["enum"];
                for uri in types.as_array().unwrap() {
                    let problem = problem::ALL.iter().find(|it| uri == it.uri).unwrap();
                    assert!(
                        problem.statuses.contains(&status.parse().unwrap()),
                        "{name} {status}: {uri}"
                    );
                    seen.push(problem.name);
                }
            }
        }
        // These belong to no call of the document.
        seen.extend(["no-such-route", "no-such-method", "name-in-use", "tls-only"]);
        for problem in problem::ALL {
            assert!(
                seen.contains(&problem.name),
                "no call has the problem {}",
                problem.name
            );
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        let names = text.split("#/components/schemas/").skip(1);
        let names: Vec<&str> = names.filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() > 10);
        for name in names {
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
    }

    #[test]
    fn only_probes_need_no_token() {
        for (name, call) in calls(&document()) {
            let tokens = call["security"].as_array().unwrap().len();
            let is_probe = name == "get /livez" || name == "get /readyz";
            let expected = if is_probe {
                0
            } else if name.starts_with("get ") {
                2
            } else {
                1
            };
            assert_eq!(tokens, expected, "{name}");
        }
    }

    fn checked(method: &Method, path: &str, query: &str) -> Option<String> {
        let mut behind = crate::api::guarded().into_openapi();
        behind.merge(crate::api::long().into_openapi());
        let document = Document::new(behind, OpenApi::default());
        let error = document.check(method, path, query).err()?;
        let error = serde_json::to_value(error).unwrap();
        assert_eq!(error["status"], 400);
        Some(error["errors"][0]["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_query_has_known_parameters_only() {
        let list = |query| checked(&Method::GET, "/v1/watches", query);
        assert_eq!(list("state=failed&limit=1"), None);
        assert_eq!(list("label=a%3D1&label=b%3D2"), None);
        assert_eq!(
            list("sttae=failed").unwrap(),
            "is unknown; did you mean `state`?"
        );
        assert!(
            list("quux=1")
                .unwrap()
                .starts_with("is unknown; known are state, ")
        );
        assert_eq!(
            list("limit=1&limit=2").unwrap(),
            "is given twice; give it once"
        );
        let head = checked(&Method::HEAD, "/v1/watches", "quux").unwrap();
        assert!(head.starts_with("is unknown"));
        let none = checked(&Method::GET, "/v1/services", "a=1").unwrap();
        assert_eq!(none, "is unknown; this call takes none");
    }
}
