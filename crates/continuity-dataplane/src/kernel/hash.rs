//! The hash maps, as typed tables.

use std::marker::PhantomData;

use aya::maps::{HashMap, Map, MapData, MapError};
use bytemuck::Pod;

use super::object::Object;
use crate::Error;

type Value = [u8; 8];

/// Keys of `N` bytes to eight-byte values.
pub(super) struct Hash<K, V, const N: usize> {
    name: &'static str,
    map: HashMap<MapData, [u8; N], Value>,
    types: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod, const N: usize> Hash<K, V, N> {
    /// One size in the type and in the map.
    const SIZED: () = assert!(size_of::<K>() == N && size_of::<V>() == size_of::<Value>());

    /// Takes a map out of the loaded object.
    pub(super) fn of(object: &mut Object, name: &'static str) -> Result<Self, Error> {
        let () = Self::SIZED;
        let Some(map @ Map::HashMap(_)) = object.take_map(name) else {
            return Err(Error::Missing(name));
        };
        let map = HashMap::try_from(map).map_err(|error| refused("open", name, error))?;
        Ok(Self {
            name,
            map,
            types: PhantomData,
        })
    }

    /// Adds or replaces.
    pub(super) fn put(&mut self, key: K, value: V) -> Result<(), Error> {
        let value: Value = bytemuck::cast(value);
        self.map
            .insert(packed(&key), value, 0)
            .map_err(|error| refused("update", self.name, error))
    }

    /// Removes, if it is there.
    pub(super) fn drop(&mut self, key: K) -> Result<(), Error> {
        match self.map.remove(&packed(&key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(error) => Err(refused("delete", self.name, error)),
        }
    }

    /// Everything.
    pub(super) fn entries(&self) -> Result<Vec<(K, V)>, Error> {
        self.map
            .iter()
            .map(|entry| {
                entry
                    .map(|(key, value)| (unpacked(&key), bytemuck::cast::<Value, V>(value)))
                    .map_err(|error| refused("walk", self.name, error))
            })
            .collect()
    }
}

fn packed<K: Pod, const N: usize>(key: &K) -> [u8; N] {
    let mut bytes = [0; N];
    let pairs = bytes.iter_mut().zip(bytemuck::bytes_of(key));
    pairs.for_each(|(to, from)| *to = *from);
    bytes
}

fn unpacked<K: Pod, const N: usize>(bytes: &[u8; N]) -> K {
    let mut key = K::zeroed();
    let pairs = bytemuck::bytes_of_mut(&mut key).iter_mut().zip(bytes);
    pairs.for_each(|(to, from)| *to = *from);
    key
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
