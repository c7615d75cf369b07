//! The bodies of the patches that replace pods, and pause and resume Deployments.

use afresh_engine::engine::{Begin, End, Roll};
use afresh_model::annotation::{APPLIED, CONFIG};
use afresh_model::reloader::marker::LAST_RELOADED_FROM;
use afresh_model::time::Revision;
use serde_json::{Value, json};

/// The action, its record, its marks and its pause in one patch: there is no moment at which only one of them is true.
pub(crate) fn roll(roll: &Roll, paused_at: Option<&str>) -> Value {
    let mut body = json!({
        "metadata": {"annotations": {APPLIED: roll.record.to_string()}},
        "spec": {"template": {"metadata": {"annotations": {CONFIG: roll.config.to_string()}}}},
    });
    if let Some(marks) = &roll.marks {
        let template = &mut body["spec"]["template"];
        if let Some(text) = marks.annotation() {
            template["metadata"]["annotations"][LAST_RELOADED_FROM] = text.into();
        }
        if let Some(spec) = marks.spec() {
            template["spec"] = spec;
        }
    }
    if let (Some(Begin { at, seen }), Some(key)) = (roll.pause, paused_at) {
        body["metadata"]["annotations"][key] = at.to_string().into();
        body["spec"]["paused"] = true.into();
        demand(&mut body, seen);
    }
    body
}

/// Resumes a Deployment, or takes out what is left of a pause.
pub(crate) fn end_pause(end: End, paused_at: Option<&str>) -> Value {
    let mut body = json!({"metadata": {"annotations": {}}});
    if let Some(key) = paused_at {
        body["metadata"]["annotations"][key] = Value::Null;
    }
    if end.resume {
        body["spec"] = json!({"paused": false});
    }
    demand(&mut body, end.seen);
    body
}

/// The server refuses the patch where somebody else wrote since: a person may have paused or resumed it.
fn demand(body: &mut Value, seen: Option<Revision>) {
    if let Some(revision) = seen {
        body["metadata"]["resourceVersion"] = revision.0.to_string().into();
    }
}

#[cfg(test)]
mod tests {
    use afresh_model::digest::Digest;
    use afresh_model::record::{Applied, Record, Rolls};
    use afresh_model::reloader::marking::{Marking, Variable};
    use afresh_model::reloader::sha1::Sha1;
    use afresh_model::time::UnixSeconds;
    use afresh_model::workload::Replace;

    use super::*;

    fn rolled(marks: Option<Marking>, pause: Option<Begin>) -> Roll {
        let record = Record {
            uid: "u".into(),
            at: UnixSeconds(0),
            template: None,
            rolls: Rolls::default(),
            evicting: None,
            applied: Applied::default(),
        };
        Roll {
            record: Box::new(record),
            config: Digest::of("test", &[]),
            replace: Replace::Template,
            marks,
            pause,
        }
    }

    #[test]
    fn a_roll_is_one_patch_with_record_mark_and_pause() {
        let hash = Sha1::of([("key", &b"value"[..])]);
        let variable = Variable {
            container: "app".into(),
            name: "STAKATER_WEB_CONFIGMAP".into(),
            value: Some(hash.into()),
        };
        let pause = Begin {
            at: UnixSeconds(0),
            seen: Some(Revision(42)),
        };
        let body = roll(
            &rolled(Some(Marking::Variables([variable].into())), Some(pause)),
            Some("paused-at"),
        );
        assert_eq!(body["metadata"]["resourceVersion"], "42");
        assert_eq!(body["metadata"]["annotations"]["paused-at"], "1970-01-01T00:00:00Z");
        assert_eq!(body["spec"]["paused"], true);
        let env = json!([{"name": "STAKATER_WEB_CONFIGMAP", "value": "dc30e0faa89a70dec1033016a2309bbeb9efcbd0"}]);
        assert_eq!(
            body["spec"]["template"]["spec"],
            json!({"containers": [{"name": "app", "env": env}]})
        );
        assert!(body["spec"]["template"]["metadata"]["annotations"][CONFIG].is_string());
        assert!(body["metadata"]["annotations"][APPLIED].is_string());
    }

    #[test]
    fn a_roll_without_marks_or_pause_is_as_it_always_was() {
        let body = roll(&rolled(None, None), Some("paused-at"));
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&body["metadata"]), ["annotations"]);
        assert_eq!(keys(&body["metadata"]["annotations"]), [APPLIED]);
        assert_eq!(keys(&body["spec"]), ["template"]);
        assert_eq!(keys(&body["spec"]["template"]), ["metadata"]);
    }

    #[test]
    fn a_resume_names_what_it_was_decided_on() {
        let end = |resume| End {
            resume,
            seen: Some(Revision(7)),
        };
        let resumed = json!({"metadata": {"annotations": {"paused-at": null}, "resourceVersion": "7"}, "spec": {"paused": false}});
        assert_eq!(end_pause(end(true), Some("paused-at")), resumed);
        let forgotten = json!({"metadata": {"annotations": {"paused-at": null}, "resourceVersion": "7"}});
        assert_eq!(end_pause(end(false), Some("paused-at")), forgotten);
    }
}
