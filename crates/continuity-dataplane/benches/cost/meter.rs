//! Run time of pinned programs, as the kernel counts it.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use aya::programs::ProgramInfo;
use continuity_dataplane::{HOOKS, Hook};

use crate::ground::Ground;

const OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// `offsetof(struct bpf_prog_info, run_time_ns)` / 8; `run_cnt` follows.
const RUN_TIME: usize = 24;

/// Programs whose time is read with one system call each, so that reading disturbs little of what it measures.
pub(crate) struct Meter {
    programs: Vec<OwnedFd>,
}

/// Time in ns and runs of each program.
pub(crate) type Reading = Vec<(u64, u64)>;

/// The hooks that a TCP connection passes; each one more that is read disturbs the caches of what is measured.
pub(crate) fn passed() -> impl Iterator<Item = &'static Hook> {
    const OTHERS: [&str; 3] = ["sendmsg", "recvmsg", "post_bind"];
    HOOKS
        .iter()
        .filter(|hook| !OTHERS.iter().any(|other| hook.name.starts_with(other)))
}

impl Meter {
    /// Every hook of the ground that is passed.
    pub(crate) fn of(ground: &Ground) -> Self {
        let programs = passed()
            .map(|hook| {
                let info = ProgramInfo::from_pin(ground.program(hook.name)).expect("the pinned program");
                let fd = info.fd().expect("its descriptor");
                std::os::fd::AsFd::as_fd(&fd).try_clone_to_owned().expect("dup")
            })
            .collect();
        Self { programs }
    }

    pub(crate) fn read(&self) -> Reading {
        self.programs.iter().map(read).collect()
    }
}

#[allow(unsafe_code, reason = "bpf(2) has no safe wrapper that reads an open program")]
fn read(program: &OwnedFd) -> (u64, u64) {
    let mut info = [0u64; RUN_TIME + 2];
    let fd = u64::try_from(program.as_raw_fd()).unwrap_or(0);
    let length = u64::try_from(size_of_val(&info)).unwrap_or(0);
    // The kernel's { u32 fd, u32 length, u64 info }.
    let attributes = [fd | length << 32, info.as_mut_ptr() as u64];
    // SAFETY: the attributes and the buffer they point to live beyond the call, and the length is the buffer's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    (info[RUN_TIME], info[RUN_TIME + 1])
}
