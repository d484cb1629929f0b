//! Finds out what the node can do. Changes nothing.

use std::{fs, fs::File, os::fd::AsFd as _};

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
    util::KernelVersion,
};

use super::{Options, cgroup, cgroup::Reach, hooks, pins, syscall};
use crate::{Capability, CapabilityId, CapabilityReport};

/// `enum bpf_attach_type` of the two connect hooks.
const CONNECT_HOOKS: [u32; 2] = [10, 11];

const CAP_NET_ADMIN: u32 = 12;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const CAP_SYS_ADMIN: u32 = 21;

/// What this node can do. Call it before [`super::KernelDataplane::open_or_load`] and report it either way.
#[must_use]
pub fn probe(options: &Options) -> CapabilityReport {
    let mut capabilities = vec![cgroup_v2(options), cgroup_root(options), bpffs(options)];
    capabilities.extend(privileges());
    capabilities.extend([
        set_retval(),
        since(
            CapabilityId::Getpeername,
            KernelVersion::new(5, 8, 0),
            "Linux 5.8",
            "getpeername(2) shows the backend",
        ),
        since(
            CapabilityId::SockRelease,
            KernelVersion::new(5, 9, 0),
            "Linux 5.9",
            "a network that failed counts as a client that gave up",
        ),
        since(
            CapabilityId::Datagram,
            KernelVersion::new(5, 9, 0),
            "UDP hooks sendmsg, recvmsg and sock_release (Linux 5.9)",
            "policies on UDP ports are not carried out here; kube-proxy serves them",
        ),
        since(
            CapabilityId::NetnsCookie,
            KernelVersion::new(5, 7, 0),
            "bpf_get_netns_cookie in connect hooks (Linux 5.7)",
            "policies on Services with session affinity are not carried out here; kube-proxy serves them",
        ),
        bind_guard(),
        membarrier(),
        sole_connect_hook(options),
        schema(options),
    ]);
    for capability in &mut capabilities {
        if options.pretends_missing(capability.id) {
            capability.met = Some(false);
            capability.found = "told to treat it as missing".to_owned();
        }
    }
    CapabilityReport { capabilities }
}

fn cgroup_v2(options: &Options) -> Capability {
    let found = cgroup::root(options);
    Capability {
        id: CapabilityId::CgroupV2,
        needs: "a mounted cgroup v2 hierarchy, alone or beside v1",
        met: Some(found.is_ok()),
        required: true,
        found: found.map_or_else(|error| error.to_string(), |path| path.display().to_string()),
        fallback: "nothing is attached; kube-proxy serves",
    }
}

fn cgroup_root(options: &Options) -> Capability {
    let reach = cgroup::root(options).and_then(|path| cgroup::reach(&path));
    let found = match &reach {
        Ok(Reach::Everything) => "the root of the hierarchy".to_owned(),
        Ok(Reach::Pods(path)) => format!("this node's root; its pods are in {}", path.display()),
        Ok(Reach::OwnPod) => "a cgroup that holds the agent's own pod and its neighbours".to_owned(),
        Ok(Reach::Unknown(inode)) => {
            format!("a cgroup below the root (inode {inode}) without the kubelet's pods: they are not seen")
        }
        Err(error) => error.to_string(),
    };
    Capability {
        id: CapabilityId::CgroupRoot,
        needs: "a cgroup that holds every pod of the node, as the host sees it (hostPath /sys/fs/cgroup)",
        met: reach.ok().map(|reach| !matches!(reach, Reach::Unknown(_))),
        required: false,
        found,
        fallback: "only sockets below the cgroup found are steered and measured",
    }
}

fn bpffs(options: &Options) -> Capability {
    let found = pins::require_bpffs(&options.pins);
    Capability {
        id: CapabilityId::Bpffs,
        needs: "a bpf file system for the pins (hostPath /sys/fs/bpf)",
        met: Some(found.is_ok()),
        required: true,
        found: found.map_or_else(|error| error.to_string(), |()| options.pins.display().to_string()),
        fallback: "nothing is attached; kube-proxy serves",
    }
}

fn privileges() -> [Capability; 3] {
    let effective = fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| effective(&status));
    let has = |bit: u32| effective.map(|set| set >> bit & 1 == 1 || set >> CAP_SYS_ADMIN & 1 == 1);
    let capability = |id, needs, met: Option<bool>, required, fallback| Capability {
        id,
        needs,
        met,
        required,
        found: match met {
            Some(true) => "held".to_owned(),
            Some(false) => "not held".to_owned(),
            None => "/proc/thread-self/status could not be read".to_owned(),
        },
        fallback,
    };
    [
        capability(
            CapabilityId::CapBpf,
            "CAP_BPF",
            has(CAP_BPF),
            true,
            "nothing is loaded; kube-proxy serves",
        ),
        capability(
            CapabilityId::CapNetAdmin,
            "CAP_NET_ADMIN",
            has(CAP_NET_ADMIN),
            true,
            "nothing is attached; kube-proxy serves",
        ),
        capability(
            CapabilityId::CapPerfmon,
            "CAP_PERFMON",
            has(CAP_PERFMON),
            false,
            "nothing here needs it yet",
        ),
    ]
}

/// The effective set in `/proc/<pid>/status`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn set_retval() -> Capability {
    let found = is_helper_supported(ProgramType::CgroupSockAddr, BpfHelper::BPF_FUNC_set_retval);
    Capability {
        id: CapabilityId::SetRetval,
        needs: "bpf_set_retval in connect hooks (Linux 5.18)",
        met: found.as_ref().ok().copied(),
        required: false,
        found: match found {
            Ok(true) => "the kernel has it".to_owned(),
            Ok(false) => "the kernel does not have it".to_owned(),
            Err(error) => format!("could not be tried: {error}"),
        },
        fallback: "a connect to a set without backends fails with EPERM instead of ECONNREFUSED",
    }
}

fn since(
    id: CapabilityId,
    version: KernelVersion,
    needs: &'static str,
    fallback: &'static str,
) -> Capability {
    let running = KernelVersion::current();
    Capability {
        id,
        needs,
        met: running.as_ref().ok().map(|running| *running >= version),
        required: false,
        found: running.map_or_else(|error| error.to_string(), |running| format!("kernel {running:?}")),
        fallback,
    }
}

fn bind_guard() -> Capability {
    let found = syscall::netns_cookie();
    Capability {
        id: CapabilityId::BindGuard,
        needs: "SO_NETNS_COOKIE (Linux 5.14)",
        met: Some(found.is_ok()),
        required: false,
        found: found.map_or_else(
            |error| error.to_string(),
            |cookie| format!("the node's network namespace is {cookie}"),
        ),
        fallback: "a process of the node may bind a steered node port and is then reached by nobody",
    }
}

fn membarrier() -> Capability {
    let met = syscall::membarrier();
    Capability {
        id: CapabilityId::Membarrier,
        needs: "membarrier(MEMBARRIER_CMD_GLOBAL)",
        met: Some(met),
        required: false,
        found: if met {
            "the kernel answers"
        } else {
            "the kernel refuses"
        }
        .to_owned(),
        fallback: "a second publish within 50 ms waits for the rest of them",
    }
}

fn sole_connect_hook(options: &Options) -> Capability {
    let own = hooks::own_programs(&options.pins_of_schema());
    let others = cgroup::root(options)
        .ok()
        .and_then(|path| File::open(path).ok())
        .and_then(|directory| {
            let mut others = Vec::new();
            for hook in CONNECT_HOOKS {
                let attached = syscall::programs_at(directory.as_fd(), hook).ok()?;
                others.extend(attached.into_iter().filter(|id| !own.contains(id)));
            }
            Some(others)
        });
    Capability {
        id: CapabilityId::SoleConnectHook,
        needs: "no connect program of another product at this cgroup (Cilium, Calico, Kmesh)",
        met: others.as_ref().map(Vec::is_empty),
        required: false,
        found: match others {
            Some(ids) if ids.is_empty() => "no other connect program".to_owned(),
            Some(ids) => format!("programs with ids {ids:?}"),
            None => "the kernel did not say".to_owned(),
        },
        fallback: "both run; whichever rewrites first decides, and the other sees a backend's address",
    }
}

fn schema(options: &Options) -> Capability {
    let found = pins::refuse_other_schemas(&options.pins);
    Capability {
        id: CapabilityId::Schema,
        needs: "no pins of another schema",
        met: Some(found.is_ok()),
        required: true,
        found: found.map_or_else(|error| error.to_string(), |()| "none".to_owned()),
        fallback: "nothing is touched: the programs that are pinned go on by their failsafe",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_effective_capabilities_are_read_from_the_status_file() {
        assert_eq!(
            super::effective("Name:\tx\nCapEff:\t000000c000001000\n"),
            Some(0xc0_0000_1000)
        );
        assert_eq!(super::effective("Name:\tx\n"), None);
    }
}
