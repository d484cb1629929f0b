//! Every BPF program and map of the machine, by id.

use aya::maps::loaded_maps;
use aya::programs::{ProgramType, loaded_programs};
use serde::Serialize;

use crate::Error;

/// One object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Object {
    /// `program` or `map`.
    pub kind: &'static str,
    /// Its id.
    pub id: u32,
    /// Its name, at most 15 characters; empty where it has none.
    pub name: String,
}

/// Lists them. Programs that container runtimes attach to their containers are left out.
///
/// # Errors
/// When the kernel refuses to list them.
pub fn list() -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for program in loaded_programs() {
        let program = program.map_err(|source| Error::List {
            kind: "program",
            source: Box::new(source),
        })?;
        if program.program_type() != ProgramType::CgroupDevice.into() {
            let name = program.name_as_str().unwrap_or_default().to_owned();
            objects.push(Object {
                kind: "program",
                id: program.id(),
                name,
            });
        }
    }
    for map in loaded_maps() {
        let map = map.map_err(|source| Error::List {
            kind: "map",
            source: Box::new(source),
        })?;
        objects.push(Object {
            kind: "map",
            id: map.id(),
            name: map.name_as_str().unwrap_or_default().to_owned(),
        });
    }
    Ok(objects)
}
