//! The calls that aya 0.14 does not offer: bpf(2) on links and pins, membarrier(2), the clock.
//!
//! Each attribute struct is the prefix of the kernel's `union bpf_attr` that its command reads; the kernel takes
//! shorter attributes as zero-extended.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use bytemuck::{Pod, Zeroable};

const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;

/// Programs of ancestors too (`BPF_F_QUERY_EFFECTIVE`).
const QUERY_EFFECTIVE: u32 = 1;

/// `MEMBARRIER_CMD_GLOBAL`: returns after every CPU has passed a grace period.
const MEMBARRIER_GLOBAL: libc::c_int = 1;

/// `SO_NETNS_COOKIE` (Linux 5.14).
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Programs that one hook of one cgroup can have: the kernel's own bound (`BPF_CGROUP_MAX_PROGS`).
const MAX_PROGRAMS: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Info {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    reserved: u32,
}

/// First fields of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct MapInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

/// First fields of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct ProgramInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) tag: [u8; 8],
}

/// First fields of `struct bpf_link_info` of a cgroup link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct LinkInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    pub(super) reserved: u32,
    pub(super) cgroup: u64,
    pub(super) attach_type: u32,
    pub(super) reserved_tail: u32,
}

fn bpf<T: Pod>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are a live, initialised struct of the length given; pointers inside were made from live
    // buffers by the callers below and are not used after the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just returned this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    // An open descriptor is never negative.
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Pins a map, program or link.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    bpf(
        OBJ_PIN,
        &mut Object {
            path: path.as_ptr() as u64,
            fd: number(fd),
            flags: 0,
        },
    )
    .map(drop)
}

/// Opens a pin.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    bpf(
        OBJ_GET,
        &mut Object {
            path: path.as_ptr() as u64,
            fd: 0,
            flags: 0,
        },
    )
    .and_then(owned)
}

/// What the kernel says about a map, program or link of ours.
pub(super) fn info<T: Pod>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::zeroed();
    let length = u32::try_from(size_of::<T>()).unwrap_or(0);
    bpf(
        OBJ_GET_INFO_BY_FD,
        &mut Info {
            fd: number(fd),
            length,
            info: std::ptr::from_mut(&mut info) as u64,
        },
    )?;
    Ok(info)
}

/// Attaches a program to a cgroup; bpf_link attachments always stand beside others.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    bpf(
        LINK_CREATE,
        &mut [number(program), number(cgroup), attach_type, 0],
    )
    .and_then(owned)
}

/// Puts another program behind a link, without a moment in which none is attached.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_UPDATE, &mut [number(link), number(program), 0, 0]).map(drop)
}

/// Detaches a link, whoever still holds it.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_DETACH, &mut [number(link)]).map(drop)
}

/// Ids of the programs that a hook of a cgroup runs.
pub(super) fn programs_at(cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut query = Query {
        target: number(cgroup),
        attach_type,
        query_flags: QUERY_EFFECTIVE,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: u32::try_from(MAX_PROGRAMS).unwrap_or(0),
        reserved: 0,
    };
    bpf(PROG_QUERY, &mut query)?;
    let count = usize::try_from(query.count).unwrap_or(0);
    Ok(ids.into_iter().take(count).collect())
}

/// Waits until no program that runs now is still running. False if the kernel does not offer it.
pub(super) fn membarrier() -> bool {
    // SAFETY: membarrier takes three integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) == 0 }
}

/// `CLOCK_MONOTONIC` in ns: what `bpf_ktime_get_ns` returns.
pub(super) fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills the timespec that we own.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Cookie of this process's network namespace, as the programs see it.
pub(super) fn netns_cookie() -> io::Result<u64> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes to the integer that we own.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}
