//! Objects that are not ours: which, and which of their fields. A field that is not named here is not in the file.

use super::{OBJECTS_MAX, PAGE};
use crate::session::Session;
use crate::survey::sentence;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::{Map, Value, json};

/// One kind and what is kept of it, as JSON pointers.
struct Kept {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    place: Place,
    /// Kept if it is about this.
    only: Option<(&'static str, &'static str)>,
    fields: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Place {
    Everywhere,
    Installation,
}

const KEPT: [Kept; 7] = [
    Kept {
        group: "",
        version: "v1",
        kind: "Service",
        plural: "services",
        place: Place::Everywhere,
        only: None,
        fields: &[
            "/spec/type",
            "/spec/clusterIPs",
            "/spec/ports",
            "/spec/sessionAffinity",
            "/spec/internalTrafficPolicy",
        ],
    },
    Kept {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
        place: Place::Everywhere,
        only: None,
        fields: &["/addressType", "/endpoints", "/ports"],
    },
    Kept {
        group: "events.k8s.io",
        version: "v1",
        kind: "Event",
        plural: "events",
        place: Place::Everywhere,
        only: Some(("/regarding/apiVersion", continuity_api::API_VERSION)),
        fields: &[
            "/regarding",
            "/reason",
            "/type",
            "/note",
            "/eventTime",
            "/deprecatedLastTimestamp",
            "/series",
        ],
    },
    Kept {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        place: Place::Installation,
        only: None,
        fields: &[
            "/spec/nodeName",
            "/status/phase",
            "/status/conditions",
            "/status/containerStatuses",
            "/status/startTime",
        ],
    },
    Kept {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        plural: "deployments",
        place: Place::Installation,
        only: None,
        fields: &["/spec/replicas", "/status"],
    },
    Kept {
        group: "apps",
        version: "v1",
        kind: "DaemonSet",
        plural: "daemonsets",
        place: Place::Installation,
        only: None,
        fields: &["/spec/updateStrategy", "/status"],
    },
    Kept {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        place: Place::Installation,
        only: None,
        fields: &["/spec"],
    },
];

/// Reads every kind; one that may not be read is named.
pub(super) async fn gather(session: &Session, unread: &mut Vec<String>) -> Vec<Value> {
    let mut found = Vec::new();
    for kept in &KEPT {
        if let Err(error) = list(session, kept, &mut found, unread).await {
            unread.push(format!("{}: {}", kept.plural, sentence(&error)));
        }
    }
    found
}

async fn list(
    session: &Session,
    kept: &Kept,
    found: &mut Vec<Value>,
    unread: &mut Vec<String>,
) -> Result<(), kube::Error> {
    let api_version = match kept.group {
        "" => kept.version.to_owned(),
        group => format!("{group}/{}", kept.version),
    };
    let resource = ApiResource {
        group: kept.group.to_owned(),
        version: kept.version.to_owned(),
        api_version,
        kind: kept.kind.to_owned(),
        plural: kept.plural.to_owned(),
    };
    let client = session.client.clone();
    let api: Api<DynamicObject> = match kept.place {
        Place::Everywhere => Api::all_with(client, &resource),
        Place::Installation => Api::namespaced_with(client, &session.system, &resource),
    };
    let mut page = ListParams::default().limit(PAGE);
    let mut count = 0;
    loop {
        let list = api.list(&page).await?;
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        count += list.items.len();
        let objects = list
            .items
            .iter()
            .filter_map(|object| serde_json::to_value(object).ok());
        found.extend(objects.filter_map(|object| reduced(kept, &object)));
        match next {
            Some(_) if count >= OBJECTS_MAX => {
                unread.push(format!(
                    "{}: more than {OBJECTS_MAX}; the rest is left out",
                    kept.plural
                ));
                return Ok(());
            }
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// The named fields of an object, and where it belongs.
fn reduced(kept: &Kept, object: &Value) -> Option<Value> {
    if let Some((pointer, wanted)) = kept.only
        && object.pointer(pointer).and_then(Value::as_str) != Some(wanted)
    {
        return None;
    }
    let mut metadata = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "ownerReferences",
        "labels",
    ] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut reduced = json!({"kind": kept.kind, "metadata": metadata});
    for pointer in kept.fields {
        if let Some(value) = object.pointer(pointer) {
            put(&mut reduced, pointer, value.clone());
        }
    }
    Some(reduced)
}

fn put(target: &mut Value, pointer: &str, value: Value) {
    let mut place = target;
    for part in pointer.split('/').skip(1) {
        let Some(object) = place.as_object_mut() else {
            return;
        };
        place = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = value;
}

#[cfg(test)]
pub(super) fn reduce(kind: &str, object: &Value) -> Option<Value> {
    KEPT.iter()
        .find(|kept| kept.kind == kind)
        .and_then(|kept| reduced(kept, object))
}
