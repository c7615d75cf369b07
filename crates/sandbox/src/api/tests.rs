use super::*;
use crate::object;
use crate::patch::Patch;
use crate::strategy::Door;

fn server() -> Server {
    Server::new("2030-01-01T00:00:00Z".parse().unwrap(), 1, 1_000)
}

fn resource(server: &Server, name: &str) -> Arc<Resource> {
    server.registry.by_name(name).unwrap()
}

fn create(server: &mut Server, name: &str, body: Value) -> Result<Arc<Value>, ApiError> {
    let resource = resource(server, name);
    server.create(&resource, "default", body, &Write::by("test"))
}

fn merge(server: &mut Server, resource_name: &str, name: &str, patch: Value) -> Result<Arc<Value>, ApiError> {
    let resource = resource(server, resource_name);
    server.patch(&resource, "default", name, &Patch::Merge(patch), &Write::by("test"))
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": "v"}})
}

fn deployment() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[test]
fn a_new_object_gets_its_system_fields() {
    let mut server = server();
    let made = create(&mut server, "configmaps", map("a")).unwrap();
    assert_eq!(made["metadata"]["creationTimestamp"], "2030-01-01T00:00:00Z");
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(object::uid(&made).len(), 36);
    assert_eq!(object::version(&made), server.store.revision());
    assert_eq!(
        create(&mut server, "configmaps", map("a")).unwrap_err().reason,
        "AlreadyExists"
    );
    let generated = create(&mut server, "configmaps", json!({"metadata": {"generateName": "x-"}})).unwrap();
    assert_eq!(object::name(&generated).len(), 7);
}

#[test]
fn a_write_that_changes_nothing_makes_no_revision() {
    let mut server = server();
    create(&mut server, "configmaps", map("a")).unwrap();
    let before = server.store.revision();
    merge(
        &mut server,
        "configmaps",
        "a",
        json!({"data": {"k": "v"}, "metadata": {"annotations": {}}}),
    )
    .unwrap();
    assert_eq!(server.store.revision(), before);
    merge(&mut server, "configmaps", "a", json!({"data": {"k": "w"}})).unwrap();
    assert_eq!(server.store.revision(), before + 1);
}

#[test]
fn stale_versions_and_foreign_uids_are_refused() {
    let mut server = server();
    let made = create(&mut server, "configmaps", map("a")).unwrap();
    let stale = object::text(&made, &["metadata", "resourceVersion"]).to_owned();
    merge(&mut server, "configmaps", "a", json!({"data": {"k": "w"}})).unwrap();
    let patch = json!({"metadata": {"resourceVersion": stale}, "data": {"k": "x"}});
    let error = merge(&mut server, "configmaps", "a", patch).unwrap_err();
    assert_eq!((error.code, error.reason), (409, "Conflict"));
    let error = merge(&mut server, "configmaps", "a", json!({"metadata": {"uid": "other"}})).unwrap_err();
    assert_eq!((error.code, error.reason), (422, "Invalid"));
}

#[test]
fn a_status_write_through_the_main_door_is_dropped_and_a_spec_write_through_the_status_door_too() {
    let mut server = server();
    create(&mut server, "deployments", deployment()).unwrap();
    let patch = Patch::Merge(json!({"status": {"replicas": 3}, "spec": {"replicas": 7}}));
    let deployments = resource(&server, "deployments");
    let write = Write::by("test");
    let main = server.patch(&deployments, "default", "web", &patch, &write).unwrap();
    assert_eq!(
        (&main["status"]["replicas"], &main["spec"]["replicas"]),
        (&Value::Null, &json!(7))
    );
    assert_eq!(object::generation(&main), 2);
    let patch = Patch::Merge(json!({"status": {"replicas": 3}, "spec": {"replicas": 1}}));
    let status = server
        .patch(
            &deployments,
            "default",
            "web",
            &patch,
            &Write {
                door: Door::Status,
                ..write
            },
        )
        .unwrap();
    assert_eq!(
        (&status["status"]["replicas"], &status["spec"]["replicas"]),
        (&json!(3), &json!(7))
    );
    assert_eq!(object::generation(&status), 2);
}

#[test]
fn immutable_oversized_and_misnamed_objects_are_invalid() {
    let mut server = server();
    create(
        &mut server,
        "configmaps",
        json!({"metadata": {"name": "fixed"}, "data": {"k": "v"}, "immutable": true}),
    )
    .unwrap();
    assert_eq!(
        merge(&mut server, "configmaps", "fixed", json!({"data": {"k": "w"}}))
            .unwrap_err()
            .code,
        422
    );
    assert_eq!(
        merge(&mut server, "configmaps", "fixed", json!({"immutable": null}))
            .unwrap_err()
            .code,
        422
    );
    assert!(
        merge(
            &mut server,
            "configmaps",
            "fixed",
            json!({"metadata": {"labels": {"a": "b"}}})
        )
        .is_ok()
    );
    let big = "x".repeat(1024 * 1024);
    let fits = json!({"metadata": {"name": "fits"}, "data": {"k": big}});
    assert!(create(&mut server, "configmaps", fits).is_ok());
    assert_eq!(
        merge(&mut server, "configmaps", "fits", json!({"data": {"l": "x"}}))
            .unwrap_err()
            .code,
        422
    );
    let noted = json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}});
    assert_eq!(merge(&mut server, "configmaps", "fits", noted).unwrap_err().code, 422);
    for bad in ["Upper", "-a", "a_b", ""] {
        assert_eq!(
            create(&mut server, "configmaps", map(bad)).unwrap_err().code,
            422,
            "{bad}"
        );
    }
    let odd = json!({"metadata": {"name": "odd"}, "data": {"a b": "x"}});
    assert_eq!(create(&mut server, "configmaps", odd).unwrap_err().code, 422);
    let number = json!({"metadata": {"name": "n"}, "data": {"k": 1}});
    assert_eq!(create(&mut server, "configmaps", number).unwrap_err().code, 400);
    let secret = json!({"metadata": {"name": "n"}, "data": {"k": "no base64!"}});
    assert_eq!(create(&mut server, "secrets", secret).unwrap_err().code, 400);
}

#[test]
fn pages_come_from_one_snapshot_until_it_is_compacted() {
    let mut server = server();
    for name in ["a", "b", "c"] {
        create(&mut server, "configmaps", map(name)).unwrap();
    }
    let maps = resource(&server, "configmaps");
    let first = server
        .list(
            &maps,
            &Query {
                limit: 2,
                ..Query::default()
            },
        )
        .unwrap();
    assert_eq!((first.items.len(), first.remaining), (2, Some(1)));
    create(&mut server, "configmaps", map("d")).unwrap();
    let rest = Query {
        limit: 2,
        continue_token: first.continue_token.unwrap(),
        ..Query::default()
    };
    let second = server.list(&maps, &rest).unwrap();
    assert_eq!(
        (second.items.len(), second.revision, second.continue_token),
        (1, first.revision, None)
    );
    server.compact();
    let error = server.list(&maps, &rest).unwrap_err();
    assert_eq!((error.code, error.reason), (410, "Expired"));
    let future = Query {
        version: Some(99_999),
        ..Query::default()
    };
    assert_eq!(server.list(&maps, &future).unwrap_err().code, 504);
}

#[test]
fn finalizers_hold_an_object_and_preconditions_protect_it() {
    let mut server = server();
    let held = json!({"metadata": {"name": "a", "finalizers": ["example.org/x"]}});
    create(&mut server, "configmaps", held).unwrap();
    let maps = resource(&server, "configmaps");
    let other = Removal {
        uid: Some("other".into()),
        ..Removal::default()
    };
    assert_eq!(server.delete(&maps, "default", "a", &other).unwrap_err().code, 409);
    assert!(matches!(
        server.delete(&maps, "default", "a", &Removal::default()),
        Ok(Deleted::Going(_))
    ));
    assert!(server.get(&maps, "default", "a").is_ok());
    merge(
        &mut server,
        "configmaps",
        "a",
        json!({"metadata": {"finalizers": null}}),
    )
    .unwrap();
    assert_eq!(server.get(&maps, "default", "a").unwrap_err().code, 404);
}

#[test]
fn creating_in_a_namespace_that_is_missing_or_going_is_refused() {
    let mut server = server();
    let maps = resource(&server, "configmaps");
    let write = Write::by("test");
    assert_eq!(server.create(&maps, "nowhere", map("a"), &write).unwrap_err().code, 404);
    server.ensure_namespace("going");
    let namespaces = resource(&server, "namespaces");
    server.delete(&namespaces, "", "going", &Removal::default()).unwrap();
    assert_eq!(server.create(&maps, "going", map("a"), &write).unwrap_err().code, 403);
}
