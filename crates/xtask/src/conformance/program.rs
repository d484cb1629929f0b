//! The suite and the image that its pods run, built from Go modules and Debian packages; no registry of images is asked.

use std::fs;
use std::path::{Path, PathBuf};

use crate::image::{self, Image};
use crate::process::Run;
use crate::progress::{Progress, Step};
use crate::{Error, paths, preflight};

/// The name that the suite asks for (`test/utils/image` of the release that `e2e/conformance/go.mod` requires).
const REFERENCE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.63.0";
const PACKAGE: &str = "k8s.io/kubernetes/test/images/agnhost";
/// What the tests call inside their pods beside agnhost.
const TOOLS: &str = "--include=ca-certificates,curl,dnsutils,iproute2,netcat-openbsd";
/// The Debian release of the image's files.
const RELEASE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";

/// What a run needs.
#[derive(Debug)]
pub(super) struct Programs {
    /// The suite.
    pub(super) suite: PathBuf,
    /// What its pods run.
    pub(super) image: Image,
}

/// Builds what is not built; Go and the image builder know what has changed.
pub(super) fn build(progress: &Progress) -> Result<Programs, Error> {
    let step = progress.step("building Kubernetes' tests and what their pods run");
    let work = paths::root().join("target/conformance");
    let context = work.join("agnhost");
    fs::create_dir_all(&context).map_err(Error::file("create", &context))?;
    let suite = work.join("e2e.test");
    step.waiting("go test -c: 4 min on two cores the first time");
    go(
        &step,
        &["test", "-c", "-trimpath", "-ldflags", "-s -w", "-o"],
        &suite,
        ".",
        &work,
    )?;
    go(
        &step,
        &["build", "-trimpath", "-ldflags", "-s -w", "-o"],
        &context.join("agnhost"),
        PACKAGE,
        &work,
    )?;
    let files = context.join("files.tar");
    if !files.exists() {
        step.waiting("debootstrap");
        bootstrap(&files, &work)?;
    }
    step.waiting("the image agnhost");
    let file = paths::root().join("e2e/conformance/Dockerfile");
    let image = image::build(REFERENCE, &file, &context, None)?;
    step.done();
    Ok(Programs { suite, image })
}

fn go(step: &Step, verb: &[&str], out: &Path, package: &str, work: &Path) -> Result<(), Error> {
    Run::new(preflight::go()?)
        .args(verb)
        .arg(out)
        .arg(package)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("CGO_ENABLED", "0")
        .dir(paths::root().join("e2e/conformance"))
        .run_shown(step, work.join("go.log"))
}

/// The files of a small Debian as one archive: an image is made from it without following its links.
fn bootstrap(files: &Path, work: &Path) -> Result<(), Error> {
    let root = work.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(Error::file("remove", &root))?;
    }
    Run::new("debootstrap")
        .args(["--variant=minbase", TOOLS, RELEASE])
        .arg(&root)
        .arg(MIRROR)
        .log(work.join("debootstrap.log"))
        .run()?;
    let aside = files.with_extension("new");
    let archived = Run::new("tar")
        .args(["--exclude=./var/cache/apt", "--exclude=./var/lib/apt/lists", "-C"])
        .arg(&root)
        .arg("-cf")
        .arg(&aside)
        .arg(".")
        .run();
    fs::remove_dir_all(&root).map_err(Error::file("remove", &root))?;
    archived?;
    fs::rename(&aside, files).map_err(Error::file("rename", &aside))
}
