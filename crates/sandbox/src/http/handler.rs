//! One request, from its parts to its answer.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response, header};
use serde_json::{Value, json};

use super::negotiate::View;
use super::uri::Parameters;
use super::watch::Watcher;
use super::{Body, MAX_BODY, TransportError, discovery, protobuf, table};
use crate::api::{Deleted, Propagation, Query, Removal, VersionMatch, Write};
use crate::convert;
use crate::faults::{RequestFault, WatchFault};
use crate::log::Record;
use crate::object;
use crate::patch::Patch;
use crate::request::{Attributes, Call, Target, Verb, verb};
use crate::sandbox::Sandbox;
use crate::selector::Selector;
use crate::status::{ApiError, Cause};
use crate::strategy::Door;

type Answer = Response<Body>;

/// Answers a request; a body that could not be read was too large.
pub(crate) async fn handle(sandbox: &Sandbox, parts: &Parts, body: Option<Bytes>) -> Result<Answer, TransportError> {
    let attributes = attributes(parts);
    let patch = (attributes.verb == Verb::Patch).then(|| body.as_deref().map(parse).unwrap_or_default());
    let answer = disturbed(sandbox, parts, &attributes, body).await;
    let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
    sandbox.log().push(Record {
        request: attributes,
        code,
        patch,
    });
    answer
}

async fn disturbed(
    sandbox: &Sandbox,
    parts: &Parts,
    attributes: &Attributes,
    body: Option<Bytes>,
) -> Result<Answer, TransportError> {
    let fault = sandbox.faults().on_request(attributes);
    match fault {
        Some(RequestFault::Status { code, retry_after }) => return Ok(failure(&ApiError::injected(code, retry_after))),
        Some(RequestFault::Conflict) => return Ok(failure(&ApiError::injected(409, None))),
        Some(RequestFault::ConnectionError) => return Err(TransportError::Reset),
        Some(RequestFault::Delay(duration)) => sandbox.faults().pause(duration).await,
        Some(RequestFault::Hold) => sandbox.faults().hold().await,
        Some(RequestFault::Hang) => {
            sandbox.faults().until_quiet().await;
            return Err(TransportError::Reset);
        }
        Some(RequestFault::Crash { done: false }) => {
            sandbox.faults().crash();
            sandbox.faults().until_quiet().await;
            return Err(TransportError::Reset);
        }
        Some(RequestFault::ReplyLost | RequestFault::Crash { done: true }) | None => {}
    }
    let answer = match body {
        Some(body) => route(sandbox, parts, attributes, &body),
        None => Err(ApiError::too_large_body(MAX_BODY)),
    };
    if sandbox.faults().compacts(attributes) {
        sandbox.compact();
    }
    match fault {
        Some(RequestFault::ReplyLost) => Err(TransportError::Reset),
        Some(RequestFault::Crash { .. }) => {
            sandbox.faults().crash();
            sandbox.faults().until_quiet().await;
            Err(TransportError::Reset)
        }
        _ => Ok(answer.unwrap_or_else(|error| failure(&error))),
    }
}

fn attributes(parts: &Parts) -> Attributes {
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    let target = Target::of(parts.uri.path());
    let uri = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let user_agent = text(&parts.headers, header::USER_AGENT);
    match target {
        Target::Resource {
            group,
            plural,
            namespace,
            name,
            subresource,
            ..
        } => Attributes {
            verb: verb(parts.method.as_str(), !name.is_empty(), &parameters).unwrap_or(Verb::Other),
            group,
            resource: plural,
            subresource,
            namespace,
            name,
            user_agent,
            uri,
        },
        Target::Path => Attributes {
            verb: Verb::Other,
            group: String::new(),
            resource: String::new(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            user_agent,
            uri,
        },
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn route(sandbox: &Sandbox, parts: &Parts, attributes: &Attributes, body: &[u8]) -> Result<Answer, ApiError> {
    let Target::Resource {
        group, version, plural, ..
    } = Target::of(parts.uri.path())
    else {
        return discovery::answer_path(sandbox, parts.uri.path());
    };
    if !sandbox.server().registry.serves(&group, &version) {
        return Ok(discovery::plain(404, "404 page not found\n"));
    }
    let call = Call {
        resource: sandbox.server().resource(&group, &version, &plural)?,
        attributes: attributes.clone(),
        parameters: Parameters::of(parts.uri.query().unwrap_or_default()),
        accept: text(&parts.headers, header::ACCEPT),
        content_type: text(&parts.headers, header::CONTENT_TYPE),
    };
    let view = View::of(&call.accept, sandbox.now())?;
    match call.attributes.subresource.as_str() {
        "" => main(sandbox, &call, view, body),
        "status" if call.resource.status => main(sandbox, &call, view, body),
        "scale" if call.resource.subresources.iter().any(|s| s == "scale") => scale(sandbox, &call, body),
        "eviction" if call.resource.subresources.iter().any(|s| s == "eviction") => evict(sandbox, &call, body),
        _ => Err(ApiError::no_such_path()),
    }
}

fn main(sandbox: &Sandbox, call: &Call, view: View, body: &[u8]) -> Result<Answer, ApiError> {
    let Attributes {
        verb,
        namespace,
        name,
        subresource,
        ..
    } = &call.attributes;
    let needs_namespace = call.resource.namespaced && namespace.is_empty();
    if needs_namespace && !matches!(verb, Verb::List | Verb::Watch) {
        return Err(ApiError::method_not_allowed());
    }
    let resource = &call.resource;
    let shown = |code: u16, stored: &Value| Ok(json_answer(code, &view.object(resource, stored)));
    match verb {
        Verb::Get => shown(200, &*sandbox.server().get(resource, namespace, name)?),
        Verb::List => list(sandbox, call, view),
        Verb::Watch => watch(sandbox, call, view),
        Verb::Create if subresource.is_empty() && name.is_empty() => shown(
            201,
            &*sandbox
                .server()
                .create(resource, namespace, decode(call, body)?, &write(call))?,
        ),
        Verb::Update => {
            let body = decode(call, body)?;
            let (stored, created) = sandbox.server().update(resource, namespace, name, body, &write(call))?;
            shown(if created { 201 } else { 200 }, &stored)
        }
        Verb::Patch => {
            let patch = serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
            let patch = Patch::of_type(&call.content_type, patch)?;
            shown(
                200,
                &*sandbox
                    .server()
                    .patch(resource, namespace, name, &patch, &write(call))?,
            )
        }
        Verb::Delete if subresource.is_empty() => delete(sandbox, call, view, body),
        Verb::DeleteCollection if subresource.is_empty() => delete_all(sandbox, call, view, body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn write(call: &Call) -> Write {
    let write = Write::by(call.manager());
    let write = if call.attributes.subresource == "status" {
        write.through_status()
    } else {
        write
    };
    Write {
        dry_run: call.dry_run(),
        ..write
    }
}

fn decode(call: &Call, body: &[u8]) -> Result<Value, ApiError> {
    let media = call.content_type.split(';').next().unwrap_or_default().trim();
    if media == "application/vnd.kubernetes.protobuf"
        && let Some(object) = protobuf::decode(body)
    {
        return Ok(object);
    }
    if !media.is_empty() && media != "application/json" {
        return Err(ApiError::unsupported_media(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json (got {media:?})"
        )));
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}

fn query(call: &Call) -> Result<Query, ApiError> {
    let parameters = &call.parameters;
    let number = |key: &str| match parameters.text(key) {
        "" => Ok(None),
        text => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| ApiError::bad_request(format!("invalid {key}: {text:?}"))),
    };
    let version_match = match parameters.text("resourceVersionMatch") {
        "" => None,
        "Exact" => Some(VersionMatch::Exact),
        "NotOlderThan" => Some(VersionMatch::NotOlderThan),
        other => {
            let allowed = ["Exact", "NotOlderThan", ""];
            return Err(ApiError::list_options(Cause::unsupported(
                "resourceVersionMatch",
                other,
                &allowed,
            )));
        }
    };
    let optional = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(Query {
        namespace: optional(&call.attributes.namespace),
        name: optional(&call.attributes.name),
        selector: Selector::parse(parameters.text("labelSelector"), parameters.text("fieldSelector"))?,
        limit: number("limit")?
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(0),
        continue_token: parameters.text("continue").to_owned(),
        version: number("resourceVersion")?,
        version_match,
    })
}

fn list(sandbox: &Sandbox, call: &Call, view: View) -> Result<Answer, ApiError> {
    let query = query(call)?;
    if query.version_match.is_some() && query.version.is_none() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        return Err(ApiError::list_options(Cause::forbidden("resourceVersionMatch", why)));
    }
    let page = sandbox.server().list(&call.resource, &query)?;
    let (kind, version) = view.list_type(&call.resource);
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(token) = page.continue_token {
        metadata["continue"] = json!(token);
    } else if call.resource.custom {
        // Which Go leaves out of every kind that it knows.
        metadata["continue"] = json!("");
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    if let View::Table(now) = view {
        let stored: Vec<&Value> = page.items.iter().map(AsRef::as_ref).collect();
        let mut table = table::of(&call.resource, &stored, now);
        table["metadata"] = metadata;
        return Ok(json_answer(200, &table));
    }
    let items: Vec<_> = page.items.iter().map(|item| view.item(&call.resource, item)).collect();
    Ok(json_answer(
        200,
        &json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}),
    ))
}

fn watch(sandbox: &Sandbox, call: &Call, view: View) -> Result<Answer, ApiError> {
    let fault = sandbox.faults().on_watch(&call.attributes);
    if fault == Some(WatchFault::StatusGone) {
        return Err(ApiError::injected(410, None));
    }
    let watcher = Watcher::open(sandbox, call, view, query(call)?, fault)?;
    Ok(answer(200, Body::stream(watcher.into_stream())))
}

fn removal(call: &Call, body: &[u8]) -> Removal {
    let mut removal = Removal::from_body(&parse(body));
    if let Some(grace) = call
        .parameters
        .get("gracePeriodSeconds")
        .and_then(|text| text.parse().ok())
    {
        removal.grace = Some(grace);
    }
    if let Some(policy) = call.parameters.get("propagationPolicy") {
        removal.propagation = Propagation::named(policy);
    }
    removal.dry_run |= call.dry_run();
    removal
}

fn delete(sandbox: &Sandbox, call: &Call, view: View, body: &[u8]) -> Result<Answer, ApiError> {
    let Attributes { namespace, name, .. } = &call.attributes;
    let resource = &call.resource;
    let deleted = sandbox
        .server()
        .delete(resource, namespace, name, &removal(call, body))?;
    Ok(match deleted {
        // Pods come back as they were (ReturnDeletedObject); of the rest only the fact is told.
        Deleted::Gone(last) if resource.qualified() == "pods" => json_answer(200, &view.object(resource, &last)),
        Deleted::Gone(last) => {
            let mut details = json!({"name": name, "kind": resource.plural, "uid": object::uid(&last)});
            if !resource.group.is_empty() {
                details["group"] = json!(resource.group);
            }
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            json_answer(200, &status)
        }
        Deleted::Going(object) => json_answer(200, &view.object(resource, &object)),
    })
}

fn delete_all(sandbox: &Sandbox, call: &Call, view: View, body: &[u8]) -> Result<Answer, ApiError> {
    let mut server = sandbox.server();
    let listing = server.list(&call.resource, &query(call)?)?;
    let removal = removal(call, body);
    for item in &listing.items {
        // Gone in the meantime is as good as deleted.
        drop(server.delete(&call.resource, object::namespace(item), object::name(item), &removal));
    }
    let (kind, version) = view.list_type(&call.resource);
    let metadata = json!({"resourceVersion": server.store.revision().to_string()});
    let items: Vec<_> = listing
        .items
        .iter()
        .map(|item| view.item(&call.resource, item))
        .collect();
    Ok(json_answer(
        200,
        &json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}),
    ))
}

fn scale(sandbox: &Sandbox, call: &Call, body: &[u8]) -> Result<Answer, ApiError> {
    let Attributes {
        verb, namespace, name, ..
    } = &call.attributes;
    let mut server = sandbox.server();
    let current = convert::to_scale(&*server.get(&call.resource, namespace, name)?);
    let wanted = match verb {
        Verb::Get => return Ok(json_answer(200, &current)),
        Verb::Update => decode(call, body)?,
        Verb::Patch => Patch::of_type(&call.content_type, parse(body))?.apply(&current)?,
        _ => return Err(ApiError::method_not_allowed()),
    };
    let patch = Patch::Merge(json!({
        "metadata": {"resourceVersion": wanted["metadata"]["resourceVersion"]},
        "spec": {"replicas": object::integer(&wanted, &["spec", "replicas"]).unwrap_or(0)},
    }));
    let write = Write {
        door: Door::Scale,
        ..write(call)
    };
    let scaled = server.patch(&call.resource, namespace, name, &patch, &write)?;
    Ok(json_answer(200, &convert::to_scale(&scaled)))
}

fn evict(sandbox: &Sandbox, call: &Call, body: &[u8]) -> Result<Answer, ApiError> {
    if call.attributes.verb != Verb::Create {
        return Err(ApiError::method_not_allowed());
    }
    let Attributes { namespace, name, .. } = &call.attributes;
    let options = parse(body).get("deleteOptions").cloned().unwrap_or_default();
    sandbox
        .server()
        .delete(&call.resource, namespace, name, &Removal::from_body(&options))?;
    Ok(json_answer(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

pub(super) fn json_answer(code: u16, value: &Value) -> Answer {
    answer(code, Body::whole(value.to_string()))
}

fn failure(error: &ApiError) -> Answer {
    let mut answer = json_answer(error.code, &error.to_status());
    if let Some(seconds) = error.retry_after() {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

pub(super) fn answer(code: u16, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    answer
}
