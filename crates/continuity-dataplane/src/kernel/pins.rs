//! The pin directory: `maps/`, `programs/` and `links/` under `…/v<schema>`.
//!
//! A pinned map is used only after its shape was compared with this schema's, and its control record with this
//! schema's number; what differs is refused with nothing touched.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use continuity_wire::{
    AFFINITY_BYTES, Admission, AdmissionTraffic, CALLERS, Caller, CallerKey, CallerValue, Control, Endpoint,
    FLOW_BYTES, LIMIT_BANKS, LINES, Learned, Limits, Node, Place, SCHEMA_VERSION, SOCKET_BYTES, ServiceKey,
    ServiceValue, SetTraffic, Table, Traffic, WAYS, map,
};

use super::syscall::{self, MapInfo};
use crate::{
    Error,
    capacity::Capacities,
    region::{Region, Shape, Source},
};

/// `BPF_FS_MAGIC`.
const BPFFS: libc::c_long = 0xcafe_4a11;

/// How long a former agent may take to end: it unmaps its maps, which takes far less.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(20);

const DIRECTORIES: [&str; 3] = ["maps", "programs", "links"];

/// One schema's pin directory.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    directory: PathBuf,
}

impl Pins {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.directory.join("maps").join(name)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join("programs").join(name)
    }

    pub(super) fn link(&self, name: &str) -> PathBuf {
        self.directory.join("links").join(name)
    }

    /// Makes the directories.
    pub(super) fn make(&self) -> Result<(), Error> {
        DIRECTORIES.iter().try_for_each(|name| {
            let path = self.directory.join(name);
            fs::create_dir_all(&path).map_err(|source| Error::Io {
                what: "cannot make",
                path,
                source,
            })
        })
    }

    /// Becomes the one writer, until the file is closed; waits a little for a former agent that is just ending.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let path = &self.directory;
        let io = |source| Error::Io {
            what: "cannot lock",
            path: path.clone(),
            source,
        };
        let directory = File::open(path).map_err(io)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(directory),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(Error::Busy { path: path.clone() });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(RETRY),
            }
        }
    }

    /// Checks the shape of every pinned map; the sizes of those that exist replace the wanted ones.
    pub(super) fn sizes(&self, mut sizes: Capacities) -> Result<Capacities, Error> {
        if let Some((info, _)) = self.shape(map::NODE, 4, size_of::<Node>())? {
            sizes.shards = info.max_entries;
        }
        let shards = sizes.shards;
        let shaped = [
            (map::SETS, size_of::<Table>(), &mut sizes.sets, 1),
            (map::BACKENDS, size_of::<Place>(), &mut sizes.backends, 1),
            (
                map::SERVER_TRAFFIC,
                size_of::<Traffic>(),
                &mut sizes.endpoints,
                shards,
            ),
        ];
        for (name, value, size, per) in shaped {
            if let Some((info, _)) = self.shape(name, 4, value)? {
                *size = info.max_entries / per.max(1);
            }
        }
        if let Some((info, _)) = self.shape(map::SOCKETS, 4, SOCKET_BYTES)? {
            sizes.sockets = info.max_entries / LINES * WAYS;
        }
        if let Some((info, _)) =
            self.shape(map::SERVICES, size_of::<ServiceKey>(), size_of::<ServiceValue>())?
        {
            sizes.services = info.max_entries;
        }
        for (name, (key, value)) in [(map::FLOWS, FLOW_BYTES), (map::AFFINITY, AFFINITY_BYTES)] {
            self.shape(name, key, value)?;
        }
        self.fits(&sizes)?;
        Ok(sizes)
    }

    /// The maps whose number of entries follows from the others' are as large as that asks for.
    fn fits(&self, sizes: &Capacities) -> Result<(), Error> {
        let shards = sizes.shards;
        let plain = [
            (map::CONTROL, 4, size_of::<Control>(), 1),
            (
                map::CLIENT_TRAFFIC,
                4,
                size_of::<Traffic>(),
                sizes.backends * shards,
            ),
            (map::SET_TRAFFIC, 4, size_of::<SetTraffic>(), sizes.sets * shards),
            (map::LEARNED, 4, size_of::<Learned>(), sizes.sets),
            (map::SOCKETS, 4, SOCKET_BYTES, sizes.buckets() * LINES),
            (
                map::ENDPOINTS,
                size_of::<ServiceKey>(),
                size_of::<Endpoint>(),
                sizes.endpoints,
            ),
        ];
        let admission = [
            (map::ADMISSIONS, 4, size_of::<Admission>(), sizes.sets),
            (map::LIMITS, 4, size_of::<Limits>(), sizes.sets * LIMIT_BANKS),
            (
                map::ADMISSION_TRAFFIC,
                4,
                size_of::<AdmissionTraffic>(),
                sizes.sets * shards,
            ),
            (
                map::CALLERS,
                size_of::<CallerKey>(),
                size_of::<CallerValue>(),
                CALLERS,
            ),
            (map::SHARES, 4, size_of::<Caller>(), CALLERS),
        ];
        for (name, key, value, entries) in plain.into_iter().chain(admission) {
            if let Some((info, path)) = self.shape(name, key, value)?
                && info.max_entries != entries
            {
                return Err(Error::Layout {
                    path,
                    what: "max_entries",
                    found: info.max_entries,
                    expected: entries,
                });
            }
        }
        Ok(())
    }

    /// Shape of a pinned map, if it is pinned.
    fn shape(&self, name: &str, key: usize, value: usize) -> Result<Option<(MapInfo, PathBuf)>, Error> {
        let path = self.map(name);
        let Some(fd) = open_if_there(&path)? else {
            return Ok(None);
        };
        let info: MapInfo = syscall::info(fd.as_fd()).map_err(|source| Error::Io {
            what: "cannot ask the kernel about",
            path: path.clone(),
            source,
        })?;
        for (what, found, expected) in [
            ("key size", info.key_size, key),
            ("value size", info.value_size, value),
        ] {
            let expected = u32::try_from(expected).unwrap_or(u32::MAX);
            if found != expected {
                return Err(Error::Layout {
                    path,
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(Some((info, path)))
    }
}

/// Opens a pin; `None` if there is none.
pub(super) fn open_if_there(path: &Path) -> Result<Option<OwnedFd>, Error> {
    match syscall::open(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io {
            what: "cannot open pin",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Refuses pins whose directory or control record carries another schema.
pub(super) fn refuse_other_schemas(root: &Path) -> Result<(), Error> {
    match found_schemas(root)?
        .into_iter()
        .find(|(_, schema)| *schema != SCHEMA_VERSION)
    {
        Some((path, found)) => Err(Error::Schema {
            path,
            found,
            expected: SCHEMA_VERSION,
        }),
        None => Ok(()),
    }
}

/// Every schema that has pins under `root`, with where it was found.
pub(super) fn found_schemas(root: &Path) -> Result<Vec<(PathBuf, u32)>, Error> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Io {
                what: "cannot list",
                path: root.to_owned(),
                source,
            });
        }
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(number) = name
            .to_str()
            .and_then(|name| name.strip_prefix('v'))
            .and_then(|text| text.parse().ok())
        else {
            continue;
        };
        let control = entry.path().join("maps").join(map::CONTROL);
        match stamped(&control)? {
            // No control map, or one that nobody stamped: an agent died while it made the maps; the folder's word counts.
            None | Some(0) => found.push((entry.path(), number)),
            Some(schema) => found.push((control, schema)),
        }
    }
    Ok(found)
}

/// Schema in a pinned control record.
fn stamped(control: &Path) -> Result<Option<u32>, Error> {
    let Some(fd) = open_if_there(control)? else {
        return Ok(None);
    };
    // Whatever the schema, its number is the record's first word.
    let region = Region::new(map::CONTROL, Shape::whole(8), 1, Source::Map(fd));
    let [schema, _]: [u32; 2] = bytemuck::cast(region.load::<u64>(0)?);
    Ok(Some(schema))
}

/// The pins must be on a bpffs: the nearest directory that exists tells.
pub(super) fn require_bpffs(path: &Path) -> Result<(), Error> {
    let existing = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(path);
    let file_system = nearest(existing).map_err(|source| Error::Io {
        what: "cannot ask for the file system of",
        path: existing.to_owned(),
        source,
    })?;
    if file_system == BPFFS {
        Ok(())
    } else {
        Err(Error::NoBpffs {
            path: path.to_owned(),
        })
    }
}

fn nearest(path: &Path) -> io::Result<libc::c_long> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is a C string and the buffer is ours; it is read only after the call succeeded.
    let result = unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statfs succeeded and filled the struct.
    Ok(unsafe { found.assume_init() }.f_type)
}
