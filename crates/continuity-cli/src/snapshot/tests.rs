use super::*;
use serde_json::json;

#[test]
fn nothing_secret_of_a_foreign_object_is_kept() {
    let pod = json!({
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "continuity-system", "annotations": {"token": "hunter2"},
                     "managedFields": [{"manager": "hunter2"}]},
        "spec": {"nodeName": "node-1", "containers": [{"env": [{"name": "PASSWORD", "value": "hunter2"}], "args": ["hunter2"]}]},
        "status": {"phase": "Running"},
    });
    let kept = foreign::reduce("Pod", &pod).unwrap();
    assert!(!kept.to_string().contains("hunter2"), "{kept}");
    assert_eq!(kept["spec"], json!({"nodeName": "node-1"}));
    assert_eq!(kept["status"]["phase"], "Running");
}

#[test]
fn events_about_others_are_left_out() {
    let event =
        |version: &str| json!({"metadata": {"name": "e"}, "regarding": {"apiVersion": version}, "note": "n"});
    assert!(foreign::reduce("Event", &event("v1")).is_none());
    assert!(foreign::reduce("Event", &event(continuity_api::API_VERSION)).is_some());
}

#[test]
fn a_file_that_is_none_of_ours_or_newer_is_refused_with_a_way_out() {
    let why = |text: &str| parse(text.as_bytes()).unwrap_err();
    assert!(why("{}").contains("is no snapshot"));
    assert!(why("").contains("is no snapshot"));
    assert!(why(r#"{"form": 9}"#).contains("use a newer kubectl-continuity"));
    assert!(why(r#"{"form": 1}"#).contains("does not parse"));
}

#[test]
fn a_snapshot_comes_back_as_it_was_and_is_never_written_over_a_file() {
    let folder = std::env::temp_dir().join(format!("continuity-snapshot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("s.json");
    let snapshot = Snapshot {
        form: FORM,
        server: "v1.36.3".into(),
        unread: vec!["nodes: forbidden".into()],
        ..Snapshot::default()
    };
    write(&snapshot, &path).unwrap();
    let back = read(&path).unwrap();
    assert_eq!(
        (back.server, back.unread),
        (snapshot.server.clone(), snapshot.unread.clone())
    );
    assert!(write(&snapshot, &path).is_err());
    assert!(summary(&snapshot, &path).contains("not read: nodes: forbidden"));
    std::fs::remove_dir_all(&folder).unwrap();
}
