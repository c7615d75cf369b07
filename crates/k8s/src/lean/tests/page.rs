//! Lists.

use serde_json::json;

use crate::lean::{LeanConfigMap, LeanSecret, Page};

#[test]
fn a_page_gives_its_objects_and_where_to_go_on() {
    let list = json!({
        "kind": "ConfigMapList", "metadata": {"resourceVersion": "9", "continue": "next", "remainingItemCount": 3},
        "items": [
            {"metadata": {"namespace": "a", "name": "one"}},
            {"metadata": {"namespace": "a", "name": "two"}, "data": {"x": "1"}}
        ]
    });
    let page = Page::<LeanConfigMap>::decode(list.to_string().as_bytes()).unwrap();
    assert_eq!((&*page.resource_version, &*page.continue_token), ("9", "next"));
    let names: Vec<String> = page
        .items
        .iter()
        .map(|item| item.as_ref().unwrap().key().to_string())
        .collect();
    assert_eq!(names, ["configmap/a/one", "configmap/a/two"]);
}

#[test]
fn an_object_that_cannot_be_read_leaves_the_others() {
    let list = json!({
        "items": [
            {"metadata": {"namespace": "a", "name": "one"}},
            {"metadata": {"namespace": "a", "name": "bad", "resourceVersion": "7"}, "data": ["x"]},
            17,
            {"metadata": {"namespace": "a", "name": "two"}}
        ],
        "metadata": {"resourceVersion": "9"}
    });
    let page = Page::<LeanConfigMap>::decode(list.to_string().as_bytes()).unwrap();
    let read = page.items.iter().filter(|item| item.is_ok()).count();
    let bad: Vec<_> = page.items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!((read, bad.len()), (2, 2));
    assert_eq!(
        (&*bad[0].namespace, &*bad[0].name, &*bad[0].resource_version),
        ("a", "bad", "7")
    );
    assert!(bad[0].error.to_string().contains("expected a map"), "{}", bad[0].error);
    assert_eq!(&*bad[1].name, "");
}

#[test]
fn null_items_are_no_items() {
    let page =
        Page::<LeanSecret>::decode(br#"{"metadata":{"resourceVersion":"9","continue":null},"items":null}"#).unwrap();
    assert!(page.items.is_empty());
}

#[test]
fn what_is_no_list_is_an_error() {
    for text in ["", "[]", "{", r#"{"items":{}}"#, "<html>"] {
        assert!(Page::<LeanConfigMap>::decode(text.as_bytes()).is_err(), "{text}");
    }
}
