//! The two hash maps, as typed tables.

use std::marker::PhantomData;

use aya::maps::{HashMap, Map, MapData, MapError};
use bytemuck::Pod;
use continuity_wire::ServiceKey;

use super::object::Object;
use crate::Error;

type Key = [u8; size_of::<ServiceKey>()];
type Value = [u8; 8];

/// Addresses to eight-byte values.
pub(super) struct Hash<V> {
    name: &'static str,
    map: HashMap<MapData, Key, Value>,
    value: PhantomData<V>,
}

impl<V: Pod> Hash<V> {
    /// Takes a map out of the loaded object.
    pub(super) fn of(object: &mut Object, name: &'static str) -> Result<Self, Error> {
        let Some(map @ Map::HashMap(_)) = object.take_map(name) else {
            return Err(Error::Missing(name));
        };
        let map = HashMap::try_from(map).map_err(|error| refused("open", name, error))?;
        Ok(Self {
            name,
            map,
            value: PhantomData,
        })
    }

    /// Adds or replaces.
    pub(super) fn put(&mut self, key: ServiceKey, value: V) -> Result<(), Error> {
        let value: Value = bytemuck::cast(value);
        self.map
            .insert(bytemuck::cast::<_, Key>(key), value, 0)
            .map_err(|error| refused("update", self.name, error))
    }

    /// Removes, if it is there.
    pub(super) fn drop(&mut self, key: ServiceKey) -> Result<(), Error> {
        match self.map.remove(&bytemuck::cast::<_, Key>(key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(error) => Err(refused("delete", self.name, error)),
        }
    }

    /// Everything.
    pub(super) fn entries(&self) -> Result<Vec<(ServiceKey, V)>, Error> {
        self.map
            .iter()
            .map(|entry| {
                entry
                    .map(|(key, value)| (bytemuck::cast::<Key, _>(key), bytemuck::cast::<Value, V>(value)))
                    .map_err(|error| refused("walk", self.name, error))
            })
            .collect()
    }
}

fn refused(command: &'static str, object: &'static str, error: MapError) -> Error {
    let source = match error {
        MapError::SyscallError(error) => error.io_error,
        other => std::io::Error::other(other),
    };
    Error::Bpf {
        command,
        object,
        source,
    }
}
