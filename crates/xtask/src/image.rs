//! The images: static binaries, then `Dockerfile.*` built by buildah, as OCI archives that a node's containerd imports.
//!
//! The first stage of each Dockerfile is replaced by a local folder of the same name (`--build-context build=…`), so
//! no registry is asked; the last stage is built as written. An image is rebuilt when the hash of what goes into it
//! changes, never otherwise.
//!
//! The agent is built a second time under another version, so that an upgrade rolls to a binary that is not the same.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::check::cargo;
use crate::cluster::Cluster;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, paths, preflight};

/// Binaries are linked statically for this target: the images hold nothing else.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// What an image is made of.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    /// Cargo package, binary and name of the image.
    name: &'static str,
    /// Path in the repository.
    dockerfile: &'static str,
}

impl Recipe {
    fn reference(self, tag: &str) -> String {
        format!("localhost/{}:{tag}", self.name)
    }

    /// Builds the image around a binary.
    fn build(self, tag: &str, binary: &Path) -> Result<Image, Error> {
        let reference = self.reference(tag);
        let context = work().join(stem(&reference));
        copy(binary, &context.join("out").join(self.name))?;
        let dockerfile = paths::root().join(self.dockerfile);
        build(&reference, &dockerfile, &context, Some("build"))
    }

    /// The image as it was last built.
    fn last(self, tag: &str) -> Result<Image, Error> {
        let reference = self.reference(tag);
        let archive = archive_of(&reference);
        let stamp = archive.with_extension("digest");
        let digest = fs::read_to_string(&stamp).map_err(Error::file("read", &stamp))?;
        Ok(Image {
            reference,
            archive,
            digest,
        })
    }
}

const AGENT: Recipe = Recipe {
    name: "continuity-agent",
    dockerfile: "Dockerfile.agent",
};
const RECIPES: [Recipe; 3] = [
    AGENT,
    Recipe {
        name: "continuity-operator",
        dockerfile: "Dockerfile.operator",
    },
    Recipe {
        name: "continuity-traffic",
        dockerfile: "e2e/traffic/Dockerfile",
    },
];
/// Tag of what is built.
pub const USUAL: &str = "dev";
/// Tag and version of the agent's other build.
pub const NEXT: &str = "next";
/// Built with the images, for the machine itself.
const TOOLS: [&str; 2] = ["continuity-cli", "continuity-inspect"];

/// An image as an OCI archive on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Full reference, for instance `localhost/continuity-agent:dev`.
    pub reference: String,
    /// The archive.
    pub archive: PathBuf,
    /// Hash of what went into it.
    pub digest: String,
}

/// Builds everything and loads it into the cluster if one is up.
pub fn run(progress: &Progress) -> Result<(), Error> {
    preflight::run(progress)?;
    let images = build_all(progress)?;
    match Cluster::attach() {
        Ok(cluster) => cluster.load_images(&images, progress),
        Err(Error::NoCluster) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Builds the binaries and the images of agent, operator and traffic, and the agent's other build; what is unchanged is
/// left alone.
pub fn build_all(progress: &Progress) -> Result<Vec<Image>, Error> {
    binaries(None, progress)?;
    let step = progress.step("building the images from their Dockerfiles");
    let mut images = Vec::new();
    for recipe in RECIPES {
        step.waiting(recipe.name);
        images.push(recipe.build(USUAL, &binary_path(recipe.name))?);
    }
    step.done();
    images.push(next_agent(progress)?);
    Ok(images)
}

/// The agent under another version. Cargo keeps one binary of a name, so this build comes and goes between two of the usual
/// one, and only when the usual one has changed.
fn next_agent(progress: &Progress) -> Result<Image, Error> {
    let [kept, stamp] = ["bin", "of"].map(|end| work().join(format!("{}-{NEXT}.{end}", AGENT.name)));
    let usual = file_hash(&binary_path(AGENT.name))?;
    let known = fs::read_to_string(&stamp).is_ok_and(|of| of == usual);
    if !known || !kept.exists() {
        binaries(Some(NEXT), progress)?;
        copy(&binary_path(AGENT.name), &kept)?;
        binaries(None, progress)?;
        fs::write(&stamp, usual).map_err(Error::file("write", &stamp))?;
    }
    AGENT.build(NEXT, &kept)
}

/// The images as they were last built, whatever has changed since.
pub fn last_built() -> Result<Vec<Image>, Error> {
    let usual = RECIPES.iter().map(|recipe| recipe.last(USUAL));
    usual.chain([AGENT.last(NEXT)]).collect()
}

/// The binary of a package as [`build_all`] builds it.
pub fn binary_path(name: &str) -> PathBuf {
    paths::target().join(TARGET).join("release").join(name)
}

/// Builds every binary; the agent names `version` as its own where one is given.
fn binaries(version: Option<&str>, progress: &Progress) -> Result<(), Error> {
    build_with(&[], version, progress)
}

/// The same, and `more` packages beside them.
pub(crate) fn build_with(more: &[&str], version: Option<&str>, progress: &Progress) -> Result<(), Error> {
    let step = progress.step(match version {
        None => "building the binaries".to_owned(),
        Some(version) => format!("building the agent once more, as version {version}"),
    });
    step.waiting("cargo build --release");
    let packages = RECIPES.iter().map(|recipe| recipe.name).chain(TOOLS);
    let packages = packages.chain(more.iter().copied());
    let log = work().join("cargo.log");
    make_dir(&work())?;
    // The same packages every time: another choice would unify features in another way and build everything again.
    let run = cargo()
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(packages.flat_map(|name| ["--package", name]))
        .env("RUSTFLAGS", STATIC);
    match version {
        None => run,
        Some(version) => run.env("CONTINUITY_VERSION", version),
    }
    .run_shown(&step, log)?;
    step.done();
    Ok(())
}

/// Builds one image from a Dockerfile; `stage` names the stage that `context` takes the place of.
pub(crate) fn build(
    reference: &str,
    file: &Path,
    context: &Path,
    stage: Option<&str>,
) -> Result<Image, Error> {
    let archive = archive_of(reference);
    let digest = fingerprint(file, context)?;
    let image = Image {
        reference: reference.to_owned(),
        archive: archive.clone(),
        digest: digest.clone(),
    };
    if is_built(&archive, &digest) {
        return Ok(image);
    }
    make_dir(&work())?;
    let mut run = buildah().args([
        "bud",
        "--isolation",
        "chroot",
        "--timestamp",
        "0",
        "--tag",
        reference,
    ]);
    if let Some(stage) = stage {
        run = run
            .arg("--build-context")
            .arg(format!("{stage}={}", context.display()));
    }
    run.arg("--file").arg(file).arg(context).run()?;
    push(reference, &archive, &digest)?;
    Ok(image)
}

fn push(reference: &str, archive: &Path, digest: &str) -> Result<(), Error> {
    // An archive that exists would be added to.
    let _ = fs::remove_file(archive);
    buildah()
        .args([
            "push",
            reference,
            &format!("oci-archive:{}:{reference}", archive.display()),
        ])
        .run()?;
    let stamp = archive.with_extension("digest");
    fs::write(&stamp, digest).map_err(Error::file("write", &stamp))
}

/// Storage of our own: no image of the machine's is seen or touched.
fn buildah() -> Run {
    let store = work().join("store");
    Run::new("buildah")
        .args(["--storage-driver", "vfs", "--root"])
        .arg(store.join("root"))
        .arg("--runroot")
        .arg(store.join("run"))
}

fn work() -> PathBuf {
    paths::target().join("images")
}

fn archive_of(reference: &str) -> PathBuf {
    work().join(format!("{}.tar", stem(reference)))
}

/// The image's name and tag, as a file name.
fn stem(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    name.replace(':', "-")
}

fn is_built(archive: &Path, digest: &str) -> bool {
    let stamp = archive.with_extension("digest");
    archive.exists() && fs::read_to_string(stamp).is_ok_and(|known| known == digest)
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(dir) = to.parent() {
        make_dir(dir)?;
    }
    fs::copy(from, to).map(drop).map_err(Error::file("copy", from))
}

/// Hash over the Dockerfile and every file of its context.
fn fingerprint(file: &Path, context: &Path) -> Result<String, Error> {
    let mut files = vec![file.to_owned()];
    collect(context, &mut files)?;
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        hasher.update(path.to_string_lossy().as_bytes());
        let mut content = File::open(&path).map_err(Error::file("open", &path))?;
        io::copy(&mut content, &mut hasher).map_err(Error::file("read", &path))?;
    }
    Ok(hex(&hasher.finalize()))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::file("read", dir))?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Hash of one file.
pub(crate) fn file_hash(path: &Path) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    let mut content = File::open(path).map_err(Error::file("open", path))?;
    io::copy(&mut content, &mut hasher).map_err(Error::file("read", path))?;
    Ok(hex(&hasher.finalize()))
}

/// Hash over several pieces, each with its length, so that no two lists run together.
pub(crate) fn hash(pieces: &[Vec<u8>]) -> String {
    let mut hasher = Sha256::new();
    for piece in pieces {
        hasher.update(piece.len().to_le_bytes());
        hasher.update(piece);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_where_one_piece_ends() {
        assert_ne!(
            hash(&[b"ab".to_vec(), b"c".to_vec()]),
            hash(&[b"a".to_vec(), b"bc".to_vec()])
        );
    }

    #[test]
    fn archives_are_named_after_their_image() {
        assert!(archive_of("localhost/continuity-agent:dev").ends_with("continuity-agent-dev.tar"));
    }
}
