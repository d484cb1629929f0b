//! The hooks: which program stands where, how it gets there, and whether it is there.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use super::{
    cgroup,
    object::Object,
    pins::{Pins, open_if_there},
    syscall::{self, LinkInfo, ProgramInfo},
};
use crate::{CapabilityId, CapabilityReport, Error};

/// One hook. `attach_type` is the kernel's `enum bpf_attach_type`.
#[derive(Debug)]
pub struct Hook {
    /// Name of its pins.
    pub name: &'static str,
    /// Function in the object.
    pub program: &'static str,
    pub(super) attach_type: u32,
    needs: Option<CapabilityId>,
}

const fn hook(name: &'static str, program: &'static str, attach_type: u32) -> Hook {
    Hook {
        name,
        program,
        attach_type,
        needs: None,
    }
}

const fn datagram(name: &'static str, program: &'static str, attach_type: u32) -> Hook {
    Hook {
        needs: Some(CapabilityId::Datagram),
        ..hook(name, program, attach_type)
    }
}

/// Every hook, in the order in which they are put up: what measures stands before what steers.
pub static HOOKS: [Hook; 14] = [
    hook("sockops", "ct_sockops", 3),
    Hook {
        needs: Some(CapabilityId::SockRelease),
        ..hook("release", "ct_release", 34)
    },
    hook("egress", "ct_egress", 1),
    hook("ingress", "ct_ingress", 0),
    Hook {
        needs: Some(CapabilityId::Getpeername),
        ..hook("getpeername4", "ct_getpeername4", 29)
    },
    Hook {
        needs: Some(CapabilityId::Getpeername),
        ..hook("getpeername6", "ct_getpeername6", 30)
    },
    datagram("recvmsg4", "ct_recvmsg4", 19),
    datagram("recvmsg6", "ct_recvmsg6", 20),
    datagram("sendmsg4", "ct_sendmsg4", 14),
    datagram("sendmsg6", "ct_sendmsg6", 15),
    Hook {
        needs: Some(CapabilityId::BindGuard),
        ..hook("post_bind4", "ct_post_bind4", 12)
    },
    Hook {
        needs: Some(CapabilityId::BindGuard),
        ..hook("post_bind6", "ct_post_bind6", 13)
    },
    hook("connect4", "ct_connect4", 10),
    hook("connect6", "ct_connect6", 11),
];

/// The hooks that this node can have.
pub(super) fn wanted(capabilities: &CapabilityReport) -> Vec<&'static Hook> {
    HOOKS
        .iter()
        .filter(|hook| hook.needs.is_none_or(|id| capabilities.has(id)))
        .collect()
}

/// Puts this agent's program behind a hook: by update where a link of ours is live, else by a new link.
pub(super) fn install(hook: &Hook, object: &mut Object, pins: &Pins, cgroup: &Path) -> Result<(), Error> {
    let program = object.load_program(hook)?;
    let link_path = pins.link(hook.name);
    let io = |what, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { what, path, source }
    };
    let target = cgroup::id(cgroup)?;
    let live = match open_if_there(&link_path)? {
        Some(link) if is_at(link.as_fd(), target) => syscall::link_update(link.as_fd(), program).is_ok(),
        Some(_) => false,
        None => return create(hook, program, pins, cgroup),
    };
    if live {
        return pin_program(hook, program, pins);
    }
    // Another cgroup's link, or one whose cgroup is gone.
    fs::remove_file(&link_path).map_err(io("cannot remove pin", &link_path))?;
    create(hook, program, pins, cgroup)
}

/// Whether the hook that sees sockets close is live, so that what is kept with sockets is true.
pub(super) fn measures(pins: &Pins, cgroup: &Path) -> Result<bool, Error> {
    let target = cgroup::id(cgroup)?;
    let link = open_if_there(&pins.link("sockops"))?;
    Ok(link.is_some_and(|link| is_at(link.as_fd(), target)))
}

fn is_at(link: BorrowedFd<'_>, cgroup: u64) -> bool {
    syscall::info::<LinkInfo>(link).is_ok_and(|info| info.cgroup == cgroup)
}

fn create(hook: &Hook, program: BorrowedFd<'_>, pins: &Pins, cgroup: &Path) -> Result<(), Error> {
    let directory = File::open(cgroup).map_err(|source| Error::Io {
        what: "cannot open cgroup",
        path: cgroup.to_owned(),
        source,
    })?;
    let link =
        syscall::link_create(program, directory.as_fd(), hook.attach_type).map_err(|source| Error::Bpf {
            command: "LINK_CREATE",
            object: hook.name,
            source,
        })?;
    let path = pins.link(hook.name);
    syscall::pin(link.as_fd(), &path).map_err(|source| Error::Io {
        what: "cannot pin link",
        path,
        source,
    })?;
    pin_program(hook, program, pins)
}

/// Replaces the program's pin in one step, so that it is never missing.
fn pin_program(hook: &Hook, program: BorrowedFd<'_>, pins: &Pins) -> Result<(), Error> {
    let path = pins.program(hook.name);
    let fresh = pins.program(&format!("{}-new", hook.name));
    let _ = fs::remove_file(&fresh);
    syscall::pin(program, &fresh).map_err(|source| Error::Io {
        what: "cannot pin program",
        path: fresh.clone(),
        source,
    })?;
    fs::rename(&fresh, &path).map_err(|source| Error::Io {
        what: "cannot rename pin to",
        path,
        source,
    })
}

/// Whether a hook is live: its link is attached to this cgroup and runs the program that is pinned beside it.
pub(super) fn verify(hook: &'static Hook, pins: &Pins, cgroup: u64) -> Result<(), Error> {
    let dead = |why| Error::NotLive { hook: hook.name, why };
    let link = open_if_there(&pins.link(hook.name))?.ok_or_else(|| dead("its link is not pinned"))?;
    let program =
        open_if_there(&pins.program(hook.name))?.ok_or_else(|| dead("its program is not pinned"))?;
    let link: LinkInfo =
        syscall::info(link.as_fd()).map_err(|_| dead("the kernel does not answer for its link"))?;
    let program: ProgramInfo =
        syscall::info(program.as_fd()).map_err(|_| dead("the kernel does not answer for its program"))?;
    if link.cgroup == 0 {
        return Err(dead("its link was detached"));
    }
    if link.cgroup != cgroup {
        return Err(dead("its link is attached to another cgroup"));
    }
    if link.attach_type != hook.attach_type {
        return Err(dead("its link is of another hook"));
    }
    if link.program != program.id {
        return Err(dead("its link runs another program"));
    }
    Ok(())
}

/// Ids of our own pinned programs.
pub(super) fn own_programs(pins: &Pins) -> Vec<u32> {
    HOOKS
        .iter()
        .filter_map(|hook| open_if_there(&pins.program(hook.name)).ok().flatten())
        .filter_map(|fd| syscall::info::<ProgramInfo>(fd.as_fd()).ok())
        .map(|info| info.id)
        .collect()
}
