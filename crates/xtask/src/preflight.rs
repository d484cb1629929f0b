//! What a task needs of the machine: checked first, installed where that is possible, listed where it is not.
//!
//! Invariant: nothing is changed before everything that is missing is known to be obtainable. Packages come from
//! apt; Go, where the distribution's is too old, from the Go project's own module proxy, checked by hash.

mod go;

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::Error;
use crate::process::Run;
use crate::progress::Progress;

pub use go::go;

/// A file or program that must be there, and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
struct Need {
    what: What,
    package: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Program(&'static str),
    File(&'static str),
}

const NEEDS: [Need; 16] = [
    Need {
        what: What::Program("clang"),
        package: "clang",
    },
    Need {
        what: What::Program("llvm-strip"),
        package: "llvm",
    },
    Need {
        what: What::File("/usr/include/bpf/bpf_helpers.h"),
        package: "libbpf-dev",
    },
    Need {
        what: What::Program("cc"),
        package: "gcc",
    },
    Need {
        what: What::File("/usr/include/stdio.h"),
        package: "libc6-dev",
    },
    Need {
        what: What::Program("ip"),
        package: "iproute2",
    },
    Need {
        what: What::Program("nsenter"),
        package: "util-linux",
    },
    Need {
        what: What::Program("nft"),
        package: "nftables",
    },
    Need {
        what: What::Program("iptables"),
        package: "iptables",
    },
    Need {
        what: What::Program("conntrack"),
        package: "conntrack",
    },
    Need {
        what: What::Program("runc"),
        package: "runc",
    },
    Need {
        what: What::Program("buildah"),
        package: "buildah",
    },
    // Pictures of the demo as PNG: converter and a font.
    Need {
        what: What::Program("rsvg-convert"),
        package: "librsvg2-bin",
    },
    Need {
        what: What::File("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
        package: "fonts-dejavu-core",
    },
    Need {
        what: What::Program("curl"),
        package: "curl",
    },
    Need {
        what: What::Program("unzip"),
        package: "unzip",
    },
];

/// Files for the pods of Kubernetes' own tests.
const CONFORMANCE: Need = Need {
    what: What::Program("debootstrap"),
    package: "debootstrap",
};

/// Makes the machine ready, or says exactly what it lacks and changes nothing.
pub fn run(progress: &Progress) -> Result<(), Error> {
    provide(NEEDS.into_iter(), progress)
}

/// The same, and what only Kubernetes' own tests need.
pub fn conformance(progress: &Progress) -> Result<(), Error> {
    provide(NEEDS.into_iter().chain([CONFORMANCE]), progress)
}

fn provide(needs: impl Iterator<Item = Need>, progress: &Progress) -> Result<(), Error> {
    let missing: Vec<Need> = needs.filter(|need| !is_there(need.what)).collect();
    let mut obstacles = Vec::new();
    if !Uid::effective().is_root() {
        obstacles.push(
            "root: namespaces, cgroups and eBPF need it (run the same command with sudo -E)".to_owned(),
        );
    }
    obstacles.extend(kernel_obstacles());
    let can_install = Uid::effective().is_root() && is_there(What::Program("apt-get"));
    if !can_install && !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
        obstacles.push(format!("packages: apt-get install {}", packages.join(" ")));
    }
    if !can_install && go::found().is_none() {
        obstacles.push(go::request());
    }
    if !obstacles.is_empty() {
        return Err(Error::Missing { missing: obstacles });
    }
    install(&missing, progress)?;
    go::provide(progress)
}

fn install(missing: &[Need], progress: &Progress) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let step = progress.step(format!("installing {}", packages.join(" ")));
    step.waiting("apt-get update");
    Run::new("apt-get").args(["update", "--quiet"]).output()?;
    step.waiting("apt-get install");
    Run::new("apt-get")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()?;
    let still: Vec<String> = missing
        .iter()
        .filter(|need| !is_there(need.what))
        .map(|need| format!("{:?}: package {} did not bring it", need.what, need.package))
        .collect();
    if !still.is_empty() {
        return Err(Error::Missing { missing: still });
    }
    step.done();
    Ok(())
}

/// What no package can bring.
fn kernel_obstacles() -> Vec<String> {
    let mut obstacles = Vec::new();
    if !cfg!(target_arch = "x86_64") {
        obstacles
            .push("an x86-64 machine: the images and the cluster's programs are built for it".to_owned());
    }
    let needed = [
        (
            "/proc/self/ns/cgroup",
            "a kernel with cgroup namespaces (CONFIG_CGROUPS)",
        ),
        (
            "/sys/kernel/btf/vmlinux",
            "a kernel with type information (CONFIG_DEBUG_INFO_BTF)",
        ),
    ];
    obstacles.extend(
        needed
            .iter()
            .filter(|(path, _)| !Path::new(path).exists())
            .map(|(_, what)| (*what).to_owned()),
    );
    let v2 = crate::cluster::cgroup::hierarchies().is_ok_and(|all| all.iter().any(|one| one.v1.is_none()));
    if !v2 {
        obstacles.push("cgroup v2: mount -t cgroup2 none /sys/fs/cgroup/unified".to_owned());
    }
    obstacles
}

fn is_there(what: What) -> bool {
    match what {
        What::Program(name) => which(name).is_some(),
        What::File(path) => Path::new(path).exists(),
    }
}

/// The program of this name: in PATH, or where root's programs are (a plain user's PATH may leave them out).
fn which(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(is_there(What::Program("sh")));
        assert!(!is_there(What::Program("no-such-program-anywhere")));
    }

    #[test]
    fn every_need_names_its_package() {
        assert!(NEEDS.iter().all(|need| !need.package.is_empty()));
    }
}
