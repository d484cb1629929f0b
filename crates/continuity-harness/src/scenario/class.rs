//! Classes of callers in files: the law's own, in small letters.

use std::borrow::Cow;

use continuity_field::admission::Class;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

fn name(class: Class) -> String {
    class.name().to_lowercase()
}

pub(super) fn serialize<S: Serializer>(class: &Class, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&name(*class))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Class, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    let found = Class::ALL.into_iter().find(|class| name(*class) == *text);
    found.ok_or_else(|| {
        let names = Class::ALL.map(name).join(", ");
        D::Error::custom(format!("unknown class {text:?}, expected one of {names}"))
    })
}

pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": Class::ALL.map(name) })
}
